"""What was given up, made known."""

import json
from typing import Any

import pytest
from functional.letters.conftest import delivery, groups, listed, told_by, touch

from carillon import dead_letters, ledger, letters
from carillon.letters import Letter
from carillon.models import State
from carillon.settings import settings
from carillon.tables import Delivery
from functions.deadletters import handler

Json = dict[str, Any]
TEMPLATE = "order-shipped"


def test_f13_poison_is_listed_with_its_reason_a_q13(bury, poison, ask) -> None:
    poison('{"schema_version": 99}')
    assert bury() == []
    (letter,) = listed(ask)
    assert letter["channel"] == "email"
    assert letter["code"] == "malformed-schema-version"
    assert "Input should be 1" in letter["reason"]
    assert (letter["notification_id"], letter["targets"]) == (None, [])


def test_f13_what_is_no_json_is_a_kind_of_its_own_a_q04(bury, poison, ask) -> None:
    for body in ("not json", "{", "[1,"):
        poison(body)
    poison("[1]")
    assert bury() == []
    found = listed(ask)
    assert sorted(letter["code"] for letter in found) == ["malformed", *["not-json"] * 3]
    assert len({letter["fingerprint"] for letter in found}) == 2


def test_f13_a_message_given_up_ends_its_open_deliveries(bury, exhausted, ask) -> None:
    record = exhausted()
    sent = json.loads(record["body"])["notification_id"]
    assert bury("email", record) == []
    (letter,) = listed(ask)
    assert (letter["notification_id"], letter["code"]) == (sent, "no-outcome")
    assert (letter["targets"], letter["receives"]) == (["email"], 100)
    (told,) = ask("GET", f"/api/v1/notifications/{sent}").data["deliveries"]
    assert told["status"] == "dead_lettered"
    assert told["reason"] == "received 100 times and never done with"
    *_, last = ask("GET", f"/api/v1/notifications/{sent}/events").data
    assert (last["from"], last["to"], last["actor"]) == ("queued", "dead_lettered", "dead-letters")
    assert last["data"]["letter"] == record["messageId"]


def test_f13_a_letter_says_why_its_last_attempt_failed(bury, exhausted, ask) -> None:
    record = exhausted()
    touch(record, State.RETRYING, error_code="Throttling", error_message="slow down", attempts=3)
    assert bury("email", record) == []
    (letter,) = listed(ask)
    assert (letter["code"], letter["reason"]) == ("Throttling", "slow down")
    assert (letter["attempts"], letter["template_code"]) == (3, TEMPLATE)


@pytest.mark.parametrize(
    "ended", [s for s in State if s not in {State.QUEUED, State.SENDING, State.RETRYING}]
)
def test_f13_a_delivery_that_has_ended_stays_as_it_is(bury, exhausted, ended) -> None:
    record = exhausted()
    touch(record, ended)
    before = delivery(record)
    assert bury("email", record) == []
    assert delivery(record).to_dynamodb_dict() == before.to_dynamodb_dict()


def test_f13_a_delivery_whose_worker_died_may_have_gone(bury, exhausted) -> None:
    record = exhausted()
    touch(record, State.SENDING, lease_until=1)
    assert bury("email", record) == []
    assert (delivery(record).state, delivery(record).maybe_sent) == (State.DEAD_LETTERED, True)


def test_f13_what_must_not_go_twice_and_may_have_gone_is_no_operator_s_to_send(
    bury, exhausted
) -> None:
    record = exhausted({"dedupe": "at_most_once"})
    touch(record, State.SENDING, lease_until=1)
    assert bury("email", record) == []
    assert delivery(record).state == State.UNKNOWN


def test_f13_a_letter_waits_while_a_worker_holds_itsdelivery(bury, exhausted, ask) -> None:
    record = exhausted()
    touch(record, State.SENDING, lease_until=99_999_999_999)
    assert bury("email", record) == [{"itemIdentifier": record["messageId"]}]
    assert listed(ask) == []
    assert delivery(record).state == State.SENDING


def test_f13_the_same_message_is_the_same_letter(bury, exhausted, ask) -> None:
    record = exhausted()
    assert bury("email", record) == bury("email", record) == []
    assert len(listed(ask)) == 1


