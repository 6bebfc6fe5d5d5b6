"""Erasing and exporting a user: begun by a request, done by a job, whatever is repeated or lost."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import requests
from cloudformation import resources
from pynamodb.exceptions import PynamoDBException

from carillon import erasure, exports, jobs
from carillon.jobs import Kind
from carillon.tables import Delivery, InboxItem
from functions.api.auth import handler as auth
from functions.channels.email import handler as email
from functions.channels.inapp import handler as inapp
from functions.jobs import handler

ADA = "/api/v1/users/ada"
SECRETS = ["ada@example.com", "+14155552671", "fcm-device-of-ada", "Analytical Engine", "Lovelace"]
"""What the sample user and notification say of a person."""


@pytest.fixture
def work(cloud, context) -> Callable[..., list[Any]]:
    """Return a worker of the jobs' queue; it tells what each message came to."""

    def work(receives: int | None = None) -> list[Any]:
        found = cloud.sqs.receive_message(
            QueueUrl=cloud.jobs, MaxNumberOfMessages=10, AttributeNames=["All"]
        )
        done = []
        for message in found.get("Messages", []):
            attributes = dict(message["Attributes"])
            if receives:
                attributes["ApproximateReceiveCount"] = str(receives)
            record = {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": attributes,
            }
            answer = handler.lambda_handler({"Records": [record]}, context)
            done.append(answer["batchItemFailures"] == [])
            if done[-1]:
                cloud.sqs.delete_message(
                    QueueUrl=cloud.jobs, ReceiptHandle=message["ReceiptHandle"]
                )
        return done

    return work


@pytest.fixture
def lived(prepared, api, send, context) -> str:
    """A user with preferences, a device, an inbox and deliveries; returns a notification's id."""
    wanted = {"locale": "en", "categories": {"Lovelace": True}}
    assert api("PUT", f"{ADA}/preferences", wanted).status == 200
    key = {"Idempotency-Key": "for-Lovelace"}
    sent = send({"metadata": {"who": "Lovelace"}}, headers=key).data["notification_id"]
    for channel, module in (("inapp", inapp), ("email", email)):
        for message in prepared.published(channel):
            record = {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
            }
            module.lambda_handler({"Records": [record]}, context)
    told = {"channel": "sms", "status": "failed", "error_message": "no +14155552671 here"}
    assert api("PATCH", f"/api/v1/notifications/{sent}/status", told).status == 200
    return sent


def _said(cloud: Any) -> str:
    """Everything every table holds, as text."""
    kept = {name: cloud.items(name) for name in cloud.tables if name != "TemplatesTable"}
    return json.dumps(
        kept, default=lambda value: value.decode(errors="replace"), ensure_ascii=False
    )


def test_j5_nothing_personal_is_left_of_an_erased_user(prepared, api, lived, work) -> None:
    assert api("GET", f"{ADA}/export").status == 202
    assert work() == [True]
    before = _said(prepared)
    assert all(secret in before for secret in SECRETS)
    assert "content_hash" in before
    gone = api("DELETE", ADA)
    assert (gone.status, gone.data["status"]) == (202, "pending")
    assert api("GET", ADA).status == 404
    assert work() == [True]
    after = _said(prepared)
    assert [secret for secret in [*SECRETS, "default#user#ada"] if secret in after] == []
    # The job alone says that there was somebody, for a day.
    left = prepared.items("UsersTable")
    assert [(i["key"]["S"], i["part"]["S"], i["state"]["S"]) for i in left] == [
        ("default#ada", "job#erase", "ready")
    ]
    assert prepared.items("InboxTable") == []
    assert "Contents" not in prepared.s3.list_objects_v2(Bucket=prepared.exports)
    # A hash tells when a guess is right.
    assert not any("content_hash" in item for item in prepared.items("DeliveriesTable"))


def test_j5_what_waits_in_a_queue_is_not_sent_to_an_erased_user_a_q08(
    prepared, api, work, send, deliver
) -> None:
    sent = send({"channels": ["email", "push"]}).data["notification_id"]
    api("DELETE", ADA)
    assert work() == [True]
    assert deliver("email").calls == deliver("push").calls == []
    after = api("GET", f"/api/v1/notifications/{sent}").data
    assert {d["status"] for d in after["deliveries"]} == {"suppressed"}


def test_j5_an_answer_kept_for_repeats_is_not_repeated_of_an_erased_user(
    prepared, api, work
) -> None:
    change = {"full_name": "Ada Lovelace King"}
    key = {"Idempotency_Key": "change-1"}
    assert api("PATCH", ADA, change, **key).status == 200
    assert api("PATCH", ADA, change, **key).headers["Idempotent-Replayed"] == "true"
    assert "Lovelace King" in prepared.items("IdempotencyTable")[0]["body"]["S"]
    api("DELETE", ADA)
    assert work() == [True]
    assert prepared.items("IdempotencyTable") == []
    assert api("PATCH", ADA, change, **key).status == 404


