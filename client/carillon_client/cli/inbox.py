"""``carillon inbox``."""

from itertools import islice
from typing import Annotated

import typer

from carillon_client.cli import views
from carillon_client.cli.session import Session, command

group = typer.Typer(no_args_is_help=True)

UserId = Annotated[str, typer.Argument(metavar="USER")]


@command(group)
def show(
    session: Session,
    user_id: UserId,
    limit: Annotated[int, typer.Option(min=1, help="How many, at most.")] = 25,
) -> None:
    """Show a user's in-app notifications, newest first."""
    found = list(islice(session.client.inbox(user_id, limit=min(limit, 100)), limit))
    rows = [(views.moment(e.created_at), e.notification_id, e.title, e.body) for e in found]
    columns = ("at", "id", "title", "text")
    session.show(found, views.table(columns, rows) if rows else "The inbox is empty.")
