"""POST /notifications: what is accepted, what is refused, and what each leaves behind."""

import hashlib
import json
from typing import Any

import pytest

from carillon import templates as templates_module
from carillon.identity import APPLICATION
from carillon.settings import settings
from carillon.tables import Delivery, Notification
from functions.api.notifications import handler
from functions.api.users import handler as users

Json = dict[str, Any]
CHANNELS = ["email", "sms", "push", "inapp"]
OTHER_CLIENT = {
    "client_id": "somebody-else",
    "tenant": "default",
    "scope": " ".join(sorted(APPLICATION)),
}


def test_an_accepted_notification_is_recorded_once_and_published_once(send, prepared) -> None:
    reply = send()
    assert reply.status == 202
    assert reply.data["status"] == "accepted"
    assert [(d["channel"], d["status"]) for d in reply.data["deliveries"]] == [
        (channel, "queued") for channel in CHANNELS
    ]
    assert len(prepared.items("NotificationsTable")) == 1
    for channel in CHANNELS:
        (message,) = prepared.published(channel)
        assert json.loads(message["Body"])["notification_id"] == reply.data["notification_id"]


def test_the_answer_says_where_the_notification_is(send) -> None:
    reply = send()
    path = f"/api/v1/notifications/{reply.data['notification_id']}"
    assert reply.headers["Location"] == f"/dev{path}"  # the sample's address has the stage
    assert reply.data["links"] == {"self": path}


def test_a_channel_not_named_sees_nothing(send, prepared) -> None:
    assert send({"channels": ["sms"]}).status == 202
    assert len(prepared.published("sms")) == 1
    assert not any(prepared.published(channel) for channel in ("email", "push", "inapp"))


def test_the_correlation_id_goes_from_the_request_to_the_message(send, prepared) -> None:
    reply = send()
    assert reply.headers["X-Correlation-ID"] == "order-A-1042"
    assert reply.body["meta"]["correlation_id"] == "order-A-1042"
    (message,) = prepared.published("email")
    assert json.loads(message["Body"])["correlation_id"] == "order-A-1042"


def test_a_repeat_gets_the_first_answer_and_sends_nothing(send, prepared) -> None:
    first = send()
    for channel in CHANNELS:
        prepared.published(channel)
    _claim_all(first.data["notification_id"])
    again = send()
    assert (again.status, again.data) == (first.status, first.data)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert not any(prepared.published(channel) for channel in CHANNELS)


def test_a_repeat_publishes_again_when_nobody_has_claimed_yet(send, prepared) -> None:
    """The first publish may have been lost; the claim makes a second one harmless."""
    send({"channels": ["email"]})
    prepared.published("email")
    send({"channels": ["email"]})
    assert len(prepared.published("email")) == 1


def test_a_repeat_is_the_same_in_any_order_and_spacing_a_d01(send, call, sample) -> None:
    first = send()
    body = json.loads(sample("notifications-send")["body"])
    shuffled = json.dumps(dict(reversed(body.items())), indent=3)
    again = call(handler, sample("notifications-send"), raw=shuffled)
    assert again.data == first.data


def test_a_key_with_another_body_is_refused_and_the_first_stays_a_d02(send, prepared) -> None:
    first = send()
    before = prepared.items("NotificationsTable")
    reply = send({"priority": 1})
    assert (reply.status, reply.body["code"]) == (422, "idempotency-key-reused")
    assert prepared.items("NotificationsTable") == before
    assert first.status == 202


def test_the_key_may_be_the_body_s_request_id(send, call, sample) -> None:
    event = sample("notifications-send")
    del event["headers"]["Idempotency-Key"], event["multiValueHeaders"]["Idempotency-Key"]
    body = json.loads(event["body"]) | {"request_id": "r-1"}
    first, again = (call(handler, event, body=body) for _ in range(2))
    assert first.data == again.data
    assert first.data["request_id"] == "r-1"


def test_without_a_key_each_request_is_its_own(send, call, sample) -> None:
    event = sample("notifications-send")
    del event["headers"]["Idempotency-Key"], event["multiValueHeaders"]["Idempotency-Key"]
    ids = {call(handler, event).data["notification_id"] for _ in range(2)}
    assert len(ids) == 2


