"""The outbox sweep: what was accepted and does not get on is mended, and nothing is sent twice."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from providers import failing

from carillon import clients, legs, publishing, sweep
from carillon.client_models import ClientRequest
from carillon.delivery import Sent
from carillon.errors import Failure
from carillon.models import State
from carillon.tables import Control, Delivery
from functions.scheduled.sweep import handler

START = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=False) as clock:
        yield clock


@pytest.fixture
def post(ask, prepared, clock) -> Callable[..., Any]:
    """Return a caller of POST /notifications for a registered client."""
    client = clients.register(ClientRequest(service_name="shop"))
    caller = {"client_id": client.client_id, "tenant": "default", "scope": "send read"}

    def post(**change: Any) -> Any:
        body = {"user_id": "ada", "channels": ["email"], "message": "Hello"} | change
        return ask("POST", "/api/v1/notifications", body, caller=caller)

    return post


@pytest.fixture
def run(sample, context) -> Callable[[], dict[str, int]]:
    return lambda: handler.lambda_handler(sample("sweep"), context)


def refuse(*_: Any, **__: Any) -> None:
    raise publishing.PublishError("ThrottledException")


@pytest.fixture
def lost(monkeypatch) -> Callable[[], None]:
    """Publish nothing: SNS takes none. Called, it takes them again."""
    whole = legs.publish
    monkeypatch.setattr(legs, "publish", refuse)
    return lambda: monkeypatch.setattr(legs, "publish", whole)


def empty(prepared, channel: str) -> None:
    """Lose what waits in the queue, as SQS does when its retention is over."""
    for message in prepared.published(channel):
        prepared.sqs.delete_message(
            QueueUrl=prepared.queues[channel], ReceiptHandle=message["ReceiptHandle"]
        )


def test_f11_what_was_accepted_and_never_published_is_published_a_d04(
    post, lost, clock, run, prepared, deliver
) -> None:
    assert post().status == 503
    lost()
    assert run()["mended"] == 0  # it is not two minutes old: its caller may be about to repeat it
    clock.shift(130)
    assert run() == {"looked_at": 1, "mended": 1}
    assert len(deliver("email").calls) == 1
    assert run()["mended"] == 0
    assert not prepared.published("email")


def test_f11_what_is_well_is_looked_at_once_at_each_age_and_left_alone(
    post, clock, run, prepared, deliver
) -> None:
    post()
    deliver("email")
    looks = 0
    for age in sweep.AGES:
        clock.move_to(datetime(2026, 11, 21, 12, 0, 5, tzinfo=UTC) + age)
        looks += run()["looked_at"]
        assert run() == {"looked_at": 0, "mended": 0}
    assert looks == len(sweep.AGES)
    assert not prepared.published("email")


def test_f11_what_came_late_to_the_lists_is_looked_at_though_its_age_has_passed_a_d04(
    post, lost, clock, run, prepared, deliver
) -> None:
    prepared.standstill = True
    assert post().status == 503
    lost()
    for minutes in (3, 20):
        clock.shift(timedelta(minutes=minutes))
        assert run() == {"looked_at": 0, "mended": 0}
    prepared.standstill = False
    prepared.listed()
    assert run() == {"looked_at": 1, "mended": 1}
    assert len(deliver("email").calls) == 1
    assert run() == {"looked_at": 0, "mended": 0}


def test_f11_what_came_late_waits_for_a_run_that_can_mend_it(
    post, lost, clock, run, prepared, context
) -> None:
    prepared.standstill = True
    post()
    lost()
    clock.shift(130)
    run()
    prepared.standstill = False
    prepared.listed()
    context.remaining_ms = 1000
    assert run()["mended"] == 0
    context.remaining_ms = 60_000
    assert run()["mended"] == 1


def test_f11_only_the_channel_that_nobody_touched_is_published(
    post, clock, run, prepared, deliver
) -> None:
    post(channels=["email", "sms"])
    deliver("email")
    empty(prepared, "email")
    empty(prepared, "sms")
    clock.shift(130)
    run()
    assert not prepared.published("email")
    assert prepared.published("sms")


def test_f11_sns_that_takes_nothing_is_asked_once_a_run_and_nothing_is_lost_a_d08(
    post, lost, clock, run, deliver, monkeypatch
) -> None:
    for _ in range(3):
        post()
    asked: list[Any] = []
    monkeypatch.setattr(legs, "publish", lambda *told: asked.append(told) or refuse())
    clock.shift(130)
    for minute in range(1, 4):
        run()
        assert len(asked) == minute
        clock.shift(60)
    lost()
    assert run()["mended"] == 3
    assert len(deliver("email").calls) == 3


def test_f11_a_worker_s_death_whose_message_is_lost_is_found(
    post, clock, run, prepared, deliver
) -> None:
    post()
    deliver("email", failing(Failure.UNKNOWN))
    (delivery,) = Delivery.scan()
    delivery.update(
        actions=[Delivery.state.set(State.SENDING), Delivery.lease_until.set(int(time.time()))]
    )
    clock.shift(1000)
    empty(prepared, "email")
    clock.shift(7400)
    assert run()["mended"] == 1
    assert len(deliver("email", lambda _: Sent("ses", "1")).calls) == 1


def test_f11_what_is_open_after_all_becomes_a_dead_letter(post, clock, run, prepared) -> None:
    post()
    empty(prepared, "email")
    clock.shift(timedelta(days=5, minutes=1))
    assert run()["mended"] >= 1
    (dead,) = prepared.parked("email")
    assert "stuck" in dead["MessageAttributes"]["reason"]["StringValue"]


def test_f11_a_long_queue_is_left_alone(post, clock, run, prepared, monkeypatch) -> None:
    monkeypatch.setattr(sweep, "BACKLOG", 3)
    for _ in range(4):
        post()
    clock.shift(130)
    assert run() == {"looked_at": 4, "mended": 0}


def test_f11_a_run_is_bounded_and_the_next_one_goes_on(
    post, lost, clock, run, prepared, monkeypatch, deliver
) -> None:
    monkeypatch.setattr(sweep, "MOST", 2)
    for _ in range(5):
        post()
    lost()
    clock.shift(130)
    mended = []
    for _ in range(4):
        mended.append(run()["mended"])
        deliver("email")
    assert mended == [2, 2, 1, 0]


def test_f11_no_run_begins_what_it_has_no_time_for(post, lost, clock, run, context) -> None:
    post()
    lost()
    clock.shift(130)
    context.remaining_ms = 1000
    assert run()["mended"] == 0
    context.remaining_ms = 60_000
    assert run()["mended"] == 1


def test_f11_a_row_of_channels_goes_on_where_it_was_cut_off(
    post, clock, run, prepared, deliver, monkeypatch
) -> None:
    """The first channel failed, and the publish to the second was lost."""
    post(channels=["sms", "email"], routing="fallback")
    with monkeypatch.context() as patched:
        patched.setattr(legs, "publish", lambda *_, **__: None)
        deliver("sms", failing(Failure.PERMANENT))
    clock.shift(130)
    run()
    assert len(deliver("email").calls) == 1


def test_f11_two_runs_never_go_back(cloud, clock, run) -> None:
    run()
    first = sorted(item.until for item in Control.query("sweep"))
    clock.shift(-600)
    run()
    assert sorted(item.until for item in Control.query("sweep")) == first