def test_j5_an_erased_notification_keeps_its_states_and_times(prepared, api, lived, work) -> None:
    where = f"/api/v1/notifications/{lived}"
    for channel in ("email", "push"):  # so that nothing is left to be stopped
        told = {"channel": channel, "status": "sent"}
        assert api("PATCH", f"{where}/status", told).status == 200
    before, events = api("GET", where).data, api("GET", f"{where}/events").data
    api("DELETE", ADA)
    assert work() == [True]
    after = api("GET", where).data
    for name in ("status", "template_code", "template_version", "category", "created_at"):
        assert after[name] == before[name]
    kept = ("channel", "target", "status", "reason", "attempts", "updated_at")
    assert [[d[name] for name in kept] for d in after["deliveries"]] == [
        [d[name] for name in kept] for d in before["deliveries"]
    ]
    assert {d["to"] for d in after["deliveries"]} == {None}
    assert (after["user_id"], after["metadata"]) == (None, {})
    happened = api("GET", f"{where}/events").data
    assert [(e["at"], e["type"]) for e in happened] == [(e["at"], e["type"]) for e in events]
    assert api("GET", f"{where}/content").status == 410


def test_j5_a_repeat_of_what_was_sent_publishes_nothing(prepared, send, api, work) -> None:
    first = send()
    assert all(prepared.published(channel) for channel in prepared.queues)
    # No worker has claimed any of it, so a repeat would publish it all again.
    api("DELETE", ADA)
    assert work() == [True]
    again = send()
    assert (again.status, again.headers["Idempotent-Replayed"]) == (202, "true")
    assert again.data["deliveries"] == first.data["deliveries"]
    assert not any(prepared.published(channel) for channel in prepared.queues)


def test_j5_the_same_request_again_is_the_same_job(prepared, api, work) -> None:
    first, second = api("DELETE", ADA), api("DELETE", ADA)
    assert (second.status, second.data) == (202, first.data)
    assert work() == [True]
    assert api("DELETE", ADA).status == 404


def test_j5_a_version_that_is_no_more_is_not_erased(prepared, api, work) -> None:
    tag = api("GET", ADA).headers["ETag"]
    api("PATCH", ADA, {"full_name": "Ada King"})
    assert api("DELETE", ADA, If_Match=tag).status == 412
    assert api("GET", ADA).status == 200
    assert work() == []
    assert api("DELETE", ADA, If_Match=api("GET", ADA).headers["ETag"]).status == 202


def test_j5_nobody_new_takes_the_id_while_it_is_being_erased(prepared, api, work) -> None:
    api("DELETE", ADA)
    busy = api("PUT", ADA, {"full_name": "Another Ada"})
    assert (busy.status, busy.body["code"]) == (409, "user-being-erased")
    assert busy.headers["Retry-After"] == "5"
    assert work() == [True]
    assert api("PUT", ADA, {"full_name": "Another Ada"}).status == 201
    assert api("GET", f"{ADA}/push-tokens").data == []
    assert api("DELETE", ADA).status == 202  # and may go again


def test_j5_an_old_task_erases_nobody_new(prepared, api, work, sample, context) -> None:
    job = api("DELETE", ADA).data["job_id"]
    task = jobs.task_of("default", "ada", jobs.current("default", "ada", Kind.ERASE))
    assert work() == [True]
    api("PUT", ADA, {"full_name": "Another Ada"})
    api("PUT", f"{ADA}/preferences", {"locale": "fr"})
    kept = prepared.items("UsersTable")
    assert task.job_id == job
    erasure.run(task)
    assert prepared.items("UsersTable") == kept


def test_j5_the_last_look_finds_what_came_late_and_leaves_what_is_new(
    prepared, api, lived, work, send
) -> None:
    late_entry = next(iter(InboxItem.query("default#ada")))
    api("DELETE", ADA)
    task = jobs.task_of("default", "ada", jobs.current("default", "ada", Kind.ERASE))
    assert work() == [True]
    # A worker that was at it puts its entry and its provider's words after the erasure.
    late_entry.save()
    delivery = Delivery.get(lived, "email")
    delivery.error_message = "Lovelace is unknown"
    delivery.save()
    api("PUT", ADA, {"email": "new@example.com"})
    new = InboxItem("default#ada", "2126-01-01T00:00:00.000Z#ntf_new")
    for name in ("notification_id", "category", "title", "body", "created_at", "expires_at"):
        setattr(new, name, getattr(late_entry, name))
    new.save()
    erasure.run(task.model_copy(update={"look": 2}))
    assert [item.position for item in InboxItem.query("default#ada")] == [new.position]
    assert "Lovelace" not in json.dumps(prepared.items("DeliveriesTable"))
    assert api("GET", ADA).data["email"] == "new@example.com"


