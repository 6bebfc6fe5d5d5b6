"""What became of a client's deliveries, by day of acceptance (carillon/aggregates.py)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict, Field

from carillon.aggregates import ARRIVED, BUCKETS, MISSED, bucket_names, series_name
from carillon.counters import DeliveryCount, percentile
from carillon.errors import Fault, Problem
from carillon.models import Channel, Shape

MAX_DAYS = 92
MAX_COUNTS = 20_000
"""Counts one request reads: about 3 MB, and as many seconds."""

Stage = Literal[
    "open",
    "sent",
    "delivered",
    "failed",
    "unknown",
    "suppressed",
    "skipped",
    "expired",
    "cancelled",
    "dead_lettered",
]
"""The states of a delivery; those that are not its last are one."""


class Dimension(StrEnum):
    """What deliveries are told apart by."""

    DAY = "day"
    CHANNEL = "channel"
    STATE = "state"
    CATEGORY = "category"
    TEMPLATE = "template"


class Latency(Shape):
    """Seconds from acceptance to ``sent``, read off a histogram: right to the bucket."""

    p50: float
    p95: float
    p99: float


class Totals(Shape):
    """How many deliveries there are, and how they stand.

    ``success_rate`` is the share that was sent or delivered of all that were tried to the end:
    sent, delivered, failed, unknown or dead-lettered.
    """

    deliveries: int
    states: dict[Stage, int]
    success_rate: float | None
    seconds_to_sent: Latency | None


class Row(Totals):
    """The same of one group; what it is not grouped by is null."""

    day: date | None = None
    channel: Channel | None = None
    state: Stage | None = None
    category: str | None = None
    template: str | None = None


class DeliveryReport(Shape):
    """Deliveries accepted from one day to another, both included; a group of none has no row."""

    model_config = ConfigDict(populate_by_name=True)

    since: date = Field(alias="from")
    until: date = Field(alias="to")
    group_by: list[Dimension]
    rows: list[Row]
    totals: Totals


@dataclass
class _Group:
    """Counts that are added up."""

    states: Counter[str] = field(default_factory=Counter)
    buckets: Counter[str] = field(default_factory=Counter)

    def add(self, state: str, count: DeliveryCount) -> None:
        self.states[state] += int(count.total)
        for name in bucket_names():
            self.buckets[name] += int(getattr(count, name) or 0)


def report(sender: str, since: date, until: date, group_by: Sequence[Dimension]) -> DeliveryReport:
    """Return the deliveries of "<tenant>#<client id>"; raises Problem (400) on a bad span."""
    totals, groups = _Group(), dict[tuple[str, ...], _Group]()
    for count in counts(sender, since, until):
        of = dict(zip(Dimension, count.slot.split("#"), strict=True))
        totals.add(of[Dimension.STATE], count)
        key = tuple(of[dimension] for dimension in group_by)
        groups.setdefault(key, _Group()).add(of[Dimension.STATE], count)
    rows = [
        Row.model_validate(dict(zip(group_by, key, strict=True)) | _told(group))
        for key, group in sorted(groups.items())
    ]
    return DeliveryReport(
        since=since,
        until=until,
        group_by=list(group_by),
        rows=[row for row in rows if row.deliveries],
        totals=Totals.model_validate(_told(totals)),
    )


def _check(since: date, until: date) -> None:
    if since > until:
        raise _bad_span("is after the last day")
    if (until - since).days >= MAX_DAYS:
        raise _bad_span(f"is more than {MAX_DAYS} days before the last")


def _bad_span(text: str) -> Problem:
    detail = f"The first day {text}"
    return Problem(400, "bad-span", detail, faults=[Fault("query:from", text)])


def counts(sender: str, since: date, until: date) -> Iterable[DeliveryCount]:
    """Return a sender's counts of some days; raises Problem (400) on a bad span."""
    _check(since, until)
    # "$" comes right after the "#" that ends the day.
    span = DeliveryCount.slot.between(f"{since}#", f"{until}$")
    found = list(DeliveryCount.query(series_name(sender), span, limit=MAX_COUNTS + 1))
    if len(found) > MAX_COUNTS:
        raise _bad_span("leaves too many categories and templates to add up; name fewer days")
    return found


def _told(group: _Group) -> dict[str, object]:
    """Return the fields of Totals.

    Two streams are read side by side: a delivery's end may be counted before its acceptance, and
    for that moment there is less than none open.
    """
    states = {state: number for state, number in sorted(group.states.items()) if number > 0}
    arrived, missed = (sum(states.get(state, 0) for state in kind) for kind in (ARRIVED, MISSED))
    tried = arrived + missed
    return {
        "deliveries": sum(states.values()),
        "states": states,
        "success_rate": round(arrived / tried, 5) if tried else None,
        "seconds_to_sent": _latency(group.buckets),
    }


def _latency(buckets: Counter[str]) -> Latency | None:
    if not buckets.total():
        return None
    counts = [buckets[name] for name in bucket_names()]
    p50, p95, p99 = (round(percentile(BUCKETS, counts, p) / 1000, 3) for p in (0.5, 0.95, 0.99))
    return Latency(p50=p50, p95=p95, p99=p99)


def default_span(today: date, since: date | None, until: date | None) -> tuple[date, date]:
    """Return the days that are meant: the last seven, unless told."""
    last = until or today
    return since or date.fromordinal(max(1, last.toordinal() - 6)), last
