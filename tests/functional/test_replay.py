"""A notification sent again: what it says, to whom, and what is refused."""

import json
from typing import Any

import pytest
from functional.conftest import ADMIN_CALLER, APPLICATION_CALLER, Reply
from providers import failing

from carillon import templates
from carillon.errors import Failure
from carillon.models import State
from carillon.tables import Delivery, Notification

Json = dict[str, Any]
EXACT: Json = {"mode": "exact"}
CURRENT: Json = {"mode": "current_template"}


def again(ask: Any, notification_id: str, body: Json = EXACT, **how: Any) -> Reply:
    where = f"/api/v1/notifications/{notification_id}/replay"
    return ask("POST", where, body, **({"caller": ADMIN_CALLER} | how))


@pytest.fixture
def failed(prepared, send, deliver) -> str:
    """An email that its provider refused."""
    sent = send({"channels": ["email"]}).data["notification_id"]
    deliver("email", failing(Failure.PERMANENT))
    return str(sent)


def _state(notification_id: str, state: State, target: str = "email", **more: Any) -> None:
    actions = [getattr(Delivery, name).set(value) for name, value in more.items()]
    Delivery(notification_id, target).update(
        actions=[Delivery.state.set(state), Delivery.updated_at.set("2026-11-21"), *actions]
    )


def _new_version(api: Any) -> None:
    """Let the template say something else, from now on."""
    found = api("GET", "/api/v1/templates/order-shipped")
    locales = found.data["locales"]
    changed = json.loads(json.dumps(locales).replace("is on its way", "has left"))
    body = {"language": "en", "parts": changed["en"]}
    made = api("PUT", "/api/v1/templates/order-shipped", body, If_Match=found.headers["ETag"])
    assert made.status == 200, made.body
    templates._active.cache_clear()


def test_f12_what_failed_is_sent_again_under_a_new_id(failed, ask, deliver) -> None:
    answer = again(ask, failed)
    assert (answer.status, answer.data["replay_of"]) == (202, failed)
    new = answer.data["notification_id"]
    assert new != failed
    assert answer.headers["Location"].endswith(f"/api/v1/notifications/{new}")
    (call,) = deliver("email").calls
    assert call.address == "ada@example.com"
    told = ask("GET", f"/api/v1/notifications/{new}").data
    assert (told["status"], told["replay_of"]) == ("completed", failed)
    first = ask("GET", f"/api/v1/notifications/{failed}").data
    assert (first["status"], first["replay_of"]) == ("failed", None)


def test_f12_a_replay_says_whose_it_is_and_who_had_it_made(failed, ask) -> None:
    new = again(ask, failed).data["notification_id"]
    first, *_ = ask("GET", f"/api/v1/notifications/{new}/events").data
    assert (first["type"], first["actor"]) == ("accepted", "admin")
    assert first["data"] == {"replay_of": failed, "mode": "exact"}
    listed = ask("GET", "/api/v1/notifications").data
    assert new in {each["notification_id"] for each in listed}


@pytest.mark.parametrize("state", [State.FAILED, State.UNKNOWN, State.EXPIRED, State.DEAD_LETTERED])
def test_f12_what_ended_otherwise_than_sent_is_sent_again(prepared, send, ask, state) -> None:
    sent = send({"channels": ["email", "sms"]}).data["notification_id"]
    _state(sent, state)
    _state(sent, State.SENT, "sms")
    answer = again(ask, sent)
    assert [each["channel"] for each in answer.data["deliveries"]] == ["email"]


@pytest.mark.parametrize("state", [State.SENT, State.DELIVERED, State.CANCELLED, None])
def test_f12_where_nothing_failed_nothing_is_sent_again(prepared, send, ask, state) -> None:
    sent = send({"channels": ["email"]}).data["notification_id"]
    if state:
        _state(sent, state)
    answer = again(ask, sent)
    assert (answer.status, answer.body["code"]) == (409, "nothing-to-replay")
    forced = again(ask, sent, EXACT | {"force": True})
    assert [each["channel"] for each in forced.data["deliveries"]] == ["email"]


@pytest.mark.parametrize("state", [State.SENT, State.DELIVERED, State.RETRYING, None])
def test_f12_a_channel_that_has_arrived_or_is_under_way_takes_force(
    prepared, send, ask, state
) -> None:
    sent = send({"channels": ["email", "sms"]}).data["notification_id"]
    _state(sent, State.FAILED, "sms")
    if state:
        _state(sent, state)
    named = EXACT | {"channels": ["sms", "email"]}
    refused = again(ask, sent, named)
    assert (refused.status, refused.body["code"]) == (409, "not-failed")
    assert [each["pointer"] for each in refused.body["errors"]] == ["#/channels/1"]
    assert again(ask, sent, named | {"force": True}).status == 202
    assert again(ask, sent, EXACT | {"channels": ["sms"]}).status == 202


