"""What deliveries cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from carillon_client.calls import Call, given, one
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


def _day(day: date | None) -> str | None:
    return f"{day:%Y-%m-%d}" if day else None


class Money:
    """What operators ask about money."""

    costs = Operation(_costs)
