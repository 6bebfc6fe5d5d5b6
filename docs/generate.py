"""Writes what is generated from the code; ``--check`` only tells whether it is current.

functions/api/docs/openapi.json comes from the routes and their models (description.py),
docs/features.md from features.yaml and the tests (feature_table.py), the table in docs/http.md from
where problems are raised (codes.py), the figures in docs/guarantees.md from the runs that prove
them (proof.py), docs/performance.md from what was measured (performance.py),
docs/capacity.md from what was simulated (capacity.py), the dashboard from its
widgets (infra/dashboard.py).
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import capacity
import codes
import feature_table
import performance
import proof
from description import describe

from infra import dashboard

ROOT = Path(__file__).parent.parent


def openapi() -> str:
    """Return the API's description as JSON."""
    return json.dumps(describe(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


GENERATED: dict[str, Callable[[], str]] = {
    "functions/api/docs/openapi.json": openapi,
    "docs/features.md": feature_table.table,
    "docs/http.md": codes.page,
    "docs/guarantees.md": proof.page,
    "docs/performance.md": performance.page,
    "docs/capacity.md": capacity.page,
    "docs/capacity.svg": capacity.plot,
    "infra/dashboard.yaml": dashboard.template,
}


def main() -> int:
    """Write, or with ``--check`` compare; 1 when something is out of date."""
    stale = 0
    for name, make in GENERATED.items():
        path, current = ROOT / name, make()
        if path.exists() and path.read_text() == current:
            continue
        if "--check" in sys.argv:
            print(f"{name} is out of date: run make docs")  # noqa: T201 - a command's answer
            stale = 1
        else:
            path.write_text(current)
    return stale


if __name__ == "__main__":
    sys.exit(main())
