"""Numbers made of measurements."""

import math
import time
from collections.abc import Sequence

LOOPS = 3
_LOOP_LENGTH = 2_000_000


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all values do not exceed."""
    if not values:
        raise ValueError("there are no values")
    rank = max(1, math.ceil(share * len(values)))
    return sorted(values)[rank - 1]


def in_milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Return how many there are, their median, p99 and largest; none of those when none came."""
    if not seconds:
        return {"count": 0}
    return {
        "count": len(seconds),
        "p50": round(percentile(seconds, 0.5) * 1000, 1),
        "p99": round(percentile(seconds, 0.99) * 1000, 1),
        "max": round(max(seconds) * 1000, 1),
    }


def fixed_loop() -> list[float]:
    """Return the seconds that the same work took, several times: what they differ by is noise."""
    return [round(_one_loop(), 4) for _ in range(LOOPS)]


def _one_loop() -> float:
    began = time.perf_counter()
    total = 0
    for number in range(_LOOP_LENGTH):
        total += number & 7
    return time.perf_counter() - began