def test_f12_what_was_cancelled_is_sent_again_when_it_is_named(prepared, send, ask) -> None:
    sent = send({"channels": ["email"]}).data["notification_id"]
    assert ask("POST", f"/api/v1/notifications/{sent}/cancel", {}).status == 202
    assert again(ask, sent, EXACT | {"channels": ["email"]}).status == 202


def test_f12_of_several_devices_those_that_failed_are_sent_to(
    prepared, send, ask, api, deliver
) -> None:
    more = {"fcm_token": "another-device", "platform": "ios"}
    assert api("POST", "/api/v1/users/ada/push-tokens", more).status == 201
    sent = send({"channels": ["push"]}).data["notification_id"]
    deliver(
        "push",
        lambda out: (
            failing(Failure.PERMANENT)(out)
            if out.address == "another-device"
            else failing(Failure.UNKNOWN)(out)
        ),
    )
    first = next(each for each in Delivery.query(sent) if each.state != State.FAILED)
    _state(sent, State.SENT, first.target)
    prepared.empty_queue(prepared.queues["push"])
    assert again(ask, sent).status == 202
    (call,) = deliver("push").calls
    assert (call.address, call.platform) == ("another-device", "ios")


def test_f7_what_must_not_go_twice_and_may_have_gone_takes_force(prepared, send, ask) -> None:
    sent = send({"channels": ["email"], "dedupe": "at_most_once"}).data["notification_id"]
    _state(sent, State.UNKNOWN, maybe_sent=True)
    assert again(ask, sent).status == 409
    assert again(ask, sent, EXACT | {"channels": ["email"]}).status == 409
    assert again(ask, sent, EXACT | {"force": True}).status == 202


def test_f14_exact_says_what_was_said_whatever_the_template_says_now(
    failed, ask, api, deliver
) -> None:
    _new_version(api)
    new = again(ask, failed).data["notification_id"]
    (call,) = deliver("email").calls
    assert call.content["subject"] == "Your order A-1042 is on its way"
    hashes = {bytes(Delivery.get(each, "email").content_hash) for each in (failed, new)}
    assert len(hashes) == 1


def test_f14_the_current_template_says_what_it_says_now(failed, ask, api, deliver) -> None:
    _new_version(api)
    new = again(ask, failed, CURRENT).data["notification_id"]
    (call,) = deliver("email").calls
    assert call.content["subject"] == "Your order A-1042 has left"
    assert ask("GET", f"/api/v1/notifications/{new}").data["template_version"] == 2


def test_f14_what_would_not_say_the_same_takes_force(failed, ask, prepared) -> None:
    Delivery(failed, "email").update(actions=[Delivery.content_hash.set(b"another" * 4)])
    before = len(prepared.items("NotificationsTable"))
    refused = again(ask, failed)
    assert (refused.status, refused.body["code"]) == (409, "content-changed")
    assert len(prepared.items("NotificationsTable")) == before
    assert again(ask, failed, EXACT | {"force": True}).status == 202


def test_f14_what_was_never_tried_has_nothing_to_be_compared_with(prepared, send, ask) -> None:
    sent = send({"channels": ["email"]}).data["notification_id"]
    _state(sent, State.DEAD_LETTERED)
    assert again(ask, sent).status == 202


def test_f14_a_text_without_a_template_is_sent_again_as_it_was(
    prepared, send, ask, deliver
) -> None:
    told = {"template_code": None, "variables": {}, "title": "Hello", "message": "It works"}
    body = {"channels": ["email"]} | told
    sent = send(body).data["notification_id"]
    deliver("email", failing(Failure.PERMANENT))
    refused = again(ask, sent, CURRENT)
    assert (refused.status, refused.body["errors"][0]["pointer"]) == (422, "#/mode")
    assert again(ask, sent).status == 202
    (call,) = deliver("email").calls
    assert call.content["subject"] == "Hello"


def test_f14_the_hash_of_what_was_sent_is_kept_with_the_delivery(
    prepared, send, deliver, ask
) -> None:
    sent = send({"channels": ["email"]}).data["notification_id"]
    deliver("email")
    kept = bytes(Delivery.get(sent, "email").content_hash).hex()
    shown = ask("GET", f"/api/v1/notifications/{sent}/content").data["content"]["email"]
    assert kept == shown["sha256"]


def test_f14_a_message_that_renders_to_nothing_has_no_hash(prepared, send, deliver) -> None:
    sent = send({"channels": ["email"]}).data["notification_id"]
    _drop_templates(prepared)
    deliver("email")
    failed = Delivery.get(sent, "email")
    assert (failed.state, failed.content_hash) == (State.FAILED, None)


def _drop_templates(prepared: Any) -> None:
    for version in prepared.items("TemplatesTable"):
        key = {name: version[name] for name in ("tenant", "slot")}
        prepared.dynamodb.delete_item(TableName="TemplatesTable", Key=key)
    templates._active.cache_clear()
    templates._version.cache_clear()


