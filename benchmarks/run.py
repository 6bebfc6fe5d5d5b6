"""What `make bench` runs: measure a stack of its own and print one JSON line last."""

import sys

from bench.main import main

if __name__ == "__main__":
    sys.exit(main())
