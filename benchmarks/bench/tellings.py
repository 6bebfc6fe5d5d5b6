"""The comparison's figures for people."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from .report import table_of

Json = dict[str, Any]


def tables(found: Json) -> Iterator[Table]:
    """Yield what the line of JSON says, as tables."""
    yield _contenders(found)
    yield _targets(found["targets"])
    yield _floor(found)
    yield _inside(found["inside"])


def _contenders(found: Json) -> Table:
    heading = f"{found['count']} notifications, medians of {found['rounds']}"
    names = [each["title"] for each in found["contenders"].values()]
    table = table_of(heading, "", *names)
    medians = [each["median"] for each in found["contenders"].values()]

    def row(name: str, *path: str) -> None:
        table.add_row(name, *(_at(median, path) for median in medians))

    row("accepted per second", "accepted_per_s")
    row("delivered per second, end to end", "delivered_per_s")
    at_once = {str(found["concurrency"]), str(found["batches_at_once"]), "1"}
    for concurrency in sorted(at_once, key=int, reverse=True):
        for figure in ("p50", "p99"):
            row(f"POST {figure}, {concurrency} at once, ms", "post_ms", concurrency, figure)
    for part, told in PARTS.items():
        row(f"CPU s per 1,000: {told}", "cpu_s_per_1000", part)
    row("CPU s elsewhere on the machine", "elsewhere_s")
    row("functions started meanwhile", "born")
    for wrong in ("refused", "lost", "doubled", "strangers"):
        row(wrong, "outcome", wrong)
    noise = found["noise"]
    for when in ("before", "after"):
        table.add_row(f"the same loop, {when}, s", str(noise[f"loop_{when}_s"]))
    table.add_row("load", str([round(load, 1) for load in noise["load"]]))
    return table


PARTS = {
    "own": "its own processes",
    "Authorizer": "authorizer",
    "Notifications": "intake",
    "Email": "email worker",
    "Counting": "daily numbers",
    "clocks": "beside: functions on a schedule",
    "beneath": "cloud and gateway, or broker",
    "sandbox": "the sandbox",
    "load": "the load generator",
}


def _at(found: Json, path: tuple[str, ...]) -> str:
    value: Any = found
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return "" if value is None else f"{value:g}"


def _targets(targets: list[Json]) -> Table:
    table = table_of("Targets", "", "ours", "against", "ratio", "target", "")
    for each in targets:
        verdict = "[green]met[/]" if each["met"] else "[red]missed[/]"
        figures = (f"{each['ours']:g} {each['unit']}", f"{each['against']:g}", f"{each['ratio']}")
        table.add_row(each["name"], *figures, each["target"], verdict)
    return table


def _floor(found: Json) -> Table:
    floor, sink = found["floor"], found["sink"]
    table = table_of("The floor", "", "n")
    for name, times in floor["calls"].items():
        table.add_row(f"{name} per notification", f"{times:g}")
    for name, seconds in floor["cpu_s_per_1000"].items():
        table.add_row(f"CPU s per 1,000: {name}", f"{seconds:g}")
    table.add_row("refused, of the recorded calls", _listed(floor["refused"]))
    table.add_row("refused, of the floor's", _listed(floor["failed"]))
    table.add_row("the sandbox by itself, per second", f"{sink['per_s']}")
    return table


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _inside(inside: Json) -> Table:
    names = list(inside["functions"])
    table = table_of("Where a single send's time goes, by function", "", *names)
    told = inside["functions"].values()
    for figure in ("wall_ms", "cpu_ms", "own_cpu_ms", "calls_cpu_ms", "waiting_ms", "calls"):
        table.add_row(figure.replace("_", " "), *(f"{each[figure]:g}" for each in told))
    table.add_section()
    for group in next(iter(told))["percent"]:
        table.add_row(f"% {group}", *(f"{each['percent'][group]:g}" for each in told))
    return table
