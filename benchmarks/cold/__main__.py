"""`make bench-cold`: start every function ten times, beside bare handlers, and say what it took."""

import argparse
import json
import os
import platform
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from offline.runtime import INTERPRETER

from . import measuring, report, subjects

COMPILE = ("-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")


def main() -> None:
    """Measure, print, and keep the figures where --output says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="carillon-") as scratch:
        found = subjects.all_of(Path(scratch))
        subprocess.run([INTERPRETER, *COMPILE, scratch], check=True)  # noqa: S603 - our own interpreter
        told = report.summary(measuring.measure(found, options.rounds))
    told = _run(options.rounds, before) | told
    console = Console()
    for table in report.tables(told):
        console.print(table)
    if options.output:
        options.output.write_text(json.dumps(told, indent=1) + "\n")


def _run(rounds: int, before: float) -> dict[str, Any]:
    """Return how it was measured; load above the number of processors blurs it."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "rounds": rounds,
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "load": [round(before, 1), round(os.getloadavg()[0], 1)],
    }


if __name__ == "__main__":
    main()
