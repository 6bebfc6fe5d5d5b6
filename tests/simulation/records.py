"""What an oracle keeps: notifications, deliveries, claims; and what must hold of them."""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from simulation.wire import Request

JSON = dict[str, Any]
MISSED = frozenset({"failed", "suppressed"})
"""Ends after which the next channel takes its turn."""
FINAL = frozenset(
    {"sent", "delivered", "failed", "unknown", "suppressed", "skipped", "expired", "cancelled"}
)
ENDED = FINAL | {"dead_lettered"}
ADVANCES = {
    None: {"sending", "dead_lettered", *FINAL},
    "sending": {"sending", "retrying", "dead_lettered", *FINAL},
    "retrying": {"sending", "dead_lettered", *FINAL},
    # An operator sends it again, or puts it away.
    "dead_lettered": {"retrying", *FINAL},
    "sent": {"delivered", "failed"},
    "unknown": {"sent", "delivered", "failed"},
    # A late success is a fact.
    "failed": {"sent"},
    "expired": {"sent"},
    "cancelled": {"sent"},
    "suppressed": {"sent"},
    "delivered": set(),
}
"""What a state may become."""


CALL_SECONDS = 15.0
"""What one request to a provider may take, its time-out of ten seconds and the record of it."""
INVARIANTS = (
    "nothing-is-lost",
    "every-delivery-ends",
    "dead-letters-have-a-reason",
    "callers-are-served",
    "accepted-is-recorded",
    "accepted-is-listed",
    "one-key-one-notification",
    "states-advance",
    "claims-are-owned",
    "leases-outlive-their-holders",
    "no-call-without-time",
    "one-call-per-claim",
    "repeat-only-unrecorded",
    "at-most-once-is-kept",
    "duplicates-are-shown",
    "sent-means-accepted",
    "sent-means-recorded",
    "failed-means-not-sent",
    "in-app-exactly-once",
    "suppressed-is-not-called",
    "expiry-is-honoured",
    "attempts-are-bounded",
    "throttling-spends-nothing",
    "retry-after-is-honoured",
    "turns-are-kept",
    "poison-is-parked",
    "the-api-tells-the-truth",
)


@dataclass
class Claim:
    """One worker's right to one call."""

    owner: str
    task: Any
    at: float
    lease_until: float = 0.0  # epoch seconds
    known_at: float | None = None  # when its holder heard that it has it
    calls: list[Request] = field(default_factory=list)
    recorded: str | None = None  # the state that its holder wrote
    recorded_at: float = 0.0
    failure: str | None = None

    @property
    def is_free(self) -> bool:
        """Tell whether it was given back without spending an attempt.

        What its provider said decides; the product's own word counts only where none was asked.
        """
        if self.calls:
            return self.recorded == "retrying" and all(each.told == "free" for each in self.calls)
        return self.recorded == "retrying" and self.failure in ("throttle", "config")


@dataclass(frozen=True, slots=True)
class Ban:
    """Since when nothing is to be sent to an address: of a ``dead`` one, what is mandatory too."""

    since: float
    dead: bool = False


@dataclass
class Track:
    """All that happened to one delivery."""

    channel: str
    claims: list[Claim] = field(default_factory=list)
    calls: list[Request] = field(default_factory=list)
    state: str | None = None
    item: JSON = field(default_factory=dict)
    reported: bool = False
    redriven: int = 0  # claims before an operator sent it again


@dataclass
class Recorded:
    """A notification as the store has it."""

    notification_id: str
    mark: str
    targets: list[str]
    message: JSON
    accepted: str

    @property
    def client_id(self) -> str:
        """Whose it is."""
        return str(self.message["client_id"])

    @property
    def in_turn(self) -> bool:
        """Whether its channels take turns."""
        return bool(self.message.get("fallback_after"))

    def rows(self) -> list[list[str]]:
        """Return its deliveries, by channel, in the channels' order."""
        named = [each.partition("#")[0] for each in self.targets]
        channels = dict.fromkeys(named)
        return [
            [target for target, of in zip(self.targets, named, strict=True) if of == channel]
            for channel in channels
        ]

    @property
    def expires_at(self) -> float | None:
        """When it is too late to send it, in epoch seconds."""
        text = self.message.get("expires_at")
        return dt.datetime.fromisoformat(text).timestamp() if text else None

    @property
    def at_most_once(self) -> bool:
        """Whether a repeat is worse than none."""
        return bool(self.message.get("at_most_once"))


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not happen, did."""

    invariant: str
    mark: str
    what: str
