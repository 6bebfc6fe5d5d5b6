"""``carillon audit``: who did what."""

from datetime import datetime
from itertools import islice
from typing import Annotated

import typer
from rich.text import Text

from carillon_client.cli import views
from carillon_client.cli.session import Session, command
from carillon_client.models import Audited

REFUSED = 400
PREFIX = "/api/v1"
When = Annotated[datetime | None, typer.Option(help="In local time.")]


def add_to(app: typer.Typer) -> None:
    """Add the command to the tree."""
    command(app)(audit)


def audit(  # noqa: PLR0913 - what can be asked for
    session: Session,
    *,
    actor: Annotated[str | None, typer.Option(help="A client's id, or admin.")] = None,
    route: Annotated[str | None, typer.Option(help="As /api/v1/ops/switches/{scope}.")] = None,
    subject: Annotated[str | None, typer.Option(help="A template, a user, an address.")] = None,
    since: When = None,
    until: When = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, at most.")] = 25,
) -> None:
    """Show who changed what, newest first. Takes the administrator's token."""
    found = session.client.audit(
        actor=actor,
        route=route,
        subject=subject,
        since=since,
        until=until,
        limit=min(limit, 100),
    )
    first = list(islice(found, limit))
    columns = ("at (UTC)", "by", "from", "did", "to", "outcome")
    session.show(first, views.table(columns, map(_row, first)) if first else "None was found.")


def _row(one: Audited) -> list[views.Cell]:
    did = f"{one.method} {one.route.removeprefix(PREFIX)}"
    return [
        views.moment(one.at),
        one.actor,
        one.source,
        did,
        " ".join(one.subject.values()),
        _outcome(one),
    ]


def _outcome(one: Audited) -> Text:
    if one.status is None:
        return Text("never seen", style="yellow")
    good = one.status < REFUSED
    return Text(f"{one.status} {one.code or ''}".strip(), style="green" if good else "red")
