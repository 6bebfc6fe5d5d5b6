"""Daily numbers of deliveries, folded from the streams of the tables that tell of them.

An accepted notification counts each of its deliveries, by the day it was accepted on; a delivery
that goes on to another state is moved there. So a day's numbers add up to the deliveries accepted
that day, whenever they ended. What is not over is ``open``, in whichever state of it: claims and
retries, most of what a delivery's item goes through, change nothing here.
"""

import random
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pynamodb.exceptions import TransactWriteError

from carillon import budgets
from carillon.counters import CountedBatch, Period, any_of_them, count_once
from carillon.log import logger
from carillon.messages import channel_of
from carillon.models import OPEN_STATES, TEST, Channel, State, now
from carillon.spending import aws_share
from carillon.tables import CONTROLS, Control, Delivery, Notification, of_image

OPEN = "open"
ARRIVED = frozenset({State.SENT.value, State.DELIVERED.value})
MISSED = frozenset({State.FAILED.value, State.UNKNOWN.value, State.DEAD_LETTERED.value})
BUCKETS = (250, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000, 300_000, 3_600_000)
"""Upper bounds in milliseconds of the time from acceptance to ``sent``."""
REMEMBERED = 2 * 86_400
"""Seconds that a counted batch is remembered; a stream keeps its records half as long."""
MAX_SERIES = 99
"""Counts per transaction: DynamoDB takes a hundred items, and one is the note of the batch."""
RESTORED = "restored"
"""Marks an item that was copied back from a backup."""
MET_ANOTHER = "TransactionConflict"
PAUSES = (0.05, 0.1, 0.2, 0.4)
"""Seconds, at most, before a transaction that met another is tried again."""

Image = Mapping[str, Any]
Series = tuple[str, str]
Changes = dict[Series, Counter[str]]


def count(records: Sequence[Mapping[str, Any]]) -> None:
    """Count what a batch of stream records changed; raises TransactWriteError, others of the store.

    A shard's batches come in order, and one that failed comes again from its first record on. So
    what is noted under that record was counted up to the note's end, however the batch is cut.
    """
    waiting = list(records)
    while waiting:
        size, changes = _chunk(waiting)
        if not any(changes.values()) and size == len(waiting):
            return
        first, last = waiting[0], waiting[size - 1]
        counted = CountedBatch(
            f"stream#{first['eventID']}", last=_sequence(last), expires_at=_in(REMEMBERED)
        )
        if _write(counted, changes):
            waiting = waiting[size:]
            continue
        counted.refresh(consistent_read=True)
        # The numbers' lengths differ between shards, not within one.
        waiting = [each for each in waiting if int(_sequence(each)) > int(counted.last)]


def _sequence(record: Mapping[str, Any]) -> str:
    return str(record["dynamodb"]["SequenceNumber"])


def _in(seconds: int) -> int:
    return int(time.time()) + seconds


def _chunk(records: Sequence[Mapping[str, Any]]) -> tuple[int, Changes]:
    """Return how many records one transaction takes, and what they change."""
    changes: Changes = {}
    spread = any_of_them()
    for place, record in enumerate(records):
        moved = list(_moves(record, spread))
        if len(changes.keys() | {series for series, _, _ in moved}) > MAX_SERIES:
            return place, changes
        for series, field, amount in moved:
            changes.setdefault(series, Counter())[field] += amount
    return len(records), changes


def _write(counted: CountedBatch, changes: Changes) -> bool:
    counts = {
        series: {field: amount for field, amount in amounts.items() if amount}
        for series, amounts in changes.items()
    }
    told = {series: amounts for series, amounts in counts.items() if amounts}
    charged = {name: told.pop((of, name))["spent"] for of, name in list(told) if of == CONTROLS}
    for name in charged:
        budgets.begin_month(name)
    written = _in_the_end(counted, told, charged)
    if written:
        budgets.warn(charged)
    return written


def _in_the_end(
    counted: CountedBatch, told: Mapping[Series, Mapping[str, int]], charged: Mapping[str, int]
) -> bool:
    """Count, and again where another writer was met."""
    also = [(Control(CONTROLS, name), Control.spent.add(n)) for name, n in charged.items()]
    for pause in PAUSES:
        try:
            return count_once(counted, told, now(), also)
        except TransactWriteError as error:
            if not any(why and why.code == MET_ANOTHER for why in error.cancellation_reasons):
                raise
        time.sleep(random.uniform(0, pause))  # noqa: S311 - jitter
    return count_once(counted, told, now(), also)


