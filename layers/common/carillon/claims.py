"""A claim: the right to make one provider call for a delivery, and the duty to say what came of it.

PENDING -> SENDING(owner, lease, attempt) -> an end, or RETRYING. The claim is one conditional
update with an owner and a lease: of any number of copies of a message, one makes the call
(docs/guarantees.md).
"""

import random
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from carillon import metrics
from carillon.content import Content, content_hash
from carillon.errors import Failure, ProviderError
from carillon.ledger import REPORTED, counted_under, happened, history, no_error, update
from carillon.log import logger
from carillon.messages import Message
from carillon.models import TEST, State, now, timestamp
from carillon.settings import settings
from carillon.spending import NOTHING, Cost
from carillon.tables import Delivery, expiry, tenant_key

LEASE_MARGIN = 5
"""Seconds a lease outlives the function that holds it."""
RETRY_BASE, RETRY_FACTOR = 5.0, 4.0
PAUSE_BASE, PAUSE_FACTOR = 2.0, 2.0
BACKOFF_CAP = 900.0
WORKER = "worker"
_ENDED = frozenset(set(State) - {State.SENDING, State.RETRYING, State.QUEUED})


class NotNowError(Exception):
    """The queue message must come again after ``delay`` seconds."""

    def __init__(self, delay: float = 0.0) -> None:
        super().__init__(f"not within {delay:.0f} s")
        self.delay = delay


def retry_delay(attempts: int, floor: float) -> float:
    """Seconds from a failed attempt to the next: exponential, full jitter, at least 1.

    A provider's Retry-After is the floor ("Exponential Backoff And Jitter", AWS Architecture
    Blog).
    """
    ceiling = min(BACKOFF_CAP, RETRY_BASE * RETRY_FACTOR ** min(max(attempts, 1) - 1, 10))
    return max(1.0, floor, random.uniform(0, ceiling))  # noqa: S311 - jitter


def pause(receives: int, floor: float) -> float:
    """Seconds to wait for what is nobody's failure, spread so that not all come back at once."""
    ceiling = min(BACKOFF_CAP, PAUSE_BASE * PAUSE_FACTOR ** min(receives, 10))
    return max(1.0, floor + random.uniform(0, ceiling))  # noqa: S311 - jitter


def claim(
    message: Message, target: str, content: Content, remaining: float, receives: int
) -> "Claim | State":
    """Take the delivery, or return the state it has ended in; raises NotNowError when it is held.

    One conditional update; a second one only to take over a lapsed lease, whose holder may have
    sent. ``remaining`` are the seconds this function has left; the lease outlives them.
    """
    delivery = Delivery(message.notification_id, target)
    owner = secrets.token_hex(8)
    actions = _claiming(message, content, owner, remaining)
    if update(delivery, actions, _free()):
        return Claim(delivery, owner, message.at_most_once, receives)
    delivery.refresh(consistent_read=True)
    if delivery.owner == owner and delivery.state == State.SENDING:
        # The first update was made, only its answer was lost.
        return Claim(delivery, owner, message.at_most_once, receives)
    if delivery.state in _ENDED:
        return State(delivery.state)
    if delivery.state == State.RETRYING:
        # Another copy of the message; the wait is the delivery's, not one copy's.
        raise NotNowError(max(1.0, (delivery.not_before or 0) - time.time()))
    return _take_over(message, delivery, actions, owner, receives)


def _claiming(message: Message, content: Content, owner: str, remaining: float) -> list[Action]:
    return [
        Delivery.state.set(State.SENDING),
        Delivery.owner.set(owner),
        Delivery.lease_until.set(int(time.time() + remaining) + LEASE_MARGIN),
        Delivery.attempts.set((Delivery.attempts | 0) + 1),
        *([Delivery.content_hash.set(content_hash(content))] if content else []),
        Delivery.accepted_at.set(message.accepted_at),
        Delivery.updated_at.set(timestamp(now())),
        Delivery.expires_at.set(expiry(now())),
        *_whose(message),
    ]


def _whose(message: Message) -> list[Action]:
    return counted_under(
        tenant_key(message.tenant, message.client_id),
        message.accepted_at,
        message.category,
        message.template.code if message.template else None,
    )


def _free() -> Condition:
    waited = Delivery.not_before.does_not_exist() | (Delivery.not_before <= round(time.time(), 3))
    free: Condition = Delivery.state.does_not_exist() | (
        (Delivery.state == State.RETRYING) & waited
    )
    return free


