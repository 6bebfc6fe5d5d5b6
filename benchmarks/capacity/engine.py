"""What work waits for: rates (meters), and processes that are started by and by (stations)."""

from collections.abc import Callable, Generator
from typing import Any

import simpy

Steps = Generator[simpy.Event, Any, None]
DOUBLING = 1800.0
"""Seconds within which DynamoDB takes no more than twice what it has taken before."""


class Meter:
    """A rate per second that nobody exceeds for longer than ``burst`` allows: a token bucket."""

    def __init__(
        self, env: simpy.Environment, rate: float, burst: float = 0.0, *, doubles: bool = False
    ) -> None:
        self.env, self.rate, self.burst, self.doubles = env, rate, burst, doubles
        self.taken, self.last, self._free = 0.0, 0.0, -burst / rate
        self.first: float | None = None

    def rate_now(self) -> float:
        """Return the rate as it is by now."""
        return self.rate * 2 ** (self.env.now // DOUBLING) if self.doubles else self.rate

    def take(self, count: float) -> simpy.Timeout:
        """Return the wait for ``count``; they are done at the rate's pace after those before."""
        rate = self.rate_now()
        if self.first is None:
            self.first = self.env.now
        self._free = max(self._free, self.env.now - self.burst / rate) + count / rate
        self.taken += count
        self.last = max(self.env.now, self._free)
        return self.env.timeout(max(0.0, self._free - self.env.now))

    def needed(self) -> float:
        """Return the seconds that what was taken needs at the rate, were there nothing else."""
        if self.first is None or self.last <= self.first:
            return 0.0
        allowed = self._allowed(self.first, self.last)
        return (self.last - self.first) * min(1.0, self.taken / allowed)

    def _allowed(self, begin: float, end: float) -> float:
        if not self.doubles:
            return self.rate * (end - begin) + self.burst
        total, at = self.burst, begin
        while at < end:
            until = min(end, (at // DOUBLING + 1) * DOUBLING)
            total += self.rate * 2 ** (at // DOUBLING) * (until - at)
            at = until
        return total


class Station:
    """Processes that take jobs from a queue, one each; ``starts`` says when each of them is there.

    ``pool`` is what all stations share. A job's time on meters keeps a process, but is none of its
    own work.
    """

    def __init__(
        self,
        env: simpy.Environment,
        starts: list[float],
        work: Callable[[Any], Steps],
        pool: simpy.Resource | None = None,
    ) -> None:
        self.env, self.starts, self.pool = env, starts, pool
        self.queue = simpy.Store(env)
        self.busy, self.last = 0.0, 0.0
        self.first: float | None = None
        self._work = work
        for start in starts:
            env.process(self._serve(start))

    def _serve(self, start: float) -> Steps:
        yield self.env.timeout(start)
        while True:
            job = yield self.queue.get()
            if self.first is None:
                self.first = self.env.now
            if self.pool is None:
                yield from self._work(job)
            else:
                with self.pool.request() as place:
                    yield place
                    yield from self._work(job)
            self.last = self.env.now

    def spend(self, seconds: float) -> simpy.Timeout:
        """Return the time that a process works."""
        self.busy += seconds
        return self.env.timeout(seconds)

    def needed(self) -> float:
        """Return the seconds that its work needs of the processes there were."""
        if self.first is None or self.last <= self.first:
            return 0.0
        there = sum(max(0.0, self.last - max(start, self.first)) for start in self.starts)
        return (self.last - self.first) * min(1.0, self.busy / there)
