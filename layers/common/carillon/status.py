"""What is told of a notification: the first answer, where it stands, its events, its content."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, Literal

from pydantic import ConfigDict, Field

from carillon import ledger, legs, past, spending
from carillon.errors import not_found
from carillon.ledger import history
from carillon.messages import Message, channel_of, target_of
from carillon.models import OPEN_STATES, Channel, Shape, State, timestamp
from carillon.spending import CostOut
from carillon.tables import Delivery, Notification

Summary = Literal[
    "accepted",
    "processing",
    "completed",
    "partially_failed",
    "failed",
    "cancelled",
    "suppressed",
    "expired",
]
"""The state of a notification as a whole."""
_NOTIFICATION_ID = re.compile(r"ntf_([a-z2-7]{26})[a-z2-7]{6}")
_ARRIVED = frozenset({State.SENT, State.DELIVERED})
_UNDECIDED = OPEN_STATES | {State.DEAD_LETTERED}
_WITHHELD = frozenset({State.SUPPRESSED, State.SKIPPED})


class AcceptedDelivery(Shape):
    """What was decided for one channel."""

    channel: Channel
    status: State
    reason: str | None = None


class Accepted(Shape):
    """The answer to an accepted notification; a repeat gets the same one."""

    notification_id: str
    request_id: str
    status: str
    deliveries: list[AcceptedDelivery]
    links: dict[str, str]


class Repeated(Accepted):
    """The same of a notification that sends another again."""

    replay_of: str


class DeliveryError(Shape):
    """Why the latest attempt failed; ``failure`` is its class."""

    code: str
    message: str
    failure: str


class DeliveryStatus(Shape):
    """Where one delivery stands. Push has one per device.

    ``cost`` is an estimate, null before it was sent.
    """

    channel: Channel
    target: str
    to: str | None
    status: State
    reason: str | None = None
    attempts: int = 0
    provider: str | None = None
    provider_message_id: str | None = None
    possible_duplicate: bool = False
    cost: CostOut | None = None
    error: DeliveryError | None = None
    updated_at: str | None = None


class NotificationStatus(Shape):
    """A notification and all of its deliveries."""

    notification_id: str
    request_id: str
    status: str
    user_id: str | None
    category: str
    priority: int
    template_code: str | None
    template_version: int | None
    locale: str | None
    metadata: dict[str, Any]
    test: bool
    replay_of: str | None = None
    created_at: str
    expires_at: str | None
    deliveries: list[DeliveryStatus]


class ListedDelivery(Shape):
    """Where one delivery of a listed notification stands."""

    channel: Channel
    target: str
    status: State
    reason: str | None


class Listed(Shape):
    """A notification in a list."""

    notification_id: str
    status: str
    user_id: str | None
    category: str
    template_code: str | None
    created_at: str
    deliveries: list[ListedDelivery]


class Event(Shape):
    """One thing that happened to a notification, or to one of its deliveries."""

    model_config = ConfigDict(populate_by_name=True)

    seq: int
    at: str
    type: str
    channel: Channel | None = None
    target: str | None = None
    before: State | None = Field(None, alias="from")
    to: State | None = None
    actor: str
    data: dict[str, Any] = Field(default={})


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a delivery stands, in short."""

    target: str
    state: State
    reason: str | None = None

    @property
    def channel(self) -> Channel:
        """The delivery's channel."""
        return channel_of(self.target)


def standings(record: Notification, made: Mapping[str, Delivery]) -> list[Standing]:
    """Return where each delivery stands; ``made`` are those that anybody has touched."""
    routed = [
        Standing(target, State(made[target].state) if target in made else State.QUEUED)
        for target in record.targets
    ]
    return (_in_turn(routed) if record.fallback else routed) + _withheld(record)


def _in_turn(routed: Iterable[Standing]) -> list[Standing]:
    """Return the standings of channels that take turns: after one that arrived none is needed."""
    told: list[Standing] = []
    needed = True
    for _, group in groupby(routed, key=attrgetter("channel")):
        row = list(group)
        told += (
            row if needed else [Standing(each.target, State.SKIPPED, "not-needed") for each in row]
        )
        states = {each.state for each in row}
        needed = needed and (bool(states & _UNDECIDED) or legs.missed(states))
    return told


def _withheld(record: Notification) -> list[Standing]:
    kept = record.withheld or {}
    return [Standing(name, State(state), reason) for name, (state, reason) in kept.items()]


def summary(states: Iterable[State], *, one_is_enough: bool = False) -> str:
    """Return the notification's state from those of its deliveries (docs/guarantees.md).

    ``one_is_enough`` where the channels take turns.
    """
    routed = set(states) - _WITHHELD
    if not routed:
        return "suppressed"
    if routed & OPEN_STATES:
        return "accepted" if routed == {State.QUEUED} else "processing"
    if routed <= _ARRIVED or (one_is_enough and routed & _ARRIVED):
        return "completed"
    if routed & _ARRIVED:
        return "partially_failed"
    return routed.pop() if routed in ({State.CANCELLED}, {State.EXPIRED}) else "failed"


def recorded(notification_id: str) -> Notification | None:
    """Return the notification of an id, whosever it is."""
    match = _NOTIFICATION_ID.fullmatch(notification_id)
    with suppress(Notification.DoesNotExist):
        if match:
            record = Notification.get(match[1], consistent_read=True)
            # Its key may have lapsed, and stand for another by now.
            return record if record.notification_id == notification_id else None
    return None


def message_of(record: Notification) -> Message:
    """Return the message that was recorded."""
    return Message.model_validate_json(record.message)


