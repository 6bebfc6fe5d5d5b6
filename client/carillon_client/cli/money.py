"""``carillon costs``: what deliveries cost."""

from typing import Annotated

import typer

from carillon_client.cli import views
from carillon_client.cli.figures import Day
from carillon_client.cli.session import Session, command
from carillon_client.money import Costs

DEFAULT = ["channel"]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the tree."""
    command(app)(costs)


def costs(
    session: Session,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", "-b", help="day, channel, category, template or client; repeatable."),
    ] = None,
    since: Day = None,
    until: Day = None,
) -> None:
    """Add up what deliveries cost, by estimate: the last seven days, unless told. Takes ``ops``."""
    groups = by or DEFAULT
    found = session.client.costs(
        since=since.date() if since else None,
        until=until.date() if until else None,
        group_by=groups,
    )
    columns = (*groups, "sent", "providers", "AWS", f"total {found.currency}")
    rows = [
        [*(str(getattr(each, name) or "-") for name in groups), *_amounts(each)]
        for each in found.rows
    ]
    totals = ["total", *[""] * (len(groups) - 1), *_amounts(found.totals)]
    shown = views.table(columns, [*rows, totals])
    session.show(found, shown if rows else "Nothing was sent.")


def _amounts(one: Costs) -> list[views.Cell]:
    return [str(one.sent), one.provider, one.aws, one.total]
