"""``carillon stage migrate``: what is stored, brought to the layout of the deployed code."""

from typing import Annotated

import typer

from carillon_client.cli import setup
from carillon_client.cli.setup import DEFAULT
from carillon_client.errors import CarillonError
from carillon_client.stage import migrations


def migrate(
    stage: setup.Stage,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what the next migration would change.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="All of them, from the first on: after a restore.")
    ] = False,
    rate: Annotated[
        float, typer.Option(min=1, max=1000, help="Items written a second, at most.")
    ] = 50,
    samconfig: setup.Samconfig = DEFAULT,
) -> None:
    """Bring stored items to the layout of the deployed code, while it runs.

    Interrupted, it is run again and goes on. See docs/adr/0020-migrations.md.
    """
    with setup.exit_codes():
        if again and dry_run:
            raise CarillonError("--again writes; --dry-run does not")
        at = setup.place(stage, samconfig, None)
        looked_at = changed = 0
        slices = migrations.run(
            at.session, at.environment.stack, rate=rate, dry_run=dry_run, again=again
        )
        for each in slices:
            looked_at, changed = looked_at + each.looked_at, changed + each.changed
            if each.about:
                at.out.print(f"{each.about}: {looked_at} looked at", soft_wrap=True)
            last = each
        verb = "to change" if dry_run else "changed"
        at.out.print(
            f"layout {last.number} of {last.wanted}: {looked_at} looked at, {changed} {verb}",
            soft_wrap=True,
        )
