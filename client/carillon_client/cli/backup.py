"""``carillon stage backup``, ``backups`` and ``restore``: copies of a stage's tables."""

import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from carillon_client.cli import setup, views
from carillon_client.cli.setup import DEFAULT
from carillon_client.errors import CarillonError
from carillon_client.stage import backups
from carillon_client.stage.backups import Copied, Copy, Source, Tables

USUAL = tuple(table for table in backups.TABLES if table != backups.CONTROLS)
"""A switch that was lifted since would be set again."""


def add_to(group: typer.Typer) -> None:
    """Add the commands to those of a stage."""
    group.command()(backup)
    group.command("backups")(list_backups)
    group.command()(restore)


def backup(
    stage: setup.Stage,
    name: Annotated[
        str | None, typer.Option(help="What to call it; the time, unless told.")
    ] = None,
    samconfig: setup.Samconfig = DEFAULT,
) -> None:
    """Copy the stage's tables, each as it is in the second it is copied."""
    with setup.exit_codes():
        called = name or f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        if not backups.NAME.fullmatch(called):
            raise CarillonError("a name has 3 to 40 letters, digits and hyphens")
        made = _tables(setup.place(stage, samconfig, None)).back_up(called)
        print(f"{called}: {len(made)} tables")  # noqa: T201 - as it stands


def list_backups(stage: setup.Stage, samconfig: setup.Samconfig = DEFAULT) -> None:
    """List the stage's backups, oldest first."""
    with setup.exit_codes():
        at = setup.place(stage, samconfig, None)
        rows = [
            (each.name, each.table, f"{each.made_at:%Y-%m-%d %H:%M:%S}", f"{each.size:,}")
            for each in _tables(at).backups()
        ]
        at.out.print(views.table(("name", "table", "made", "bytes"), rows))


def restore(  # noqa: PLR0913 - each is a choice
    stage: setup.Stage,
    *,
    table: Annotated[
        list[str] | None, typer.Option(help="UsersTable, say; may be given again. Else all.")
    ] = None,
    backup: Annotated[str | None, typer.Option(help="From the backups of that name.")] = None,
    at: Annotated[
        str | None, typer.Option(help="As it was then, ISO 8601: 35 days to 5 minutes ago.")
    ] = None,
    key: Annotated[str, typer.Option(help="Only items whose partition key begins so.")] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Write over what the stage has, too.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count; the restored tables stay.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the restored tables.")] = False,
    rate: Annotated[float, typer.Option(min=0.1, help="Items a second, at most.")] = 500,
    samconfig: setup.Samconfig = DEFAULT,
) -> None:
    """Bring back what the stage has no more, by way of tables restored beside its own.

    Run it again if it was interrupted. Read docs/backup.md first: stop the channels.
    """
    with setup.exit_codes():
        source = _source(backup, at)
        wanted = [each for each in backups.TABLES if each in (table or USUAL)]
        if unknown := set(table or ()) - set(wanted):
            raise CarillonError(f"no table {', '.join(sorted(unknown))}; {', '.join(wanted)}")
        place = setup.place(stage, samconfig, None)
        tables, pace = _tables(place), backups.paced(rate, time.monotonic, time.sleep)
        for each in wanted:
            with place.out.status(f"restoring {each}"):
                restored = tables.restore(each, source)
            with place.out.status(f"copying {each}"):
                copied = Copy(tables, each, restored, key, replace, dry_run).run(pace)
            place.out.print(_line(each, copied, dry_run), highlight=False, soft_wrap=True)
            if not (dry_run or keep):
                tables.forget(restored)


def _source(backup: str | None, at: str | None) -> Source:
    if (backup is None) is (at is None):
        raise CarillonError("say which: --backup NAME or --at TIME")
    return Source(backup, backups.moment(at) if at else None)


def _line(table: str, copied: Copied, dry_run: bool) -> str:
    verb = "to write" if dry_run else "written"
    return (
        f"{table}: {copied.looked_at} looked at, {copied.written} {verb}, "
        f"{copied.kept} kept, {copied.left_out} left out"
    )


def _tables(at: setup.Place) -> Tables:
    clients = at.session.client("dynamodb"), at.session.client("cloudformation")
    return Tables(*clients, at.environment.stack)
