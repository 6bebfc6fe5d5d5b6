"""The capacity model against what is known otherwise; its document against its figures."""

import math
import random
import sys
from pathlib import Path

import pytest
import simpy

from benchmarks.capacity import ladder, model
from benchmarks.capacity.engine import DOUBLING, Meter, Station

ROOT = Path(__file__).parents[2]
COUNT = 100_000
CHANNELS = sorted(model.PROVIDERS)


def erlang_c(servers: int, load: float) -> float:
    """Return the chance to wait in M/M/c (Erlang, 1917)."""
    terms = [load**k / math.factorial(k) for k in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(terms) + last)


def queue(servers: int, arrivals: float, service: float, jobs: int) -> tuple[float, float]:
    """Return the mean time in an M/M/c station, and the mean number there."""
    env, spent = simpy.Environment(), []
    chance = random.Random(7)  # noqa: S311 - to be foreseen

    def work(arrived: float):
        yield station.spend(chance.expovariate(1 / service))
        spent.append(env.now - arrived)

    def arrive():
        for _ in range(jobs):
            yield env.timeout(chance.expovariate(arrivals))
            yield station.queue.put(env.now)

    station = Station(env, [0.0] * servers, work)
    env.process(arrive())
    env.run()
    return sum(spent) / jobs, sum(spent) / env.now


@pytest.mark.parametrize(("servers", "arrivals"), [(1, 0.7), (2, 1.6), (10, 8.0)])
def test_a_station_is_as_slow_as_erlang_says(servers, arrivals) -> None:
    mean, there = queue(servers, arrivals, 1.0, 60_000)
    expected = 1.0 + erlang_c(servers, arrivals) / (servers - arrivals)
    assert mean == pytest.approx(expected, rel=0.08)
    assert there == pytest.approx(arrivals * mean, rel=0.03)  # Little's law


def test_a_meter_lets_its_burst_through_and_then_its_rate() -> None:
    env = simpy.Environment()
    meter = Meter(env, 10, burst=5)

    def take():
        for _ in range(105):
            yield meter.take(1)

    env.run(until=env.process(take()))
    assert env.now == pytest.approx(10.0)
    assert meter.needed() == pytest.approx(env.now)


def test_a_table_takes_twice_as_much_after_each_half_hour() -> None:
    env = simpy.Environment()
    meter = Meter(env, 1, doubles=True)

    def take():
        for _ in range(int(DOUBLING * 3)):
            yield meter.take(1)

    env.run(until=env.process(take()))
    assert env.now == pytest.approx(DOUBLING * 2, rel=0.01)


def test_a_mapping_begins_with_five_and_adds_three_hundred_a_minute() -> None:
    values = {"mapping": 1250, "bulk": 1000, "concurrency": 1000}
    values |= {"mapping_start": 5, "mapping_ramp": 5}
    starts = model.mapped(values)
    assert len(starts) == 1000
    assert [sum(start <= at for start in starts) for at in (0, 60, 120)] == [6, 306, 606]


def plan(channel: str, **changed: float) -> model.Plan:
    values = dict.fromkeys(model.limits(), model.UNLIMITED)
    values |= {"concurrency": 1000, "mapping": 1000, "bulk": 1000}
    return model.Plan(COUNT, channel, "batch", values | changed, model.work())


@pytest.mark.parametrize(
    ("limit", "rate", "each"),
    [("caller", 100, 1), ("table", 400, 2), ("ses", 50, 1), ("sns", 80, 1)],
)
def test_one_limit_alone_makes_it_take_as_long_as_it_divides(limit, rate, each) -> None:
    outcome = model.run(plan("email", **{limit: rate}))
    assert outcome.bottleneck == limit
    assert outcome.gone == pytest.approx(COUNT * each / rate, rel=0.1)


def test_too_few_workers_are_found_and_take_what_their_work_amounts_to() -> None:
    outcome = model.run(plan("email", bulk=4))
    work = model.work()
    each = work["worker"]["ms"] + work["provider_ms"]["ses"] + work["worker"]["batch_ms"] / 10
    assert outcome.bottleneck == "bulk"
    assert outcome.gone == pytest.approx(COUNT * each / 1000 / 4, rel=0.1)


@pytest.mark.parametrize("channel", CHANNELS)
def test_what_saturates_is_raised_and_nothing_gets_slower(channel) -> None:
    climbed = ladder.climb(20_000, channel, "batch", model.limits(), model.work())
    steps = climbed["steps"]
    assert [step["limit"] for step in steps[1:]] == [step["bottleneck"] for step in steps[:-1]]
    assert steps[-1]["gone_s"] < steps[0]["gone_s"] / 10


def test_each_limit_says_where_it_was_read_and_when() -> None:
    for each in model.limits().values():
        assert each["source"] == "template.yaml" or each["source"].startswith("https://")
        assert len(each["read"]) == len("2026-11-21")


def test_limits_of_our_own_are_those_of_the_template() -> None:
    template = (ROOT / "template.yaml").read_text()
    limits = model.limits()
    for name, parameter in (("route", "ThrottlingRateLimit"), ("bulk", "BulkConcurrency")):
        told = template.partition(f"\n  {parameter}:\n")[2].partition("Default: ")[2]
        assert limits[name]["value"] == int(told.split()[0])
    told = template.partition("\n  RateLimitPerMinute:\n")[2].partition("Default: ")[2]
    assert limits["caller"]["value"] == pytest.approx(int(told.split()[0]) / 60, rel=0.001)


def test_the_document_is_what_the_simulation_found(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import capacity  # noqa: PLC0415 - of that folder

    monkeypatch.delitem(sys.modules, "capacity")
    assert (ROOT / "docs/capacity.md").read_text() == capacity.page()
    assert (ROOT / "docs/capacity.svg").read_text() == capacity.plot()
