"""A circuit breaker per provider, which all workers share.

While it is open no request goes to the provider and no delivery spends an attempt. When it has
been open long enough one worker, whoever wins one conditional update, makes one request: that
closes it, or keeps it open for longer (M. Nygard, "Release It!", 2nd ed., "Circuit Breaker").

Opening costs one write, an open breaker none, a closed one nothing at all.
"""

import time
from dataclasses import dataclass
from functools import cache

from carillon import controls, metrics
from carillon.errors import Failure, ProviderError
from carillon.log import logger
from carillon.models import now, timestamp
from carillon.storage import create
from carillon.tables import CONTROLS, Control

TRIPS_AFTER = 5
"""Failures without a success between them, in one process, that open it ..."""
LASTING = 10.0
"""... or two of them this many seconds apart: where little is sent, five take too long."""
OPEN_SECONDS = 15
MOST_OPEN_SECONDS = 300
PROBE_SECONDS = 60
"""A probe that has not reported by then has died with its worker."""
_SICK = frozenset({Failure.RETRY, Failure.UNKNOWN, Failure.THROTTLE, Failure.CONFIG})


@dataclass(slots=True)
class _Streak:
    """Failures in a row, and when the first of them was (epoch seconds)."""

    count: int = 0
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Gate:
    """One breaker: closed, open for ``wait`` more seconds, or with a probe ``due``."""

    part: str
    wait: float = 0.0
    due: Control | None = None
    since: int = 0  # when the probe was due, by which it is taken once

    def enter(self) -> bool:
        """Take the probe where one is due; False when another worker was quicker."""
        return self.due is None or _take_probe(self.due, self.since)


@dataclass(frozen=True, slots=True)
class Way:
    """The way through a provider: its own breaker and, of a device, that of its platform."""

    provider: str
    gates: tuple[Gate, ...]

    @property
    def wait(self) -> float:
        """The seconds until a request may be made."""
        return max(gate.wait for gate in self.gates)

    @property
    def probing(self) -> bool:
        """Whether the request is a probe."""
        return any(gate.due for gate in self.gates)

    def enter(self) -> bool:
        """Take the probes that are due; False when another worker was quicker."""
        return all(gate.enter() for gate in self.gates)

    def succeeded(self) -> None:
        """Note that the provider took a message."""
        for gate in self.gates:
            _succeeded(gate)

    def failed(self, error: ProviderError) -> None:
        """Note a failed request: against the platform alone, if that is what it is about."""
        whole, *platform = self.gates
        if error.failure not in _SICK:
            self.succeeded()
        elif not error.platform_only:
            _failed(whole, error)
        else:
            _succeeded(whole)
            for gate in platform:
                _failed(gate, error)


def way(provider: str, platform: str | None = None) -> Way:
    """Return the way through a provider to a device of a platform."""
    parts = [provider, *([f"{provider}/{platform}"] if platform else [])]
    return Way(provider, tuple(map(_gate, parts)))


def _gate(part: str) -> Gate:
    item = controls.known().breaker(part)
    if item is None:
        return Gate(part)
    # Whoever meets it tells: nobody has to ask for it.
    metrics.gauge("breaker_open", 1, provider=part)
    since = int(item.probe_at or 0)
    wait = since - time.time()
    return Gate(part, wait=wait) if wait > 0 else Gate(part, due=item, since=since)


def _succeeded(gate: Gate) -> None:
    _streaks().pop(gate.part, None)
    if gate.due:
        gate.due.delete()
        controls.forget()
        metrics.gauge("breaker_open", 0, provider=gate.part)
        logger().warning("breaker closed", extra={"provider": gate.part})


def _failed(gate: Gate, error: ProviderError) -> None:
    """Open the breaker when that was one too many, or keep it open after a probe."""
    if gate.due:
        _reopen(gate.due, error)
        return
    streak = _streaks().setdefault(gate.part, _Streak(since=time.time()))
    streak.count += 1
    lasting = streak.count > 1 and time.time() - streak.since >= LASTING
    if error.failure is Failure.CONFIG or streak.count >= TRIPS_AFTER or lasting:
        _streaks().pop(gate.part)
        _open(gate.part, error)


def _open(part: str, error: ProviderError) -> None:
    item = Control(
        CONTROLS,
        controls.breaker_name(part),
        reason=f"{error.failure}: {error.code}"[:256],
        opened_at=timestamp(now()),
        probe_at=int(time.time() + _patience(0, error)),
        failures=0,
    )
    # Another worker may have opened it in the same moment; then its time counts.
    if create(item):
        told = {"provider": part, "reason": item.reason, "alarm": "breaker"}
        logger().error("breaker opened", extra=told)
        metrics.count("breaker_opened_total")
    metrics.gauge("breaker_open", 1, provider=part)
    controls.forget()


def _reopen(item: Control, error: ProviderError) -> None:
    failures = int(item.failures or 0) + 1
    item.amend(
        [
            Control.failures.set(failures),
            Control.reason.set(f"{error.failure}: {error.code}"[:256]),
            Control.probe_at.set(int(time.time() + _patience(failures, error))),
        ],
        Control.probe_at == item.probe_at,
    )
    metrics.count("breaker_opened_total")
    controls.forget()


def _patience(failures: int, error: ProviderError) -> float:
    """Return seconds to stay open: twice as long each time, and as long as the provider asks."""
    doubled = min(OPEN_SECONDS * 2.0 ** min(failures, 10), MOST_OPEN_SECONDS)
    return max(doubled, min(error.retry_after or 0.0, MOST_OPEN_SECONDS))


def _take_probe(item: Control, since: int) -> bool:
    probe_at = int(time.time()) + PROBE_SECONDS
    taken = item.amend([Control.probe_at.set(probe_at)], Control.probe_at == since)
    if taken:
        item.probe_at = probe_at
    else:
        controls.forget()
    return taken


@cache
def _streaks() -> dict[str, _Streak]:
    return {}
