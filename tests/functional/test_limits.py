"""Requests per minute: counted, told in headers, refused, never granted twice."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cloudformation import ROOT
from functional.conftest import APPLICATION_CALLER
from pynamodb.exceptions import UpdateError

from carillon import limits
from carillon.errors import Problem
from carillon.identity import Caller, Scope
from carillon.settings import settings

Json = dict[str, Any]
READ = "/api/v1/users/ada"
POLICY = '"per-minute";q=100;w=60'


class Clock:
    """A clock that stands until it is moved; at second 12 of a minute at first."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 9, 30, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(limits, "now", clock)
    return clock


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of each lease that was taken from the counter."""
    sizes: list[int] = []
    add = limits.add

    def count(name: str, slot: str, size: int, expires_at: int) -> int:
        sizes.append(size)
        return add(name, slot, size, expires_at)

    monkeypatch.setattr(limits, "add", count)
    return sizes


def windows(cloud: Any) -> list[Json]:
    """The counters of requests per minute."""
    return [
        item for item in cloud.items("CountersTable") if item["name"]["S"].startswith("requests#")
    ]


def limited(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setenv("RATE_LIMIT_PER_MINUTE", str(limit))
    settings.cache_clear()


def granted(leases: limits.Leases, tries: int, name: str = "t#c") -> int:
    """How many of so many single requests a process lets through."""

    def one() -> bool:
        try:
            leases.take(name, 1)
        except Problem:
            return False
        return True

    return sum(one() for _ in range(tries))


def test_b5_the_101st_request_of_a_minute_is_refused_and_the_next_minute_s_is_not(
    api, clock
) -> None:
    assert {api("GET", READ).status for _ in range(100)} == {404}
    refused = api("GET", READ)
    assert (refused.status, refused.body["code"]) == (429, "rate-limited")
    clock.move(47.9)
    assert api("GET", READ).status == 429
    clock.move(0.1)
    assert api("GET", READ).status == 404


def test_b6_every_counted_answer_tells_the_limit_and_what_is_left(api, clock) -> None:
    left = []
    for _ in range(101):
        reply = api("GET", READ)
        assert reply.headers["RateLimit-Policy"] == POLICY
        left.append(reply.headers["RateLimit"])
    assert left == [f'"per-minute";r={max(0, 99 - n)};t=48' for n in range(101)]
    assert reply.headers["Retry-After"] == "48"
    assert reply.headers["Content-Type"] == "application/problem+json"
    clock.move(47.5)
    assert api("GET", READ).headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("method", "body", "headers", "status"),
    [
        ("PUT", {}, {}, 201),
        ("PUT", {"nonsense": 1}, {}, 422),
        ("PUT", {}, {"Content_Type": "text/plain"}, 415),
        ("PATCH", {}, {}, 404),
    ],
)
def test_b6_an_answer_of_any_status_is_counted(api, method, body, headers, status) -> None:
    reply = api(method, READ, body, **headers)
    assert (reply.status, reply.headers["RateLimit"]) == (status, '"per-minute";r=99;t=48')


@pytest.mark.parametrize("path", ["/health", "/api/v1/health", "/openapi.json"])
def test_b6_an_open_route_is_not_counted(api, cloud, path) -> None:
    assert "RateLimit" not in api("GET", path, caller=None).headers
    assert not windows(cloud)


def test_b5_callers_are_counted_each_by_themselves(api) -> None:
    for _ in range(100):
        api("GET", READ)
    assert api("GET", READ).status == 429
    for other in (
        {"client_id": "another"},
        {"tenant": "another"},
        {"client_id": "user:ada", "user_id": "ada", "scope": "self"},
    ):
        reply = api("GET", READ, caller=APPLICATION_CALLER | other)
        assert (reply.status, reply.headers["RateLimit"]) == (404, '"per-minute";r=99;t=48')


@pytest.mark.parametrize("limit", [1, 7, 20, 100])
def test_b5_processes_together_never_exceed_the_limit(cloud, monkeypatch, limit) -> None:
    limited(monkeypatch, limit)
    processes = [limits.Leases() for _ in range(2)]
    got = sum(granted(process, 3) for _ in range(limit // 3 + 1) for process in processes)
    assert got == limit


@pytest.mark.parametrize("processes", [1, 20, 100])
def test_b5_a_burst_over_many_processes_is_not_refused_early(cloud, processes) -> None:
    """Each request may start a process of its own: none leases what it may never spend."""
    assert sum(granted(limits.Leases(), 1) for _ in range(processes)) == processes


@pytest.mark.parametrize("processes", [1, 2, 5, 20, 50])
@pytest.mark.parametrize("each", [1, 2, 3, 7])
def test_b5_at_least_half_of_the_limit_is_granted(cloud, processes, each) -> None:
    serving = [limits.Leases() for _ in range(processes)]
    rounds = 200 // (processes * each) + 1
    got = sum(granted(process, each) for _ in range(rounds) for process in serving)
    assert 50 <= got <= 100


def test_b5_a_warm_process_counts_by_leases_and_a_refused_caller_costs_nothing(
    api, counted
) -> None:
    for _ in range(120):
        api("GET", READ)
    assert counted == [1, 1, 2, 4, *[5] * 9, *[1] * 47]


def test_b5_a_limit_of_zero_is_none(api, cloud, monkeypatch) -> None:
    limited(monkeypatch, 0)
    for _ in range(101):
        reply = api("GET", READ)
    assert reply.status == 404
    assert "RateLimit" not in reply.headers
    assert not windows(cloud)


def test_b5_a_request_is_let_through_while_the_table_is_away(api, monkeypatch, clock) -> None:
    tries: list[str] = []

    def away(*_: Any) -> int:
        tries.append("")
        raise UpdateError("away")

    with monkeypatch.context() as patched:
        patched.setattr(limits, "add", away)
        replies = [api("GET", READ) for _ in range(3)]
    assert {reply.status for reply in replies} == {404}
    assert "RateLimit" not in replies[0].headers
    assert len(tries) == 1  # and not one time-out each
    clock.move(60)
    assert api("GET", READ).headers["RateLimit"] == '"per-minute";r=99;t=48'


def test_b5_a_batch_takes_as_many_as_it_holds(cloud) -> None:
    caller = Caller("c", "t", frozenset({Scope.SEND}))
    limits.take(caller, 60)
    with pytest.raises(Problem) as refused:
        limits.take(caller, 41)
    assert refused.value.retry_after == 48
    limits.take(caller, 40)
    with pytest.raises(Problem):
        limits.take(caller)


def test_a_window_s_counter_is_deleted_some_time_after(api, cloud, clock) -> None:
    api("GET", READ)
    (item,) = windows(cloud)
    assert clock.now.timestamp() < int(item["expires_at"]["N"]) <= clock.now.timestamp() + 120


def test_b6_the_description_has_a_429_wherever_a_token_is_asked_for() -> None:
    paths = json.loads((ROOT / "functions/api/docs/openapi.json").read_text())["paths"]
    operations = [operation for verbs in paths.values() for operation in verbs.values()]
    asked = [operation for operation in operations if "401" in operation["responses"]]
    assert len(asked) > 20
    assert all("429" in operation["responses"] for operation in asked)
