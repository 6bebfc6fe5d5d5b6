"""The status table's writes: each conditional, each with a line in the delivery's history.

A worker writes what came of its attempt, a caller what it was told elsewhere or wants stopped.
States only advance: what has been delivered, cancelled or withheld stays so.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pynamodb.exceptions import UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from carillon.errors import CarillonError, Failure, Problem
from carillon.models import OPEN_STATES, State, now, timestamp
from carillon.storage import Step, updating
from carillon.tables import Delivery, Notification, expiry

_UNSETTLED = frozenset({*OPEN_STATES, State.UNKNOWN, State.DEAD_LETTERED})
REPORTS = {
    State.SENT: _UNSETTLED,
    State.DELIVERED: _UNSETTLED | {State.SENT},
    State.FAILED: _UNSETTLED | {State.SENT},
}
"""What may be reported, and the states that it may follow: a bounce may follow ``sent``."""
_STOPPABLE = frozenset({State.QUEUED, State.RETRYING, State.DEAD_LETTERED})
RACES = 10
"""Times a change is made again over what another changed meanwhile."""
REPORTED = "reported"
"""The error code of a failure that was reported, not met."""
DISCARDED = "discarded"
"""The error code of a dead letter that an operator put away."""
DEAD_LETTERS = "dead-letters"
"""The actor that gives deliveries up whose message was given up."""


@dataclass(frozen=True, slots=True)
class Line:
    """One change of a delivery's state. ``actor`` is "worker", or the client that asked for it."""

    at: str
    before: State | None
    after: State
    actor: str
    data: Mapping[str, Any]


def update(delivery: Delivery, actions: Sequence[Action], condition: Condition) -> bool:
    """Update a delivery, made by the first; False, and nothing written, when the condition fails.

    The delivery's attributes are those after the update.
    """
    try:
        delivery.update(actions=list(actions), condition=condition)
    except UpdateError as error:
        if error.cause_response_code == "ConditionalCheckFailedException":
            return False
        raise
    return True


def counted_under(
    sender: str, accepted: str, category: str, template_code: str | None
) -> list[Action]:
    """Return the actions that tell whose delivery it is and of which day (carillon/aggregates)."""
    named = [Delivery.template_code.set(template_code)] if template_code else []
    return [
        Delivery.sender.set(sender),
        Delivery.accepted.set(accepted),
        Delivery.category.set(category),
        *named,
    ]


def happened(
    before: State | None, after: State, actor: str, data: Mapping[str, Any] | None = None
) -> Action:
    """Return the action that adds a line to the delivery's history."""
    line = Line(timestamp(now()), before, after, actor, data or {})
    return Delivery.history.set((Delivery.history | []).append([json.dumps(asdict(line))]))


def history(delivery: Delivery) -> list[Line]:
    """Return the delivery's history, oldest first."""
    return [Line(**json.loads(line)) for line in delivery.history or ()]


def reason_of(line: Line) -> str | None:
    """Return why a delivery came into a state without a call, when the line says so."""
    said = line.data.get("reason")
    if said is None and line.data.get("free") and "failure" not in line.data:
        said = line.data.get("code")
    return None if said is None else str(said)


@dataclass(frozen=True, slots=True)
class Report:
    """What ``actor`` was told of a delivery elsewhere."""

    state: State
    actor: str
    message_id: str | None = None
    error_message: str | None = None

    def told(self) -> dict[str, str]:
        """Return what it says beside the state."""
        said = {"message_id": self.message_id, "error_message": self.error_message}
        return {name: text for name, text in said.items() if text}