def _take_over(
    message: Message, delivery: Delivery, actions: Sequence[Action], owner: str, receives: int
) -> "Claim | State":
    """Take a delivery whose holder's lease has lapsed.

    Give it up when its attempts are spent, or when it may have gone and must not go twice.
    """
    lapsed_at = delivery.lease_until or 0
    if lapsed_at > time.time():
        raise NotNowError(lapsed_at - time.time() + 1)
    still_held = (Delivery.lease_until == lapsed_at) & (Delivery.state == State.SENDING)
    spent = message.at_most_once or delivery.attempts > settings().max_retries
    attempt = {"attempt": int(delivery.attempts), "code": "no-outcome"}
    if spent:
        taken = [
            Delivery.state.set(State.UNKNOWN),
            Delivery.updated_at.set(timestamp(now())),
            *error_actions(Failure.UNKNOWN, "no-outcome", "no attempt lived to tell its outcome"),
            happened(State.SENDING, State.UNKNOWN, WORKER, attempt),
        ]
    else:
        taken = [*actions, happened(State.SENDING, State.SENDING, WORKER, attempt)]
    if not update(delivery, [*taken, Delivery.maybe_sent.set(True)], still_held):
        # Its holder, or another, was quicker; this copy of the message may be the one they need.
        raise NotNowError(LEASE_MARGIN)
    if spent:
        _count(delivery, State.UNKNOWN)
        return State.UNKNOWN
    return Claim(delivery, owner, message.at_most_once, receives)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make one provider call, and the duty to record what came of it."""

    delivery: Delivery
    owner: str
    at_most_once: bool
    receives: int = 1

    def sent(self, provider: str, message_id: str, cost: Cost = NOTHING) -> State:
        """Record SENT: a fact, written even when the lease has passed to somebody else."""
        self.delivery.provider, self.delivery.provider_message_id = provider, message_id
        actions = [
            Delivery.provider.set(provider),
            Delivery.provider_message_id.set(message_id),
            Delivery.provider_cost.set(cost.provider),
            Delivery.aws_cost.set(cost.aws),
            *no_error(self.delivery),
        ]
        if not self._write(State.SENT, actions, self._held(), self._line()):
            self._write(State.SENT, actions, _not_beyond_sent(), self._line())
        return State.SENT

    def refuse(self, failure: Failure, code: str, message: str) -> State:
        """End it without another attempt; raises NotNowError when the claim has passed on."""
        told = error_actions(failure, code, message)
        return self._end(self._unless_sent(State.FAILED), told, code, failure)

    def expire(self) -> State:
        """End it without a call: too late for its reader."""
        return self._without_call(State.EXPIRED, "expired")

    def withhold(self, reason: str) -> State:
        """End it without a call: its reader does not want it, or is there no more."""
        return self._without_call(State.SUPPRESSED, reason)

    def _without_call(self, state: State, reason: str) -> State:
        actions = [Delivery.attempts.set(self.delivery.attempts - 1), Delivery.reason.set(reason)]
        return self._end(self._unless_sent(state), actions, reason, free=True)

    def release(self, delay: float, code: str) -> None:
        """Give it back without a call; raises NotNowError, always."""
        self.fail(ProviderError(Failure.THROTTLE, code, "not called"), delay=delay)

    def fail(
        self, error: ProviderError, *, free: bool = False, delay: float | None = None
    ) -> State:
        """Record a failed call; raises NotNowError when another attempt is to be made.

        A ``free`` failure spends no attempt; nor do throttling and a broken configuration.
        """
        if error.failure in (Failure.PERMANENT, Failure.RECIPIENT):
            return self.refuse(error.failure, error.code, error.message)
        told = error_actions(error.failure, error.code, error.message)
        free = free or error.failure in (Failure.THROTTLE, Failure.CONFIG)
        if error.failure is Failure.UNKNOWN:
            free = False
            self.delivery.maybe_sent = True
            told.append(Delivery.maybe_sent.set(True))
        if self._gives_up(error.failure, free=free):
            return self._end(self._unless_sent(State.FAILED), told, error.code, error.failure)
        # An outage is one line of the history, however often it is met.
        known = free and self.delivery.error_code == error.code and not self._took_over()
        if free:
            told.append(Delivery.attempts.set(self.delivery.attempts - 1))
        delay = self._delay(error, free=free) if delay is None else delay
        told.append(Delivery.not_before.set(round(time.time() + delay, 3)))
        line = None if known else self._line(error.code, error.failure, free=free)
        self._write(State.RETRYING, told, self._held(), line)
        raise NotNowError(delay)

    def _took_over(self) -> bool:
        """Tell whether the history ends with a dead worker's attempt: what it leads to is told."""
        lines = history(self.delivery)
        return bool(lines) and lines[-1].after == State.SENDING

    def _delay(self, error: ProviderError, *, free: bool) -> float:
        floor = error.retry_after or 0.0
        if free:
            return pause(self.receives, floor)
        return retry_delay(int(self.delivery.attempts), floor)

    def _gives_up(self, failure: Failure, *, free: bool) -> bool:
        if failure is Failure.UNKNOWN and self.at_most_once:
            return True
        return not free and self.delivery.attempts > settings().max_retries

    def _unless_sent(self, state: State) -> State:
        return State.UNKNOWN if self.delivery.maybe_sent else state

    def _held(self) -> Condition:
        """Condition that the claim is still ours: a late SENT of another ends it too."""
        held: Condition = (Delivery.owner == self.owner) & (Delivery.state == State.SENDING)
        return held

    def _line(
        self, code: str = "", failure: Failure | None = None, *, free: bool = False
    ) -> dict[str, Any]:
        """Return what the history has of an attempt; one that was ``free`` does not count."""
        line: dict[str, Any] = {"attempt": int(self.delivery.attempts)}
        line |= {"code": code} if code else {}
        line |= {"failure": failure.value} if failure else {}
        return line | ({"free": True} if free else {})

    def _end(
        self,
        state: State,
        actions: Sequence[Action],
        code: str,
        failure: Failure | None = None,
        *,
        free: bool = False,
    ) -> State:
        """Record a final state; raises NotNowError when the claim has passed to somebody else."""
        if not self._write(state, actions, self._held(), self._line(code, failure, free=free)):
            raise NotNowError(LEASE_MARGIN)
        return state

    def _write(
        self,
        state: State,
        actions: Sequence[Action],
        condition: Condition,
        line: Mapping[str, Any] | None,
    ) -> bool:
        """Write a state, and a ``line`` of the history if there is one."""
        told = {
            "notification_id": self.delivery.notification_id,
            "target": self.delivery.target,
            "state": state,
        } | {name: line[name] for name in ("attempt", "code", "failure") if line and name in line}
        if state is State.SENT:
            told["provider"] = self.delivery.provider
            told["provider_message_id"] = self.delivery.provider_message_id
        logger().info("delivery", extra=told)  # before the write, which may fail
        done: list[Action] = [Delivery.state.set(state), Delivery.updated_at.set(timestamp(now()))]
        if line is not None:
            done.append(happened(State.SENDING, state, WORKER, line))
        written = update(self.delivery, [*done, *actions], condition)
        if written:
            _count(self.delivery, state)
        else:
            logger().warning("not recorded: the claim has passed on", extra=told)
        return written


