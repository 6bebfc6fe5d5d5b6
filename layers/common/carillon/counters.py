"""Numbers that many add to: requests, log-ins, what was sent and what became of it."""

from collections.abc import Iterator, Mapping

from pynamodb.attributes import (
    NumberAttribute,
    UnicodeAttribute,
)
from pynamodb.exceptions import TransactWriteError
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


def forget_counter(name: str, slot: str) -> None:
    """Let a counter begin anew."""
    Counter(name, slot).delete()


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
    expires_at = NumberAttribute()  # epoch seconds


class CountedBatch(Item):
    """Stream records that were counted: from the one it is named after up to ``last``."""

    class Meta:
        table_name = TableName("counters_table")

    name = UnicodeAttribute(hash_key=True)  # "stream#<event id>"
    slot = UnicodeAttribute(range_key=True, default="batch")
    last = UnicodeAttribute()  # a sequence number
    expires_at = NumberAttribute()  # epoch seconds


def count_once(
    batch: CountedBatch, counts: Mapping[tuple[str, str], Mapping[str, int]], expires_at: int
) -> bool:
    """Add to the delivery counts, by name and slot, and note the batch, in one transaction.

    False, and nothing added, when there is a note of the batch already.
    """
    fields = DeliveryCount.get_attributes()
    try:
        with TransactWrite(connection=connection()) as transaction:
            transaction.save(batch, condition=is_new(batch))
            for place, amounts in counts.items():
                added = [fields[name].add(amount) for name, amount in amounts.items()]
                kept = DeliveryCount.expires_at.set(expires_at)
                transaction.update(DeliveryCount(*place), actions=[*added, kept])
    except TransactWriteError as error:
        if any(why and why.code == "ConditionalCheckFailed" for why in error.cancellation_reasons):
            return False
        raise
    return True
