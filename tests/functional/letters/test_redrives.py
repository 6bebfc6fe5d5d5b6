"""Dead letters sent again, or put away, by an operator's order."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from functional.conftest import ADMIN_CALLER, Context
from functional.letters.conftest import listed, told_by, touch

from carillon import clearing, storage
from carillon.aws import sqs
from carillon.letters import Letter, LetterJob
from carillon.models import State
from carillon.tables import Delivery
from functions.redrives import handler

Json = dict[str, Any]
EMPTY: Json = {"filter": {}}


@pytest.fixture
def clear(prepared, context) -> Callable[..., list[Json]]:
    """Return the runner of the next step: what came again, or None when there was none."""

    def work(context: Context = context) -> list[Json] | None:
        reply = prepared.sqs.receive_message(
            QueueUrl=prepared.redrives, AttributeNames=["All"], MaxNumberOfMessages=1
        )
        if not reply.get("Messages"):
            return None
        (message,) = reply["Messages"]
        record = {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
        }
        again = handler.lambda_handler({"Records": [record]}, context)["batchItemFailures"]
        if not again:
            prepared.sqs.delete_message(
                QueueUrl=prepared.redrives, ReceiptHandle=message["ReceiptHandle"]
            )
        return list(again)

    return work


@pytest.fixture
def order(ask) -> Callable[..., Json]:
    """Return a maker of jobs: "redrive" or "discard"."""

    def make(kind: str, body: Json = EMPTY, **how: Any) -> Json:
        answer = ask("POST", f"/api/v1/ops/dlq/{kind}", body, caller=ADMIN_CALLER, **how)
        assert answer.status == (200 if body.get("dry_run") else 202), answer.body
        return dict(answer.data)

    return make


def look(ask: Any, job: Json) -> Json:
    answer = ask("GET", f"/api/v1/ops/dlq/jobs/{job['job_id']}", caller=ADMIN_CALLER)
    assert answer.status == 200, answer.body
    return dict(answer.data)


def id_of(record: Json) -> str:
    return str(json.loads(record["body"])["notification_id"])


def test_f13_a_letter_is_sent_again_and_delivered(
    bury, exhausted, order, clear, ask, deliver
) -> None:
    record = exhausted()
    touch(record, State.RETRYING, attempts=4, error_code="Throttling")
    bury("email", record)
    job = order("redrive")
    assert (job["status"], job["total"], job["done"]) == ("pending", 1, 0)
    assert clear() == []
    done = look(ask, job)
    assert (done["status"], done["total"], done["done"], done["failed"]) == ("done", 1, 1, 0)
    taken_up = Delivery.get(id_of(record), "email")
    assert (taken_up.state, taken_up.attempts) == (State.RETRYING, 0)
    assert listed(ask) == []
    assert len(deliver("email").calls) == 1
    sent = Delivery.get(id_of(record), "email")
    assert (sent.state, sent.attempts) == (State.SENT, 1)
    lines = [json.loads(line) for line in sent.history]
    assert [(each["after"], each["actor"]) for each in lines] == [
        ("dead_lettered", "dead-letters"),
        ("retrying", "admin"),
        ("sent", "worker"),
    ]


def test_f13_that_it_may_have_gone_is_remembered(
    bury, exhausted, order, clear, ask, deliver
) -> None:
    record = exhausted()
    touch(record, State.SENDING, lease_until=1, attempts=1)
    bury("email", record)
    order("redrive")
    clear()
    deliver("email")
    assert Delivery.get(id_of(record), "email").maybe_sent is True
    (told,) = [
        each
        for each in ask("GET", f"/api/v1/notifications/{id_of(record)}").data["deliveries"]
        if each["channel"] == "email"
    ]
    assert (told["status"], told["attempts"], told["possible_duplicate"]) == ("sent", 1, True)


def test_f13_what_was_sent_meanwhile_makes_no_call_a_q07(
    bury, exhausted, order, clear, deliver
) -> None:
    record = exhausted()
    bury("email", record)
    Delivery(id_of(record), "email").update(actions=[Delivery.state.set(State.SENT)])
    order("redrive")
    assert clear() == []
    assert deliver("email").calls == []
    assert Delivery.get(id_of(record), "email").state == State.SENT


@pytest.mark.parametrize("ended", [State.DELIVERED, State.CANCELLED, State.UNKNOWN, State.EXPIRED])
def test_f13_what_ended_meanwhile_stays_as_it_is_a_q07(
    bury, exhausted, order, clear, deliver, ended
) -> None:
    record = exhausted()
    bury("email", record)
    Delivery(id_of(record), "email").update(actions=[Delivery.state.set(ended)])
    order("redrive")
    clear()
    assert deliver("email").calls == []
    assert Delivery.get(id_of(record), "email").state == ended


def test_f13_poison_that_still_is_comes_back_under_the_same_fingerprint(
    bury, poison, order, clear, ask, deliver
) -> None:
    poison("not json")
    bury()
    (first,) = listed(ask)
    job = order("redrive")
    clear()
    assert listed(ask) == []
    deliver("email")
    bury()
    (second,) = listed(ask)
    assert second["fingerprint"] == first["fingerprint"]
    assert second["letter_id"] != first["letter_id"]
    # The job is over; it does not run after what it made itself.
    assert (look(ask, job)["status"], look(ask, job)["done"]) == ("done", 1)


def test_f13_a_dry_run_counts_and_does_nothing(bury, exhausted, order, clear, ask) -> None:
    bury("email", exhausted(), exhausted())
    for kind, more in (("redrive", {}), ("discard", {"reason": "old"})):
        told = order(kind, {"filter": {}, "dry_run": True} | more)
        assert (told["total"], told["job_id"]) == (2, None)
    assert clear() is None
    assert len(listed(ask)) == 2


def test_f13_a_period_that_ends_before_it_begins_has_no_letters(bury, exhausted, order) -> None:
    bury("email", exhausted())
    period = {"since": "2026-11-02T00:00:00Z", "until": "2026-11-01T00:00:00Z"}
    assert order("redrive", {"filter": period, "dry_run": True})["total"] == 0


def test_f13_only_what_fits_the_filter_is_sent_again(
    bury, exhausted, order, clear, ask, prepared
) -> None:
    bury("email", exhausted())
    bury("sms", exhausted(channel="sms"))
    assert order("redrive", {"filter": {"channel": "sms", "code": "no-outcome"}})["total"] == 1
    clear()
    assert [letter["channel"] for letter in listed(ask)] == ["email"]
    assert (len(prepared.published("sms")), prepared.published("email")) == (1, [])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"filter": {"chanel": "sms"}},
        {"filter": {"fingerprint": "x"}},
        {"filter": {"since": 1}},
        {"filter": {}, "rate_per_second": 0},
        {"filter": {}, "rate_per_second": 101},
        {"filter": {}, "reason": "only a discard has one"},
    ],
)
def test_f13_an_order_that_says_too_little_or_too_much_is_refused(ask, prepared, body) -> None:
    answer = ask("POST", "/api/v1/ops/dlq/redrive", body, caller=ADMIN_CALLER)
    assert answer.status == 422
    assert prepared.items("DeadLettersTable") == []


def test_f13_letters_are_sent_at_the_pace_that_was_asked_for(
    bury, exhausted, order, clear, ask, monkeypatch, time_machine
) -> None:
    record = exhausted()
    for n in range(25):
        bury("email", record | {"messageId": f"m-{n:02}"})
    job = order("redrive", {"filter": {}, "rate_per_second": 2})
    delays = []
    real = sqs().send_message

    def send_message(**told: Any) -> Any:
        delays.append((told["QueueUrl"].rpartition("/")[2], told["DelaySeconds"]))
        return real(**told | {"DelaySeconds": 0})

    monkeypatch.setattr(sqs(), "send_message", send_message)
    for done in (20, 25):
        delays.clear()
        assert clear() == []
        assert look(ask, job)["done"] == done
        sent = [delay for queue, delay in delays if queue == "email"]
        assert sent == [n // 2 for n in range(len(sent))]
        following = [delay for queue, delay in delays if queue == "redrives"]
        assert all(9 <= delay <= clearing.WINDOW for delay in following)
        assert len(following) == (done == 20)
    assert clear() is None


def test_f13_a_discarded_letter_has_failed_with_the_operator_s_reason(
    bury, exhausted, order, clear, ask, prepared
) -> None:
    sure, doubtful = exhausted(), exhausted()
    touch(doubtful, State.SENDING, lease_until=1, attempts=1)
    bury("email", sure, doubtful)
    order("discard", {"filter": {}, "reason": "the sale is over"})
    assert clear() == []
    for record, state in ((sure, "failed"), (doubtful, "unknown")):
        (told,) = ask("GET", f"/api/v1/notifications/{id_of(record)}").data["deliveries"]
        assert (told["status"], told["reason"]) == (state, "the sale is over")
        assert told["error"]["code"] == "discarded"
        *_, last = ask("GET", f"/api/v1/notifications/{id_of(record)}/events").data
        assert (last["actor"], last["from"]) == ("admin", "dead_lettered")
    assert listed(ask) == []
    assert not any("body" in item for item in prepared.items("DeadLettersTable"))


def test_e12_the_next_channel_s_turn_begins_when_a_letter_is_put_away(
    bury, exhausted, order, clear, prepared, deliver
) -> None:
    record = exhausted({"channels": ["email", "sms"], "routing": "fallback"})
    bury("email", record)
    assert prepared.published("sms") == []
    order("discard", {"filter": {}, "reason": "no such mailbox"})
    assert clear() == []
    assert len(deliver("sms").calls) == 1


def test_f13_a_discarded_letter_is_not_sent_again(bury, exhausted, order, clear, deliver) -> None:
    bury("email", exhausted())
    order("discard", {"filter": {}, "reason": "old"})
    clear()
    assert order("redrive")["total"] == 0
    clear()
    assert deliver("email").calls == []


def test_f13_two_orders_for_the_same_letters_send_each_once(
    bury, exhausted, order, clear, ask, prepared
) -> None:
    record = exhausted()
    bury("email", *(record | {"messageId": f"m-{n}"} for n in range(4)))
    jobs = [order("redrive"), order("redrive")]
    assert clear() == clear() == []
    assert len(prepared.published("email")) == 4
    assert sum(look(ask, job)["done"] for job in jobs) == 4
    assert {look(ask, job)["status"] for job in jobs} == {"done"}


@pytest.mark.parametrize("step", ["take_up", "_send", "_count"])
def test_f13_a_job_that_died_goes_on_where_it_was(
    bury, exhausted, order, clear, ask, prepared, monkeypatch, step, time_machine
) -> None:
    time_machine.move_to("2026-11-21T09:30:00Z", tick=False)
    record = exhausted()
    bury("email", *(record | {"messageId": f"m-{n}"} for n in range(3)))
    prepared.empty_queue(prepared.queues["email"])
    job = order("redrive")
    real, calls = getattr(clearing, step), []

    def dies(*told: Any) -> Any:
        calls.append(told)
        if len(calls) == 2:
            raise ConnectionError
        return real(*told)

    with monkeypatch.context() as broken:
        broken.setattr(clearing, step, dies)
        assert len(clear()) == 1
    assert look(ask, job)["done"] == 1
    time_machine.shift(10)
    assert clear() == []
    # The letter that was in hand is left alone until its lease has lapsed.
    assert (look(ask, job)["status"], look(ask, job)["done"]) == ("running", 2)
    time_machine.shift(clearing.LEASE)
    assert clear() == []
    told = look(ask, job)
    assert (told["status"], told["total"], told["done"], told["failed"]) == ("done", 3, 3, 0)
    assert listed(ask) == []
    # Sent twice, when it died between sending and writing so; the delivery's claim takes one.
    assert len(prepared.published("email")) == (4 if step == "_count" else 3)


def test_f13_a_step_stops_in_time_and_the_next_goes_on(bury, exhausted, order, clear, ask) -> None:
    record = exhausted()
    bury("email", *(record | {"messageId": f"m-{n}"} for n in range(3)))
    job = order("discard", {"filter": {}, "reason": "old"})
    assert clear(Context(remaining_ms=1000)) == []
    assert (look(ask, job)["done"], look(ask, job)["status"]) == (0, "running")
    assert clear() == []
    assert (look(ask, job)["done"], look(ask, job)["status"]) == (3, "done")


def test_f13_what_sqs_never_takes_stands_and_is_counted(
    bury, exhausted, order, clear, ask, monkeypatch
) -> None:
    record = exhausted()
    bury("email", record)
    job = order("redrive")
    real = sqs().send_message

    def send_message(**told: Any) -> Any:
        if told["QueueUrl"].endswith("/email"):
            error = {"Error": {"Code": "InvalidMessageContents", "Message": ""}}
            raise ClientError(error, "SendMessage")
        return real(**told)

    monkeypatch.setattr(sqs(), "send_message", send_message)
    assert clear() == []
    told = look(ask, job)
    assert (told["status"], told["done"], told["failed"]) == ("done", 0, 1)
    assert len(listed(ask)) == 1
    assert Delivery.get(id_of(record), "email").state == State.DEAD_LETTERED
    # The next order tries again.
    monkeypatch.setattr(sqs(), "send_message", real)
    again = order("redrive")
    assert clear() == []
    assert look(ask, again)["done"] == 1


def test_f13_an_order_with_a_key_is_one_job(bury, exhausted, order, ask, prepared) -> None:
    bury("email", exhausted())
    key = {"Idempotency-Key": "redrive-1"}
    first, second = order("redrive", headers=key), order("redrive", headers=key)
    assert first == second
    found = prepared.sqs.receive_message(QueueUrl=prepared.redrives, MaxNumberOfMessages=10)
    assert len(found["Messages"]) == 1


def test_f13_a_job_whose_first_step_was_lost_is_begun_by_who_looks(
    bury, exhausted, order, clear, ask, prepared, time_machine
) -> None:
    time_machine.move_to("2026-11-21T09:30:00Z", tick=False)
    bury("email", exhausted())
    job = order("redrive")
    prepared.empty_queue(prepared.redrives)
    look(ask, job)
    assert clear() is None
    time_machine.shift(31)
    look(ask, job)
    look(ask, job)
    assert clear() == []
    assert look(ask, job)["status"] == "done"
    assert clear() is None


def test_f13_a_job_of_another_tenant_is_not_there(bury, exhausted, order, ask) -> None:
    bury("email", exhausted())
    job = order("redrive")
    foreign = ADMIN_CALLER | {"tenant": "other"}
    answers = [
        ask("GET", f"/api/v1/ops/dlq/jobs/{name}", caller=caller)
        for name, caller in ((job["job_id"], foreign), ("x", ADMIN_CALLER))
    ]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body["detail"] for answer in answers}) == 1


def test_f13_another_tenant_s_order_touches_nothing(bury, exhausted, ask, clear) -> None:
    bury("email", exhausted())
    foreign = ADMIN_CALLER | {"tenant": "other"}
    answer = ask("POST", "/api/v1/ops/dlq/redrive", EMPTY, caller=foreign)
    assert answer.data["total"] == 0
    clear()
    assert len(listed(ask)) == 1


def test_f13_what_stands_after_a_job_is_told(bury, exhausted, order, clear, capsys) -> None:
    bury("email", exhausted())
    order("redrive")
    capsys.readouterr()
    clear()
    assert told_by(capsys, "deadletters_standing") == [0]


def test_f13_a_task_of_a_job_that_is_over_or_gone_does_nothing(
    bury, exhausted, order, clear, ask, prepared
) -> None:
    bury("email", exhausted())
    job = order("redrive")
    clear()
    for job_id in (job["job_id"], "gone"):
        clearing.enqueue(clearing.Task(tenant="default", job_id=job_id))
        assert clear() == []
    assert len(prepared.published("email")) == 1


def test_a_step_that_comes_first_in_a_process_finds_the_letters(
    cloud, sample, context, monkeypatch
) -> None:
    """Orders and letters share a table: whichever is read first, the letters' indexes are known."""
    storage.connection.cache_clear()
    for kind in (Letter, LetterJob):
        monkeypatch.setattr(kind, "_connection", None)
    assert handler.lambda_handler(sample("redrives-step"), context) == {"batchItemFailures": []}
