"""Whether a message is still wanted: what changed since it was accepted.

A worker's messages come in batches, so one read asks for all of them. What it found is believed
for FRESH_SECONDS, as kill switches are (controls.py); what is sent later is asked for anew.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from carillon.controls import FRESH_SECONDS
from carillon.messages import Message
from carillon.models import Channel
from carillon.recipients import SUPPRESSED, SUPPRESSIBLE, recipient_of
from carillon.tables import (
    PREFERENCES,
    PROFILE,
    SUPPRESSION,
    Profile,
    PushDevice,
    Suppression,
    UserItem,
    device_part,
    suppression_key,
    tenant_key,
    token_digest,
)

Key = tuple[str, str]


class _Read(NamedTuple):
    """The items there are of the keys that were asked for."""

    asked: frozenset[Key]
    items: Mapping[Key, UserItem]
    at: float


class Wishes:
    """What is kept of a batch's readers."""

    def __init__(self, channel: Channel, batch: Iterable[Message]) -> None:
        """Take note of whom a ``batch`` is for; nothing is read yet."""
        self._channel = channel
        self._ahead = [
            _keys(message, channel, address)
            for message in batch
            for address in message.targets.get(channel, ())
        ]
        self._read: _Read | None = None

    def against(self, message: Message, address: str) -> str | None:
        """Return why a message is not to be sent any more, or None; raises PynamoDBException."""
        keys = _keys(message, self._channel, address)
        if keys in self._ahead:
            del self._ahead[: self._ahead.index(keys) + 1]
        items = self._items(keys)
        if any(isinstance(item, Suppression) or _is_retired(item, address) for item in items):
            return SUPPRESSED
        if message.user_id is None:
            return None
        if not any(isinstance(item, Profile) for item in items):
            return "user-gone"
        if message.mandatory:
            return None
        return recipient_of(items, message.user_id).refusal(self._channel, message.category)

    def forget(self) -> None:
        """Read anew the next time: something was changed here."""
        self._read = None

    def _items(self, keys: Sequence[Key]) -> list[UserItem]:
        read = self._read
        if not keys:
            return []
        if read is None or not read.asked.issuperset(keys) or _is_old(read):
            wanted = frozenset(key for each in (keys, *self._ahead) for key in each)
            found = {(item.key, item.part): item for item in UserItem.batch_get(sorted(wanted))}
            read = self._read = _Read(wanted, found, time.time())
        return [read.items[key] for key in keys if key in read.items]


def _keys(message: Message, channel: Channel, address: str) -> list[Key]:
    keys = []
    if message.user_id is not None:
        key = tenant_key(message.tenant, message.user_id)
        keys = [(key, PROFILE), (key, PREFERENCES)]
        if channel is Channel.PUSH:
            keys.append((key, device_part(token_digest(address))))
    if channel in SUPPRESSIBLE:
        keys.append((suppression_key(message.tenant, channel.value, address), SUPPRESSION))
    return keys


def _is_old(read: _Read) -> bool:
    return time.time() - read.at >= FRESH_SECONDS


def _is_retired(item: UserItem, token: str) -> bool:
    return isinstance(item, PushDevice) and item.fcm_token == token and not item.is_active
