"""What the starts amount to: targets met and missed, and a row for each function."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from .measuring import Figure, Starts, figure
from .subjects import BARE, STORING

if TYPE_CHECKING:
    from rich.console import JustifyMethod

Json = dict[str, Any]

INTAKE = "NotificationsFunction"
CHANNELS = ("EmailFunction", "SmsFunction", "PushFunction", "InappFunction")
INTAKE_TARGET, CHANNEL_TARGET = 2.0, 3.0
COLUMNS = (
    "function",
    "init ms",
    "middle half",
    "x bare",
    "init CPU ms",
    "x bare, CPU",
    "first call ms",
    "both ms",
    "x with boto3, both",
)
BESIDE = (
    "Init is the start of the interpreter and the import of the handler. First call: the sample"
    " event up to its first request to AWS, client and validators included, or to the answer (*)"
    " where there is none before. The bare handler is a pydantic model and json; with boto3, the"
    " same and one put of an item."
)


@dataclass(frozen=True)
class Line:
    """A subject's figures, in milliseconds."""

    name: str
    init: Figure
    cpu: Figure
    first: Figure
    both: Figure
    end: str


def summary(found: Mapping[str, Starts]) -> Json:
    """Return the rows and the table that docs/performance.md shows."""
    lines = {name: _line(name, starts) for name, starts in found.items()}
    shown = [_shown(line, lines[BARE], lines[STORING]) for line in lines.values()]
    table = {"title": "Cold starts", "columns": list(COLUMNS), "rows": shown, "note": BESIDE}
    return {"rows": list(_rows(lines)), "tables": [table]}


def _line(name: str, starts: Starts) -> Line:
    both = [init + first for init, first in zip(starts.init, starts.first, strict=True)]
    return Line(
        name,
        figure(starts.init),
        figure(starts.init_cpu),
        figure(starts.first),
        figure(both),
        starts.end,
    )


def _rows(lines: Mapping[str, Line]) -> Iterator[Json]:
    bare, storing = lines[BARE], lines[STORING]
    judged = {INTAKE: INTAKE_TARGET} | dict.fromkeys(CHANNELS, CHANNEL_TARGET)
    for name, target in judged.items():
        line = lines[name]
        ratio = round(line.init.median / bare.init.median, 2)
        yield _row(f"{name}: init, bare handlers", ratio, "x", target)
        ratio = round(line.cpu.median / bare.cpu.median, 2)
        yield _row(f"{name}: CPU of the init, bare handlers", ratio, "x", target)
        ratio = round(line.both.median / storing.both.median, 2)
        yield _row(f"{name}: init and first call, bare handlers with boto3", ratio, "x", None)
    yield _row("bare handler: init", round(bare.init.median, 1), "ms", None)
    yield _row("bare handler with boto3: init", round(storing.init.median, 1), "ms", None)


def _row(name: str, value: float, unit: str, target: float | None) -> Json:
    met = None if target is None else value <= target
    return {"name": name, "value": value, "unit": unit, "target": target, "met": met}


def _shown(line: Line, bare: Line, storing: Line) -> list[str]:
    return [
        line.name,
        f"{line.init.median:.0f}",
        f"{line.init.low:.0f}-{line.init.high:.0f}",
        f"{line.init.median / bare.init.median:.2f}",
        f"{line.cpu.median:.0f}",
        f"{line.cpu.median / bare.cpu.median:.2f}",
        f"{line.first.median:.1f}" + ("" if line.end == "request" else "*"),
        f"{line.both.median:.0f}",
        f"{line.both.median / storing.both.median:.2f}",
    ]


def tables(told: Json) -> Iterator[Table]:
    """Yield the same for people."""
    for each in told["tables"]:
        table = Table(title=each["title"], title_justify="left", caption=each["note"])
        for column in each["columns"]:
            side: JustifyMethod = "left" if column == COLUMNS[0] else "right"
            table.add_column(column, justify=side, no_wrap=column == COLUMNS[0])
        for row in each["rows"]:
            table.add_row(*row)
        yield table
    judged = Table(title="Targets", title_justify="left")
    for column in ("", "measured", "target", ""):
        judged.add_column(column)
    for row in told["rows"]:
        verdict = {None: "", True: "met", False: "missed"}[row["met"]]
        target = "" if row["target"] is None else f"{row['target']:g}"
        judged.add_row(row["name"], f"{row['value']:g} {row['unit']}", target, verdict)
    yield judged
