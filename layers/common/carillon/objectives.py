"""Whether what was aimed at is met: delivery success, the time of an answer, and throughput.

Measured over all clients' deliveries in windows that end now, from the periods that the streams'
counting and the API's functions add to (carillon/counters.py, docs/adr/0017-objectives.md).
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from carillon.counters import COARSE, FINE, Period, percentile, periods
from carillon.metrics import ANSWER_MS, BUCKETS
from carillon.models import Shape, timestamp

SUCCESS = 0.995
"""The share of deliveries that arrive, of those that end as sent, delivered or missed."""
ANSWERED = 0.99
"""The share of accepted notifications that are answered within ANSWER_MS: its p99."""
PER_MINUTE = 1000

WindowName = Literal["1h", "24h", "28d"]
WINDOWS: dict[WindowName, timedelta] = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "28d": timedelta(days=28),
}
_FIELDS = ("accepted", "arrived", "missed")
_BUCKETS = (*(f"le_{bound}" for bound in BUCKETS), "more")
_FAST = _BUCKETS[: BUCKETS.index(ANSWER_MS) + 1]


class Objective(Shape):
    """A share of good events that is aimed at, and what there was.

    ``burn_rate`` is how fast the error budget goes: at 1 it lasts as long as the window.
    ``budget_left`` is what the window's budget has left: 1 is all of it, below 0 it is overspent.
    Both, and ``met``, are null when there was no event.
    """

    target: float
    events: int
    bad: int
    measured: float | None
    met: bool | None
    burn_rate: float | None
    budget_left: float | None


class AnswerTime(Objective):
    """Accepted notifications, of which ``target`` are to be answered within ``target_ms``.

    Milliseconds of our function's own time, read off a histogram: right to the bucket.
    """

    target_ms: int
    p50_ms: float | None
    p99_ms: float | None


class Throughput(Shape):
    """Notifications accepted, and deliveries ended, per minute; and in the busiest five minutes.

    In windows longer than an hour the busiest hour is meant. ``met`` is null unless as much as the
    target was asked for.
    """

    target: int
    accepted_per_minute: float
    ended_per_minute: float
    busiest_accepted_per_minute: float
    busiest_ended_per_minute: float
    met: bool | None


class ObjectiveWindow(Shape):
    """What there was from ``since`` on, until now."""

    window: WindowName
    since: str
    deliveries: Objective
    answers: AnswerTime
    throughput: Throughput


class ObjectivesOut(Shape):
    """Each window, the shortest first."""

    at: str
    windows: list[ObjectiveWindow]


def standing(at: datetime) -> ObjectivesOut:
    """Return how each objective stands: two queries, of 52 and of 2,700 small items at most."""
    longest = at - max(WINDOWS.values())
    found = {FINE: list(periods(FINE, at - WINDOWS["1h"])), COARSE: list(periods(COARSE, longest))}
    windows = []
    for name, span in WINDOWS.items():
        length = FINE if span <= COARSE else COARSE
        since = Period.start(at - span, length)
        within = [each for each in found[length] if each.slot >= since.strftime("%Y-%m-%dT%H:%M")]
        windows.append(_window(name, since, at, length, within))
    return ObjectivesOut(at=timestamp(at), windows=windows)


def _window(
    name: WindowName, since: datetime, at: datetime, length: timedelta, found: list[Period]
) -> ObjectiveWindow:
    sums = _sums(found, (*_FIELDS, *_BUCKETS))
    # A delivery may be counted as missed only once it has been taken from what arrived.
    arrived, missed = max(0, sums["arrived"]), max(0, sums["missed"])
    return ObjectiveWindow(
        window=name,
        since=timestamp(since),
        deliveries=Objective.model_validate(_judged(SUCCESS, arrived + missed, missed)),
        answers=_answers(sums),
        throughput=_throughput(found, length, (at - since).total_seconds() / 60),
    )


def _sums(found: Iterable[Period], fields: Iterable[str]) -> dict[str, int]:
    each = list(found)
    return {name: sum(int(getattr(one, name)) for one in each) for name in fields}


def _judged(target: float, events: int, bad: int) -> dict[str, float | int | bool | None]:
    share = bad / events if events else None
    burn = None if share is None else share / (1 - target)
    return {
        "target": target,
        "events": events,
        "bad": bad,
        "measured": None if share is None else round(1 - share, 6),
        "met": None if burn is None else burn <= 1,
        "burn_rate": None if burn is None else round(burn, 3),
        "budget_left": None if burn is None else round(1 - burn, 4),
    }


def _answers(sums: dict[str, int]) -> AnswerTime:
    counts = [sums[name] for name in _BUCKETS]
    events, fast = sum(counts), sum(sums[name] for name in _FAST)
    told = _judged(ANSWERED, events, events - fast)
    times = {
        name: round(percentile(BUCKETS, counts, share), 1) if events else None
        for name, share in (("p50_ms", 0.5), ("p99_ms", ANSWERED))
    }
    return AnswerTime.model_validate(told | times | {"target_ms": ANSWER_MS})


def _throughput(found: list[Period], length: timedelta, minutes: float) -> Throughput:
    by_start: dict[str, list[Period]] = {}
    for each in found:
        by_start.setdefault(each.slot.partition("#")[0], []).append(each)
    of_each = [_sums(together, _FIELDS) for together in by_start.values()]
    busiest_accepted = _busiest([each["accepted"] for each in of_each], length)
    busiest_ended = _busiest([each["arrived"] + each["missed"] for each in of_each], length)
    whole = _sums(found, _FIELDS)
    return Throughput(
        target=PER_MINUTE,
        accepted_per_minute=round(whole["accepted"] / minutes, 1),
        ended_per_minute=round((whole["arrived"] + whole["missed"]) / minutes, 1),
        busiest_accepted_per_minute=busiest_accepted,
        busiest_ended_per_minute=busiest_ended,
        met=busiest_ended >= PER_MINUTE if busiest_accepted >= PER_MINUTE else None,
    )


def _busiest(counts: list[int], length: timedelta) -> float:
    return round(max(counts, default=0) / (length.total_seconds() / 60), 1)