def abandon(message: Message, target: str, code: str) -> State:
    """End a delivery that no worker holds, without a call; return the state it is in then.

    Raises NotNowError while a worker holds it.
    """
    delivery = Delivery(message.notification_id, target)
    try:
        delivery.refresh(consistent_read=True)
        before = State(delivery.state)
    except Delivery.DoesNotExist:
        before = State.QUEUED
    if before in _ENDED:
        return before
    after = State.UNKNOWN if delivery.maybe_sent else State.FAILED
    actions = [
        Delivery.state.set(after),
        Delivery.attempts.set(Delivery.attempts | 0),
        Delivery.updated_at.set(timestamp(now())),
        Delivery.expires_at.set(expiry(now())),
        *error_actions(Failure.RETRY, code, "not sent in time"),
        *_whose(message),
        happened(before, after, WORKER, {"code": code}),
    ]
    as_it_was = (
        Delivery.state.does_not_exist()
        if before is State.QUEUED
        else Delivery.state == State.RETRYING
    )
    if not update(delivery, actions, as_it_was):
        raise NotNowError(LEASE_MARGIN)
    _count(delivery, after)
    return after


def _count(delivery: Delivery, state: State) -> None:
    channel = delivery.target.partition("#")[0]
    metrics.count("deliveries_total", channel=channel, state=state.value)
    if delivery.provider == TEST:
        return
    if state in (State.SENT, State.FAILED, State.UNKNOWN):
        metrics.sample("delivery_success", float(state is State.SENT))
    if state is State.SENT and delivery.accepted_at:
        waited = now() - datetime.fromisoformat(delivery.accepted_at)
        metrics.observe("delivery_latency_seconds", waited.total_seconds(), channel=channel)


def _not_beyond_sent() -> Condition:
    """Condition that a late success is news: nothing was delivered or bounced meanwhile."""
    ended: Condition = Delivery.state.is_in(State.SENT, State.DELIVERED)
    bounced: Condition = Delivery.error_code == REPORTED
    news: Condition = ~ended & ~bounced
    return news


def error_actions(failure: Failure, code: str, message: str) -> list[Action]:
    """Return the actions that note the latest attempt's error."""
    return [
        Delivery.failure.set(failure),
        Delivery.error_code.set(code),
        Delivery.error_message.set(message[:256]),
    ]
