"""``carillon setup``: asks for what a stage needs, checks it, and stores it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

from carillon_client.cli import credentials, views
from carillon_client.cli.credentials import NONE, Questions
from carillon_client.cli.session import Exit
from carillon_client.errors import CarillonError
from carillon_client.stage import readiness, sender
from carillon_client.stage.samconfig import Environment
from carillon_client.stage.store import ADMIN_TOKEN, Store

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_sesv2 import SESV2Client

STAGE = re.compile(r"[a-z][a-z0-9]{1,15}")
ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>]+")
_COLOURS = {
    readiness.State.OK: "green",
    readiness.State.NOTE: "yellow",
    readiness.State.MISSING: "red",
}


def _stage(value: str) -> str:
    if not STAGE.fullmatch(value):
        raise typer.BadParameter("2 to 16 lower-case letters and digits, a letter first")
    return value


Stage = Annotated[
    str, typer.Option(callback=_stage, envvar="STAGE", help="The deployment: dev, staging, prod.")
]
Samconfig = Annotated[Path, typer.Option(help="What sam deploy is told.")]
DEFAULT = Path("samconfig.toml")


def _env(name: str, about: str) -> Any:
    return typer.Option(envvar=name, help=about, show_default=False)


@dataclass(frozen=True, slots=True)
class Place:
    """A stage: its part of samconfig.toml, and where it is on AWS."""

    environment: Environment
    session: "boto3.session.Session"
    store: Store
    ses: "SESV2Client"
    out: Console


def place(stage: str, samconfig: Path, region: str | None, out: Console | None = None) -> Place:
    """Return the stage in the account that the credentials of this shell lead to."""
    import boto3  # noqa: PLC0415 - an extra, and 0.3 s that other commands need not wait

    environment = Environment.read(samconfig, stage)
    session = boto3.session.Session(region_name=region or environment.region)
    if not session.region_name:
        raise CarillonError("no region: give --region or set AWS_REGION")
    store = Store(session.client("ssm"), stage)
    return Place(environment, session, store, session.client("sesv2"), out or Console())


def setup(  # noqa: PLR0913 - each answer may be given beforehand
    stage: Stage,
    *,
    region: Annotated[str | None, _env("AWS_REGION", "Where it is deployed.")] = None,
    sender_email: Annotated[
        str | None, _env("SENDER_EMAIL", "The address that emails come from.")
    ] = None,
    alarm_email: Annotated[
        str | None, _env("ALARM_EMAIL", "Who is told of alarms; empty for nobody.")
    ] = None,
    email_provider: Annotated[
        str | None, _env("EMAIL_PROVIDER", "ses, smtp, sendgrid: with commas, best first.")
    ] = None,
    sms_provider: Annotated[
        str | None, _env("SMS_PROVIDER", "twilio, aws: with a comma, best first; or none.")
    ] = None,
    push_provider: Annotated[str | None, _env("PUSH_PROVIDER", "fcm or none.")] = None,
    domain: Annotated[
        bool, typer.Option("--domain", help="Verify the sender's whole domain, by DNS records.")
    ] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the verification.")] = 0,
    no_input: Annotated[
        bool, typer.Option("--no-input", help="Ask nothing: take what is given.")
    ] = False,
    samconfig: Samconfig = DEFAULT,
) -> None:
    """Ask for what a stage needs, check it with AWS and the providers, and store it.

    Secrets go to Systems Manager as SecureStrings, whatever else to samconfig.toml. They are typed,
    or read from TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_MESSAGING_SERVICE_SID,
    GOOGLE_APPLICATION_CREDENTIALS, SENDGRID_API_KEY and SMTP_HOST, _PORT, _USER, _PASS. Run it
    again to change something: what is stored already is kept.
    """
    with exit_codes():
        asked = Questions(asks=not no_input)
        before = Environment.read(samconfig, stage)
        region = asked.answer("region", region, before.region or "us-east-1")
        at = place(stage, samconfig, region)
        _tell_account(at)
        told = _parameters(
            *(asked, before.parameters, sender_email, alarm_email, email_provider, sms_provider)
        )
        at.environment.write(region, told)
        _make_keys(at)
        if "ses" in told["EmailProvider"].split(","):
            _verify(at, told["SenderEmail"], domain=domain, wait=wait)
        push = asked.answer("push goes through (fcm or none)", push_provider, _push(at))
        chosen = f"{told['EmailProvider']},{told['SmsProvider']},{push}".split(",")
        for name in dict.fromkeys(chosen):
            if name not in ("ses", "aws", NONE, ""):  # those have no credentials of their own
                _account(at, asked, name)
        report(at)
        at.out.print(f"\nNext: make deploy STAGE={stage}")


def report(at: Place, *, secrets: bool = True) -> None:
    """Show what the stage has and what it needs; leave with 1 when something is in the way."""
    found = readiness.findings(at.ses, at.store, at.environment.parameters, secrets=secrets)
    rows = [
        (each.what, views.safe(each.state, _COLOURS[each.state]), each.says, each.mend)
        for each in found
    ]
    at.out.print(views.table(("what", "state", "", "what to do"), rows))
    if any(each.state is readiness.State.MISSING for each in found):
        raise typer.Exit(Exit.REFUSED)


@contextmanager
def exit_codes() -> Iterator[None]:
    """Say in a line what went wrong and leave with its exit code."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above
    except ModuleNotFoundError:
        _leave("this needs more: pip install 'carillon-client[cli,stage]'", Exit.USAGE)
    try:
        yield
    except (CarillonError, ClientError) as error:
        _leave(str(error), Exit.REFUSED)
    except BotoCoreError as error:
        _leave(str(error), Exit.UNREACHABLE)


