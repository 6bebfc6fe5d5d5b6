"""Idempotency-Key: a POST or PATCH that comes again is done once and answered as the first was.

A key belongs to its caller. Its record is made when the request is let in and holds the answer
once that is known; only a success is kept, so that what was refused can be tried again. A repeat
gets the first answer; one that comes while the first runs gets 409, and one that asks for
something else 422. What sends does without: its key is the record (intake.py).
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

from carillon import metrics
from carillon.errors import CarillonError, Fault, Problem
from carillon.identity import Caller
from carillon.log import logger, trace
from carillon.models import now
from carillon.settings import settings
from carillon.storage import create
from carillon.tables import FirstAnswer, tenant_key

HEADER = "Idempotency-Key"
LEASE_MARGIN = 5
"""Seconds a request counts as under way after its function must have ended."""
MAX_BODY_BYTES = 256 * 1024
"""Largest answer that is kept: an item has 400 KB."""
# Told of each request anew, or of the connection.
NOT_REPLAYED = frozenset(
    {"x-correlation-id", "ratelimit", "ratelimit-policy", "retry-after", "idempotent-replayed"}
)
OWN_KEYS = frozenset(
    [
        "/api/v1/notifications",
        "/api/v1/notifications/batch",
        "/api/v1/notifications/{notification_id}/replay",
        "/api/v1/templates/{code}/test-send",
    ]
)
_KEY = re.compile(r"[!-~]{1,255}")


class Keys(Enum):
    """What a route does with an idempotency key."""

    REPLAYED = auto()  # keeps the answer and gives it again
    ONCE = auto()  # keeps only that it was given: it holds a secret
    OWN = auto()  # the route looks after it
    IGNORED = auto()


class Answered(CarillonError):  # noqa: N818 - no error
    """The request was answered before: with this."""

    def __init__(self, record: FirstAnswer) -> None:
        super().__init__("answered before")
        self.status = int(record.status)
        self.headers: dict[str, str] = record.headers
        self.body: str | None = record.body


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A request let in with a key, whose answer is to be kept."""

    record: FirstAnswer
    keys: Keys


def keys_of(method: str, route: str) -> Keys:
    """Return what a route does with keys; ``route`` is the path with its parameters' names."""
    if method not in ("POST", "PATCH") or route.startswith("/api/v1/auth/"):
        return Keys.IGNORED
    if route in OWN_KEYS:
        return Keys.OWN
    if method == "POST" and route.startswith("/api/v1/clients"):
        return Keys.ONCE
    return Keys.REPLAYED


def begin(  # noqa: PLR0913, PLR0917 - what a request is, and whose
    caller: Caller, key: str, request: bytes, keys: Keys, seconds: float, about: str | None = None
) -> UnderWay:
    """Let a request in, for at most ``seconds``; ``request`` is what a repeat must be equal to.

    ``about`` is the user that it is about, with whom the answer is erased.

    Raises Answered, and Problem: 400 for what is no key, 409 while an equal request is under way
    or when its answer was not kept, 422 when the key belongs to another request.
    """
    if not _KEY.fullmatch(key):
        raise _problem(400, "invalid-request", "A key has 1 to 255 printable ASCII characters")
    at = int(now().timestamp())
    record = FirstAnswer(
        _place(caller, key),
        digest=hashlib.sha256(request).digest(),
        owner=secrets.token_hex(8),
        about=tenant_key(caller.tenant, about) if about else None,
        lease_until=int(at + seconds) + LEASE_MARGIN,
        expires_at=at + settings().idempotency_ttl_seconds,
    )
    died = (FirstAnswer.lease_until < at) & FirstAnswer.status.does_not_exist()
    lapsed = (FirstAnswer.expires_at < at) | (died & (FirstAnswer.digest == record.digest))
    if not create(record, over=lapsed):
        _repeat(record)
    return UnderWay(record, keys)


def _place(caller: Caller, key: str) -> str:
    seed = json.dumps([caller.tenant, caller.client_id, caller.user_id, key])
    return hashlib.sha256(seed.encode()).hexdigest()


def _repeat(wanted: FirstAnswer) -> None:
    """Answer a request whose key was used before; always raises."""
    try:
        first = FirstAnswer.get(wanted.id, consistent_read=True)
    except FirstAnswer.DoesNotExist:
        raise _in_progress() from None
    if not hmac.compare_digest(bytes(first.digest), bytes(wanted.digest)):
        text = "This idempotency key was used before, for another request"
        raise _problem(422, "idempotency-key-reused", text)
    if first.status is None:
        raise _in_progress()
    if first.headers is None:
        text = "This was done; its answer was not kept, for it is secret or too large"
        raise _problem(409, "answered-before", text)
    metrics.count("idempotency_hits_total")
    raise Answered(first)


def _in_progress() -> Problem:
    text = "A request with this idempotency key is under way; ask again"
    return _problem(409, "in-progress", text, retry_after=1)


def _problem(status: int, code: str, text: str, retry_after: int | None = None) -> Problem:
    faults = [Fault(f"header:{HEADER}", text)]
    return Problem(status, code, text, faults=faults, retry_after=retry_after)


def finish(request: UnderWay, answer: Mapping[str, Any]) -> None:
    """Keep a success for repeats, and forget the key of anything else.

    A store that fails here leaves the key under way until its lease lapses.
    """
    mine = FirstAnswer.owner == request.record.owner
    try:
        if 200 <= answer["statusCode"] < 300:  # noqa: PLR2004
            request.record.update(actions=_kept(request, answer), condition=mine)
        else:
            request.record.delete(condition=mine)
    except (PynamoDBException, BotoCoreError, ClientError) as error:
        logger().warning("answer not kept", extra=trace(error))


def erase(tenant: str, user_id: str) -> None:
    """Forget the answers that tell of a user."""
    for record in FirstAnswer.about_user.query(tenant_key(tenant, user_id)):
        record.delete()


def _kept(request: UnderWay, answer: Mapping[str, Any]) -> list[Any]:
    actions = [FirstAnswer.status.set(answer["statusCode"])]
    body = answer.get("body")
    if request.keys is Keys.ONCE or len((body or "").encode()) > MAX_BODY_BYTES:
        return actions
    headers = {
        name: values[0]
        for name, values in answer["multiValueHeaders"].items()
        if name.lower() not in NOT_REPLAYED
    }
    actions.append(FirstAnswer.headers.set(headers))
    return [*actions, FirstAnswer.body.set(body)] if body else actions
