"""``carillon client``."""

import shlex
from typing import Annotated

import typer

from carillon_client.cli import views
from carillon_client.cli.session import Session, command

group = typer.Typer(no_args_is_help=True)

Export = Annotated[
    bool, typer.Option("--export", help='Print for: eval "$(carillon ... --export)".')
]


@group.callback()
def _callback() -> None:
    """Keep ``client`` a group, however few commands it has."""


@command(group)
def register(
    session: Session,
    service_name: Annotated[str, typer.Argument(metavar="NAME")],
    export: Export = False,
) -> None:
    """Register an application and print its token, which is shown only now."""
    made = session.client.register_client(service_name)
    if export:
        print_export(made.api_token)
    else:
        session.show(made, views.pairs([("client", made.client_id), ("token", made.api_token)]))


def print_export(token: str) -> None:
    """Print what a shell sets CARILLON_TOKEN by."""
    print(f"export CARILLON_TOKEN={shlex.quote(token)}")  # noqa: T201 - for eval
