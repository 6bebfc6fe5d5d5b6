"""The figures for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from .counting import UNIT_BUDGET

Json = dict[str, Any]

NUMBERS = frozenset({"instances", "CPU s", "largest MB", "together MB", "n"})


def tables(found: Json) -> Iterator[Table]:
    """Yield what the line of JSON says, as tables."""
    yield _speed(found)
    yield _targets(found["targets"])
    yield _usage(found["usage"], found["notifications"])
    yield _calls(found["cost"])
    yield _around(found)


def _speed(found: Json) -> Table:
    table = table_of(f"{found['notifications']} notifications, one email each", "", "figure")
    table.add_row("accepted per second", f"{found['accepted_per_s']}")
    table.add_row("delivered per second, end to end", f"{found['delivered_per_s']}")
    for kind, what in (("post_ms", "POST"), ("end_to_end_ms", "request to arrival")):
        for concurrency, of in found[kind].items():
            figure = f"p50 {of.get('p50')} ms, p99 {of.get('p99')} ms, {of['count']} times"
            table.add_row(f"{what}, {concurrency} at once", figure)
    again = found["replay_ms"]
    table.add_row("POST again, its key known", f"p50 {again['p50']} ms, p99 {again['p99']} ms")
    for whose, of in found["list_ms"].items():
        table.add_row(f"a short list, {whose}", f"p50 {of['p50']} ms, p99 {of['p99']} ms")
    table.add_row("lost, doubled and so on", _verdict(found["outcome"]))
    return table


def _targets(targets: Mapping[str, Json]) -> Table:
    table = table_of("Targets", "", "target", "measured", "")
    for name, of in targets.items():
        verdict = "[green]met[/]" if of["met"] else "[red]missed[/]"
        table.add_row(name, f"{of['target']:g} {of['unit']}", f"{of['measured']}", verdict)
    return table


def _usage(usage: Json, count: int) -> Table:
    headings = ("process", "instances", "CPU s", "largest MB", "together MB")
    table = table_of(f"CPU and resident memory during those {count}", *headings)
    for name, of in sorted(usage["functions"].items()):
        table.add_row(name, *_used(of))
    table.add_row("[bold]our functions[/]", *_used(usage["all_functions"]))
    table.add_section()
    for name, of in sorted(usage["others"].items()):
        table.add_row(name, *_used(of))
    table.add_row("everything else on this machine", "", f"{usage['elsewhere_s']:.2f}")
    return table


def _calls(cost: Json) -> Table:
    table = table_of(
        f"AWS calls per notification, from {cost['notifications']}", "who", "call", "n"
    )
    for role, calls in cost["calls"].items():
        for name, times in calls.items():
            table.add_row(role, name, f"{times:g}")
    table.add_section()
    table.add_row("", f"DynamoDB write units (budget {UNIT_BUDGET})", f"{cost['write_units']:g}")
    for role, what in (("analytics", "the daily numbers"), ("lists", "the lists")):
        beside = f"{cost[f'write_units_of_{role}']:g}"
        table.add_row("", f"DynamoDB write units of {what}, beside the path", beside)
    table.add_row("", "SNS publishes (budget 1)", f"{cost['publishes']:g}")
    table.add_row("", "requests to the provider", f"{cost['provider_calls']:g}")
    table.add_section()
    for size, page in cost["lists"].items():
        table.add_row("list", f"read units of a page of 25 among {size}", f"{page['read_units']:g}")
    return table


def _around(found: Json) -> Table:
    table = table_of("Around it", "", "figure")
    clone = found["clone"]
    if clone:
        table.add_row("measured on", clone["source"])
        table.add_row("package cache", clone["package_cache"])
        table.add_row("clone to first delivery", f"{clone['first_delivered_s']} s")
        table.add_row("clone to the end of ONCE=1", f"{clone['finished_s']} s")
        for step, seconds in clone["steps_s"].items():
            table.add_row(f"  {step}", f"{seconds} s")
    noise = found["noise"]
    for when in ("before", "after"):
        shown = ", ".join(f"{seconds:.3f}" for seconds in noise[f"loop_{when}_s"])
        table.add_row(f"the same CPU loop, {when}", f"{shown} s")
    table.add_row("load of the machine", ", ".join(f"{load:.1f}" for load in noise["load"]))
    return table


def table_of(title: str, *headings: str) -> Table:
    """Return an empty table; columns of numbers stand to the right."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in NUMBERS else "left")
    return table


def _used(of: Mapping[str, float]) -> tuple[str, str, str, str]:
    return (
        f"{of['instances']}",
        f"{of['cpu_s']:.2f}",
        f"{of['rss_largest_mb']:.0f}",
        f"{of['rss_together_mb']:.0f}",
    )


def _verdict(outcome: Mapping[str, int]) -> str:
    wrong = [f"{count} {name}" for name, count in outcome.items() if count]
    return f"[red]{', '.join(wrong)}[/]" if wrong else "[green]none[/]"
