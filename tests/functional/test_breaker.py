"""Circuit breakers and failover: what is down is left alone, and something else takes over."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from providers import Provider, failing

from carillon import breaker, controls
from carillon.delivery import Sent, consumer, in_use
from carillon.errors import Failure, ProviderError, SettingMissingError
from carillon.models import Channel, State
from carillon.settings import settings
from carillon.tables import CONTROLS, Control, Delivery

EMAIL = {"to": {"email": "ada@example.com"}, "channels": ["email"], "message": "Hello"}


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(datetime(2026, 11, 21, 12, tzinfo=UTC), tick=False) as clock:
        yield clock


@pytest.fixture
def mail(cloud, ask, clock, monkeypatch, context) -> Any:
    """Return a worker of emails by SES and SMTP, which takes what waits and what has come again."""
    monkeypatch.setenv("QUEUE_URL", cloud.queues["email"])
    monkeypatch.setenv("DEAD_LETTER_QUEUE_URL", cloud.dead_letters["email"])
    monkeypatch.setenv("EMAIL_PROVIDER", "ses, smtp")
    monkeypatch.setenv("RATE_LIMIT_PER_MINUTE", "0")
    settings.cache_clear()

    class Mail:
        ses, smtp = Provider(lambda _: Sent("ses", "1")), Provider(lambda _: Sent("smtp", "1"))

        def post(self, number: int) -> None:
            for _ in range(number):
                assert ask("POST", "/api/v1/notifications", EMAIL).status == 202
            controls.forget()  # what is asked is another process than the worker

        def work(self) -> int:
            records = []
            while found := cloud.published("email"):
                records += [
                    {
                        "messageId": each["MessageId"],
                        "receiptHandle": each["ReceiptHandle"],
                        "body": each["Body"],
                        "attributes": each["Attributes"],
                    }
                    for each in found
                ]
            handler = consumer(Channel.EMAIL, {"ses": self.ses, "smtp": self.smtp})
            done = handler({"Records": records}, context)
            for failed in done["batchItemFailures"]:
                records = [r for r in records if r["messageId"] != failed["itemIdentifier"]]
            for record in records:  # as the event source mapping does
                cloud.sqs.delete_message(
                    QueueUrl=cloud.queues["email"], ReceiptHandle=record["receiptHandle"]
                )
            return len(done["batchItemFailures"])

        def states(self) -> list[str]:
            return sorted(str(each.state) for each in Delivery.scan())

    return Mail()


def open_breakers() -> list[str]:
    return [item.name for item in Control.query(CONTROLS)]


def test_f5_a_provider_that_keeps_failing_is_left_alone(mail, monkeypatch) -> None:
    monkeypatch.setenv("EMAIL_PROVIDER", "ses")
    settings.cache_clear()
    mail.ses.does = failing(Failure.RETRY)
    mail.post(20)
    assert mail.work() == 20
    assert len(mail.ses.calls) == breaker.TRIPS_AFTER
    assert open_breakers() == ["breaker#ses"]
    # What was not tried was not claimed either.
    assert mail.states() == [State.RETRYING] * breaker.TRIPS_AFTER


def test_e11_the_next_provider_takes_over_while_the_first_is_down(mail, clock) -> None:
    mail.ses.does = failing(Failure.RETRY)
    mail.post(20)
    mail.work()
    assert (len(mail.ses.calls), len(mail.smtp.calls)) == (5, 15)
    clock.shift(10)
    while mail.work():
        clock.shift(10)
    assert mail.states() == [State.SENT] * 20
    assert len(mail.smtp.calls) + len(mail.ses.calls) - 20 <= 5 + 3


def test_f5_a_probe_that_succeeds_closes_it(mail, clock) -> None:
    mail.ses.does = failing(Failure.RETRY)
    mail.post(5)
    mail.work()
    mail.ses.does = lambda _: Sent("ses", "1")
    clock.shift(breaker.OPEN_SECONDS + 100)
    mail.post(5)
    assert mail.work() == 0
    assert open_breakers() == []
    assert len(mail.smtp.calls) == 0


def test_f5_one_worker_probes_and_the_others_wait(mail, clock, monkeypatch) -> None:
    monkeypatch.setenv("EMAIL_PROVIDER", "ses")
    settings.cache_clear()
    mail.ses.does = failing(Failure.RETRY)
    mail.post(5)
    mail.work()
    clock.shift(1000)
    before = len(mail.ses.calls)
    mail.work()
    assert len(mail.ses.calls) == before + 1
    # A second worker that has read the breaker before the first one took the probe.
    clock.shift(1000)
    controls.forget()
    way = breaker.way("ses")
    assert way.probing
    assert breaker.way("ses").enter()
    assert not way.enter()


def test_f5_a_failed_probe_keeps_it_open_for_longer_and_spends_no_attempt(mail, clock) -> None:
    mail.smtp.does = mail.ses.does = failing(Failure.RETRY)
    mail.post(1)
    waits = []
    for _ in range(12):
        mail.work()
        clock.shift(400)
        (item, *_) = [*Control.query(CONTROLS), None]
        waits.append(item and int(item.failures or 0))
    assert waits[-1] >= 4
    assert mail.states() == [State.RETRYING]
    (delivery,) = Delivery.scan()
    assert delivery.attempts <= settings().max_retries


def test_f5_a_broken_configuration_opens_it_at_once_a_p11(mail, monkeypatch) -> None:
    monkeypatch.setenv("EMAIL_PROVIDER", "ses")
    settings.cache_clear()
    mail.ses.does = failing(Failure.CONFIG)
    mail.post(20)
    assert mail.work() == 20
    assert len(mail.ses.calls) == 1


def test_f5_a_refused_message_says_nothing_against_the_provider(mail) -> None:
    mail.ses.does = failing(Failure.PERMANENT)
    mail.post(10)
    assert mail.work() == 0
    assert open_breakers() == []
    assert mail.states() == [State.FAILED] * 10


def test_f5_a_few_failures_among_successes_do_not_open_it(mail) -> None:
    answers = iter([*"xxxx1", *"xxxx1"])

    def flaky(out):
        return failing(Failure.RETRY)(out) if next(answers) == "x" else Sent("ses", "1")

    mail.ses.does = flaky
    mail.post(10)
    mail.work()
    assert open_breakers() == []


def test_e11_a_provider_that_is_switched_off_is_passed_over(mail) -> None:
    Control(CONTROLS, "switch#provider#ses", reason="they double").save()
    mail.post(2)
    assert mail.work() == 0
    assert (len(mail.ses.calls), len(mail.smtp.calls)) == (0, 2)


@pytest.mark.parametrize("scope", ["channel#email", "provider", "client"])
def test_h10_what_is_switched_off_waits_and_spends_nothing(mail, clock, scope, sample) -> None:
    client = sample("notifications-send")["requestContext"]["authorizer"]["client_id"]
    names = {
        "provider": ["provider#ses", "provider#smtp"],
        "client": [f"client#default#{client}"],
    }.get(scope, [scope])
    switches = [Control(CONTROLS, f"switch#{name}", reason="an incident") for name in names]
    for switch in switches:
        switch.save()
    mail.post(3)
    for _ in range(5):
        assert mail.work() == 3
        clock.shift(1000)
    assert mail.states() == []
    for switch in switches:
        switch.delete()
    assert mail.work() == 0
    assert mail.states() == [State.SENT] * 3


def test_h10_a_switched_off_template_stops_its_own_messages_alone(ask, send, deliver) -> None:
    Control(CONTROLS, "switch#template#default#order-shipped", reason="a typo").save()
    send({"channels": ["email"]})
    assert ask("POST", "/api/v1/notifications", EMAIL).status == 202
    (call,) = deliver("email").calls
    assert call.content["text"] == "Hello"


def test_f5_a_store_of_controls_that_does_not_answer_loses_nothing(
    mail, clock, monkeypatch
) -> None:
    mail.post(2)
    monkeypatch.setenv("CONTROLS_TABLE", "nowhere")
    settings.cache_clear()
    assert mail.work() == 2
    assert mail.states() == []


def test_f5_one_platform_stops_and_the_others_flow_a_p17(clock, cloud) -> None:
    apple = ProviderError(Failure.CONFIG, "THIRD_PARTY_AUTH_ERROR", "apns", platform_only=True)
    breaker.way("fcm", "ios").failed(apple)
    assert open_breakers() == ["breaker#fcm/ios"]
    assert breaker.way("fcm", "ios").wait > 0
    assert breaker.way("fcm", "android").wait <= 0
    # Whose platform is not known is not judged.
    breaker.way("fcm").failed(apple)
    assert breaker.way("fcm").wait <= 0


def test_e9_a_provider_that_does_not_exist_is_named(monkeypatch) -> None:
    monkeypatch.setenv("EMAIL_PROVIDER", "ses,pigeon")
    settings.cache_clear()
    with pytest.raises(SettingMissingError, match="pigeon"):
        in_use(Channel.EMAIL, {"ses": Provider()})


def test_a_provider_down_for_two_hours_loses_nobody_a_q06(mail, clock, monkeypatch) -> None:
    """With three hundred messages and thousands of seeds: make simulate."""
    monkeypatch.setenv("EMAIL_PROVIDER", "ses")
    settings.cache_clear()
    mail.ses.does = failing(Failure.RETRY)
    mail.post(20)
    for _ in range(24):
        mail.work()
        clock.shift(300)
    during = len(mail.ses.calls)
    assert during <= breaker.TRIPS_AFTER + 24
    mail.ses.does = lambda _: Sent("ses", "1")
    for _ in range(12):
        mail.work()
        clock.shift(300)
    assert mail.states() == [State.SENT] * 20
    assert len(mail.ses.calls) == during + 20
