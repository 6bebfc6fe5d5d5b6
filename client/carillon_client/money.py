"""What deliveries cost, and what a month may cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from carillon_client.calls import Call, given, many, nothing, one
from carillon_client.models import Cost, Model
from carillon_client.transport import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs(Cost):
    """What deliveries cost; ``sent`` are those that a provider took."""

    sent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow(Costs):
    """The same of one group; what it is not grouped by is None. Days are YYYY-MM-DD."""

    day: str | None = None
    channel: str | None = None
    category: str | None = None
    template: str | None = None
    client: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostDates(Model):
    """How old the estimate is: the oldest prices in it, and the count of what AWS is asked for."""

    providers: str
    aws: str
    counted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport(Model):
    """Costs by the day of acceptance; a group that cost nothing and sent nothing has no row."""

    since: str = field(metadata={"json": "from"})
    until: str = field(metadata={"json": "to"})
    group_by: list[str]
    currency: str
    as_of: CostDates
    rows: list[CostRow]
    totals: Costs


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget(Model):
    """What a calendar month (UTC) may cost, as decimal text, and has cost.

    ``when_spent`` is ``refuse`` or ``degrade``; ``frees_at`` is when the next month begins.
    """

    scope: str
    amount: str
    currency: str
    when_spent: str
    includes_mandatory: bool
    month: str
    spent: str
    share: float
    is_spent: bool
    frees_at: datetime
    actor: str
    set_at: datetime


BUDGETS = "/ops/budgets"
BUDGET = f"{BUDGETS}/{{scope}}"


def _costs(
    *,
    since: date | None = None,
    until: date | None = None,
    group_by: Sequence[str] | None = None,
) -> Call[CostReport]:
    """Return what deliveries accepted from one day (UTC) to another cost, both included.

    ``group_by`` names any of day, channel, category, template and client. Without days these are
    the last seven; there may be 92.
    """
    query = given(
        to=_day(until),
        group_by=list(group_by) if group_by else None,
        **{"from": _day(since)},
    )
    return Call("GET", "/ops/costs", one(CostReport), query=query)


def _budgets() -> Call[list[Budget]]:
    """Return the budgets that are set."""
    return Call("GET", BUDGETS, many(Budget))


def _get_budget(scope: str) -> Call[Budget]:
    """Return the budget of ``tenant``, ``client:<id>`` or ``category:<name>``; NotFound if none."""
    return Call("GET", BUDGET, one(Budget), {"scope": scope})


def _set_budget(
    scope: str,
    *,
    amount: str,
    currency: str | None = None,
    when_spent: str | None = None,
    includes_mandatory: bool | None = None,
) -> Call[Budget]:
    """Set what a calendar month may cost; once that is spent, ``refuse`` or ``degrade`` what comes.

    What the month has cost so far is charged to it.
    """
    body = given(
        amount=amount,
        currency=currency,
        when_spent=when_spent,
        includes_mandatory=includes_mandatory,
    )
    return Call("PUT", BUDGET, one(Budget), {"scope": scope}, body=body)


def _remove_budget(scope: str) -> Call[None]:
    """Let the scope cost what it will."""
    return Call("DELETE", BUDGET, nothing, {"scope": scope})


def _day(day: date | None) -> str | None:
    return f"{day:%Y-%m-%d}" if day else None


class Money:
    """What operators ask about money."""

    costs = Operation(_costs)
    budgets = Operation(_budgets)
    get_budget = Operation(_get_budget)
    set_budget = Operation(_set_budget)
    remove_budget = Operation(_remove_budget)
