"""A broadcast on its way: callers, API Gateway, intake, SNS and SQS, workers, providers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import simpy

from .engine import Meter, Station, Steps

HERE = Path(__file__).parent
PROVIDERS = {"email": "ses", "sms": "twilio", "push": "fcm", "inapp": None}
GRAIN = 100
"""Notifications that are simulated as one."""
UNLIMITED = 1e12

Json = dict[str, Any]


def limits() -> Json:
    """Return the limits, with where each was read and when."""
    return dict(json.loads((HERE / "limits.json").read_text()))


def work() -> Json:
    """Return what one notification takes."""
    return dict(json.loads((HERE / "work.json").read_text()))


@dataclass(frozen=True)
class Plan:
    """A broadcast: how many, by which channel, by batches or one by one, within which limits."""

    count: int
    channel: str
    mode: str
    values: Mapping[str, float]
    work: Json


@dataclass
class Outcome:
    """How it went: seconds until all was accepted and until all had gone.

    ``needed`` is how long each limit alone would have made it take: the longest is the bottleneck.
    """

    accepted: float = 0.0
    gone: float = 0.0
    needed: dict[str, float] = field(default_factory=dict)

    @property
    def bottleneck(self) -> str:
        """Return what saturates."""
        return max(self.needed, key=lambda name: self.needed[name])


def run(plan: Plan) -> Outcome:
    """Simulate a broadcast."""
    env = simpy.Environment()
    path = _Path(env, plan)
    env.process(path.send())
    env.run(until=path.done)
    outcome = path.outcome
    outcome.needed = path.needed()
    return outcome


class _Path:
    """The stations and meters of one broadcast."""

    def __init__(self, env: simpy.Environment, plan: Plan) -> None:
        self.env, self.plan, self.outcome = env, plan, Outcome()
        self.done = env.event()
        self.left = -(-plan.count // GRAIN)
        values, self.per = plan.values, plan.work[plan.mode]
        self.provider = PROVIDERS[plan.channel]
        bursts = {name: float(each.get("burst", 0)) for name, each in limits().items()}
        self.meters = {
            name: Meter(env, values[name], bursts[name])
            for name in ("caller", "route", "account", "sns")
        }
        self.meters |= {name: Meter(env, values["table"], doubles=True) for name in TABLES}
        if self.provider:
            self.meters[self.provider] = Meter(env, values[self.provider])
        self.pool = simpy.Resource(env, int(values["concurrency"]))
        init = plan.work["init_ms"] / 1000
        few = min(int(values["concurrency"]), MOST_AT_ONCE)
        self.intake = Station(
            env, [init + n / values["function_ramp"] for n in range(few)], self._accept, self.pool
        )
        self.workers = Station(env, [init + at for at in mapped(values)], self._deliver, self.pool)

    def send(self) -> Steps:
        """Ask for everything, as fast as may be asked."""
        size = self.plan.work["batch_size"] if self.plan.mode == "batch" else 1
        for _ in range(self.left):
            yield self.meters["caller"].take(GRAIN)
            yield self.meters["route"].take(GRAIN / size) & self.meters["account"].take(
                GRAIN / size
            )
            yield self.intake.queue.put(GRAIN)

    def _accept(self, count: int) -> Steps:
        yield self.intake.spend(count * self.per["ms"] / 1000)
        yield (
            self.meters["notifications"].take(count * self.per["table_units"])
            & self.meters["sns"].take(count * self.per["publishes"])
        )
        self.outcome.accepted = self.env.now
        yield self.workers.queue.put(count)

    def _deliver(self, count: int) -> Steps:
        worker = self.plan.work["worker"]
        provider = self.plan.work["provider_ms"].get(self.provider, 0)
        batches = count / self.plan.work["queue_batch"]
        taken = count * (worker["ms"] + provider) + batches * worker["batch_ms"]
        yield self.workers.spend(taken / 1000)
        waits = self.meters["deliveries"].take(count * worker["table_units"])
        yield waits & self.meters[self.provider].take(count) if self.provider else waits
        self.left -= 1
        self.outcome.gone = self.env.now
        if not self.left:
            self.done.succeed()

    def needed(self) -> dict[str, float]:
        """Return how long each limit alone would make it take."""
        each = {name: meter.needed() for name, meter in self.meters.items()}
        tables = max(each.pop(name) for name in TABLES)
        values = self.plan.values
        workers = min(("bulk", "mapping", "concurrency"), key=lambda name: values[name])
        found = each | {"table": tables, "concurrency": self.intake.needed()}
        busy = (self.intake.busy + self.workers.busy) / values["concurrency"]
        found["concurrency"] = max(found["concurrency"], busy)
        return found | {workers: max(found.get(workers, 0.0), self.workers.needed())}


TABLES = ("notifications", "deliveries")
MOST_AT_ONCE = 1000
"""Requests that callers of a broadcast have under way at once."""


def mapped(values: Mapping[str, float]) -> list[float]:
    """Return when each process of a queue's mapping begins."""
    most = int(min(values["mapping"], values["bulk"], values["concurrency"]))
    start, ramp = values["mapping_start"], values["mapping_ramp"]
    return [max(0.0, (number - start) / ramp) for number in range(most)]