def report(record: Notification, target: str, heard: Report) -> bool:
    """Record what was heard of a delivery; False when its state does not allow that.

    The same report again changes nothing and is true. Raises Problem (409) among many writers.
    """
    delivery = Delivery(record.notification_id, target)
    for _ in range(RACES):
        before = state_of(delivery)
        if before is heard.state:
            return True
        if before not in REPORTS[heard.state]:
            return False
        actions = [
            *_to(heard.state, record),
            happened(before, heard.state, heard.actor, heard.told()),
            *([Delivery.provider_message_id.set(heard.message_id)] if heard.message_id else []),
            *_error(heard.state, heard.error_message),
        ]
        if update(delivery, actions, _is(before)):
            return True
    raise _contended()


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a delivery is not to leave any more, and the state that says so."""

    actor: str
    reason: str | None = None
    state: State = State.CANCELLED


def stop(record: Notification, target: str, why: Stop) -> State:
    """End a delivery that has not left; return the state it is in then.

    One that may have gone in an earlier attempt ends ``unknown`` instead.
    """
    delivery = Delivery(record.notification_id, target)
    for _ in range(RACES):
        before = state_of(delivery)
        if before not in _STOPPABLE:
            return before
        after = State.UNKNOWN if delivery.maybe_sent else why.state
        actions = [
            *_to(after, record),
            happened(before, after, why.actor, {"reason": why.reason} if why.reason else {}),
        ]
        if update(delivery, actions, _is(before)):
            return after
    raise _contended()


@dataclass(frozen=True, slots=True)
class Counted:
    """Whose deliveries these are and of which day, as a Notification tells it too."""

    sender: str
    accepted: str
    category: str
    template_code: str | None


class HeldError(CarillonError):
    """A worker holds the delivery: its lease has not lapsed."""


def lay_aside(
    delivery: Delivery,
    before: State,
    whose: Counted | Notification,
    told: Mapping[str, Any],
    *,
    once: bool,
) -> Step | None:
    """Return the step that makes an open delivery a dead letter, or None for one that has ended.

    ``before`` is the state it was just read in. One that may have gone, and must not go twice,
    ends ``unknown`` instead: no operator's filter is to send it again. Raises HeldError.
    """
    if before not in OPEN_STATES:
        return None
    same = _is(before)
    if before is State.SENDING:
        lapsed_at = delivery.lease_until or 0
        if lapsed_at > time.time():
            raise HeldError(delivery.target)
        same &= Delivery.lease_until == lapsed_at
    doubt = bool(delivery.maybe_sent) or before is State.SENDING
    after = State.UNKNOWN if once and doubt else State.DEAD_LETTERED
    actions = [
        *_to(after, whose),
        happened(before, after, DEAD_LETTERS, told),
        *([Delivery.maybe_sent.set(True)] if doubt else []),
    ]
    return updating(delivery, actions, same)


def take_up(notification_id: str, target: str, actor: str, told: Mapping[str, Any]) -> bool:
    """Let a dead letter be tried anew, with all of its attempts; False for what is none.

    That it may have gone before is not forgotten.
    """
    actions = [
        Delivery.state.set(State.RETRYING),
        Delivery.earlier_attempts.set((Delivery.earlier_attempts | 0) + (Delivery.attempts | 0)),
        Delivery.attempts.set(0),
        Delivery.updated_at.set(timestamp(now())),
        Delivery.expires_at.set(expiry(now())),
        Delivery.not_before.remove(),
        happened(State.DEAD_LETTERED, State.RETRYING, actor, told),
        *_forget_error(),
    ]
    return update(Delivery(notification_id, target), actions, _is(State.DEAD_LETTERED))


def lay_back(notification_id: str, target: str, told: Mapping[str, Any]) -> bool:
    """Make a delivery that was taken up a dead letter again; False when it went on meanwhile."""
    actions = [
        Delivery.state.set(State.DEAD_LETTERED),
        Delivery.updated_at.set(timestamp(now())),
        happened(State.RETRYING, State.DEAD_LETTERED, DEAD_LETTERS, told),
    ]
    return update(Delivery(notification_id, target), actions, _is(State.RETRYING))


def put_away(notification_id: str, target: str, actor: str, reason: str) -> bool:
    """End a dead letter as ``failed``, or ``unknown`` when it may have gone; False for others."""
    delivery = Delivery(notification_id, target)
    if state_of(delivery) is not State.DEAD_LETTERED:
        return False
    after = State.UNKNOWN if delivery.maybe_sent else State.FAILED
    failure = Failure.UNKNOWN if delivery.maybe_sent else Failure.PERMANENT
    told = {"reason": reason, "code": DISCARDED, "failure": failure}
    actions = [
        Delivery.state.set(after),
        Delivery.updated_at.set(timestamp(now())),
        Delivery.expires_at.set(expiry(now())),
        Delivery.failure.set(failure),
        Delivery.error_code.set(DISCARDED),
        Delivery.error_message.set(reason),
        happened(State.DEAD_LETTERED, after, actor, told),
    ]
    return update(delivery, actions, _is(State.DEAD_LETTERED))


def no_error(delivery: Delivery) -> list[Action]:
    """Return the actions that forget an earlier attempt's error: the delivery is fine now."""
    return _forget_error() if delivery.failure else []


def _contended() -> Problem:
    return Problem(409, "too-many-writers", "Others keep changing this; try again", retry_after=1)


def state_of(delivery: Delivery) -> State:
    """Read the delivery and return its state; one that nobody has touched is queued."""
    try:
        delivery.refresh(consistent_read=True)
    except Delivery.DoesNotExist:
        return State.QUEUED
    return State(delivery.state)


def _is(state: State) -> Condition:
    if state is State.QUEUED:
        return Delivery.state.does_not_exist()
    return Delivery.state == state


def _to(state: State, record: Counted | Notification) -> list[Action]:
    return [
        *counted_under(record.sender, record.accepted, record.category, record.template_code),
        Delivery.state.set(state),
        Delivery.attempts.set(Delivery.attempts | 0),
        Delivery.updated_at.set(timestamp(now())),
        Delivery.expires_at.set(expiry(now())),
    ]


def _error(state: State, message: str | None) -> list[Action]:
    if state is not State.FAILED:
        return _forget_error()
    return [
        Delivery.failure.set("permanent"),
        Delivery.error_code.set(REPORTED),
        Delivery.error_message.set((message or "reported as failed")[:256]),
    ]


def _forget_error() -> list[Action]:
    return [
        Delivery.failure.remove(),
        Delivery.error_code.remove(),
        Delivery.error_message.remove(),
    ]
