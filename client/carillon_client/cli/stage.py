"""``carillon stage``: a deployment in an AWS account of yours."""

import json
import shlex
from typing import Annotated

import typer
from rich.console import Console

from carillon_client.cli import backup, migrate, setup
from carillon_client.cli.setup import DEFAULT
from carillon_client.client import Carillon
from carillon_client.errors import CarillonError
from carillon_client.stage import deployed, sender
from carillon_client.stage.store import ADMIN_TOKEN

group = typer.Typer(no_args_is_help=True)
backup.add_to(group)
group.command()(migrate.migrate)

SETTLE_SECONDS = 60
GRACE_SECONDS = 30 * 86_400 + SETTLE_SECONDS


@group.command()
def check(
    stage: setup.Stage,
    secrets: Annotated[
        bool, typer.Option(help="Read the secrets, and try the accounts with their providers.")
    ] = True,
    samconfig: setup.Samconfig = DEFAULT,
) -> None:
    """Show what the stage has and what it needs, asking AWS and the providers."""
    with setup.exit_codes():
        setup.report(setup.place(stage, samconfig, None), secrets=secrets)


@group.command()
def parameters(stage: setup.Stage, samconfig: setup.Samconfig = DEFAULT) -> None:
    """Print the template's parameters as samconfig.toml has them, quoted for a shell."""
    with setup.exit_codes():
        told = setup.place(stage, samconfig, None).environment.parameters
        print(shlex.join(f"{name}={value}" for name, value in told.items()))  # noqa: T201 - what a shell takes


@group.command()
def show(stage: setup.Stage, samconfig: setup.Samconfig = DEFAULT) -> None:
    """Show where the stage answers, and how to send the first notification."""
    with setup.exit_codes():
        at = setup.place(stage, samconfig, None, Console(highlight=False))
        told = at.environment.parameters.get("SenderEmail", "you@example.com")
        at.out.print(_first_steps(_url(at), stage, told), soft_wrap=True, markup=False)


@group.command()
def url(stage: setup.Stage, samconfig: setup.Samconfig = DEFAULT) -> None:
    """Print the address that the stage answers at, alone."""
    with setup.exit_codes():
        print(_url(setup.place(stage, samconfig, None)))  # noqa: T201 - what a shell takes


@group.command("production-access")
def production_access(
    stage: setup.Stage,
    website: Annotated[str, typer.Option(help="What your recipients know you by.")],
    samconfig: setup.Samconfig = DEFAULT,
) -> None:
    """Ask AWS to let SES send to anybody; it answers by mail, mostly within a day."""
    with setup.exit_codes():
        ses = setup.place(stage, samconfig, None).ses
        sender.ask_for_production(ses, website)
        print("asked; carillon stage check tells when it was granted")  # noqa: T201 - as above


@group.command()
def key(
    stage: setup.Stage,
    name: Annotated[str, typer.Option(help="The application's name.")] = "first-steps",
    samconfig: setup.Samconfig = DEFAULT,
) -> None:
    """Print a new token of an application, alone; register it when it is new."""
    with setup.exit_codes():
        at = setup.place(stage, samconfig, None)
        with Carillon(_url(at), at.store.read(ADMIN_TOKEN)) as client:
            known = [each.client_id for each in client.clients() if each.service_name == name]
            made = client.create_key(known[0]) if known else client.register_client(name)
        print(made.api_token)  # noqa: T201 - what a shell takes


@group.command("rotate-signing-key")
def rotate_signing_key(
    stage: setup.Stage,
    grace: Annotated[
        int, typer.Option(help="Seconds that the old key's tokens stay good; 0 if it was stolen.")
    ] = GRACE_SECONDS,
    settle: Annotated[
        int, typer.Option(help="Seconds between publishing the new key and signing with it.")
    ] = SETTLE_SECONDS,
    samconfig: setup.Samconfig = DEFAULT,
) -> None:
    """Replace the key that signs users' tokens, while those of the old one stay good."""
    from carillon_client.stage import signing  # noqa: PLC0415 - an extra

    with setup.exit_codes():
        store = setup.place(stage, samconfig, None).store
        made = signing.rotate(store.ssm, store.prefix, grace=grace, settle=settle)
        print(f"tokens are signed with {made} from now on")  # noqa: T201 - as it stands


@group.command()
def remove(
    stage: setup.Stage,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    samconfig: setup.Samconfig = DEFAULT,
) -> None:
    """Delete the stage's stack with all that it holds; its secrets stay."""
    with setup.exit_codes():
        at = setup.place(stage, samconfig, None)
        if not yes and typer.prompt(f"type {stage} to delete all of it", err=True) != stage:
            raise CarillonError("nothing was deleted")
        with at.out.status(f"deleting {at.environment.stack}"):
            deployed.remove(
                at.session.client("cloudformation"), at.session.client("s3"), at.environment.stack
            )
        at.out.print(f"{at.environment.stack} is gone")


def _url(at: setup.Place) -> str:
    return deployed.url(at.session.client("cloudformation"), at.environment.stack)


def _first_steps(url: str, stage: str, address: str) -> str:
    told = {"channels": ["email"], "to": {"email": address}, "title": "Hello", "message": "Works."}
    body = json.dumps(told)
    return f"""\
{stage} answers at {url}/api/v1

Send the first notification:

  TOKEN=$(make -s key STAGE={stage})
  curl -sS {url}/api/v1/notifications \\
    -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
    -H 'Idempotency-Key: first-steps' -d '{body}'"""
