"""The tree of commands."""

import typer

from carillon_client.cli import (
    access,
    audit,
    dlq,
    figures,
    history,
    inbox,
    money,
    notifications,
    setup,
    stage,
    switch,
    templates,
    users,
)
from carillon_client.cli.session import command

ABOUT = """Send notifications through Carillon and see what became of them.

Where the API is and who is calling come from CARILLON_URL and CARILLON_TOKEN.
"""
EXITS = """Exit codes: 0 done, 1 refused or not delivered, 2 used wrongly, 3 not reachable,
4 not ended in time."""

app = typer.Typer(
    help=ABOUT,
    epilog=EXITS,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
notifications.add_to(app)
history.add_to(app)
figures.add_to(app)
money.add_to(app)
audit.add_to(app)
command(app)(access.login)
app.command()(setup.setup)
app.add_typer(stage.group, name="stage", help="A deployment in an AWS account of yours.")
app.add_typer(templates.group, name="template", help="Templates, on the service and as files.")
app.add_typer(inbox.group, name="inbox", help="A user's in-app notifications.")
app.add_typer(users.group, name="user", help="Users: whom notifications are for.")
app.add_typer(users.preferences, name="prefs", help="What a user wants to receive.")
app.add_typer(dlq.group, name="dlq", help="What was given up. Takes the scope ops.")
app.add_typer(switch.group, name="switch", help="What is stopped. Takes the scope ops.")
app.add_typer(money.group, name="budget", help="What a month may cost. Takes the scope ops.")
app.add_typer(access.group, name="client", help="Applications that send. Takes the administrator.")
