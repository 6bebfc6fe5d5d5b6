"""A delivery as it stood at a moment of its past, folded from its history.

The history has each change of state, but not that a worker took a delivery in hand, which would
cost a write: what was being sent then shows as it stood before. Of an error it keeps code and
class; its words are told where the latest error is the same.
"""

from collections.abc import Sequence
from typing import NamedTuple

from carillon.errors import Failure
from carillon.ledger import REPORTED, Line, history
from carillon.models import State
from carillon.tables import Delivery

_ARRIVED = frozenset({State.SENT, State.DELIVERED})
_DIED = frozenset({State.SENDING, State.DEAD_LETTERED})
_NAMED = ("sender", "accepted", "category", "template_code", "accepted_at", "expires_at")


class _Error(NamedTuple):
    code: str
    failure: str


def at(item: Delivery, moment: str) -> Delivery | None:
    """Return the delivery as it stood at a timestamp; None when nobody had touched it."""
    if item.updated_at <= moment:
        return item
    known = [line for line in history(item) if line.at <= moment]
    if not known:
        return None
    last = known[-1]
    then = Delivery(
        item.notification_id,
        item.target,
        state=last.after,
        attempts=_attempts(known),
        maybe_sent=any(map(_in_doubt, known)) or None,
        updated_at=last.at,
        history=item.history[: len(known)],
        **{name: getattr(item, name) for name in _NAMED},
    )
    if last.after == item.state:
        then.reason = item.reason
    if any(line.after == State.SENT for line in known):
        then.provider, then.provider_message_id = item.provider, item.provider_message_id
        then.provider_cost, then.aws_cost = item.provider_cost, item.aws_cost
    if error := _error(known):
        then.error_code, then.failure = error
        then.error_message = item.error_message if error.code == item.error_code else ""
    return then


def _error(known: Sequence[Line]) -> _Error | None:
    """Return the latest error that was not forgotten since."""
    error: _Error | None = None
    for line in known:
        forgotten = line.after in _ARRIVED or _taken_up(line)
        error = None if forgotten else _error_of(line) or error
    return error


def _error_of(line: Line) -> _Error | None:
    """Return the error that a line tells of; older lines leave its class to be understood."""
    code, failure = line.data.get("code"), line.data.get("failure")
    if code and failure:
        return _Error(code, failure)
    if line.data.get("free"):
        return None  # no call was made
    if code and line.after == State.UNKNOWN:
        return _Error(code, Failure.UNKNOWN)
    if line.after == State.FAILED:
        return _Error(code, Failure.RETRY) if code else _Error(REPORTED, Failure.PERMANENT)
    return None


def _taken_up(line: Line) -> bool:
    return line.before == State.DEAD_LETTERED and line.after == State.RETRYING


def _in_doubt(line: Line) -> bool:
    """Tell whether it may have gone by then: its worker died, or did not learn what came of it."""
    unknown = line.after == State.UNKNOWN or line.data.get("failure") == Failure.UNKNOWN
    return unknown or (line.before == State.SENDING and line.after in _DIED)


def _attempts(known: Sequence[Line]) -> int:
    count, before = 0, State.QUEUED
    for line in known:
        if (number := line.data.get("attempt")) is not None:
            free = bool(line.data.get("free"))
            # The next attempt began where a dead worker's was taken over.
            count = number - free + (line.before == line.after)
        elif _taken_up(line):
            count = 0
        elif line.before == State.SENDING != before:
            count += 1  # begun, and ended by somebody else
        before = line.after
    return count
