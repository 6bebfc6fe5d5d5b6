"""The worker with its real providers: what becomes of deliveries when a provider misbehaves."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import time_machine
import wire
from functional.channels.conftest import CHANNELS, OVER_HTTP, forget
from functional.channels.test_failures import ACCEPTED, AWAY, PATHS, TAKEN, THROTTLED, refuse
from wire import reply

from carillon import controls, metrics
from carillon.settings import settings
from carillon.tables import CONTROLS, Control, Delivery
from functions.channels.email import handler as email
from functions.channels.push import handler as push
from functions.channels.sms import handler as sms

HANDLERS = {"email": email, "sms": sms, "push": push}
TOKENS = "/api/v1/users/ada/push-tokens"
Script = Callable[[int, bytes], wire.Answer]
"""Which answer the nth request to the provider gets, by its body."""


class Line:
    """A channel's queue, its worker with one real provider, and that provider's wire."""

    def __init__(self, provider: str, cloud: Any, send: Any, context: Any, told: wire.Wire) -> None:
        self.provider, self.channel = provider, CHANNELS[provider]
        self.cloud, self.send, self.context, self.told = cloud, send, context, told
        self.records: list[dict[str, Any]] = []
        self.posted = 0

    def post(self, **change: Any) -> str:
        self.posted += 1
        key = {"Idempotency-Key": f"key-{self.posted}"}
        body = {"channels": [self.channel]} | change
        return str(self.send(body, headers=key).data["notification_id"])

    def work(self) -> int:
        """Give the worker what waits, and what came back; return how much comes back again."""
        while found := self.cloud.published(self.channel):
            self.records += [
                {
                    "messageId": each["MessageId"],
                    "receiptHandle": each["ReceiptHandle"],
                    "body": each["Body"],
                    "attributes": each["Attributes"],
                }
                for each in found
            ]
        handler = HANDLERS[self.channel]
        done = handler.lambda_handler({"Records": self.records}, self.context)
        again = {failed["itemIdentifier"] for failed in done["batchItemFailures"]}
        self.records = [r for r in self.records if r["messageId"] in again]
        return len(again)

    @property
    def requests(self) -> int:
        return self.told.sent(PATHS[self.provider])

    def deliveries(self, notification_id: str) -> list[Delivery]:
        return list(Delivery.query(notification_id))

    def delivery(self, notification_id: str) -> Delivery:
        (one,) = self.deliveries(notification_id)
        return one


def waits(delivery: Delivery) -> float:
    """Return the seconds from its failure to its next attempt."""
    failed_at = datetime.fromisoformat(delivery.updated_at).timestamp()
    return float(delivery.not_before or 0) - failed_at


def breakers() -> set[str]:
    return {item.name for item in Control.query(CONTROLS)}


@pytest.fixture
def line(prepared, send, scripted, context, monkeypatch) -> Iterator[Callable[..., Line]]:
    """Return a maker of a line to a provider that answers as the script says."""

    def make(provider: str, script: Script) -> Line:
        def answer(connection: wire.Connection) -> None:
            script(made.requests, told.requests[-1])(connection)

        told = scripted(answer)
        channel = CHANNELS[provider]
        monkeypatch.setenv("QUEUE_URL", prepared.queues[channel])
        monkeypatch.setenv("DEAD_LETTER_QUEUE_URL", prepared.dead_letters[channel])
        monkeypatch.setenv("RATE_LIMIT_PER_MINUTE", "0")
        if channel != "push":
            monkeypatch.setenv(f"{channel.upper()}_PROVIDER", provider)
        settings.cache_clear()
        made = Line(provider, prepared, send, context, told)
        return made

    yield make
    forget()


def always(answer: wire.Answer) -> Script:
    return lambda *_: answer


def later(seconds: float) -> time_machine.travel:
    """Travel there; what was read of the breakers is then no longer fresh."""
    controls.forget()
    return time_machine.travel(datetime.now(UTC) + timedelta(seconds=seconds))


# ---------------------------------------------------------------- the outcome is not known


@pytest.mark.parametrize(
    "answer",
    [reply(200), reply(200, "<html>"), wire.reset],
    ids=["a_p01_a_p02", "a_p15", "a_p14"],
)
@pytest.mark.parametrize("provider", OVER_HTTP)
def test_what_may_have_gone_is_never_sent_but_maybe_a_p01_a_p02_a_p14_a_p15(
    line, provider, answer
) -> None:
    made = line(provider, always(answer))
    sent = made.post()
    assert made.work() == 1
    found = made.delivery(sent)
    assert (found.state, found.failure, found.maybe_sent) == ("retrying", "unknown", True)
    assert made.requests == 1


@pytest.mark.parametrize("provider", OVER_HTTP)
def test_what_must_not_go_twice_is_parked_after_one_request_a_p04(line, quick, provider) -> None:
    made = line(provider, always(wire.silence))
    sent = made.post(dedupe="at_most_once")
    assert made.work() == 0
    assert made.delivery(sent).state == "unknown"
    made.post()
    assert made.work() == 1
    assert made.requests == 2


def test_a_reply_without_a_name_concerns_its_device_alone_a_p03(line, api) -> None:
    api("POST", TOKENS, {"fcm_token": "other", "platform": "ios"})
    made = line("fcm", lambda _, body: reply(200, {}) if b"other" in body else TAKEN["fcm"])
    sent = made.post()
    assert made.work() == 1
    states = sorted((each.state, each.maybe_sent) for each in made.deliveries(sent))
    assert states == [("retrying", True), ("sent", None)]
    assert made.requests == 2


# ---------------------------------------------------------------- how long it waits


@pytest.mark.parametrize("provider", OVER_HTTP)
def test_a_date_three_minutes_ahead_is_waited_for_and_nobody_sleeps_a_p05(line, provider) -> None:
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=3)
    ahead = format_datetime(moment, usegmt=True)
    made = line(provider, always(refuse(provider, *AWAY[provider], "Away", {"Retry-After": ahead})))
    sent, began = made.post(), time.monotonic()
    assert made.work() == 1
    assert time.monotonic() - began < 5
    assert made.delivery(sent).not_before >= moment.timestamp() - 0.001
    assert made.work() == 1
    assert made.requests == 1


@pytest.mark.parametrize("provider", OVER_HTTP)
def test_who_is_asked_to_slow_down_waits_and_spends_no_attempt_a_p06(
    line, prepared, provider
) -> None:
    made = line(provider, always(refuse(provider, *THROTTLED[provider], "Slow down")))
    before, sent = prepared.items("UsersTable"), made.post()
    assert made.work() == 1
    found = made.delivery(sent)
    assert (found.state, found.failure, found.attempts) == ("retrying", "throttle", 0)
    assert not found.maybe_sent
    assert prepared.items("UsersTable") == before


@pytest.mark.parametrize("wish", ["-5", "0", "soon", "1e999"])
@pytest.mark.parametrize("provider", OVER_HTTP)
def test_an_odd_wish_makes_no_tight_loop_a_p13(line, provider, wish) -> None:
    told = refuse(provider, *THROTTLED[provider], "Slow down", {"Retry-After": wish})
    made = line(provider, always(told))
    sent = made.post()
    assert made.work() == 1
    assert 1 <= waits(made.delivery(sent)) <= 3_605
    assert made.work() == 1
    assert made.requests == 1


# ---------------------------------------------------------------- this message, or our side

PAUSED = {
    "ses": (400, "SendingPausedException"),
    "sendgrid": (401, ""),
    "twilio": (401, "20003"),
    "aws": (400, "ServiceQuotaExceededException:MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT"),
    "fcm": (404, "NOT_FOUND"),
}


@pytest.mark.parametrize("provider", OVER_HTTP)
def test_a_channel_whose_account_is_paused_stops_and_resumes_by_a_probe_a_p07_a_p09(
    line, api, provider
) -> None:
    mended: list[bool] = []
    made = line(
        provider,
        lambda *_: TAKEN[provider] if mended else refuse(provider, *PAUSED[provider], "Paused"),
    )
    sent = [made.post() for _ in range(5)]
    assert made.work() == 5
    assert breakers() == {f"breaker#{provider}"}
    assert made.requests == 1
    assert made.work() == 5
    assert made.requests == 1
    assert all(device["is_active"] for device in api("GET", TOKENS).data)
    mended.append(True)
    with later(20):
        made.work()
    with later(2_000):
        assert made.work() == 0
    assert {made.delivery(each).state for each in sent} == {"sent"}
    assert {made.delivery(each).maybe_sent for each in sent} == {None}
    assert breakers() == set()


def test_without_an_access_token_nothing_is_pushed_and_everything_kept_a_p11(
    line, point, monkeypatch
) -> None:
    made = line("fcm", always(TAKEN["fcm"]))
    sent = [made.post() for _ in range(100)]
    with wire.listening(reply(400, {"error": "invalid_grant"})) as refusing:
        point(refusing.url)
        settings.cache_clear()
        assert made.work() == 100
        assert (refusing.sent(b"/token"), refusing.sent(PATHS["fcm"])) == (1, 0)
    assert breakers() == {"breaker#fcm"}
    assert made.requests == 0
    assert not any(each.maybe_sent for each in Delivery.scan())
    assert {each.state for each in Delivery.scan()} <= {"retrying"}
    assert len(sent) == 100


REJECTED = {
    "ses": (400, "MessageRejected"),
    "sendgrid": (400, "content.0.value"),
    "twilio": (400, "21617"),
    "aws": (400, "ValidationException:MAXIMUM_SIZE_EXCEEDED"),
    "fcm": (400, "INVALID_ARGUMENT/INVALID_ARGUMENT"),
}


@pytest.mark.parametrize("provider", OVER_HTTP)
def test_a_message_that_is_rejected_fails_and_the_channel_goes_on_a_p16(line, provider) -> None:
    rejected = refuse(provider, *REJECTED[provider], "invalid content")
    made = line(provider, lambda nth, _: rejected if nth == 1 else TAKEN[provider])
    first = made.post()
    assert made.work() == 0
    second = made.post()
    assert made.work() == 0
    assert (made.delivery(first).state, made.delivery(first).failure) == ("failed", "permanent")
    assert made.delivery(second).state == "sent"
    assert breakers() == set()


@pytest.mark.parametrize("provider", OVER_HTTP)
def test_an_unheard_of_refusal_fails_once_and_is_counted_a_p12(line, provider) -> None:
    codes = {"twilio": "98765", "fcm": "UNHEARD_OF", "sendgrid": ""}
    code = codes.get(provider, "UnheardOfException")
    made = line(provider, always(refuse(provider, 418, code, "Something new")))
    sent = made.post()
    assert made.work() == 0
    assert (made.delivery(sent).state, made.delivery(sent).failure) == ("failed", "permanent")
    series = f'unclassified_errors_total{{provider="{provider}"}}'
    assert metrics._tally().for_table[series] == {"total": 1}


# ---------------------------------------------------------------- devices


def test_a_dead_token_of_two_goes_and_the_other_is_used_on_a_p08(line, api) -> None:
    api("POST", TOKENS, {"fcm_token": "dead", "platform": "ios"})
    gone = refuse("fcm", 404, "NOT_FOUND/UNREGISTERED", "Requested entity was not found.")
    made = line("fcm", lambda _, body: gone if b'"dead"' in body else TAKEN["fcm"])
    made.post()
    assert made.work() == 0
    active = {device["fcm_token"]: device["is_active"] for device in api("GET", TOKENS).data}
    assert active == {"dead": False, "fcm-device-of-ada": True}
    made.post()
    assert made.work() == 0
    assert made.requests == 3


def test_an_invalid_token_is_not_tried_again_a_p10(line, api) -> None:
    words = "The registration token is not a valid FCM registration token"
    invalid = refuse("fcm", 400, "INVALID_ARGUMENT/INVALID_ARGUMENT", words)
    made = line("fcm", always(invalid))
    sent = made.post()
    assert made.work() == 0
    assert made.delivery(sent).failure == "recipient"
    assert [device["is_active"] for device in api("GET", TOKENS).data] == [False]
    assert made.requests == 1


def test_apple_stops_while_android_flows_when_apple_s_key_is_wrong_a_p17(line, api) -> None:
    api("POST", TOKENS, {"fcm_token": "an-iphone", "platform": "ios"})
    no_key = refuse("fcm", 401, "UNAUTHENTICATED/THIRD_PARTY_AUTH_ERROR", "Auth error from APNS")
    made = line("fcm", lambda _, body: no_key if b"an-iphone" in body else TAKEN["fcm"])
    sent = [made.post() for _ in range(4)]
    assert made.work() == 4
    assert breakers() == {"breaker#fcm/ios"}
    found = [each for one in sent for each in made.deliveries(one)]
    assert sorted(each.state for each in found if each.provider) == ["sent"] * 4
    assert all(device["is_active"] for device in api("GET", TOKENS).data)
    # One request told that Apple is closed; the other three iPhones were not even claimed.
    assert made.requests == 5


def test_each_provider_s_success_looks_as_it_should(line) -> None:
    assert set(TAKEN) == set(OVER_HTTP) == set(ACCEPTED)