@pytest.mark.parametrize("step", ["_erase_kept", "_erase_notifications", "exports", "inbox"])
def test_j5_an_erasure_that_is_cut_off_is_finished_by_the_next_try(
    prepared, api, lived, work, monkeypatch, step
) -> None:
    api("DELETE", ADA)

    def cut_off(*_: Any) -> None:
        raise PynamoDBException("cut off")

    with monkeypatch.context() as broken:
        target = getattr(erasure, step)
        if callable(target):
            broken.setattr(erasure, step, cut_off)
        else:
            broken.setattr(target, "erase", cut_off)
        assert work(receives=50) == [False]
    assert jobs.current("default", "ada", Kind.ERASE).state == "pending"
    task = jobs.task_of("default", "ada", jobs.current("default", "ada", Kind.ERASE))
    erasure.run(task)
    assert [secret for secret in SECRETS if secret in _said(prepared)] == []


def test_j5_a_task_whose_message_was_lost_is_queued_by_the_next_request(
    prepared, api, work, monkeypatch
) -> None:
    api("DELETE", ADA)
    prepared.sqs.delete_queue(QueueUrl=prepared.jobs)
    prepared.sqs.create_queue(QueueName="jobs")
    assert api("DELETE", ADA).status == 202
    assert work() == []  # it may still be on its way
    monkeypatch.setattr(jobs, "LOST_AFTER", jobs.LOST_AFTER * 0)
    assert api("DELETE", ADA).status == 202
    assert work() == [True]
    assert api("DELETE", ADA).status == 404


def test_j5_others_of_the_tenant_and_of_other_tenants_stay(prepared, api, send, work) -> None:
    other = {"client_id": "c2", "tenant": "other", "scope": "users send read"}
    api("PUT", "/api/v1/users/bob", {"email": "bob@example.com"})
    api("PUT", ADA, {"email": "their@example.com"}, caller=other)
    bob = {"user_id": "bob", "channels": ["email"], "message": "Hi Bob"}
    assert api("POST", "/api/v1/notifications", bob).status == 202
    theirs = {"user_id": "ada", "channels": ["email"], "message": "Hi other Ada"}
    assert api("POST", "/api/v1/notifications", theirs, caller=other).status == 202
    api("DELETE", ADA)
    assert work() == [True]
    said = _said(prepared)
    kept = ["bob@example.com", "Hi Bob", "their@example.com", "Hi other Ada"]
    assert all(text in said for text in kept)


def test_j5_the_account_goes_with_its_user_and_the_address_is_free_again(
    prepared, call, sample, work, api
) -> None:
    made = call(auth, sample("auth-register"))
    assert made.status == 201
    assert len(prepared.items("AccountsTable")) > 2
    email = json.loads(sample("auth-register")["body"])["email"]
    where = f"/api/v1/users/{made.data['user_id']}"
    assert api("GET", f"{where}/export").status == 202
    assert work() == [True]
    document = requests.get(api("GET", f"{where}/export").data["link"], timeout=5).json()
    assert document["account"]["email"] == email
    assert "argon2" not in json.dumps(document)
    assert api("DELETE", where).status == 202
    assert work() == [True]
    left = [item["key"]["S"] for item in prepared.items("AccountsTable")]
    assert [key for key in left if not key.startswith("session#")] == []
    assert call(auth, sample("auth-register")).status == 201


def _export(api: Any) -> Any:
    reply = api("GET", f"{ADA}/export")
    assert reply.status == 202
    return reply.data


def test_j6_an_export_holds_all_that_is_kept_of_the_user(prepared, api, lived, work) -> None:
    begun = _export(api)
    assert (begun["status"], begun["link"]) == ("pending", None)
    assert _export(api) == begun
    assert work() == [True]
    ready = _export(api)
    assert (ready["job_id"], ready["status"]) == (begun["job_id"], "ready")
    assert "X-Amz-Expires=900" in ready["link"]
    document = requests.get(ready["link"], timeout=5).json()
    assert document["profile"]["email"] == "ada@example.com"
    assert document["preferences"]["locale"] == "en"
    assert [device["fcm_token"] for device in document["devices"]] == ["fcm-device-of-ada"]
    assert [entry["notification_id"] for entry in document["inbox"]] == [lived]
    (sent,) = document["notifications"]
    assert sent["addresses"]["sms"] == ["+14155552671"]
    assert sent["metadata"] == {"who": "Lovelace"}
    assert sent["variables"]["order"]["number"] == "A-1042"
    assert {d["channel"] for d in sent["deliveries"]} == {"email", "sms", "push", "inapp"}
    assert all(secret in json.dumps(document) for secret in SECRETS)