def _leave(why: str, code: Exit) -> NoReturn:
    err = Console(stderr=True, highlight=False)
    err.print(views.safe(f"error: {why}", "red"), soft_wrap=True)
    raise typer.Exit(code) from None


def _tell_account(at: Place) -> None:
    caller = at.session.client("sts").get_caller_identity()
    where = at.session.region_name
    at.out.print(f"account {caller['Account']} in {where}, as {caller['Arn']}", soft_wrap=True)


def _parameters(  # noqa: PLR0913, PLR0917 - one of each
    asked: Questions,
    before: dict[str, str],
    sender_email: str | None,
    alarm_email: str | None,
    email_provider: str | None,
    sms_provider: str | None,
) -> dict[str, str]:
    """Return the template's parameters as they are answered; raises CarillonError."""
    address = asked.answer(
        "emails come from (address)", sender_email, before.get("SenderEmail", "")
    )
    if not ADDRESS.fullmatch(address):
        raise CarillonError(f"'{address}' is not an address that emails can come from")
    alarms = asked.answer(
        "alarms go to (address, or empty)", alarm_email, before.get("AlarmEmail", "")
    )
    email = asked.answer(
        "emails go through (ses, smtp, sendgrid; best first)",
        *(email_provider, before.get("EmailProvider", "ses")),
    )
    sms = asked.answer(
        "texts go through (twilio, aws; best first; or none)",
        *(sms_provider, before.get("SmsProvider", NONE)),
    )
    told = {"SenderEmail": address, "AlarmEmail": alarms, "EmailProvider": email}
    return told | {"SmsProvider": "" if sms == NONE else sms}


def _push(at: Place) -> str:
    return "fcm" if "fcm" in at.store.names() else NONE


def _make_keys(at: Place) -> None:
    stored = at.store.names()
    if ADMIN_TOKEN not in stored:
        at.store.make_admin_token()
        at.out.print("stored the administrator's token")
    if not stored >= readiness.SIGNING:
        from carillon_client.stage import signing  # noqa: PLC0415 - an extra

        signing.rotate(at.store.ssm, at.store.prefix, grace=0, settle=0)
        at.out.print("stored the key of users' tokens")


def _verify(at: Place, address: str, *, domain: bool, wait: float) -> None:
    state = sender.verification(at.ses, address)
    if state is sender.Verification.MISSING:
        identity = address.rpartition("@")[2] if domain else address
        records = sender.begin(at.ses, identity)
        if records:
            at.out.print("put these into the domain's DNS:", *records, sep="\n  ", soft_wrap=True)
        elif not domain:
            at.out.print(f"SES writes to {address}: follow the link in its mail", soft_wrap=True)
    if state is not sender.Verification.VERIFIED and wait:
        with at.out.status("waiting for the verification"):
            sender.await_verified(at.ses, address, wait)


def _account(at: Place, asked: Questions, name: str) -> None:
    """Check an account with its provider, and only then store it; keep one that is there."""
    if name in at.store.names() and not _again(asked, name):
        return
    account = credentials.account(asked, name)
    says = account.check(at.environment.parameters)
    at.store.put(name, account.secret())
    at.out.print(f"{name}: {says}; stored", soft_wrap=True)


def _again(asked: Questions, name: str) -> bool:
    text = f"{name} is stored; replace it"
    return asked.asks and typer.confirm(text, default=False, err=True)
