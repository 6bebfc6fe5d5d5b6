"""Writes what is generated from the code; ``--check`` only tells whether it is current.

functions/api/docs/openapi.json comes from the routes and their models (description.py).
"""

import json
import sys
from pathlib import Path

from description import describe

OPENAPI = Path(__file__).parent.parent / "functions/api/docs/openapi.json"


def main() -> int:
    """Write, or with ``--check`` compare; 1 when something is out of date."""
    current = json.dumps(describe(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    if "--check" in sys.argv:
        return int(OPENAPI.read_text() != current)
    OPENAPI.write_text(current)
    return 0


if __name__ == "__main__":
    sys.exit(main())
