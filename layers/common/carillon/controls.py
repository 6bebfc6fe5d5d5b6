"""What workers obey: kill switches and open circuit breakers, one item each.

Each process reads all of them in one query, at most once in FRESH_SECONDS; there are none on a
quiet day.
"""

import time
from dataclasses import dataclass
from functools import cache

from pynamodb.exceptions import PynamoDBException

from carillon.log import logger, trace
from carillon.messages import Message
from carillon.models import Channel
from carillon.tables import CONTROLS, Control, tenant_key

FRESH_SECONDS = 5.0
SWITCH, _BREAKER = "switch#", "breaker#"


@dataclass(slots=True)
class Known:
    """What was read, by name, and when (epoch seconds)."""

    items: dict[str, Control]
    read_at: float

    def breaker(self, part: str) -> Control | None:
        """Return the open breaker of a provider, or of one platform of it ("fcm/ios")."""
        return self.items.get(_BREAKER + part)

    def is_off(self, scope: str) -> bool:
        """Tell whether a kill switch is on for ``scope``, as ``channel#email``."""
        return SWITCH + scope in self.items


def known() -> Known:
    """Return what was read, not longer ago than FRESH_SECONDS.

    What is older stands while the table does not answer; raises PynamoDBException when nothing
    was ever read.
    """
    held = _held()
    if held and time.time() - held[0].read_at < FRESH_SECONDS:
        return held[0]
    try:
        found = {item.name: item for item in Control.query(CONTROLS, consistent_read=True)}
    except PynamoDBException as error:
        if not held:
            raise
        logger().warning("controls unreadable", extra=trace(error))
        return held[0]
    held[:] = [Known(found, time.time())]
    return held[0]


def forget() -> None:
    """Read anew the next time."""
    _held().clear()


@cache
def _held() -> list[Known]:
    return []


def paused_by(message: Message, channel: Channel) -> str | None:
    """Return the kill switch that holds the message on this channel, or None."""
    scopes = [f"channel#{channel.value}"]
    scopes.append(f"client#{tenant_key(message.tenant, message.client_id)}")
    if message.template:
        scopes.append(f"template#{tenant_key(message.tenant, message.template.code)}")
    return next((scope for scope in scopes if known().is_off(scope)), None)


def breaker_name(part: str) -> str:
    """Return the name of a breaker's item."""
    return _BREAKER + part