def test_j6_an_export_of_many_is_whole(prepared, api, send, work, monkeypatch) -> None:
    keys = [{"Idempotency-Key": f"key-{n}"} for n in range(3)]
    ids = {send({"channels": ["sms"]}, headers=key).data["notification_id"] for key in keys}
    assert len(ids) == 3
    monkeypatch.setattr(exports, "_AT_ONCE", 2)
    _export(api)
    assert work() == [True]
    document = requests.get(_export(api)["link"], timeout=5).json()
    assert {sent["notification_id"] for sent in document["notifications"]} == ids


def test_j6_a_ready_export_is_handed_out_for_an_hour(prepared, api, work, monkeypatch) -> None:
    first = _export(api)
    assert work() == [True]
    assert _export(api)["job_id"] == first["job_id"]
    monkeypatch.setattr(exports, "HANDED_OUT", exports.HANDED_OUT * 0)
    second = _export(api)
    assert second["job_id"] != first["job_id"]
    assert (second["status"], second["link"]) == ("pending", None)


def test_j6_an_export_that_keeps_failing_is_told_as_failed(
    prepared, api, work, monkeypatch
) -> None:
    begun = _export(api)

    def away(*_: Any) -> None:
        raise PynamoDBException("away")

    monkeypatch.setattr(exports, "_upload", away)
    assert work(receives=1) == [False]
    assert _export(api)["status"] == "pending"
    task = jobs.task_of("default", "ada", jobs.current("default", "ada", Kind.EXPORT))
    assert handler._run(task, handler.EXPORT_TRIES)
    failed = _export(api)
    assert failed == {"job_id": begun["job_id"], "status": "failed", "link": None}
    monkeypatch.setattr(exports, "FAILED_FOR", exports.FAILED_FOR * 0)
    assert _export(api)["status"] == "pending"


def test_j6_an_export_of_a_user_erased_meanwhile_is_not_left(
    prepared, api, work, monkeypatch
) -> None:
    _export(api)
    task = jobs.task_of("default", "ada", jobs.current("default", "ada", Kind.EXPORT))
    upload = exports._upload

    def erased_meanwhile(*told: Any) -> None:
        api("DELETE", ADA)
        erasure.run(jobs.task_of("default", "ada", jobs.current("default", "ada", Kind.ERASE)))
        upload(*told)

    monkeypatch.setattr(exports, "_upload", erased_meanwhile)
    exports.run(task)
    assert "Contents" not in prepared.s3.list_objects_v2(Bucket=prepared.exports)
    assert api("GET", f"{ADA}/export").status == 404


def test_j6_the_same_task_again_makes_no_other_export(prepared, api, work, monkeypatch) -> None:
    _export(api)
    task = jobs.task_of("default", "ada", jobs.current("default", "ada", Kind.EXPORT))
    assert work() == [True]
    monkeypatch.setattr(exports, "_document", None)  # would not be called
    exports.run(task)


def test_an_object_s_name_does_not_say_whose_it_is(prepared, api, work) -> None:
    _export(api)
    work()
    (found,) = prepared.s3.list_objects_v2(Bucket=prepared.exports)["Contents"]
    assert "ada" not in found["Key"].partition("/")[2]
    assert exports._folder("default", "ada") == found["Key"].partition("/")[0] + "/"
    assert exports._folder("default#a", "b") != exports._folder("default", "a#b")


@pytest.mark.parametrize("body", ["", "{", "{}", '{"schema_version": 99}'])
def test_a_message_that_is_no_task_stays_for_the_dead_letters(prepared, work, body) -> None:
    prepared.sqs.send_message(QueueUrl=prepared.jobs, MessageBody=body or "null")
    assert work() == [False]


def test_a_job_lapses_long_after_its_dead_letter(prepared, api) -> None:
    api("DELETE", ADA)
    (job,) = [i for i in prepared.items("UsersTable") if i["part"]["S"] == "job#erase"]
    requested = datetime.fromisoformat(job["requested_at"]["S"]).timestamp()
    dead = resources("AWS::SQS::Queue", "infra/jobs.yaml")["DeadLetterQueue"]
    assert int(job["expires_at"]["N"]) - requested > dead["MessageRetentionPeriod"] + 4 * 86_400
