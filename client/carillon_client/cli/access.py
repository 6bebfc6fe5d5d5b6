"""``carillon login`` and ``carillon client``."""

import getpass
import shlex
import sys
from typing import Annotated

import typer

from carillon_client.cli import views
from carillon_client.cli.session import Session, command

group = typer.Typer(no_args_is_help=True)

ClientId = Annotated[str, typer.Argument(metavar="CLIENT")]
Export = Annotated[
    bool, typer.Option("--export", help='Print for: eval "$(carillon ... --export)".')
]


def login(
    session: Session,
    email: Annotated[str, typer.Argument(metavar="EMAIL")],
    tenant: Annotated[str | None, typer.Option(help="Whose users.")] = None,
    export: Export = False,
) -> None:
    """Log a user in; the password is asked for, or read from standard input."""
    # Asked of the terminal itself: standard output may be what a shell evaluates.
    typed = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline()
    made = session.client.login(email, typed.removesuffix("\n"), tenant=tenant)
    if export:
        _print_export(CARILLON_TOKEN=made.access, CARILLON_REFRESH=made.refresh)
        return
    minutes = f"{made.expires_in // 60} minutes"
    told = [("user", made.user.id), ("token", made.access), ("good for", minutes)]
    session.show(made, views.pairs([*told, ("refresh", made.refresh)]))


@command(group)
def register(
    session: Session,
    service_name: Annotated[str, typer.Argument(metavar="NAME")],
    category: Annotated[
        list[str] | None, typer.Option(help="What it sends, for users to opt out of; repeatable.")
    ] = None,
    export: Export = False,
) -> None:
    """Register an application and print its token, which is shown only now."""
    types = [{"name": name} for name in category or []]
    made = session.client.register_client(service_name, notification_types=types or None)
    if export:
        _print_export(CARILLON_TOKEN=made.api_token)
    else:
        session.show(made, views.pairs([("client", made.client_id), ("token", made.api_token)]))


@command(group, "list")
def list_(session: Session) -> None:
    """List the applications."""
    found = list(session.client.clients(limit=100))
    rows = [
        (
            each.client_id,
            each.service_name,
            each.tenant,
            " ".join(kind["name"] for kind in each.notification_types),
        )
        for each in found
    ]
    session.show(found, views.table(("client", "name", "tenant", "categories"), rows))


@command(group)
def keys(session: Session, client_id: ClientId) -> None:
    """List an application's keys, never their tokens."""
    found = session.client.keys(client_id)
    rows = [
        (
            each.key_id,
            each.mode,
            each.label,
            " ".join(each.scopes),
            views.moment(each.created_at),
            views.moment(each.revoked_at),
        )
        for each in found
    ]
    columns = ("key", "mode", "label", "scopes", "created", "revoked")
    session.show(found, views.table(columns, rows))


@command(group)
def add_key(  # noqa: PLR0913 - what a key is made of
    session: Session,
    client_id: ClientId,
    *,
    mode: Annotated[str, typer.Option(help="live or test.")] = "live",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it may do; repeatable. Without it, all but administration."),
    ] = None,
    label: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    export: Export = False,
) -> None:
    """Give an application another token, which is shown only now."""
    made = session.client.create_key(client_id, mode=mode, scopes=scope or None, label=label)
    if export:
        _print_export(CARILLON_TOKEN=made.api_token)
    else:
        session.show(made, views.pairs([("key", made.key_id), ("token", made.api_token)]))


@command(group)
def revoke_key(
    session: Session, client_id: ClientId, key_id: Annotated[str, typer.Argument(metavar="KEY")]
) -> None:
    """Make a token worthless, within a minute everywhere."""
    session.client.revoke_key(client_id, key_id)
    session.show({"key_id": key_id, "revoked": True}, f"{key_id}  revoked")


def _print_export(**variables: str) -> None:
    """Print what a shell sets variables by."""
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")  # noqa: T201 - for eval
