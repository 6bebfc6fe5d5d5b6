"""``carillon template``."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from carillon_client.cli import files, notifications, sync, views
from carillon_client.cli.files import BadFolderError, Source
from carillon_client.cli.session import Session, command
from carillon_client.cli.values import Var, Vars, variables
from carillon_client.models import Template

group = typer.Typer(no_args_is_help=True)

Code = Annotated[str, typer.Argument(metavar="CODE")]
Codes = Annotated[
    list[str] | None, typer.Argument(metavar="[CODE]...", help="Those alone.", show_default=False)
]
Version = Annotated[int | None, typer.Option(help="Another version than the one in use.")]
STYLES = {"+": "green", "-": "red", "@": "cyan"}


@command(group, "list")
def list_(session: Session) -> None:
    """List the templates in use."""
    found = list(session.client.templates())
    rows = [
        (each.code, str(each.version), " ".join(each.languages), " ".join(sorted(each.channels)))
        for each in found
    ]
    columns = ("code", "version", "languages", "channels")
    session.show(found, views.table(columns, rows) if rows else "There are no templates.")


@command(group)
def show(session: Session, code: Code, version: Version = None) -> None:
    """Show what a template is made of, by the names its files have."""
    found = session.client.get_template(code, version=version)
    texts = Source.of(found).files()
    session.show(found, f"{found.code}  version {found.version}", *views.sheets(texts.items()))


@command(group)
def versions(session: Session, code: Code) -> None:
    """Show a template's history."""
    found = session.client.template_versions(code)
    rows = [(str(v.version), " ".join(v.languages), views.moment(v.created_at)) for v in found]
    session.show(found, views.table(("version", "languages", "created"), rows))


@command(group)
def render(  # noqa: PLR0913 - what a rendering depends on
    session: Session,
    code: Code,
    *,
    var: Var = None,
    vars_file: Vars = None,
    channel: Annotated[str | None, typer.Option("--channel", "-c", help="One alone.")] = None,
    locale: Annotated[str | None, typer.Option(help="Its language.")] = None,
    version: Version = None,
) -> None:
    """Show what a template would say."""
    said = session.client.render(
        code, variables(var, vars_file), channel=channel, locale=locale, version=version
    )
    parts = [
        (f"{channel}.{field}", str(text))
        for channel, fields in said.parts.items()
        for field, text in fields.items()
    ]
    head = f"{said.code}  version {said.version}  {said.locale}"
    amounts = [(channel, _amount(found)) for channel, found in said.lint.items()]
    prices = [(channel, _price(found)) for channel, found in said.price.items()]
    session.show(said, head, *views.sheets(parts), views.pairs(amounts + prices))


@command(group, "test-send")
def try_out(  # noqa: PLR0913 - what a test depends on
    session: Session,
    code: Code,
    *,
    channel: Annotated[str, typer.Option("--channel", "-c", help="The one to try.")],
    user: Annotated[str | None, typer.Option(help="To this user.")] = None,
    to_email: Annotated[str | None, typer.Option(help="Or to this address.")] = None,
    to_phone: Annotated[str | None, typer.Option(help="Or to this number.")] = None,
    to_push_token: Annotated[str | None, typer.Option(help="Or to this device.")] = None,
    var: Var = None,
    vars_file: Vars = None,
    locale: Annotated[str | None, typer.Option(help="Its language.")] = None,
    version: Version = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it ended.")] = False,
    timeout: notifications.Timeout = 60,
) -> None:
    """Send a template once, to see it where it will be seen."""
    to = dict(notifications.addresses(to_email, to_phone, to_push_token))
    accepted = session.client.test_send(
        code,
        channel,
        to | ({"user_id": user} if user else {}),  # type: ignore[arg-type]
        variables(var, vars_file),
        locale=locale,
        version=version,
    )
    if wait:
        notifications.follow(session, accepted.notification_id, timeout, watch=False)
    else:
        notifications.show_accepted(session, accepted)


@command(group)
def activate(
    session: Session, code: Code, version: Annotated[int, typer.Argument(metavar="VERSION")]
) -> None:
    """Use a version from now on, an older one too."""
    used = session.client.activate_template(code, version)
    session.show(used, f"{used.code}  version {used.version} is used")


@command(group)
def archive(session: Session, code: Code) -> None:
    """Accept nothing with a template any more."""
    session.client.archive_template(code)
    session.show({"code": code, "archived": True}, f"{code}  archived")


@command(group)
def push(
    session: Session,
    folder: Annotated[Path, typer.Argument(metavar="DIR", file_okay=False)],
    code: Codes = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what differs.")] = False,
) -> None:
    """Bring the service to what the files say; a version is made only where they differ."""
    with _folder_errors():
        sources = files.read(folder, code or ())
    done = [_push(session, source, dry_run=dry_run) for source in sources]
    session.show(done)


@command(group)
def pull(
    session: Session,
    folder: Annotated[Path, typer.Argument(metavar="DIR", file_okay=False)],
    code: Codes = None,
) -> None:
    """Write the templates in use as files, exactly as push reads them."""
    client = session.client
    codes = code or [each.code for each in client.templates()]
    done: list[dict[str, Any]] = []
    for each in map(client.get_template, codes):
        with _folder_errors():
            names = files.write(folder, Source.of(each))
        done.append({"code": each.code, "version": each.version, "changed": names})
        if not session.as_json:
            session.out.print(
                views.safe(f"{each.code}  version {each.version}  {_count(len(names))}")
            )
    session.show(done)


def _push(session: Session, source: Source, *, dry_run: bool) -> dict[str, Any]:
    """Push one template, saying what is done as it is done."""
    planned = sync.plan(session.client, source)
    if not session.as_json:
        for line in planned.diff():
            session.out.print(views.safe(line, STYLES.get(line[:1], "")), soft_wrap=True)
    made = None if dry_run else sync.push(session.client, planned)
    outcome = _outcome(planned, made, dry_run=dry_run)
    if not session.as_json:
        session.out.print(views.safe(f"{source.code}  {outcome}"))
        for line in planned.beyond:
            session.out.print(views.safe(f"  {line}", "yellow"))
    used = made or planned.used
    return {
        "code": source.code,
        "outcome": outcome,
        "changed": planned.changed,
        "version": used.version if used else None,
        "not_pushed": planned.beyond,
    }


def _outcome(planned: sync.Plan, made: Template | None, *, dry_run: bool) -> str:
    if not planned.locales:
        return "unchanged"
    if dry_run:
        return "would be created" if planned.used is None else "would change"
    if made is None or planned.used is None:
        return "created"
    return f"version {planned.used.version} -> {made.version}"


def _amount(found: Mapping[str, Any]) -> str:
    """Return what a part amounts to, as ``segments 1, encoding GSM-7``."""
    told = {name: value for name, value in found.items() if name != "limit" and value != []}
    return ", ".join(
        f"{name.replace('_', ' ')} {' '.join(value) if isinstance(value, list) else value}"
        for name, value in told.items()
    )


def _price(found: Mapping[str, Any]) -> str:
    return f"about {found['amount']} {found['currency']} a message"


def _count(changed: int) -> str:
    if not changed:
        return "unchanged"
    return "1 file written" if changed == 1 else f"{changed} files written"


@contextmanager
def _folder_errors() -> Iterator[None]:
    try:
        yield
    except BadFolderError as error:
        raise typer.BadParameter(str(error), param_hint="DIR") from None
