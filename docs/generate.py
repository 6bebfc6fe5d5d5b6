"""Writes what is generated from the code; ``--check`` only tells whether it is current.

functions/api/docs/openapi.json comes from the routes and their models (description.py), the table
in docs/http.md from where problems are raised (codes.py).
"""

import json
import sys
from pathlib import Path

import codes
from description import describe

OPENAPI = Path(__file__).parent.parent / "functions/api/docs/openapi.json"


def main() -> int:
    """Write, or with ``--check`` compare; 1 when something is out of date."""
    described = json.dumps(describe(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    wanted = {OPENAPI: described, codes.PAGE: codes.page()}
    if "--check" in sys.argv:
        return int(any(path.read_text() != text for path, text in wanted.items()))
    for path, text in wanted.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
