"""The outbox sweep: finds what was accepted and does not get on, and mends it.

A notification is looked at when it is two minutes old, and again at each later age of AGES, by the
pages of what each client sent: acceptance writes nothing for it. What came to its page late, and
may have been passed by, is looked at once it is there. What no worker has touched was
never published, or its message is lost; so is the message of what should long have been tried
again. It is published anew, and a claim makes that harmless. What is open at the last age, when
the queues have forgotten it too, becomes a dead letter.

How far the sweep has come at each age is one item. What it cannot mend now it meets at the next
age: a channel with a long queue is left alone, since most of what seems lost is in that queue.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

from carillon import legs, metrics, pages, queues
from carillon.aws import sqs
from carillon.history import sender
from carillon.log import logger
from carillon.messages import Message, channel_of
from carillon.models import Channel, State, now, timestamp
from carillon.publishing import PublishError
from carillon.status import deliveries_of, message_of, recorded
from carillon.tables import Client, Control, Delivery, Notification

AGES = (
    timedelta(minutes=2),
    timedelta(minutes=15),
    timedelta(hours=2),
    timedelta(days=1),
    timedelta(days=5),
)
"""When a notification is looked at; the last is later than any queue keeps its message."""
SLICE = timedelta(minutes=15)
"""How much is looked at before the sweep notes how far it has come."""
OVERDUE_SECONDS = 3600
"""How long after its next attempt, or its lease, a delivery is stuck."""
BACKLOG = 1000
"""Messages that wait in a channel from which on it is left alone."""
MOST = 500
"""Notifications mended in one run: the sweep adds to the queues, and is not to fill them."""
TIME_TO_STOP = 15.0
"""Seconds left to a run at which it begins nothing more."""
_KIND = "sweep"
_PAGE = 100


class Keys(NamedTuple):
    """Where a delivery is kept."""

    notification_id: str
    target: str


class _SpentError(Exception):
    """This run may do no more; the next one goes on."""


@dataclass(slots=True)
class Sweep:
    """One run: what it has looked at and mended, and which channels it leaves alone."""

    remaining: Callable[[], float]  # seconds
    looked_at: int = 0
    mended: int = 0
    backlog: dict[Channel, bool] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)  # after a standstill one is of several ages

    def run(self) -> None:
        """Look at what came late, and at what has come of each age since the last run."""
        try:
            self._look_at_late()
            for age in reversed(AGES):
                for begin, end in _slices(age):
                    self._look(begin, end, last=age == AGES[-1])
                    _advance(age, end)
        except _SpentError:
            logger().warning("sweep not finished")
        except PublishError:
            # It comes again in a minute; more publishes would only be refused as well.
            logger().warning("sweep stopped: SNS takes nothing")

    def _look(self, begin: datetime, end: datetime, *, last: bool) -> None:
        for client in Client.scan(Client.key.startswith("client#")):
            whose = sender(client.tenant, client.key.partition("#")[2])
            span = timestamp(end), timestamp(begin)
            self._look_through(pages.newest_first(whose, *span, consistent=True), last=last)

    def _look_at_late(self) -> None:
        for page in pages.late():
            self._look_through(pages.unpack(page), last=False)
            page.delete()

    def _look_through(self, found: Iterator[pages.Entry], *, last: bool) -> None:
        while page := list(islice(found, _PAGE)):
            self.looked_at += len(page)
            for entry in _ailing(page):
                if entry.place not in self.seen:
                    self._mend(entry, last=last)
                    self.seen.add(entry.place)

    def _mend(self, entry: pages.Entry, *, last: bool) -> None:
        if self.mended >= MOST or self.remaining() < TIME_TO_STOP:
            raise _SpentError
        record = recorded(entry.notification_id)
        if record is None or record.erased:
            return
        message = message_of(record)
        logger().set_correlation_id(message.correlation_id)
        channels = _stuck(message, deliveries_of(record))
        if last:
            for channel in channels:
                _give_up(channel, record)
        else:
            channels = {each for each in channels if not self._is_busy(each)}
            if channels:
                legs.begin(message, channels, record.message)
        if channels:
            self.mended += 1
            metrics.count("swept_total")
            told = {"notification_id": record.notification_id, "channels": sorted(channels)}
            logger().warning("given up" if last else "published anew", extra=told)

    def _is_busy(self, channel: Channel) -> bool:
        if channel not in self.backlog:
            self.backlog[channel] = queues.waiting(channel) >= BACKLOG
        return self.backlog[channel]


def _ailing(page: Sequence[pages.Entry]) -> Iterator[pages.Entry]:
    """Yield those that have a delivery nobody has touched, or one that is stuck."""
    wanted = [(each.notification_id, target) for each in page for target in each.targets]
    made = {
        Keys(each.notification_id, each.target): each
        for each in (Delivery.batch_get(wanted) if wanted else ())
    }
    for entry in page:
        each = (made.get(Keys(entry.notification_id, target)) for target in entry.targets)
        if any(delivery is None or _is_stuck(delivery) for delivery in each):
            yield entry


def _stuck(message: Message, made: Mapping[str, Delivery]) -> set[Channel]:
    """Return the channels whose message is lost."""
    states = {target: State(delivery.state) for target, delivery in made.items()}
    stuck = {channel_of(target) for target, delivery in made.items() if _is_stuck(delivery)}
    return legs.due(message, states) | stuck


def _is_stuck(delivery: Delivery) -> bool:
    until = {State.SENDING: delivery.lease_until, State.RETRYING: delivery.not_before}
    if delivery.state not in until:
        return False
    return (until[State(delivery.state)] or 0) + OVERDUE_SECONDS < time.time()


def _give_up(channel: Channel, record: Notification) -> None:
    days = AGES[-1].days
    reason = f"stuck: still open after {days} days"
    sqs().send_message(
        QueueUrl=queues.of(channel).dead,
        MessageBody=record.message,
        MessageAttributes={
            "reason": {"DataType": "String", "StringValue": reason},
            "code": {"DataType": "String", "StringValue": "stuck"},
        },
    )


def _slices(age: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """Yield what has come of age since the last run, in parts."""
    end = now() - age
    begin = _noted(age) or end - timedelta(days=1)
    while begin < end:
        until = min(begin + SLICE, end)
        yield begin, until
        begin = until


def _noted(age: timedelta) -> datetime | None:
    try:
        return datetime.fromisoformat(Control.get(_KIND, str(age), consistent_read=True).until)
    except Control.DoesNotExist:
        return None


def _advance(age: timedelta, until: datetime) -> None:
    """Note how far it has come, unless another run has come further."""
    there = timestamp(until)
    Control(_KIND, str(age)).amend(
        [Control.until.set(there)], Control.until.does_not_exist() | (Control.until < there)
    )
