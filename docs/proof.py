"""The figures in docs/guarantees.md, from what the runs that prove them wrote to docs/proof/."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/guarantees.md"
FOLDER = ROOT / "docs/proof"
BEGIN, END = "<!-- proof: made by make docs -->\n", "<!-- /proof -->\n"

Json = dict[str, Any]


def page() -> str:
    """Return the page with its figures as the runs left them."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    parts = [shown(_read(name)) for name, shown in SHOWN.items() if (FOLDER / name).exists()]
    return f"{before}{BEGIN}" + "\n".join(parts) + f"{END}{after}"


def _read(name: str) -> Json:
    # A run's last line is its result.
    return dict(json.loads((FOLDER / name).read_text().splitlines()[-1]))


def _simulated(told: Json) -> str:
    figures = {name: value for name, value in told.items() if name not in ("violations", "failing")}
    rows = "".join(
        f"| {name.replace('_', ' ')} | {_figure(value)} |\n" for name, value in figures.items()
    )
    broken = "".join(
        f"| {name.replace('-', ' ')} | {count} |\n" for name, count in told["violations"].items()
    )
    return (
        f"`make simulate`:\n\n| | |\n|---|---|\n{rows}"
        f"\n| invariant | violations |\n|---|---|\n{broken}"
    )


def _figure(value: Any) -> str:
    if isinstance(value, dict):
        return (
            ", ".join(f"{name.replace('_', ' ')} {each}" for name, each in value.items()) or "none"
        )
    return f"{value:,}" if isinstance(value, int) else str(value)


def _killed(told: Json) -> str:
    names = ("accepted", "arrived", "lost", "twice", "unexplained", "killed")
    rows = "".join(
        f"| {each['what']} | {' | '.join(_figure(each[name]) for name in names)}"
        f" | {_figure(each['by_state'])} |\n"
        for each in told["channels"]
    )
    head = f"| | {' | '.join(names)} | ended as |\n|{'---|' * (len(names) + 2)}\n"
    note = "Lost: sent or open, and not there. Unexplained: twice, and it is not told.\n"
    return f"`make crash`, {told['seconds']} s:\n\n{head}{rows}\n{note}"


def _mutants(told: Json) -> str:
    rows = "".join(f"| {each['name']} | {each['killed_by']} |\n" for each in told["mutants"])
    count = len(told["mutants"])
    return f"`make mutants`, {count} of {count}:\n\n| mutant | killed by |\n|---|---|\n{rows}"


SHOWN: dict[str, Callable[[Json], str]] = {
    "simulate.json": _simulated,
    "crash.json": _killed,
    "mutants.json": _mutants,
}
