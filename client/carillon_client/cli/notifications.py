"""``carillon send``, ``status``."""

import json
from datetime import datetime
from functools import partial
from typing import Annotated

import typer
from rich.live import Live

from carillon_client.cli import views
from carillon_client.cli.session import Exit, Session, command, plain
from carillon_client.cli.values import Var, Vars, variables
from carillon_client.models import Accepted, DryRun, NotificationStatus, To

CHANNEL_OF = {"email": "email", "phone": "sms", "push_token": "push"}

Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        "-c",
        help="email, sms, push or inapp; repeatable. An address names its own.",
    ),
]
Timeout = Annotated[float, typer.Option(help="Seconds to wait.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the tree."""
    for each in (send, status):
        command(app)(each)


def send(  # noqa: PLR0913 - the fields of a notification
    session: Session,
    *,
    user: Annotated[str | None, typer.Option(help="The user it is for.")] = None,
    to_email: Annotated[str | None, typer.Option(help="An email address.")] = None,
    to_phone: Annotated[str | None, typer.Option(help="A phone number, as +14155552671.")] = None,
    to_push_token: Annotated[str | None, typer.Option(help="A device's FCM token.")] = None,
    channel: Channels = None,
    template: Annotated[str | None, typer.Option("--template", "-t", help="Its code.")] = None,
    var: Var = None,
    vars_file: Vars = None,
    locale: Annotated[str | None, typer.Option(help="The template's language.")] = None,
    message: Annotated[str | None, typer.Option("--message", "-m", help="The text.")] = None,
    title: Annotated[str | None, typer.Option(help="The text's heading.")] = None,
    category: Annotated[str | None, typer.Option(help="What users opt out of.")] = None,
    priority: Annotated[
        str | None, typer.Option(help="1 to 10, or low, normal, high, critical.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: sent again, it is still one.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until every delivery ended.")] = False,
    timeout: Timeout = 60,
) -> None:
    """Send one notification, to a user or to addresses."""
    to = addresses(to_email, to_phone, to_push_token)
    client = session.client
    make = partial(
        client.dry_run if dry_run else client.send,
        user_id=user,
        to=to or None,
        channels=channel or [CHANNEL_OF[kind] for kind in to],
        template_code=template,
        variables=variables(var, vars_file),
        locale=locale,
        message=message,
        title=title,
        category=category,
        priority=int(priority) if priority and priority.isdecimal() else priority,
        idempotency_key=key,
    )
    accepted = make()
    if isinstance(accepted, DryRun):
        _show_dry(session, accepted)
    elif wait:
        follow(session, accepted.notification_id, timeout, watch=False)
    else:
        show_accepted(session, accepted)


def status(
    session: Session,
    notification_id: Annotated[str, typer.Argument(metavar="ID")],
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Until all ended.")] = False,
    as_of: Annotated[datetime | None, typer.Option(help="As it stood; in local time.")] = None,
    timeout: Timeout = 60,
) -> None:
    """Show where a notification and each of its deliveries stands, or stood."""
    if watch:
        follow(session, notification_id, timeout, watch=True)
    else:
        found = session.client.get(notification_id, as_of=as_of)
        session.show(found, views.notification(found))


def addresses(email: str | None, phone: str | None, push_token: str | None) -> To:
    """Return the addresses that are given."""
    to: To = {}
    if email:
        to["email"] = email
    if phone:
        to["phone"] = phone
    if push_token:
        to["push_token"] = push_token
    return to


def _show_dry(session: Session, told: DryRun) -> None:
    rows = [
        (each.channel, " ".join(each.to), views.state(each.status), each.reason)
        for each in told.deliveries
    ]
    parts = [
        (f"{channel}.{field}", str(text))
        for channel, part in told.parts.items()
        for field, text in part.items()
    ]
    table = views.table(("channel", "to", "state", "why"), rows)
    session.show(told, "Nothing was sent.", table, *views.sheets(parts))


def show_accepted(session: Session, accepted: Accepted) -> None:
    """Show what was decided for each channel."""
    rows = [(each.channel, views.state(each.status), each.reason) for each in accepted.deliveries]
    again = "  (accepted before)" if accepted.replayed else ""
    session.show(
        accepted,
        f"{accepted.notification_id}  {accepted.status}{again}",
        views.table(("channel", "state", "why"), rows),
    )


def follow(session: Session, notification_id: str, timeout: float, *, watch: bool) -> None:
    """Show each state until the last, or the last alone; exit 1 when something did not arrive."""
    if not session.as_json:
        last = _draw_each(session, notification_id, timeout)
    elif watch:
        last = _print_each(session, notification_id, timeout)
    else:
        last = session.client.wait(notification_id, timeout)
        session.show(last)
    if last.undelivered:
        raise typer.Exit(Exit.REFUSED)


def _draw_each(session: Session, notification_id: str, timeout: float) -> NotificationStatus:
    """Draw each state over the one before; return the last. A file gets the last alone."""
    if not session.out.is_terminal:
        seen = session.client.wait(notification_id, timeout)
        session.show(seen, views.notification(seen))
        return seen
    with Live(console=session.out, auto_refresh=False) as live:
        for seen in session.client.watch(notification_id, timeout):
            live.update(views.notification(seen), refresh=True)
    return seen


def _print_each(session: Session, notification_id: str, timeout: float) -> NotificationStatus:
    """Print a line for each state that differs from the one before; return the last."""
    before = ""
    for seen in session.client.watch(notification_id, timeout):
        line = json.dumps(plain(seen))
        if line != before:
            session.show(seen)
        before = line
    return seen
