"""``carillon user`` and ``carillon prefs``."""

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from carillon_client.cli import views
from carillon_client.cli.session import Session, command
from carillon_client.models import Preferences, User

group = typer.Typer(no_args_is_help=True)
preferences = typer.Typer(no_args_is_help=True)

UserId = Annotated[str, typer.Argument(metavar="USER")]
Choices = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A channel, a category, or category:channel; repeatable."),
]
CHANNELS = ("email", "sms", "push", "inapp")


@command(group)
def put(  # noqa: PLR0913 - the fields of a profile
    session: Session,
    user_id: UserId,
    *,
    email: Annotated[str | None, typer.Option()] = None,
    phone: Annotated[str | None, typer.Option(help="As +14155552671.")] = None,
    full_name: Annotated[str | None, typer.Option()] = None,
    locale: Annotated[str | None, typer.Option(help="As en-GB.")] = None,
    timezone: Annotated[str | None, typer.Option(help="As Europe/London.")] = None,
) -> None:
    """Create a user, or replace the whole profile."""
    _show(
        session,
        session.client.put_user(
            user_id,
            email=email,
            phone=phone,
            full_name=full_name,
            locale=locale,
            timezone=timezone,
        ),
    )


@command(group)
def show(session: Session, user_id: UserId) -> None:
    """Show a user's profile."""
    _show(session, session.client.get_user(user_id))


@command(group)
def erase(
    session: Session,
    user_id: UserId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Erase a user, and all that is kept of them, for good."""
    if not yes:
        typer.confirm(f"Erase {user_id} for good?", abort=True, err=True)
    job = session.client.erase_user(user_id)
    session.show(job, f"{user_id}  erasure {job.status}  {job.job_id}")


@command(group)
def export(session: Session, user_id: UserId) -> None:
    """Begin an export of all that is kept of a user; ask again for its link."""
    job = session.client.export_user(user_id)
    told = [("user", user_id), ("export", job.job_id), ("status", job.status), ("link", job.link)]
    session.show(job, views.pairs(told))


@command(preferences, "show")
def show_preferences(session: Session, user_id: UserId) -> None:
    """Show what a user wants."""
    _show_preferences(session, session.client.get_preferences(user_id))


@command(preferences, "set")
def set_preferences(
    session: Session, user_id: UserId, on: Choices = None, off: Choices = None
) -> None:
    """Turn channels and categories on or off; what is not named stays."""
    kept = session.client.get_preferences(user_id)
    channels, categories = dict(kept.channels), dict(kept.categories)
    for names, answer in ((on, True), (off, False)):
        for name in names or []:
            _choose(channels, categories, name, answer=answer)
    changes = {"channels": channels, "categories": categories}
    changed = session.client.patch_preferences(user_id, changes, if_match=kept.etag)
    _show_preferences(session, changed)


def _choose(
    channels: dict[str, bool], categories: dict[str, Any], name: str, *, answer: bool
) -> None:
    category, _, channel = name.partition(":")
    if name in CHANNELS:
        channels[name] = answer
    elif channel:
        before = categories.get(category, {})
        each = before if isinstance(before, dict) else dict.fromkeys(CHANNELS, before)
        categories[category] = each | {channel: answer}
    else:
        categories[name] = answer


def _show(session: Session, user: User) -> None:
    session.show(user, _profile(user))


def _profile(user: User) -> Table:
    return views.pairs(
        [
            ("user", user.user_id),
            ("email", user.email),
            ("phone", user.phone),
            ("name", user.full_name),
            ("locale", user.locale),
            ("timezone", user.timezone),
            ("attributes", json.dumps(user.attributes) if user.attributes else None),
            ("created", views.moment(user.created_at)),
            ("updated", views.moment(user.updated_at)),
        ]
    )


def _show_preferences(session: Session, kept: Preferences) -> None:
    rows = [("channel", name, _word(answer)) for name, answer in kept.channels.items()]
    for name, answer in kept.categories.items():
        if isinstance(answer, dict):
            rows += [("category", f"{name}:{each}", _word(says)) for each, says in answer.items()]
        else:
            rows.append(("category", name, _word(answer)))
    nothing = "Nothing is turned off: everything is wanted."
    more = [("quiet hours", _quiet(kept)), ("timezone", kept.timezone), ("locale", kept.locale)]
    wanted = views.table(("", "name", "wanted"), rows) if rows else nothing
    session.show(kept, wanted, *([views.pairs(more)] if any(value for _, value in more) else []))


def _quiet(kept: Preferences) -> str:
    windows = (kept.quiet_hours or {}).get("windows", [])
    return ", ".join(
        f"{each['start']}-{each['end']} {' '.join(each.get('days') or [])}".rstrip()
        for each in windows
    )


def _word(answer: bool) -> str:
    return "on" if answer else "off"
