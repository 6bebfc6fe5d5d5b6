"""``carillon inbox USER``, which is ``carillon inbox show USER``, and what is done with entries."""

from itertools import islice
from typing import Annotated, Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from carillon_client.cli import views
from carillon_client.cli.session import Session, command
from carillon_client.models import InboxEntry


class ShowUnlessNamed(TyperGroup):
    """A group whose first word, when it is no command, is what ``show`` is to show."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put in the command that was left out."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


group = typer.Typer(cls=ShowUnlessNamed, no_args_is_help=True)

UserId = Annotated[str, typer.Argument(metavar="USER")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...")]


@command(group)
def show(
    session: Session,
    user_id: UserId,
    *,
    unread: Annotated[bool, typer.Option("--unread", help="Those alone.")] = False,
    archived: Annotated[bool, typer.Option("--archived", help="Those instead.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many, at most.")] = 25,
) -> None:
    """Show a user's in-app notifications, newest first; a star marks the unread."""
    entries = session.client.inbox(
        user_id, unread=unread or None, archived=archived or None, limit=min(limit, 100)
    )
    found = list(islice(entries, limit))
    columns = ("", "at (UTC)", "id", "title", "text")
    session.show(found, views.table(columns, map(_row, found)) if found else "There is nothing.")


@command(group)
def read(session: Session, user_id: UserId, notification_ids: Ids) -> None:
    """Mark entries read."""
    done = [session.client.mark_read(user_id, each) for each in notification_ids]
    session.show(done, *[f"{each.notification_id}  read" for each in done])


@command(group)
def archive(session: Session, user_id: UserId, notification_ids: Ids) -> None:
    """Put entries away."""
    done = [session.client.archive(user_id, each) for each in notification_ids]
    session.show(done, *[f"{each.notification_id}  archived" for each in done])


@command(group)
def read_all(session: Session, user_id: UserId) -> None:
    """Mark everything read: the newest 1,000, and then again."""
    session.client.read_all(user_id)
    left = session.client.unread_count(user_id)
    session.show({"user_id": user_id, "unread": left}, f"{user_id}  {left} unread")


def _row(one: InboxEntry) -> list[views.Cell]:
    star = Text("" if one.read_at else "*", style="bold")
    return [star, views.minute(one.created_at), one.notification_id, one.title, one.body]
