"""``carillon search``, ``events``, ``content``, ``cancel``, ``replay``."""

from datetime import datetime
from itertools import islice
from typing import Annotated

import typer

from carillon_client.cli import views
from carillon_client.cli.notifications import show_accepted
from carillon_client.cli.session import Session, command
from carillon_client.models import Event, Listed

Id = Annotated[str, typer.Argument(metavar="ID")]
When = Annotated[datetime | None, typer.Option(help="In local time.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    for each in (search, events, content, cancel, replay):
        command(app)(each)


def search(  # noqa: PLR0913 - what can be asked for
    session: Session,
    *,
    user: Annotated[str | None, typer.Option(help="For this user.")] = None,
    to: Annotated[str | None, typer.Option(help="To this address of no user.")] = None,
    template: Annotated[str | None, typer.Option("--template", "-t", help="Its code.")] = None,
    category: Annotated[str | None, typer.Option()] = None,
    channel: Annotated[str | None, typer.Option("--channel", "-c")] = None,
    status: Annotated[str | None, typer.Option(help="As completed, failed, processing.")] = None,
    since: When = None,
    until: When = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, at most.")] = 25,
) -> None:
    """List notifications, newest first."""
    found = session.client.search(
        user_id=user,
        to=to,
        template_code=template,
        category=category,
        channel=channel,
        status=status,
        since=since,
        until=until,
        limit=min(limit, 100),
    )
    first = list(islice(found, limit))
    columns = ("at (UTC)", "id", "state", "user", "via")
    session.show(first, views.table(columns, map(_found, first)) if first else "None was found.")


def events(session: Session, notification_id: Id, as_of: When = None) -> None:
    """Show what happened to a notification, oldest first."""
    found = list(session.client.events(notification_id, as_of=as_of))
    columns = ("at", "what", "delivery", "from", "to", "by")
    session.show(found, views.table(columns, map(_happened, found)))


def content(
    session: Session,
    notification_id: Id,
    channel: Annotated[str | None, typer.Option("--channel", "-c", help="One alone.")] = None,
) -> None:
    """Show what a notification says."""
    found = session.client.content(notification_id, channel=channel)
    parts = [
        (f"{name}.{field}", str(text))
        for name, part in found.content.items()
        for field, text in part["parts"].items()
    ]
    session.show(found, *views.sheets(parts))


def cancel(
    session: Session,
    notification_id: Id,
    reason: Annotated[str | None, typer.Option(help="Kept with it.")] = None,
) -> None:
    """Stop what has not left."""
    stopped = session.client.cancel(notification_id, reason=reason)
    session.show(stopped, views.notification(stopped))


def replay(  # noqa: PLR0913 - what can be asked for
    session: Session,
    notification_id: Id,
    *,
    current: Annotated[
        bool, typer.Option("--current", help="As its template has it now, not as it was.")
    ] = False,
    channel: Annotated[
        list[str] | None, typer.Option("--channel", "-c", help="Without it, what failed.")
    ] = None,
    force: Annotated[bool, typer.Option(help="What has arrived, or changed, too.")] = False,
    key: Annotated[str | None, typer.Option(help="Idempotency key.")] = None,
) -> None:
    """Send a notification again. Takes the scope ops."""
    made = session.client.replay(
        notification_id,
        "current_template" if current else "exact",
        channels=channel or None,
        force=force or None,
        idempotency_key=key,
    )
    show_accepted(session, made)


def _found(one: Listed) -> list[views.Cell]:
    channels = " ".join(dict.fromkeys(each.channel for each in one.deliveries))
    at = views.minute(one.created_at)
    return [at, one.notification_id, views.state(one.status), one.user_id, channels]


def _happened(one: Event) -> list[views.Cell]:
    after = views.state(one.after) if one.after else None
    return [views.moment(one.at), one.type, one.target, one.before, after, one.actor]
