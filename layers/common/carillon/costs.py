"""What a tenant's deliveries cost, by day of acceptance (carillon/aggregates.py, spending.py)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from carillon import analytics, bill, clients, prices, spending
from carillon.aggregates import ARRIVED
from carillon.counters import DeliveryCount
from carillon.models import Channel
from carillon.spending import CostOut
from carillon.tables import tenant_key


class By(StrEnum):
    """What costs are told apart by."""

    DAY = "day"
    CHANNEL = "channel"
    CATEGORY = "category"
    TEMPLATE = "template"
    CLIENT = "client"


class Costs(CostOut):
    """What deliveries cost; ``sent`` are those that a provider took."""

    sent: int


class CostRow(Costs):
    """The same of one group; what it is not grouped by is null."""

    day: date | None = None
    channel: Channel | None = None
    category: str | None = None
    template: str | None = None
    client: str | None = None


class Dates(BaseModel):
    """How old the estimate is: the oldest prices in it, and the count of what AWS is asked for."""

    providers: str
    aws: str
    counted: str


class CostReport(BaseModel):
    """Costs of what was accepted from one day to another, both included."""

    model_config = ConfigDict(populate_by_name=True)

    since: date = Field(alias="from")
    until: date = Field(alias="to")
    group_by: list[By]
    currency: str
    as_of: Dates
    rows: list[CostRow]
    totals: Costs


@dataclass
class _Sum:
    provider: int = 0
    aws: int = 0
    sent: int = 0

    def add(self, state: str, count: DeliveryCount) -> None:
        self.provider += int(count.provider_cost or 0)
        self.aws += int(count.aws_cost or 0)
        self.sent += int(count.total) if state in ARRIVED else 0

    def out(self) -> dict[str, object]:
        return spending.told(self.provider, self.aws).model_dump() | {"sent": max(0, self.sent)}


def report(tenant: str, since: date, until: date, group_by: Sequence[By]) -> CostReport:
    """Return what a tenant's deliveries cost; raises Problem (400) on a bad span."""
    totals, groups = _Sum(), dict[tuple[str, ...], _Sum]()
    for of, count in _counted(clients.of_tenant(tenant), tenant, since, until):
        totals.add(of["state"], count)
        groups.setdefault(tuple(of[each] for each in group_by), _Sum()).add(of["state"], count)
    rows = [
        CostRow.model_validate(dict(zip(group_by, key, strict=True)) | found.out())
        for key, found in sorted(groups.items())
        if found.sent or found.provider or found.aws
    ]
    return CostReport(
        since=since,
        until=until,
        group_by=list(group_by),
        currency=bill.price_list().currency,
        as_of=_dates(),
        rows=rows,
        totals=Costs.model_validate(totals.out()),
    )


def spent(
    tenant: str,
    since: date,
    until: date,
    *,
    client_id: str | None = None,
    category: str | None = None,
) -> int:
    """Return what some days' deliveries cost, in billionths; raises Problem (400) on a bad span."""
    whose = clients.of_tenant(tenant) if client_id is None else [client_id]
    return sum(
        int(count.provider_cost or 0) + int(count.aws_cost or 0)
        for of, count in _counted(whose, tenant, since, until)
        if category in (None, of["category"])
    )


def _counted(
    client_ids: Iterable[str], tenant: str, since: date, until: date
) -> Iterator[tuple[Mapping[str, str], DeliveryCount]]:
    """Yield each count with what it is of."""
    for client_id in client_ids:
        for count in analytics.counts(tenant_key(tenant, client_id), since, until):
            names = map(str, analytics.Dimension)
            of = dict(zip(names, count.slot.split("#"), strict=True))
            yield of | {"client": client_id}, count


def _dates() -> Dates:
    return Dates(
        providers=prices.as_of(),
        aws=min(charge.as_of for charge in bill.charges(spending.measured().accepted)),
        counted=spending.measured().as_of,
    )