def _moves(record: Mapping[str, Any], spread: int) -> Iterator[tuple[Series, str, int]]:
    """Yield what a record adds to which field of which count."""
    change = record["dynamodb"]
    old, new = change.get("OldImage"), change.get("NewImage")
    if new is None:
        # Deleted when its time was over: its day stays as it was.
        return
    if old is None and RESTORED in new:
        return  # It was counted when it was new.
    if "target" in change["Keys"]:
        delivery = of_image(Delivery, new)
        yield from _of_delivery(old, delivery)
        yield from _of_everybody(old, delivery, spread)
    elif old is None or old["notification_id"] != new["notification_id"]:
        # Else it was only changed, its personal data erased, say.
        accepted = of_image(Notification, new)
        yield from _of_notification(accepted)
        for place in Period.places(_moment(accepted), spread):
            yield place, "accepted", 1


def _of_notification(accepted: Notification) -> Iterator[tuple[Series, str, int]]:
    for target in accepted.targets:
        yield _series(accepted, channel_of(target), OPEN), "total", 1
    for channel, (state, _reason) in (accepted.withheld or {}).items():
        yield _series(accepted, Channel(channel), state), "total", 1


def _of_delivery(old: Image | None, delivery: Delivery) -> Iterator[tuple[Series, str, int]]:
    before = _shown(old["state"]["S"]) if old else OPEN
    after = _shown(delivery.state)
    if before == after:
        return
    if delivery.sender is None:
        logger().warning("not counted", extra={"notification_id": delivery.notification_id})
        return
    channel = channel_of(delivery.target)
    yield _series(delivery, channel, before), "total", -1
    yield _series(delivery, channel, after), "total", 1
    if after == State.SENT:
        yield _series(delivery, channel, after), _bucket(delivery), 1
    yield from _costs(before, after, delivery, channel)


def _costs(
    before: str, after: str, delivery: Delivery, channel: Channel
) -> Iterator[tuple[Series, str, int]]:
    """Yield what a delivery's end cost, and the budgets that pay for it."""
    provider = int(delivery.provider_cost or 0) if after == State.SENT else 0
    aws = _aws_cost(delivery, channel) if before == OPEN else 0
    yield _series(delivery, channel, after), "provider_cost", provider
    yield _series(delivery, channel, after), "aws_cost", aws
    if provider + aws:
        ended = datetime.fromisoformat(delivery.updated_at)
        for name in budgets.charged(str(delivery.sender), str(delivery.category), ended):
            yield (CONTROLS, name), "spent", provider + aws


def _aws_cost(delivery: Delivery, channel: Channel) -> int:
    """Return AWS's share, in billionths; what ended without being sent is taken to cost as much."""
    if delivery.aws_cost is None:
        return aws_share(channel)
    return int(delivery.aws_cost)


def _of_everybody(
    old: Image | None, delivery: Delivery, spread: int
) -> Iterator[tuple[Series, str, int]]:
    """Yield what a delivery's end adds to the period it falls in (carillon/objectives.py)."""
    before, after = _judged(old["state"]["S"] if old else OPEN), _judged(delivery.state)
    if before == after or delivery.provider == TEST:
        return
    for place in Period.places(datetime.fromisoformat(delivery.updated_at), spread):
        if before:
            yield place, before, -1
        if after:
            yield place, after, 1


def _judged(state: str) -> str:
    return "arrived" if state in ARRIVED else "missed" if state in MISSED else ""


def _moment(of: Notification) -> datetime:
    return datetime.fromisoformat(str(of.accepted))


def _shown(state: str) -> str:
    return OPEN if state in OPEN_STATES else state


def _series(of: Notification | Delivery, channel: Channel, state: str) -> Series:
    day = str(of.accepted)[:10]
    slot = "#".join((day, channel, state, str(of.category), of.template_code or ""))
    return series_name(str(of.sender)), slot


def series_name(sender: str) -> str:
    """Return the name of all counts of "<tenant>#<client id>"."""
    return f"deliveries#{sender}"


def _bucket(delivery: Delivery) -> str:
    accepted, sent = map(datetime.fromisoformat, (str(delivery.accepted), delivery.updated_at))
    place = bisect_left(BUCKETS, (sent - accepted).total_seconds() * 1000)
    return bucket_names()[place]


def bucket_names() -> list[str]:
    """Return the buckets' fields in a count, by bound; the last has none."""
    return [*(f"le_{bound}" for bound in BUCKETS), "more"]
