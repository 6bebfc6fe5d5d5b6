"""Numbers that many add to: requests, log-ins, what was sent and what became of it."""

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from pynamodb.attributes import (
    NumberAttribute,
    UnicodeAttribute,
)
from pynamodb.exceptions import TransactWriteError
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from carillon.storage import Item, TableName, connection, is_new

METRICS = "metrics"
"""What the counters table calls the metrics' series."""


class Counter(Item):
    """A number that many add to: of requests, of logins, of what was sent."""

    class Meta:
        table_name = TableName("counters_table")

    name = UnicodeAttribute(hash_key=True)  # what is counted
    slot = UnicodeAttribute(range_key=True)  # when, or of what
    total = NumberAttribute(default=0)
    expires_at = NumberAttribute(null=True)  # epoch seconds; for ever when there is none


def add(name: str, slot: str, count: int, expires_at: int | None = None) -> int:
    """Add to a counter, made by the first; return its total, this addition included."""
    counter = Counter(name, slot)
    kept = [] if expires_at is None else [Counter.expires_at.set(expires_at)]
    counter.update(actions=[Counter.total.add(count), *kept])
    return int(counter.total)


class Metric(Item):
    """A series of the metrics: a counter's total, or a histogram's sum and buckets.

    Each field is what all processes added to it. ``le_5`` counts what took at most 5 ms and more
    than the bucket before, ``more`` what no bucket takes.
    """

    class Meta:
        table_name = TableName("counters_table")

    name = UnicodeAttribute(hash_key=True, default=METRICS)
    slot = UnicodeAttribute(range_key=True)  # the series as OpenMetrics writes it: name{labels}
    total = NumberAttribute(null=True)
    seconds = NumberAttribute(null=True)
    le_5 = NumberAttribute(null=True)
    le_10 = NumberAttribute(null=True)
    le_25 = NumberAttribute(null=True)
    le_50 = NumberAttribute(null=True)
    le_100 = NumberAttribute(null=True)
    le_250 = NumberAttribute(null=True)
    le_500 = NumberAttribute(null=True)
    le_1000 = NumberAttribute(null=True)
    le_2500 = NumberAttribute(null=True)
    more = NumberAttribute(null=True)


def add_to_metric(series: str, amounts: Mapping[str, float]) -> None:
    """Add to the fields of a series, made by the first."""
    fields = Metric.get_attributes()
    Metric(METRICS, series).update(
        actions=[fields[name].add(amount) for name, amount in amounts.items()]
    )


def metrics() -> Iterator[Metric]:
    """Return every series, by name."""
    return Metric.query(METRICS)


def percentile(bounds: Sequence[int], counts: Sequence[float], share: float) -> float:
    """Return where in its bucket the value lies, the bucket's values being spread evenly.

    ``counts`` has one more than ``bounds``; what lies beyond the last is told as the last.
    """
    rank = share * sum(counts)
    floor, so_far = 0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if so_far + count >= rank and count:
            return floor + (bound - floor) * (rank - so_far) / count
        floor, so_far = bound, so_far + count
    return float(bounds[-1])


def forget_counter(name: str, slot: str) -> None:
    """Let a counter begin anew."""
    Counter(name, slot).delete()


LASTING = timedelta(days=400)
"""How long a client's count outlives its last change: a year is compared with the one before."""


class DeliveryCount(Item):
    """How many of a client's deliveries, accepted on one day, are in one state.

    Of those that were sent the buckets tell how soon: ``le_250`` counts what took at most 250 ms
    and more than the bucket before, ``more`` what no bucket takes. They stay when ``total`` goes
    on to another state.
    """

    class Meta:
        table_name = TableName("counters_table")

    name = UnicodeAttribute(hash_key=True)  # "deliveries#<tenant>#<client id>"
    slot = UnicodeAttribute(range_key=True)  # "<day>#<channel>#<state>#<category>#<template>"
    total = NumberAttribute(default=0)
    le_250 = NumberAttribute(null=True)
    le_500 = NumberAttribute(null=True)
    le_1000 = NumberAttribute(null=True)
    le_2000 = NumberAttribute(null=True)
    le_5000 = NumberAttribute(null=True)
    le_10000 = NumberAttribute(null=True)
    le_30000 = NumberAttribute(null=True)
    le_60000 = NumberAttribute(null=True)
    le_300000 = NumberAttribute(null=True)
    le_3600000 = NumberAttribute(null=True)
    more = NumberAttribute(null=True)
    # What they cost, in billionths; it stays as the buckets do.
    provider_cost = NumberAttribute(null=True)
    aws_cost = NumberAttribute(null=True)
    expires_at = NumberAttribute()  # epoch seconds


