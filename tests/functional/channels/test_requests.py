"""What the providers are told: FCM's access token, priorities, and how long a message is good."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import wire
from functional.channels.conftest import IDENTITY, outgoing
from functional.channels.test_failures import CONFIG, PATHS, RETRY, failed
from wire import reply

from functions.channels.push import fcm
from functions.channels.sms import aws as texts
from functions.channels.sms import twilio

# ---------------------------------------------------------------- FCM's access token


@pytest.fixture
def token(point) -> Iterator[Callable[[wire.Answer], wire.Wire]]:
    """Return a maker of a wire whose token endpoint, too, answers as told."""
    with ExitStack() as opened:

        def make(answer: wire.Answer) -> wire.Wire:
            made = opened.enter_context(wire.listening(answer))
            point(made.url)
            return made

        yield make


@pytest.mark.parametrize(
    ("answer", "failure", "code"),
    [
        (reply(400, {"error": "invalid_grant"}), CONFIG, "invalid_grant"),
        (reply(401, {"error": "invalid_client"}), CONFIG, "invalid_client"),
        (reply(403, {"error": "access_denied"}), CONFIG, "access_denied"),
        (reply(200, {}), CONFIG, "RefreshError"),
        (reply(200, "<html>Sign in</html>"), RETRY, "TypeError"),
        (wire.reset, RETRY, "TransportError"),
        (wire.hang_up, RETRY, "TransportError"),
    ],
    ids=["a_p11", "client", "denied", "empty", "html", "reset", "hang_up"],
)
def test_without_an_access_token_nothing_was_sent_a_p11(token, answer, failure, code) -> None:
    told = token(answer)
    for _ in range(3):
        error = failed("fcm")
        assert (error.failure, error.code) == (failure, code)
    assert told.sent(PATHS["fcm"]) == 0


def test_a_token_endpoint_that_is_away_is_surely_not_sent(token, quick, monkeypatch) -> None:
    monkeypatch.setattr("google.auth._exponential_backoff.time.sleep", lambda _: None)
    told = token(reply(503, {"error": "unavailable"}))
    assert failed("fcm").failure is RETRY
    told.answer = wire.silence
    assert failed("fcm").failure is RETRY
    assert told.sent(PATHS["fcm"]) == 0


def test_an_access_token_serves_many_pushes(scripted) -> None:
    told = scripted(reply(200, {"name": "projects/p/messages/1"}))
    for _ in range(3):
        fcm.send(outgoing("push"))
    assert (told.sent(b"/token"), told.sent(PATHS["fcm"])) == (1, 3)


# ---------------------------------------------------------------- what is said to the providers

LATER = {"expires_at": "2026-11-21T10:00:00.000Z"}


def pushed(told: wire.Wire) -> dict[str, Any]:
    return dict(json.loads(told.requests[-1])["message"])


@pytest.mark.parametrize(
    ("priority", "android", "apple", "web"),
    [(1, "normal", "5", "low"), (5, "high", "10", "high"), (10, "high", "10", "high")],
)
def test_e10_a_push_s_priority_is_told_in_each_platform_s_words(
    scripted, priority, android, apple, web
) -> None:
    told = scripted(reply(200, {"name": "projects/p/messages/1"}))
    fcm.send(outgoing("push", priority=priority))
    assert pushed(told)["android"]["priority"] == android
    assert pushed(told)["apns"]["headers"]["apns-priority"] == apple
    assert pushed(told)["webpush"]["headers"]["Urgency"] == web


def test_a_push_is_not_kept_beyond_its_expiry(scripted, time_machine) -> None:
    time_machine.move_to(datetime(2026, 11, 21, 9, 30, tzinfo=UTC), tick=False)
    told = scripted(reply(200, {"name": "projects/p/messages/1"}))
    fcm.send(outgoing("push", **LATER))
    assert pushed(told)["android"]["ttl"] == "1800s"
    assert pushed(told)["webpush"]["headers"]["TTL"] == "1800"
    assert pushed(told)["apns"]["headers"]["apns-expiration"] == "1795255200"
    fcm.send(outgoing("push", expires_at="2027-11-21T10:00:00.000Z"))
    assert pushed(told)["android"]["ttl"] == "2419200s"
    fcm.send(outgoing("push"))
    assert "ttl" not in pushed(told)["android"]
    assert "TTL" not in pushed(told)["webpush"]["headers"]
    assert "apns-expiration" not in pushed(told)["apns"]["headers"]


@pytest.mark.parametrize(
    ("metadata", "android", "apple"),
    [
        ({}, None, "ntf_x"),
        ({"collapse_key": "score"}, "score", "score"),
        ({"collapse_key": "x" * 65}, None, "ntf_x"),
        ({"collapse_key": "a\r\nb"}, None, "ntf_x"),
        ({"collapse_key": "ü"}, None, "ntf_x"),
        ({"collapse_key": 7}, None, "ntf_x"),
    ],
)
def test_a_push_collapses_with_those_of_its_key_or_with_its_own_repeats(
    scripted, metadata, android, apple
) -> None:
    told = scripted(reply(200, {"name": "projects/p/messages/1"}))
    fcm.send(outgoing("push", metadata=metadata))
    assert pushed(told)["android"].get("collapse_key") == android
    assert pushed(told)["apns"]["headers"]["apns-collapse-id"] == apple


@pytest.mark.parametrize(
    ("platform", "blocks"),
    [
        ("ios", {"apns"}),
        ("android", {"android"}),
        ("web", {"webpush"}),
        (None, {"apns", "android", "webpush"}),
    ],
)
def test_a_device_of_a_known_platform_is_told_what_concerns_it_alone(
    scripted, platform, blocks
) -> None:
    told = scripted(reply(200, {"name": "projects/p/messages/1"}))
    fcm.send(replace(outgoing("push"), platform=platform))
    assert set(pushed(told)) & {"apns", "android", "webpush"} == blocks


def test_aws_does_not_keep_a_text_beyond_its_expiry(scripted, time_machine) -> None:
    time_machine.move_to(datetime(2026, 11, 21, 9, 30, tzinfo=UTC), tick=False)
    told = scripted(reply(200, {"MessageId": "1"}))
    texts.send(outgoing("sms", **LATER))
    request = json.loads(told.requests[-1])
    assert request["TimeToLive"] == 1800
    assert request["Context"] == {"notification_id": "ntf_x"}
    assert request["OriginationIdentity"] == IDENTITY
    texts.send(outgoing("sms", expires_at="2026-11-21T09:30:01.000Z"))
    assert json.loads(told.requests[-1])["TimeToLive"] == 5


def test_twilio_does_not_keep_a_text_beyond_its_expiry(scripted, time_machine) -> None:
    time_machine.move_to(datetime(2026, 11, 21, 9, 30, tzinfo=UTC), tick=False)
    told = scripted(reply(201, {"sid": "SM1"}))
    twilio.send(outgoing("sms", **LATER))
    assert b"ValidityPeriod=1800" in told.requests[-1]
    twilio.send(outgoing("sms", expires_at="2027-11-21T10:00:00.000Z"))
    assert b"ValidityPeriod=36000" in told.requests[-1]
    twilio.send(outgoing("sms"))
    assert b"ValidityPeriod" not in told.requests[-1]
