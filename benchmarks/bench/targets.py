"""What the product sets out to do, and whether a measurement met it.

The same numbers are alarms on AWS (infra/alarms.yaml, infra/channel.yaml).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Found = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """A number to stay under, or to reach. ``measured`` reads it off the bench's figures."""

    name: str
    number: float
    unit: str
    at_most: bool
    alarm: str
    measured: Callable[[Found], float | None]

    def judge(self, found: Found) -> Json:
        """Return what was measured and whether that is met; nothing measured is not met."""
        value = self.measured(found)
        met = value is not None and (value < self.number if self.at_most else value >= self.number)
        return {"target": self.number, "unit": self.unit, "measured": value, "met": met}


def _answer(found: Found) -> float | None:
    """Milliseconds that 99 of 100 requests took at most, one after the other, all warm."""
    p99: float | None = found["post_ms"]["1"].get("p99")
    return p99


def _per_minute(found: Found) -> float:
    per_second: float = found["delivered_per_s"]
    return round(per_second * 60, 1)


def _success(found: Found) -> float:
    """Percent of all notifications, of every pass, that arrived."""
    posts: int = found["posts"]
    missing: int = found["outcome"]["refused"] + found["outcome"]["lost"]
    return round(100 * (posts - missing) / posts, 3)


TARGETS = (
    Target("answer to a notification, warm, p99", 100, "ms", True, "IntakeLatencyAlarm", _answer),
    Target("delivered", 1000, "per minute", False, "ThroughputAlarm", _per_minute),
    Target("delivery success", 99.5, "%", False, "SuccessAlarm", _success),
)


def judge(found: Found) -> dict[str, Json]:
    """Return each target, by name, with what was measured."""
    return {target.name: target.judge(found) for target in TARGETS}