def test_f14_what_is_not_kept_any_more_is_gone(failed, ask, prepared) -> None:
    record = next(iter(Notification.scan()))
    record.update(actions=[Notification.expires_at.set(1)])
    gone = again(ask, failed)
    assert (gone.status, gone.body["code"]) == (410, "content-gone")
    record.update(actions=[Notification.expires_at.set(99_999_999_999)])
    _drop_templates(prepared)
    gone = again(ask, failed)
    assert (gone.status, gone.body["code"]) == (410, "content-gone")
    assert again(ask, failed, CURRENT).status == 409


def test_j5_what_was_erased_is_gone(failed, ask) -> None:
    record = next(iter(Notification.scan()))
    record.update(actions=[Notification.erased.set(True)])
    assert again(ask, failed, EXACT | {"force": True}).status == 410


def test_j5_nothing_is_sent_again_to_a_user_who_is_not_there(failed, ask, prepared) -> None:
    for item in prepared.items("UsersTable"):
        key = {name: item[name] for name in ("key", "part")}
        prepared.dynamodb.delete_item(TableName="UsersTable", Key=key)
    assert again(ask, failed).status == 410


def test_c5_what_the_user_does_not_want_any_more_is_not_sent_again(
    failed, ask, api, deliver
) -> None:
    wanted = {"channels": {"email": False}, "categories": {}}
    assert api("PUT", "/api/v1/users/ada/preferences", wanted).status == 200
    answer = again(ask, failed)
    (told,) = answer.data["deliveries"]
    assert (answer.status, told["status"]) == (202, "suppressed")
    assert deliver("email").calls == []


def test_f12_a_replay_is_too_late_as_long_after_as_the_first_was(
    prepared, send, ask, time_machine
) -> None:
    time_machine.move_to("2026-11-21T09:30:00Z", tick=False)
    late = {"channels": ["email"], "expires_at": "2026-11-21T10:30:00Z"}
    sent = send(late).data["notification_id"]
    _state(sent, State.EXPIRED)
    time_machine.move_to("2026-11-22T09:30:00Z", tick=False)
    new = again(ask, sent).data["notification_id"]
    told = ask("GET", f"/api/v1/notifications/{new}").data
    assert told["expires_at"] == "2026-11-22T10:30:00.000Z"


def test_f12_a_replay_keeps_all_but_what_must_be_new(failed, ask) -> None:
    new = again(ask, failed).data["notification_id"]
    before, after = (ask("GET", f"/api/v1/notifications/{each}").data for each in (failed, new))
    own = {"notification_id", "request_id", "status", "created_at", "deliveries", "replay_of"}
    assert {k: v for k, v in before.items() if k not in own} == {
        k: v for k, v in after.items() if k not in own
    }


def test_a7_the_same_key_is_the_same_replay(failed, ask, prepared, api) -> None:
    key = {"Idempotency-Key": "order-A-1042-shipped"}  # the sender's own, as it happens
    first, second = again(ask, failed, headers=key), again(ask, failed, headers=key)
    assert first.data == second.data
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len(prepared.items("NotificationsTable")) == 2
    other = again(ask, failed, EXACT | {"force": True}, headers=key)
    assert (other.status, other.body["code"]) == (422, "idempotency-key-reused")
    assert again(ask, failed).data["notification_id"] != first.data["notification_id"]


def test_a7_a_key_that_was_used_answers_though_nothing_has_failed_any_more(failed, ask) -> None:
    key = {"Idempotency-Key": "again-1"}
    first = again(ask, failed, headers=key)
    _state(failed, State.DELIVERED)
    assert again(ask, failed, headers=key).data == first.data


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"mode": "newest"},
        EXACT | {"channels": []},
        EXACT | {"channels": ["email", "email"]},
        EXACT | {"channels": ["sms"]},
        EXACT | {"to": {"email": "eve@example.com"}},
    ],
)
def test_f12_a_replay_of_something_else_is_refused(failed, ask, prepared, body) -> None:
    assert again(ask, failed, body).status == 422
    assert len(prepared.items("NotificationsTable")) == 1


def test_b4_nobody_else_s_notification_is_sent_again(failed, ask) -> None:
    foreign = again(ask, failed, caller=ADMIN_CALLER | {"tenant": "other"})
    missing = again(ask, "ntf_" + "a" * 32)
    assert (foreign.status, foreign.body["detail"]) == (404, missing.body["detail"])
    assert again(ask, failed, caller=APPLICATION_CALLER).status == 403


def test_f12_a_replay_of_a_replay_is_one_too(failed, ask, deliver) -> None:
    first = again(ask, failed).data["notification_id"]
    deliver("email", failing(Failure.PERMANENT))
    second = again(ask, first)
    assert (second.status, second.data["replay_of"]) == (202, first)
