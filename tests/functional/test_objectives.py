"""GET /ops/slo: what is aimed at, measured over what has happened."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from functional.conftest import ADMIN_CALLER
from functional.test_analytics import accepted, count, moved

from benchmarks.bench.targets import TARGETS
from carillon import counters, metrics, objectives
from carillon.counters import Period, add_to_periods

Json = dict[str, Any]
NOW = datetime(2026, 11, 21, 9, 32, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _clock(cloud):
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def told(ask) -> Callable[[], dict[str, Json]]:
    def told() -> dict[str, Json]:
        reply = ask("GET", "/api/v1/ops/slo", caller=ADMIN_CALLER)
        assert reply.status == 200, reply.body
        return {window["window"]: window for window in reply.data["windows"]}

    return told


def test_g19_what_never_happened_is_neither_met_nor_missed(told) -> None:
    for window in told().values():
        for objective in ("deliveries", "answers"):
            found = window[objective]
            assert (found["events"], found["met"], found["burn_rate"]) == (0, None, None)
        assert window["throughput"]["met"] is None


def test_g19_deliveries_count_in_the_period_they_end_in_once_each(told) -> None:
    ends = [moved("sending", "sent") for _ in range(398)]
    count(*ends, moved("sending", "failed"), moved(None, "unknown"))
    count(*ends)  # the batch comes again
    found = told()
    for window in ("1h", "24h", "28d"):
        assert found[window]["deliveries"] == {
            "target": 0.995,
            "events": 400,
            "bad": 2,
            "measured": 0.995,
            "met": True,
            "burn_rate": 1.0,
            "budget_left": 0.0,
        }


@pytest.mark.parametrize(
    ("moves", "events", "bad"),
    [
        ([("sent", "delivered")], 0, 0),
        ([("sending", "sent"), ("sent", "delivered")], 1, 0),
        ([("sending", "sent"), ("sent", "failed")], 1, 1),
        ([("sending", "unknown"), ("unknown", "delivered")], 1, 0),
        ([("retrying", "dead_lettered")], 1, 1),
        ([("retrying", "dead_lettered"), ("dead_lettered", "retrying")], 0, 0),
        ([("retrying", "dead_lettered"), ("dead_lettered", "sent")], 1, 0),
        ([(None, "suppressed"), ("retrying", "expired"), (None, "cancelled")], 0, 0),
    ],
)
def test_g19_a_delivery_that_is_settled_otherwise_is_moved(told, moves, events, bad) -> None:
    for before, after in moves:
        count(moved(before, after))
    found = told()["1h"]["deliveries"]
    assert (found["events"], found["bad"]) == (events, bad)


def test_g19_what_a_test_key_sent_says_nothing(told) -> None:
    count(moved("sending", "sent", provider="test"))
    assert told()["1h"]["deliveries"]["events"] == 0


def test_g19_a_window_ends_now_and_forgets_what_is_older(told) -> None:
    for hours, missed in ((0.5, 1), (3, 10), (30, 100), (24 * 29, 1000)):
        add_to_periods(NOW - timedelta(hours=hours), {"missed": missed})
    bad = {name: window["deliveries"]["bad"] for name, window in told().items()}
    assert bad == {"1h": 1, "24h": 11, "28d": 111}


def test_g19_an_accepted_request_s_time_is_judged_by_the_target(told, send) -> None:
    send()
    for ms in (3, 60, 99, 101):
        metrics.accepted_within(ms / 1000)
    metrics._tally().flush_at = 0
    metrics.end()
    found = told()["1h"]["answers"]
    assert (found["target_ms"], found["target"]) == (100, 0.99)
    assert found["events"] == 5
    assert found["bad"] >= 1
    assert found["met"] is False
    assert 100 < found["p99_ms"] <= 2500


def test_g19_only_what_was_accepted_is_judged(told, send) -> None:
    assert send({"channels": []}).status == 422
    metrics._tally().flush_at = 0
    metrics.end()
    assert told()["1h"]["answers"]["events"] == 0


def test_g19_throughput_is_judged_where_as_much_was_asked_for(told) -> None:
    count(accepted(["email"]))
    assert told()["1h"]["throughput"]["met"] is None
    add_to_periods(NOW, {"accepted": 5000, "arrived": 4999})
    found = told()["1h"]["throughput"]
    assert found["busiest_accepted_per_minute"] == 1000.2
    assert (found["busiest_ended_per_minute"], found["met"]) == (999.8, False)
    add_to_periods(NOW, {"missed": 1})
    assert told()["1h"]["throughput"]["met"] is True


def test_g19_many_may_add_to_one_period(monkeypatch) -> None:
    for spread in range(counters.SPREAD):
        monkeypatch.setattr(counters, "any_of_them", lambda spread=spread: spread)
        add_to_periods(NOW, {"arrived": 2})
    assert len(list(counters.periods(counters.FINE, NOW))) == counters.SPREAD
    window = objectives.standing(NOW).windows[0]
    assert window.deliveries.events == 2 * counters.SPREAD


def test_g19_periods_lapse_when_no_window_reaches_them(cloud) -> None:
    add_to_periods(NOW, {"arrived": 1})
    lives = {
        name: (item.expires_at - NOW.timestamp()) / 3600
        for name in ("deliveries#5m", "deliveries#1h")
        for item in Period.query(name)
    }
    assert lives == {"deliveries#5m": 48, "deliveries#1h": 35 * 24}
    assert lives["deliveries#1h"] > objectives.WINDOWS["28d"].total_seconds() / 3600


def test_g19_the_targets_are_those_of_the_bench_and_the_alarms() -> None:
    live = {
        "IntakeLatencyAlarm": objectives.ANSWER_MS,
        "ThroughputAlarm": objectives.PER_MINUTE,
        "SuccessAlarm": objectives.SUCCESS * 100,
    }
    assert {target.alarm: target.number for target in TARGETS} == live
