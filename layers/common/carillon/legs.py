"""Which channels are to be published when: all at once, or one after another (fallback).

With ``routing: fallback`` a channel's turn ends when every delivery of it has surely not arrived:
failed, suppressed, or not sent in time. What may have arrived (``unknown``) ends the row.
"""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime

from carillon.messages import Message, target_of
from carillon.models import Channel, State, now, timestamp
from carillon.publishing import publish

MISSED = frozenset({State.FAILED, State.SUPPRESSED})
"""The ends after which the next channel takes its turn."""


def first(message: Message) -> set[Channel]:
    """Return the channels to begin with."""
    channels = list(message.targets)
    return set(channels[:1] if message.fallback_after else channels)


def due(message: Message, states: Mapping[str, State]) -> set[Channel]:
    """Return the channels whose turn it is and that no worker has touched; by target's state."""
    untouched = {
        channel: [target for target in targets_of(message, channel) if target not in states]
        for channel in message.targets
    }
    if not message.fallback_after:
        return {channel for channel, targets in untouched.items() if targets}
    for channel, targets in untouched.items():
        if targets:
            return {channel}
        if not missed(states[target] for target in targets_of(message, channel)):
            return set()
    return set()


def targets_of(message: Message, channel: Channel) -> list[str]:
    """Return the names of a channel's deliveries."""
    return [target_of(channel, address) for address in message.targets[channel]]


def missed(states: Iterable[State]) -> bool:
    """Tell whether a channel with these ends has surely not arrived."""
    return set(states) <= MISSED


def following(message: Message, channel: Channel) -> Channel | None:
    """Return the channel whose turn comes after, if they take turns."""
    if not message.fallback_after:
        return None
    row = list(message.targets)
    return next(iter(row[row.index(channel) + 1 :]), None)


def begin(message: Message, channels: set[Channel], body: str | None = None) -> None:
    """Publish to channels whose turn it is; raises PublishError. A claim makes repeats harmless.

    ``body`` is the message as it was recorded.
    """
    if message.fallback_after and channels != first(message):
        message, body = message.model_copy(update={"routed_at": timestamp(now())}), None
    publish(message, channels, body)


def pass_on(message: Message, channel: Channel) -> None:
    """Begin the turn of the channel after this one, if there is one; raises PublishError."""
    after = following(message, channel)
    if after:
        begin(message, {after})


def time_left(message: Message, channel: Channel) -> float | None:
    """Return the seconds that are left of the channel's turn; None when it has no end."""
    if following(message, channel) is None:
        return None
    began = datetime.fromisoformat(message.routed_at or message.accepted_at).timestamp()
    return began + (message.fallback_after or 0) - time.time()
