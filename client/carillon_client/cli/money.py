"""``carillon costs`` and ``carillon budget``: what deliveries cost, and may cost."""

from typing import Annotated

import typer
from rich.table import Table

from carillon_client.cli import views
from carillon_client.cli.figures import Day
from carillon_client.cli.session import Session, command
from carillon_client.money import Budget, Costs

group = typer.Typer(no_args_is_help=True)
Scope = Annotated[str, typer.Argument(metavar="SCOPE", help="tenant, client:ID or category:NAME.")]
DEFAULT = ["channel"]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the tree."""
    command(app)(costs)


def costs(
    session: Session,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", "-b", help="day, channel, category, template or client; repeatable."),
    ] = None,
    since: Day = None,
    until: Day = None,
) -> None:
    """Add up what deliveries cost, by estimate: the last seven days, unless told. Takes ``ops``."""
    groups = by or DEFAULT
    found = session.client.costs(
        since=since.date() if since else None,
        until=until.date() if until else None,
        group_by=groups,
    )
    columns = (*groups, "sent", "providers", "AWS", f"total {found.currency}")
    rows = [
        [*(str(getattr(each, name) or "-") for name in groups), *_amounts(each)]
        for each in found.rows
    ]
    totals = ["total", *[""] * (len(groups) - 1), *_amounts(found.totals)]
    shown = views.table(columns, [*rows, totals])
    session.show(found, shown if rows else "Nothing was sent.")


def _amounts(one: Costs) -> list[views.Cell]:
    return [str(one.sent), one.provider, one.aws, one.total]


@command(group, "set")
def set_(
    session: Session,
    scope: Scope,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Of a calendar month, in UTC.")],
    *,
    degrade: Annotated[
        bool, typer.Option("--degrade", help="Go on by cheaper channels where there are any.")
    ] = False,
    includes_mandatory: Annotated[
        bool, typer.Option("--mandatory", help="Hold mandatory categories back, too.")
    ] = False,
) -> None:
    """Set what a month of SCOPE may cost; what comes is refused once that is spent."""
    made = session.client.set_budget(
        scope,
        amount=amount,
        when_spent="degrade" if degrade else "refuse",
        includes_mandatory=includes_mandatory,
    )
    session.show(made, _table([made]))


@command(group)
def remove(session: Session, scope: Scope) -> None:
    """Let SCOPE cost what it will."""
    session.client.remove_budget(scope)
    session.show({"scope": scope, "budget": None}, f"{scope}  has no budget")


@command(group, "list")
def list_(session: Session) -> None:
    """List the budgets and how much of them is spent."""
    found = session.client.budgets()
    session.show(found, _table(found) if found else "There are none.")


def _table(found: list[Budget]) -> Table:
    columns = ("scope", "month", "budget", "spent", "of it", "then", "mandatory")
    rows = [
        (
            each.scope,
            each.month,
            f"{each.amount} {each.currency}",
            each.spent,
            f"{100 * each.share:.3g} %",
            each.when_spent,
            "too" if each.includes_mandatory else "goes on",
        )
        for each in found
    ]
    return views.table(columns, rows)
