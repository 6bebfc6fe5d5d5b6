"""``carillon switch``: what is stopped."""

from typing import Annotated

import typer
from rich.table import Table

from carillon_client.cli import views
from carillon_client.cli.session import Session, command
from carillon_client.models import Switch

group = typer.Typer(no_args_is_help=True)

Scope = Annotated[
    str,
    typer.Argument(
        metavar="SCOPE", help="channel:email, provider:ses, template:CODE or client:ID."
    ),
]


@command(group)
def on(
    session: Session,
    scope: Scope,
    reason: Annotated[str, typer.Option(help="Shown to whoever looks.")],
) -> None:
    """Keep what SCOPE names in its queues until it is lifted."""
    made = session.client.switch_on(scope, reason=reason)
    session.show(made, _table([made]))


@command(group)
def off(session: Session, scope: Scope) -> None:
    """Let what SCOPE names go on."""
    session.client.switch_off(scope)
    session.show({"scope": scope, "on": False}, f"{scope}  goes on")


@command(group, "list")
def list_(session: Session) -> None:
    """List what is stopped."""
    found = session.client.switches()
    session.show(found, _table(found) if found else "Nothing is stopped.")


def _table(found: list[Switch]) -> Table:
    rows = [(each.scope, views.moment(each.set_at), each.actor, each.reason) for each in found]
    return views.table(("stopped", "since", "by", "why"), rows)
