"""The promise broken on purpose: each mutant is the code with one thing wrong, and must be noticed.

``table`` holds the mutants and who is to notice each; ``__main__`` makes a copy of the tree, breaks
it and lets them look.
"""