FINE, COARSE = timedelta(minutes=5), timedelta(hours=1)
"""The two lengths of a period."""
KEPT = {FINE: timedelta(days=2), COARSE: timedelta(days=35)}
SPREAD = 4
"""Items that each period is counted in, by chance: fewer writers meet at one."""


class Period(Item):
    """What happened to all clients' deliveries in five minutes, or in an hour.

    ``arrived`` and ``missed`` may be less than none: a delivery that is reported back is taken from
    where it is then. ``le_5`` to ``more`` count accepted requests by our time for them, as Metric.
    """

    class Meta:
        table_name = TableName("counters_table")

    # "deliveries#5m" or "deliveries#1h"; a client's counts have two "#"
    name = UnicodeAttribute(hash_key=True)
    slot = UnicodeAttribute(range_key=True)  # "<start, to the minute>#<one of SPREAD>"
    accepted = NumberAttribute(default=0)
    arrived = NumberAttribute(default=0)
    missed = NumberAttribute(default=0)
    le_5 = NumberAttribute(default=0)
    le_10 = NumberAttribute(default=0)
    le_25 = NumberAttribute(default=0)
    le_50 = NumberAttribute(default=0)
    le_100 = NumberAttribute(default=0)
    le_250 = NumberAttribute(default=0)
    le_500 = NumberAttribute(default=0)
    le_1000 = NumberAttribute(default=0)
    le_2500 = NumberAttribute(default=0)
    more = NumberAttribute(default=0)
    expires_at = NumberAttribute()  # epoch seconds

    @staticmethod
    def start(at: datetime, length: timedelta = FINE) -> datetime:
        """Return when the period of a moment began."""
        return at - timedelta(seconds=at.timestamp() % length.total_seconds())

    @staticmethod
    def places(at: datetime, spread: int) -> list[tuple[str, str]]:
        """Return the names and slots that what happens at a moment is counted under."""
        return [
            (_of_length(length), f"{_minute(Period.start(at, length))}#{spread}") for length in KEPT
        ]


def add_to_periods(at: datetime, amounts: Mapping[str, float]) -> None:
    """Add to the fields of the periods of a moment, made by the first."""
    fields = Period.get_attributes()
    for place, kept in zip(Period.places(at, any_of_them()), KEPT.values(), strict=True):
        told = [fields[name].add(amount) for name, amount in amounts.items()]
        ends = Period.expires_at.set(int((at + kept).timestamp()))
        Period(*place).update(actions=[*told, ends])


def any_of_them() -> int:
    """Return one of the items that a period is counted in."""
    return random.randrange(SPREAD)  # noqa: S311 - of load alone


def periods(length: timedelta, since: datetime) -> Iterator[Period]:
    """Return the periods of a length from that of a moment on, by their start."""
    begin = _minute(Period.start(since, length))
    return Period.query(_of_length(length), Period.slot >= begin)


def _of_length(length: timedelta) -> str:
    return f"deliveries#{'5m' if length == FINE else '1h'}"


def _minute(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M")


class CountedBatch(Item):
    """Stream records that were counted: from the one it is named after up to ``last``."""

    class Meta:
        table_name = TableName("counters_table")

    name = UnicodeAttribute(hash_key=True)  # "stream#<event id>"
    slot = UnicodeAttribute(range_key=True, default="batch")
    last = UnicodeAttribute()  # a sequence number
    expires_at = NumberAttribute()  # epoch seconds


def count_once(
    batch: CountedBatch,
    counts: Mapping[tuple[str, str], Mapping[str, int]],
    at: datetime,
    also: Sequence[tuple[Item, Action]] = (),
) -> bool:
    """Add to the delivery counts, by name and slot, and note the batch, in one transaction.

    What ``also`` is to be done to other items is done in it too.

    False, and nothing added, when there is a note of the batch already.
    """
    kept = {_of_length(length): (Period, kept) for length, kept in KEPT.items()}
    try:
        with TransactWrite(connection=connection()) as transaction:
            transaction.save(batch, condition=is_new(batch))
            for (name, slot), amounts in counts.items():
                kind, lives = kept.get(name, (DeliveryCount, LASTING))
                added = [kind.get_attributes()[each].add(n) for each, n in amounts.items()]
                ends = kind.expires_at.set(int((at + lives).timestamp()))
                transaction.update(kind(name, slot), actions=[*added, ends])
            for item, action in also:
                transaction.update(item, actions=[action])
    except TransactWriteError as error:
        if any(why and why.code == "ConditionalCheckFailed" for why in error.cancellation_reasons):
            return False
        raise
    return True