def test_f13_a_message_that_a_worker_parked_twice_is_one_letter(prepared, bury, ask) -> None:
    attributes = {
        name: {"DataType": "String", "StringValue": value}
        for name, value in (("reason", "no"), ("sqs_message_id", "of-the-queue"))
    }
    for _ in range(2):
        prepared.sqs.send_message(
            QueueUrl=prepared.dead_letters["email"],
            MessageBody="not json",
            MessageAttributes=attributes,
        )
    assert bury() == []
    (letter,) = listed(ask)
    assert letter["letter_id"] == "of-the-queue"


def test_f13_a_copy_that_comes_late_ends_nothing_that_was_taken_up_again(bury, exhausted) -> None:
    record = exhausted()
    assert bury("email", record) == []
    sent = json.loads(record["body"])["notification_id"]
    assert ledger.take_up(sent, "email", "admin", {})
    assert bury("email", record) == []
    assert delivery(record).state == State.RETRYING


def test_f13_what_changes_while_it_is_indexed_is_looked_at_again(
    bury, exhausted, monkeypatch
) -> None:
    record = exhausted()
    state_of = dead_letters.state_of

    def sent_just_then(delivery: Delivery) -> State:
        monkeypatch.setattr(dead_letters, "state_of", state_of)
        before = state_of(delivery)
        touch(record, State.SENT)
        return before

    monkeypatch.setattr(dead_letters, "state_of", sent_just_then)
    assert bury("email", record) == []
    assert delivery(record).state == State.SENT


def test_f13_every_device_of_a_push_ends_and_no_other_channel(bury, exhausted, api) -> None:
    more = {"fcm_token": "another-device", "platform": "ios"}
    assert api("POST", "/api/v1/users/ada/push-tokens", more).status == 201
    record = exhausted({"channels": ["push", "email"]}, "push")
    assert bury("push", record) == []
    sent = json.loads(record["body"])["notification_id"]
    told = api("GET", f"/api/v1/notifications/{sent}").data["deliveries"]
    states = sorted((each["channel"], each["status"]) for each in told)
    assert states == [("email", "queued"), *[("push", "dead_lettered")] * 2]


def test_f13_a_message_to_very_many_devices_is_one_letter(bury, exhausted, monkeypatch) -> None:
    monkeypatch.setattr(dead_letters, "MOST_AT_ONCE", 3)
    record = exhausted(channel="push")
    message = json.loads(record["body"])
    message["targets"] = {"push": [f"device-{n}" for n in range(8)]}
    assert bury("push", record | {"body": json.dumps(message)}) == []
    states = [each.state for each in Delivery.query(message["notification_id"])]
    assert states == [State.DEAD_LETTERED] * 8


def test_f13_a_message_of_another_version_ends_the_deliveries_it_names(
    bury, exhausted, ask
) -> None:
    record = exhausted()
    newer = json.loads(record["body"]) | {"schema_version": 99}
    assert bury("email", record | {"body": json.dumps(newer)}) == []
    assert delivery(record).state == State.DEAD_LETTERED
    assert listed(ask)[0]["notification_id"] == newer["notification_id"]


def test_f13_what_the_topic_could_not_queue_says_so(bury, exhausted, ask) -> None:
    record = exhausted()
    record["messageAttributes"] = {
        "channel": {"stringValue": '["email"]', "dataType": "String.Array"},
        "ErrorCode": {"stringValue": "AccessDenied", "dataType": "String"},
        "ErrorMessage": {"stringValue": "no access to the queue", "dataType": "String"},
    }
    assert bury("email", record) == []
    (letter,) = listed(ask)
    assert (letter["code"], letter["reason"]) == ("not-queued", "no access to the queue")


def test_f13_what_was_poison_once_and_is_none_now_is_known_by_its_reason(
    bury, exhausted, ask
) -> None:
    record = exhausted()
    record["messageAttributes"] = {
        "reason": {"stringValue": "schema_version: Input should be 0", "dataType": "String"}
    }
    assert bury("email", record) == []
    (letter,) = listed(ask)
    assert (letter["code"], letter["reason"]) == ("parked", "schema_version: Input should be 0")