def test_the_same_key_of_another_client_is_another_key(send) -> None:
    mine, theirs = send(), send(caller=OTHER_CLIENT)
    assert mine.data["notification_id"] != theirs.data["notification_id"]


def test_a_lapsed_key_makes_a_new_notification_a_d06(send, prepared, monkeypatch) -> None:
    first = send()
    _lapse()
    second = send()
    assert second.status == 202
    assert second.data["notification_id"] != first.data["notification_id"]
    assert send().data == second.data


def test_a_lapsed_key_may_come_with_another_body(send, prepared) -> None:
    send()
    _lapse()
    assert send({"priority": 1}).status == 202


def test_a_lapsed_key_is_no_excuse_for_a_bad_request(send, prepared) -> None:
    send({"channels": ["email"]})
    prepared.published("email")
    _lapse()
    reply = send({"channels": ["email"], "template_code": "gone"})
    assert (reply.status, reply.body["code"]) == (404, "template-not-found")
    assert not prepared.published("email")


def test_a_repeat_publishes_only_what_nobody_has_claimed(send, prepared) -> None:
    first = send({"channels": ["email", "sms"]})
    for channel in ("email", "sms"):
        prepared.published(channel)
    _claim(first.data["notification_id"], "email")
    send({"channels": ["email", "sms"]})
    assert [len(prepared.published(channel)) for channel in ("email", "sms")] == [0, 1]


def test_the_caller_of_a_lost_publish_is_told_the_key_to_repeat_it_with(
    prepared, call, sample, monkeypatch
) -> None:
    event = sample("notifications-send")
    del event["headers"]["Idempotency-Key"], event["multiValueHeaders"]["Idempotency-Key"]
    monkeypatch.setenv("TOPIC_ARN", f"{prepared.topic}-gone")
    settings.cache_clear()
    reply = call(handler, event)
    assert reply.status == 503
    key = reply.body["detail"].rpartition(": ")[2]
    monkeypatch.setenv("TOPIC_ARN", prepared.topic)
    settings.cache_clear()
    again = call(handler, event, headers={"Idempotency-Key": key})
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(prepared.published("email")) == 1


def test_what_is_suppressed_does_not_make_an_accepted_one_processing(
    send, prepared, call, sample
) -> None:
    call(users, sample("users-put-preferences"), body={"channels": {"sms": False}})
    assert send({"channels": ["sms", "email"]}).data["status"] == "accepted"


def test_a_repeat_is_answered_even_when_the_template_is_gone(send, prepared) -> None:
    first = send()
    for item in prepared.items("TemplatesTable"):
        key = {"tenant": item["tenant"], "slot": item["slot"]}
        prepared.dynamodb.delete_item(TableName="TemplatesTable", Key=key)
    templates_module._active.cache_clear()
    again = send()
    assert again.data == first.data


def test_addresses_given_win_over_the_user_s_own(send, prepared) -> None:
    send({"to": {"email": "other@example.com"}, "channels": ["email"]})
    (message,) = prepared.published("email")
    assert json.loads(message["Body"])["targets"] == {"email": ["other@example.com"]}


def test_an_address_alone_is_enough(send, prepared) -> None:
    reply = send({"user_id": None, "to": {"phone": "+14155552671"}, "channels": ["sms"]})
    assert reply.status == 202


def test_a_channel_without_address_is_skipped_and_says_so(send, prepared) -> None:
    to = {"phone": "+14155552671"}
    reply = send({"user_id": None, "to": to, "channels": ["sms", "email"]})
    assert reply.status == 202
    skipped = {"channel": "email", "status": "skipped", "reason": "no-address"}
    assert skipped in reply.data["deliveries"]
    assert not prepared.published("email")


@pytest.mark.parametrize(
    ("preferences", "reason"),
    [
        ({"channels": {"sms": False}}, "channel-opt-out"),
        ({"categories": {"orders": False}}, "category-opt-out"),
        ({"categories": {"orders": {"sms": False}}}, "category-opt-out"),
    ],
)
def test_what_the_user_does_not_want_is_not_routed(
    send, prepared, call, sample, preferences, reason
) -> None:
    assert call(users, sample("users-put-preferences"), body=preferences).status == 200
    reply = send({"channels": ["sms"]})
    assert reply.status == 202
    assert reply.data["status"] == "suppressed"
    suppressed = {"channel": "sms", "status": "suppressed", "reason": reason}
    assert reply.data["deliveries"] == [suppressed]
    assert not prepared.published("sms")


