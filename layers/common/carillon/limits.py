"""How many requests a caller may make in a minute.

Minutes are fixed windows, each a counter. A warm process leases tokens: one atomic addition takes
as many as it has spent in this minute, at least one and at most ``limit // 20``, while the count it
knows is under half of the limit; one at a time from there on. The counter deals each token once, so
no number of processes ever grants more than the limit. What is leased and not spent within its
minute is lost; since no process holds more than it has spent, at least half of the limit is granted
however many of them serve a caller, and all of it where one does. A refused caller costs no call.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

from carillon.counters import add
from carillon.errors import Fault, Problem
from carillon.identity import Caller
from carillon.log import logger, trace
from carillon.models import now
from carillon.settings import settings
from carillon.tables import tenant_key

WINDOW = 60
LEASES_PER_LIMIT = 20


def take(caller: Caller, count: int = 1) -> None:
    """Take ``count`` of the caller's requests of this minute; raises Problem (429).

    Takes nothing when there is no limit, and none from a table that does not answer: a request is
    not refused for our own trouble.
    """
    if settings().rate_limit_per_minute:
        _leases().take(tenant_key(caller.tenant, caller.client_id), count)


def headers(caller: Caller) -> Mapping[str, str]:
    """Return what this process knows of the caller's minute; nothing when it is not counted.

    RateLimit-Policy and RateLimit as in draft-ietf-httpapi-ratelimit-headers-11: structured
    fields, ``q`` requests per ``w`` seconds, ``r`` of them left for ``t`` seconds.
    """
    return _leases().headers(tenant_key(caller.tenant, caller.client_id))


@cache
def _leases() -> "Leases":
    return Leases()


@dataclass(slots=True)
class _Lease:
    """A caller's window in this process: the count last seen, the tokens left and spent."""

    known: int = 0
    left: int = 0
    spent: int = 0
    away: bool = False


class Leases:
    """The tokens one process holds, of the minute it last saw."""

    def __init__(self) -> None:
        self._window = 0
        self._by_caller: dict[str, _Lease] = {}

    def take(self, name: str, count: int) -> None:
        """Spend ``count`` tokens, leasing what is missing; raises Problem (429)."""
        limit, lease = settings().rate_limit_per_minute, self._lease(name)
        if lease.left < count and lease.known < limit and not lease.away:
            self._add(name, lease, limit, count)
        if lease.away:
            return
        if lease.left < count:
            raise _limited(limit)
        lease.left -= count
        lease.spent += count

    def headers(self, name: str) -> dict[str, str]:
        """Return the RateLimit fields; none for a caller of whom nothing was counted."""
        limit, lease = settings().rate_limit_per_minute, self._by_caller.get(name)
        if lease is None or lease.away:
            return {}
        left = max(0, limit - lease.known) + lease.left
        return {
            "RateLimit-Policy": f'"per-minute";q={limit};w={WINDOW}',
            "RateLimit": f'"per-minute";r={left};t={_seconds_left()}',
        }

    def _lease(self, name: str) -> _Lease:
        window = int(now().timestamp()) // WINDOW
        if window != self._window:
            self._window, self._by_caller = window, {}
        return self._by_caller.setdefault(name, _Lease())

    def _add(self, name: str, lease: _Lease, limit: int, count: int) -> None:
        """Lease tokens of the window: as many as the counter had left, at most."""
        step = min(lease.spent, limit // LEASES_PER_LIMIT) if lease.known < limit / 2 else 1
        size = max(1, step, count - lease.left)
        ends = (self._window + 1) * WINDOW
        try:
            total = add(f"requests#{name}", str(self._window), size, ends + WINDOW)
        except (PynamoDBException, BotoCoreError, ClientError) as error:
            logger().error("requests are not counted", extra=trace(error))
            lease.away = True  # until the next window: each try would cost a time-out
            return
        lease.left += max(0, min(size, limit - (total - size)))
        lease.known = total


def _seconds_left() -> int:
    return WINDOW - math.floor(now().timestamp() % WINDOW)


def _limited(limit: int) -> Problem:
    text = f"More than {limit} requests in this minute"
    fault = Fault("header:Authorization", text)
    return Problem(429, "rate-limited", text, faults=[fault], retry_after=_seconds_left())