def test_f13_a_letter_that_cannot_be_recorded_stays_in_the_queue(
    bury, exhausted, ask, monkeypatch
) -> None:
    good, bad = exhausted(), exhausted()
    save = dead_letters.saving

    def fail(letter: Letter, *told: Any) -> Any:
        if letter.letter_id == bad["messageId"]:
            raise ConnectionError
        return save(letter, *told)

    monkeypatch.setattr(dead_letters, "saving", fail)
    assert bury("email", good, bad) == [{"itemIdentifier": bad["messageId"]}]
    assert [letter["letter_id"] for letter in listed(ask)] == [good["messageId"]]
    assert delivery(bad).state != State.DEAD_LETTERED


def test_f13_a_message_of_no_channel_of_ours_stays_in_the_queue(bury, exhausted) -> None:
    record = exhausted() | {"eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:foreign"}
    assert bury("email", record) == [{"itemIdentifier": record["messageId"]}]


def test_f13_letters_are_counted_and_what_stands_is_told(bury, exhausted, capsys) -> None:
    bury("email", exhausted(), exhausted())
    assert sum(told_by(capsys, "deadletters_total")) == 2
    handler.lambda_handler({"source": "aws.events"}, None)
    assert told_by(capsys, "deadletters_standing") == [2]


def test_f13_nothing_standing_is_told_too(prepared, capsys) -> None:
    handler.lambda_handler({"source": "aws.events"}, None)
    assert told_by(capsys, "deadletters_standing") == [0]


def test_j4_no_list_shows_what_a_letter_says(bury, exhausted, ask) -> None:
    bury("email", exhausted())
    shown = json.dumps([listed(ask), groups(ask)])
    assert "ada@example.com" not in shown
    assert "A-1042" not in shown


def test_j5_the_letters_of_an_erased_user_are_deleted(
    bury, exhausted, prepared, api, sample, context, ask
) -> None:
    from functions.jobs import handler as jobs  # noqa: PLC0415

    record, late = exhausted(), exhausted({"channels": ["email", "inapp"]})
    bury("email", record)
    assert api("DELETE", "/api/v1/users/ada").status == 202
    (task,) = prepared.sqs.receive_message(QueueUrl=prepared.jobs)["Messages"]
    event = sample("jobs-batch")
    event["Records"][0] |= {"body": task["Body"], "receiptHandle": task["ReceiptHandle"]}
    assert jobs.lambda_handler(event, context) == {"batchItemFailures": []}
    assert prepared.items("DeadLettersTable") == []
    # What comes to the dead letters later is not kept either.
    assert bury("email", late) == []
    assert listed(ask) == []


def test_f13_a_letter_outlives_what_sqs_would_keep(bury, exhausted, monkeypatch) -> None:
    monkeypatch.setenv("RETENTION_DAYS", "8")
    settings.cache_clear()
    record = exhausted()
    bury("email", record)
    (letter,) = Letter.scan()
    assert (
        letter.expires_at
        - Delivery.get(json.loads(record["body"])["notification_id"], "email").expires_at
        >= (letters.KEPT_DAYS - 8) * 86_400
    )


def _give_up(notification_id: str) -> None:
    Delivery(notification_id, "email").update(
        actions=[Delivery.state.set(State.DEAD_LETTERED), Delivery.updated_at.set("2026-11-21")]
    )


def test_f13_a_stray_copy_of_a_dead_letter_makes_no_call(prepared, send, deliver) -> None:
    sent = send({"channels": ["email"]}).data["notification_id"]
    _give_up(sent)
    assert deliver("email").calls == []
    assert Delivery.get(sent, "email").state == State.DEAD_LETTERED


@pytest.mark.parametrize("heard", ["sent", "delivered", "failed"])
def test_f13_what_a_provider_says_of_a_dead_letter_is_believed(prepared, send, ask, heard) -> None:
    sent = send({"channels": ["email"]}).data["notification_id"]
    _give_up(sent)
    told = ask("PATCH", f"/api/v1/notifications/{sent}/status", {"status": heard})
    assert told.data["deliveries"][0]["status"] == heard


def test_f13_a_dead_letter_can_be_cancelled(prepared, send, ask) -> None:
    sent = send({"channels": ["email"]}).data["notification_id"]
    _give_up(sent)
    told = ask("POST", f"/api/v1/notifications/{sent}/cancel", {})
    assert (told.status, told.data["status"]) == (202, "cancelled")