def test_each_device_of_the_user_is_a_target(send, prepared, call, sample) -> None:
    device = {"fcm_token": "second", "platform": "ios"}
    assert call(users, sample("users-push-token"), body=device).status == 201
    send({"channels": ["push"]})
    (message,) = prepared.published("push")
    targets = json.loads(message["Body"])["targets"]["push"]
    assert sorted(targets) == ["fcm-device-of-ada", "second"]


def test_a_delivery_knows_the_platform_of_its_device(prepared, api, send, deliver) -> None:
    tokens = "/api/v1/users/ada/push-tokens"
    for token, platform in (("a-browser", "web"), ("a-watch", "other")):
        assert api("POST", tokens, {"fcm_token": token, "platform": platform}).status == 201
    send({"channels": ["push"]})
    known = {call.address: call.platform for call in deliver("push").calls}
    assert known == {"fcm-device-of-ada": "android", "a-browser": "web", "a-watch": None}
    other = {"Idempotency-Key": "another-key"}
    send({"channels": ["push"], "to": {"push_token": "not-registered"}}, headers=other)
    (call,) = deliver("push").calls
    assert (call.address, call.platform) == ("not-registered", None)


def test_the_template_version_is_pinned_at_acceptance(send, prepared) -> None:
    send({"channels": ["email"]})
    (message,) = prepared.published("email")
    pinned = {"code": "order-shipped", "version": 1, "locale": "en"}
    assert json.loads(message["Body"])["template"] == pinned


def test_when_sns_does_not_take_it_the_caller_is_told_and_may_repeat(
    send, prepared, monkeypatch
) -> None:
    monkeypatch.setenv("TOPIC_ARN", f"{prepared.topic}-gone")
    settings.cache_clear()
    reply = send()
    assert (reply.status, reply.body["code"]) == (503, "publish-failed")
    assert reply.headers["Retry-After"] == "5"
    assert len(prepared.items("NotificationsTable")) == 1


def test_a_store_that_does_not_answer_is_a_503_and_publishes_nothing(
    send, prepared, monkeypatch
) -> None:
    monkeypatch.setenv("NOTIFICATIONS_TABLE", "Gone")
    settings.cache_clear()
    reply = send()
    assert (reply.status, reply.body["code"]) == (503, "store-unavailable")
    assert not any(map(prepared.published, CHANNELS))


def test_without_a_caller_nothing_is_read(prepared, call, sample) -> None:
    assert call(handler, sample("notifications-send"), caller={}).status == 401


def test_another_client_s_notification_is_not_found_a_s05(send, call, sample) -> None:
    mine = send().data["notification_id"]
    event = sample("notifications-read")
    path = {"notification_id": mine}
    assert call(handler, event, path=path).status == 200
    foreign = call(handler, event, path=path, caller=OTHER_CLIENT)
    missing = call(handler, event, caller=OTHER_CLIENT)
    assert foreign.status == missing.status == 404
    assert foreign.body["detail"] == missing.body["detail"]


def test_a_one_channel_notification_fits_one_write_unit(send, prepared) -> None:
    send({"channels": ["email"]})
    (item,) = prepared.items("NotificationsTable")
    size = sum(len(name) + len(str(next(iter(value.values())))) for name, value in item.items())
    assert size <= 1024


def _claim_all(notification_id: str) -> None:
    device = hashlib.sha256(b"fcm-device-of-ada").hexdigest()[:12]
    for target in ("email", "sms", f"push#{device}", "inapp"):
        _claim(notification_id, target)


def _claim(notification_id: str, target: str) -> None:
    Delivery(notification_id, target, state="sent", updated_at="2026-11-21", expires_at=1).save()


def _lapse() -> None:
    for record in Notification.scan():
        record.update(actions=[Notification.idempotent_until.set(1)])
