"""The product's own handlers in a world that one seed controls: clock, chance, store, queues.

``scheduler`` decides who goes on and when, ``cloud`` is AWS in memory, ``wire`` the providers'
HTTP, ``weather`` what goes wrong, ``lambdas`` the processes that run the handlers, ``callers`` who
uses the API. ``oracle`` keeps its own record of all of it and judges; it asks the product nothing.
"""
