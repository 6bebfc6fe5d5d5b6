"""What is set out for the comparison, as ratios of one run, and whether it was met."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

CONTENDERS = {
    "single": "ours, single sends",
    "peer": "the reference peer",
    "batch": "ours, by batch",
}

Json = dict[str, Any]
Found = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ratio:
    """Two figures of one run, and how they should stand to each other."""

    name: str
    number: float
    at_most: bool
    ours: Callable[[Found], float]
    theirs: Callable[[Found], float]
    unit: str

    def judge(self, found: Found) -> Json:
        """Return the figures, their ratio, and whether the target is met."""
        ours, theirs = self.ours(found), self.theirs(found)
        ratio = round(ours / theirs, 3) if theirs else None
        met = ratio is not None and (ratio <= self.number if self.at_most else ratio >= self.number)
        return {
            "name": self.name,
            "ours": ours,
            "against": theirs,
            "unit": self.unit,
            "ratio": ratio,
            "target": f"{'at most' if self.at_most else 'at least'} {self.number:g} times",
            "met": met,
        }


def _cpu(contender: str) -> Callable[[Found], float]:
    def read(found: Found) -> float:
        return float(found["contenders"][contender]["median"]["cpu_s_per_1000"]["own"])

    return read


def _rate(contender: str) -> Callable[[Found], float]:
    def read(found: Found) -> float:
        return float(found["contenders"][contender]["median"]["delivered_per_s"])

    return read


def _p99(contender: str) -> Callable[[Found], float]:
    def read(found: Found) -> float:
        posts = found["contenders"][contender]["median"]["post_ms"]
        return float(posts[str(found["concurrency"])]["p99"])

    return read


def _floor(found: Found) -> float:
    return float(found["floor"]["cpu_s_per_1000"]["together"])


def _by_themselves(found: Found) -> float:
    functions = found["inside"]["functions"].values()
    return round(sum(float(each["cpu_ms"]) for each in functions), 3)


def _floor_of_both(found: Found) -> float:
    told = found["floor"]["cpu_s_per_1000"]
    parts = ("calls of intake", "calls of worker", "bare handlers")
    return round(sum(float(told[part]) for part in parts), 3)


CPU, RATE = "CPU s per 1,000", "per second"
THIRD = round(1 / 3, 3)
_SINGLE, _BATCH, _PEER = _cpu("single"), _cpu("batch"), _cpu("peer")
RATIOS = (
    Ratio("CPU of single sends against the floor", 1.25, True, _SINGLE, _floor, CPU),
    Ratio(
        "CPU of handlers alone against the floor", 1.25, True, _by_themselves, _floor_of_both, CPU
    ),
    Ratio("CPU of single sends against the peer", 1.0, True, _SINGLE, _PEER, CPU),
    Ratio("CPU by batch against the peer", THIRD, True, _BATCH, _PEER, CPU),
    Ratio("end to end by batch against the peer", 1.0, False, _rate("batch"), _rate("peer"), RATE),
    Ratio("POST p99 against the peer", 1.0, True, _p99("single"), _p99("peer"), "ms"),
)
"""Handlers alone are intake and worker without Lambda, one after the other, as the floor is.

The rate of single sends has no target: it is as close as the emulator lets it be.
"""


def judge(found: Found) -> list[Json]:
    """Return every target with what was measured."""
    return [ratio.judge(found) for ratio in RATIOS]
