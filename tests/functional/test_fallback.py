"""Channel fallback: the next channel takes its turn when one has surely not arrived."""

from typing import Any

import pytest
from providers import Provider, failing

from carillon import legs
from carillon.claims import NotNowError, abandon
from carillon.delivery import Sent, consumer
from carillon.errors import Failure
from carillon.models import Channel, State
from carillon.publishing import PublishError
from carillon.status import message_of
from carillon.tables import Delivery, Notification

BODY = {"channels": ["push", "email", "sms"], "routing": "fallback", "fallback_after_seconds": 600}


@pytest.fixture
def ladder(send) -> Any:
    reply = send(BODY)
    assert reply.status == 202
    return f"/api/v1/notifications/{reply.data['notification_id']}"


def told(ask, path: str) -> dict[str, str]:
    reply = ask("GET", path)
    return {"all": reply.data["status"]} | {
        each["channel"]: each["status"] for each in reply.data["deliveries"]
    }


def test_e12_only_the_first_channel_begins(prepared, ladder) -> None:
    assert len(prepared.published("push")) == 1
    assert not prepared.published("email")
    assert not prepared.published("sms")


def test_e12_what_has_arrived_ends_the_row(ladder, deliver, ask, prepared) -> None:
    deliver("push")
    assert not prepared.published("email")
    assert told(ask, ladder) == {
        "all": "completed",
        "push": "sent",
        "email": "skipped",
        "sms": "skipped",
    }


@pytest.mark.parametrize("failure", [Failure.PERMANENT, Failure.RECIPIENT])
def test_e12_the_next_takes_its_turn_after_a_failure(ladder, deliver, ask, failure) -> None:
    deliver("push", failing(failure))
    assert told(ask, ladder)["email"] == "queued"
    assert len(deliver("email").calls) == 1
    assert told(ask, ladder) == {
        "all": "completed",
        "push": "failed",
        "email": "sent",
        "sms": "skipped",
    }


def test_e12_and_when_the_reader_no_longer_wants_the_first(ladder, deliver, ask) -> None:
    ask("PATCH", "/api/v1/users/ada/preferences", {"channels": {"push": False}})
    assert not deliver("push").calls
    assert len(deliver("email").calls) == 1
    assert told(ask, ladder)["push"] == "suppressed"


def test_e12_what_may_have_arrived_ends_the_row_too(send, deliver, ask, prepared) -> None:
    reply = send(BODY | {"dedupe": "at_most_once"})
    deliver("push", failing(Failure.UNKNOWN))
    assert not prepared.published("email")
    path = f"/api/v1/notifications/{reply.data['notification_id']}"
    assert told(ask, path)["push"] == "unknown"


def test_e12_a_turn_that_lasts_too_long_is_over(ladder, deliver, ask) -> None:
    deliver("push", failing(Failure.THROTTLE))  # the clock goes on by 1000 s ...
    assert told(ask, ladder)["push"] == "retrying"
    deliver("push", failing(Failure.THROTTLE))  # ... and this was its last attempt
    assert told(ask, ladder)["push"] == "failed"
    assert len(deliver("email").calls) == 1


def test_e12_a_turn_is_not_ended_while_a_worker_holds_it(ladder, deliver, monkeypatch) -> None:
    deliver("push", failing(Failure.RETRY))
    (delivery,) = Delivery.scan()
    (record,) = Notification.scan()
    refresh = Delivery.refresh

    def and_is_claimed_then(each: Delivery, **how: Any) -> None:
        refresh(each, **how)
        delivery.update(actions=[Delivery.state.set(State.SENDING)])

    monkeypatch.setattr(Delivery, "refresh", and_is_claimed_then)
    with pytest.raises(NotNowError):
        abandon(message_of(record), delivery.target, "turn-over")
    monkeypatch.undo()
    delivery.refresh()
    assert delivery.state == State.SENDING


def test_e12_all_may_fail(ladder, deliver, ask) -> None:
    for channel in BODY["channels"]:
        deliver(channel, failing(Failure.PERMANENT))
    assert told(ask, ladder)["all"] == "failed"


def test_e12_a_repeat_of_the_message_passes_on_again_and_sends_nothing_twice(
    ladder, deliver, prepared, cloud
) -> None:
    """The worker died between the failure and the publish: the message comes again."""
    (message,) = prepared.published("push")
    for _ in range(3):
        cloud.sqs.send_message(QueueUrl=cloud.queues["push"], MessageBody=message["Body"])
    deliver("push", failing(Failure.PERMANENT))
    assert len(deliver("email").calls) == 1


def test_e12_a_turn_that_cannot_be_begun_keeps_the_message(
    ladder, prepared, context, monkeypatch
) -> None:
    def refuse(*_: object) -> None:
        raise PublishError("Throttled")

    monkeypatch.setattr(legs, "publish", refuse)
    (message,) = prepared.published("push")
    record = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
    }
    worker = consumer(Channel.PUSH, {"fcm": Provider(failing(Failure.PERMANENT))})
    again = worker({"Records": [record]}, context)["batchItemFailures"]
    assert again == [{"itemIdentifier": message["MessageId"]}]


def test_e12_a_reported_failure_passes_on(ladder, deliver, ask) -> None:
    deliver("push", lambda _: Sent("fcm", "1"))
    assert ask("PATCH", f"{ladder}/status", {"status": "failed", "channel": "push"}).status == 200
    assert len(deliver("email").calls) == 1


def test_e12_a_channel_that_was_withheld_is_not_in_the_row(send, deliver, ask) -> None:
    ask("PATCH", "/api/v1/users/ada/preferences", {"channels": {"push": False}})
    send(BODY)
    assert len(deliver("email").calls) == 1


def test_e12_a_list_tells_the_same(ladder, deliver, ask) -> None:
    deliver("push")
    (listed,) = ask("GET", "/api/v1/notifications").body["data"]
    states = {each["channel"]: each["status"] for each in listed["deliveries"]}
    assert (listed["status"], states[Channel.EMAIL]) == ("completed", "skipped")


def test_e12_a_cancelled_row_goes_no_further(ladder, deliver, ask) -> None:
    assert ask("POST", f"{ladder}/cancel").status == 202
    deliver("push", failing(Failure.PERMANENT))
    assert not deliver("email").calls
