"""What CloudWatch is told of providers and of how deliveries end, by what really happens."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from providers import failing

from carillon import breaker, controls, metrics
from carillon.errors import Failure, ProviderError
from carillon.models import now

Json = dict[str, Any]
Told = Callable[[str], list[Json]]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """Return a reader of the lines that have a metric, with its values, since it was last asked."""

    def read(name: str) -> list[Json]:
        metrics.end(flush=False)
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line]
        return [line for line in lines if name in line]

    return read


@pytest.mark.parametrize("failure", Failure)
def test_g14_a_provider_s_error_is_told_with_its_class(send, deliver, told, failure) -> None:
    send({"channels": ["email"]})
    told("")
    deliver("email", failing(failure))
    lines = told("provider_errors_total")
    assert [(line["provider"], line["failure"]) for line in lines] == [
        ("fake-email", failure.value)
    ]


def test_g19_each_delivery_that_ends_is_one_or_nought(send, deliver, told) -> None:
    for n, does in enumerate((None, failing(Failure.PERMANENT), failing(Failure.RETRY))):
        body = {"channels": ["email"], "request_id": f"r{n}"}
        assert send(body, headers={"Idempotency-Key": f"r{n}"}).status == 202
        told("")
        deliver("email", does)
        # What is tried again has not ended.
        found = [line["delivery_success"] for line in told("delivery_success")]
        assert found == [[[1.0]], [[0.0]], []][n]


def test_g19_what_a_test_key_sent_is_neither(prepared, ask, deliver, told) -> None:
    caller = {"client_id": "c", "tenant": "default", "scope": "send", "test": "true"}
    body = {"channels": ["email"], "to": {"email": "ada@example.com"}, "message": "Hello"}
    sent = ask("POST", "/api/v1/notifications", body, caller=caller)
    assert sent.status == 202, sent.body
    told("")
    assert not deliver("email").calls
    assert told("delivery_success") == []


def test_g14_the_time_from_acceptance_to_sent_is_told_by_channel(send, deliver, told) -> None:
    start = now()
    with time_machine.travel(start, tick=False) as clock:
        send({"channels": ["email"]})
        clock.shift(7)
        told("")
        deliver("email")
    (line,) = told("delivery_latency_seconds")
    assert line["channel"] == "email"
    assert line["delivery_latency_seconds"] == [pytest.approx(7, abs=0.01)]


def test_g14_a_breaker_is_told_to_be_open_while_it_is_and_closed_once(cloud, told) -> None:
    def states() -> list[tuple[str, list[float]]]:
        return [(line["provider"], line["breaker_open"]) for line in told("breaker_open")]

    error = ProviderError(Failure.CONFIG, "credentials", "no")
    breaker.way("ses").failed(error)
    assert states() == [("ses", [1])]
    assert breaker.way("ses").wait > 0
    assert states() == [("ses", [1])]
    with time_machine.travel(now() + timedelta(minutes=10)):
        controls.forget()
        breaker.way("ses").succeeded()
        assert states() == [("ses", [0])]
        assert breaker.way("ses").wait <= 0
        assert states() == []