def deliveries_of(record: Notification) -> dict[str, Delivery]:
    """Return the deliveries that anybody has touched so far, by target."""
    found = Delivery.query(record.notification_id, consistent_read=True)
    return {delivery.target: delivery for delivery in found}


def _deliveries_at(record: Notification, as_of: datetime) -> dict[str, Delivery]:
    """Return the same as they stood then; raises Problem (404) before its acceptance."""
    moment = timestamp(as_of)
    if moment < record.accepted:
        raise not_found("notification", "query:as_of")
    stood = {target: past.at(item, moment) for target, item in deliveries_of(record).items()}
    return {target: item for target, item in stood.items() if item is not None}


def accepted(record: Notification) -> Accepted:
    """Return the first answer, from the record alone: a replay is the same to the letter."""
    routed = [
        AcceptedDelivery(channel=channel, status=State.QUEUED)
        for channel in dict.fromkeys(map(channel_of, record.targets))
    ]
    decided = routed + [
        AcceptedDelivery(channel=each.channel, status=each.state, reason=each.reason)
        for each in _withheld(record)
    ]
    return Accepted(
        notification_id=record.notification_id,
        request_id=record.request_id,
        status=summary(item.status for item in decided),
        deliveries=decided,
        links={"self": path(record.notification_id)},
    )


def repeated(record: Notification) -> Repeated:
    """Return the first answer to a replay."""
    mark = message_of(record).replay
    return Repeated(**accepted(record).model_dump(), replay_of=mark.of if mark else "")


def path(notification_id: str) -> str:
    """Return where a notification is found."""
    return f"/api/v1/notifications/{notification_id}"


def full(record: Notification, as_of: datetime | None = None) -> NotificationStatus:
    """Return what became of a notification, now or by a moment; raises Problem (404) before it."""
    message = message_of(record)
    made = deliveries_of(record) if as_of is None else _deliveries_at(record, as_of)
    addresses = {
        target_of(channel, address): address
        for channel, each in message.targets.items()
        for address in each
    }
    deliveries = [
        _delivery(each, addresses.get(each.target), made.get(each.target))
        for each in standings(record, made)
    ]
    return NotificationStatus(
        notification_id=record.notification_id,
        request_id=record.request_id,
        status=summary((each.status for each in deliveries), one_is_enough=bool(record.fallback)),
        user_id=message.user_id,
        category=message.category,
        priority=message.priority,
        template_code=message.template and message.template.code,
        template_version=message.template and message.template.version,
        locale=message.template and message.template.locale,
        metadata=message.metadata,
        test=message.test,
        replay_of=message.replay and message.replay.of,
        created_at=message.accepted_at,
        expires_at=message.expires_at,
        deliveries=deliveries,
    )


def _delivery(standing: Standing, address: str | None, item: Delivery | None) -> DeliveryStatus:
    """Return where a delivery stands; an erased one has no address."""
    told = DeliveryStatus(
        channel=standing.channel,
        target=standing.target,
        to=address,
        status=standing.state,
        reason=standing.reason,
    )
    if item is None:
        return told
    made = int(item.attempts) + int(item.earlier_attempts or 0)
    more = {
        "reason": _reason(item),
        "attempts": int(item.attempts),
        "provider": item.provider,
        "provider_message_id": item.provider_message_id,
        "possible_duplicate": bool(item.maybe_sent) and made > 1,
        "cost": _cost(item),
        "error": _error(item),
        "updated_at": item.updated_at,
    }
    return told.model_copy(update=more)


def _reason(item: Delivery) -> str | None:
    """Return why it came into its state, when whoever brought it there said so."""
    lines = history(item)
    if lines and lines[-1].after == item.state:
        return ledger.reason_of(lines[-1])
    return item.reason if item.state in _WITHHELD | {State.EXPIRED} else None


def _cost(item: Delivery) -> CostOut | None:
    if item.provider_cost is None:
        return None
    return spending.told(int(item.provider_cost), int(item.aws_cost or 0))


def _error(item: Delivery) -> DeliveryError | None:
    if item.failure is None:
        return None
    return DeliveryError(
        code=item.error_code or "", message=item.error_message or "", failure=item.failure
    )


def events(record: Notification, as_of: datetime | None = None) -> list[Event]:
    """Return what happened, oldest first: its acceptance, then each change of a delivery.

    With a moment only what had happened by then; raises Problem (404) before its acceptance.
    """
    happened = sorted(_happened(record), key=lambda event: event.at)
    if as_of is not None:
        happened = [event for event in happened if event.at <= timestamp(as_of)]
        if not happened:
            raise not_found("notification", "query:as_of")
    return [event.model_copy(update={"seq": place}) for place, event in enumerate(happened, 1)]


def _happened(record: Notification) -> Iterator[Event]:
    at = record.accepted
    _, _, client_id = record.sender.partition("#")
    mark = message_of(record).replay
    yield Event(
        seq=0,
        at=at,
        type="accepted",
        actor=mark.by if mark else client_id,
        data={"replay_of": mark.of, "mode": mark.mode} if mark else {},
    )
    for each in standings(record, {}):
        yield Event(
            seq=0,
            at=at,
            type=each.state,
            channel=each.channel,
            target=each.target,
            to=each.state,
            actor="intake",
            data={"reason": each.reason} if each.reason else {},
        )
    for target, item in deliveries_of(record).items():
        for line in history(item):
            yield Event(
                seq=0,
                at=line.at,
                type=line.after,
                channel=channel_of(target),
                target=target,
                before=line.before,
                to=line.after,
                actor=line.actor,
                data=dict(line.data),
            )
