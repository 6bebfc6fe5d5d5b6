"""``carillon analytics``, ``slo``: what became of all deliveries, in numbers."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import typer
from rich.text import Text

from carillon_client.cli import views
from carillon_client.cli.session import Session, command
from carillon_client.models import (
    ARRIVED_STATES,
    DeliveryCount,
    DeliveryGroup,
    Objective,
    ObjectiveWindow,
)

DEFAULT = ["day", "channel", "template"]
MISSED = frozenset({"failed", "unknown", "dead_lettered"})
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="In UTC, YYYY-MM-DD.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    for each in (analytics, slo):
        command(app)(each)


def analytics(
    session: Session,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", "-b", help="day, channel, template, category or state; repeatable."),
    ] = None,
    since: Day = None,
    until: Day = None,
) -> None:
    """Count deliveries by the day they were accepted: the last seven, unless told."""
    groups = by or DEFAULT
    found = session.client.delivery_report(
        since=since.date() if since else None,
        until=until.date() if until else None,
        group_by=groups,
    )
    columns = (*groups, "all", "sent", "missed", "withheld", "open", "success", "p50 s", "p99 s")
    rows = [*(_row(groups, each) for each in found.rows), _total(groups, found.totals)]
    session.show(found, views.table(columns, rows) if found.rows else "None was accepted.")


def slo(session: Session) -> None:
    """Show whether what was aimed at is met. Takes the scope ops."""
    found = session.client.slo()
    columns = ("last", "objective", "target", "measured", "of", "burn", "budget left", "met")
    rows = [row for window in found.windows for row in _objectives(window)]
    session.show(found, views.table(columns, rows))


def _row(groups: list[str], one: DeliveryGroup) -> list[views.Cell]:
    return [*(str(getattr(one, name) or "-") for name in groups), *_counts(one)]


def _total(groups: list[str], all_of_them: DeliveryCount) -> list[views.Cell]:
    return ["total", *[""] * (len(groups) - 1), *_counts(all_of_them)]


def _counts(one: DeliveryCount) -> list[views.Cell]:
    seconds = one.seconds_to_sent
    sent = sum(one.states.get(state, 0) for state in ARRIVED_STATES)
    missed = sum(one.states.get(state, 0) for state in MISSED)
    waiting = one.states.get("open", 0)
    numbers = (one.deliveries, sent, missed, one.deliveries - sent - missed - waiting, waiting)
    return [
        *map(str, numbers),
        _percent(one.success_rate),
        f"{seconds.p50:g}" if seconds else "-",
        f"{seconds.p99:g}" if seconds else "-",
    ]


def _objectives(window: ObjectiveWindow) -> Iterator[list[views.Cell]]:
    answers, work = window.answers, window.throughput
    yield _objective(window.window, "deliveries that arrive", window.deliveries)
    yield _objective("", f"answers within {answers.target_ms} ms", answers)
    yield [
        "",
        "notifications a minute",
        str(work.target),
        f"{work.busiest_ended_per_minute:g}",
        f"{work.busiest_accepted_per_minute:g}",
        "",
        "",
        _met(work.met),
    ]


def _objective(window: str, name: str, one: Objective) -> list[views.Cell]:
    return [
        window,
        name,
        _percent(one.target),
        _percent(one.measured),
        str(one.events),
        "-" if one.burn_rate is None else f"{one.burn_rate:g}",
        _percent(one.budget_left),
        _met(one.met),
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.6g} %"


def _met(met: bool | None) -> Text:
    if met is None:
        return Text("-")
    return Text("yes" if met else "no", style="green" if met else "red")
