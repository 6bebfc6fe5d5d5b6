"""What POST /notifications takes, by the rows of the features it stands for."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from providers import failing
from pynamodb.exceptions import QueryError

from carillon import recipients
from carillon.errors import Failure
from carillon.messages import Message

Json = dict[str, Any]


@pytest.fixture
def post(prepared, ask) -> Callable[..., Any]:
    """Return a sender of a bare body: what is given is all there is."""
    return lambda body, **how: ask("POST", "/api/v1/notifications", body, **how)


def message(prepared, channel: str) -> Message:
    (published,) = prepared.published(channel)
    return Message.model_validate_json(published["Body"])


@pytest.mark.parametrize("channel", ["email", "sms", "push", "inapp"])
def test_a1_one_endpoint_sends_by_every_channel(post, prepared, deliver, channel) -> None:
    reply = post({"user_id": "ada", "channels": [channel], "message": "Hello"})
    assert reply.status == 202
    assert len(deliver(channel).calls) == 1


def test_a2_a_notification_is_accepted_before_it_is_sent(post, prepared, deliver) -> None:
    reply = post({"user_id": "ada", "channels": ["email"], "message": "Hello"})
    assert (reply.status, reply.data["status"]) == (202, "accepted")
    assert not prepared.items("DeliveriesTable")
    assert len(deliver("email").calls) == 1


def test_a3_a_template_and_its_variables_make_the_content(post, prepared, deliver, sample) -> None:
    body = json.loads(sample("notifications-send")["body"])
    assert post(body).status == 202
    (call,) = deliver("email").calls
    assert call.content["subject"] == "Your order A-1042 is on its way"


def test_a4_a_title_and_a_message_are_content_enough(post, prepared, deliver) -> None:
    assert (
        post(
            {"user_id": "ada", "channels": ["push"], "title": "Lunch", "message": "is ready"}
        ).status
        == 202
    )
    (call,) = deliver("push").calls
    assert call.content == {"title": "Lunch", "body": "is ready"}


def test_a5_a_recipient_is_named_by_their_user_id(post, prepared, deliver) -> None:
    post({"user_id": "ada", "channels": ["email"], "message": "Hello"})
    assert [call.address for call in deliver("email").calls] == ["ada@example.com"]


@pytest.mark.parametrize(
    ("channel", "to"),
    [
        ("email", {"email": "grace@example.com"}),
        ("sms", {"phone": "+14155552672"}),
        ("push", {"push_token": "grace-device"}),
    ],
)
def test_a6_a_recipient_is_named_by_an_address(post, prepared, deliver, channel, to) -> None:
    assert post({"to": to, "channels": [channel], "message": "Hello"}).status == 202
    assert [call.address for call in deliver(channel).calls] == list(to.values())


def test_a7_the_same_request_id_is_the_same_notification(post, prepared) -> None:
    body = {"user_id": "ada", "channels": ["email"], "message": "Hello", "request_id": "r-1"}
    first, again = post(body), post(body)
    assert (first.status, again.status) == (202, 202)
    assert first.data == again.data
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(prepared.items("NotificationsTable")) == 1


@pytest.mark.parametrize(
    ("said", "priority"),
    [
        ({"priority": 1}, 1),
        ({"priority": "critical"}, 10),
        ({"metadata": {"priority": "high"}}, 8),
        ({"priority": 3, "metadata": {"priority": "high"}}, 3),
        ({"metadata": {"priority": "whenever"}}, 5),
        ({}, 5),
    ],
)
def test_a9_a_priority_is_a_number_or_a_word_or_in_the_metadata(
    post, prepared, said, priority
) -> None:
    post({"user_id": "ada", "channels": ["email"], "message": "Hello"} | said)
    (told,) = [
        each for urgent in (False, True) for each in prepared.published("email", urgent=urgent)
    ]
    assert json.loads(told["Body"])["priority"] == priority


@pytest.mark.parametrize(("priority", "urgent"), [(1, False), (7, False), (8, True), (10, True)])
def test_e16_what_is_urgent_takes_a_lane_of_its_own(post, prepared, priority, urgent) -> None:
    post({"user_id": "ada", "channels": ["sms"], "message": "Hello", "priority": priority})
    assert len(prepared.published("sms", urgent=urgent)) == 1
    assert not prepared.published("sms", urgent=not urgent)


def test_a10_metadata_comes_back_as_it_was_given(post, ask) -> None:
    metadata = {"order": 1042, "nested": {"list": [1, None, "x"]}}
    reply = post({"user_id": "ada", "channels": ["email"], "message": "Hi", "metadata": metadata})
    read = ask("GET", f"/api/v1/notifications/{reply.data['notification_id']}")
    assert read.data["metadata"] == metadata


@pytest.mark.parametrize("said", [{"category": "promo"}, {"metadata": {"category": "promo"}}])
def test_a11_a_category_decides_with_the_user_s_preferences(post, ask, said) -> None:
    assert (
        ask(
            "PUT", "/api/v1/users/ada/preferences", {"categories": {"promo": {"email": False}}}
        ).status
        == 200
    )
    reply = post({"user_id": "ada", "channels": ["email", "sms"], "message": "Sale"} | said)
    assert [(d["channel"], d["status"], d["reason"]) for d in reply.data["deliveries"]] == [
        ("sms", "queued", None),
        ("email", "suppressed", "category-opt-out"),
    ]


# --- other systems' spellings --------------------------------------------------------------


@pytest.mark.parametrize("name", ["channel", "type", "notification_type"])
@pytest.mark.parametrize("spelling", ["inapp", "in_app", "in-app"])
def test_one_channel_may_be_named_in_the_singular(post, prepared, name, spelling) -> None:
    reply = post({"user_id": "ada", name: spelling, "content": "Hello"})
    assert [d["channel"] for d in reply.data["deliveries"]] == ["inapp"]
    assert message(prepared, "inapp").inline.message == "Hello"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"channel": "sms"}, "#/channel"),
        ({"content": "again"}, "#/content"),
        ({"chanel": "sms"}, "#/chanel"),
    ],
)
def test_what_is_said_twice_or_misspelt_is_refused_a_i06(post, prepared, change, pointer) -> None:
    reply = post({"user_id": "ada", "channels": ["email"], "message": "Hello"} | change)
    assert reply.status == 422
    assert pointer in [fault["pointer"] for fault in reply.body["errors"]]
    assert prepared.untouched()


@pytest.mark.parametrize(
    ("channel", "address"), [("email", "g@example.com"), ("sms", "+14155552672"), ("push", "tok")]
)
def test_a_lone_address_is_that_of_the_lone_channel(
    post, prepared, deliver, channel, address
) -> None:
    assert post({"type": channel, "to": address, "message": "Hello"}).status == 202
    assert [call.address for call in deliver(channel).calls] == [address]


@pytest.mark.parametrize(
    "body",
    [
        {"channels": ["email", "sms"], "to": "g@example.com"},
        {"channels": ["inapp"], "to": "g@example.com"},
        {"channels": ["email"], "to": "nobody"},
        {"channels": ["email"], "to": ["g@example.com"]},
        {"channels": ["email"], "to": {}},
        {"channels": "email", "to": "g@example.com"},
        {"type": ["email"], "to": "g@example.com"},
        {"type": None, "to": "g@example.com"},
    ],
)
def test_an_address_that_fits_no_channel_is_refused(post, prepared, body) -> None:
    assert post(body | {"message": "Hello"}).status == 422
    assert prepared.untouched()


# --- recipients ----------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [["email", "email"], ["inapp", "in_app"], ["sms"] * 50])
def test_a_channel_named_twice_is_refused_a_i08(post, prepared, channels) -> None:
    assert post({"user_id": "ada", "channels": channels, "message": "Hello"}).status == 422
    assert prepared.untouched()


def test_a_landline_gets_no_text_message_a_i10(post, prepared) -> None:
    landline = {"phone": "+442083661177"}
    reply = post({"to": landline, "channels": ["sms"], "message": "Hello"})
    assert (reply.status, reply.body["code"]) == (422, "invalid-recipient")
    assert prepared.untouched()
    reply = post({"user_id": "ada", "to": landline, "channels": ["sms", "email"], "message": "Hi"})
    assert [(d["channel"], d["status"], d["reason"]) for d in reply.data["deliveries"]] == [
        ("email", "queued", None),
        ("sms", "skipped", "invalid-recipient"),
    ]
    assert not prepared.published("sms")


@pytest.mark.parametrize("number", ["+14155552671", "+447400123456", "+4915123456789"])
def test_a_number_that_may_be_a_mobile_s_is_sent_to_a_i10(post, number) -> None:
    assert post({"to": {"phone": number}, "channels": ["sms"], "message": "Hello"}).status == 202


def test_an_opt_out_can_be_a_refusal(post, prepared, ask) -> None:
    ask("PUT", "/api/v1/users/ada/preferences", {"channels": {"sms": False}})
    body = {"user_id": "ada", "channels": ["email", "sms"], "message": "Hello"}
    reply = post(body | {"on_opt_out": "reject"})
    assert (reply.status, reply.body["code"]) == (403, "preference-rejected")
    assert reply.body["errors"] == [{"pointer": "#/channels/1", "message": "channel-opt-out"}]
    assert prepared.untouched()
    assert post(body).status == 202


def test_c5_preferences_are_asked_before_anything_is_sent(post, prepared, ask) -> None:
    ask("PUT", "/api/v1/users/ada/preferences", {"channels": {"email": False}})
    body = {"user_id": "ada", "channels": ["email"], "message": "Hello"}
    assert post(body | {"on_opt_out": "reject"}).status == 403
    recorded = post(body)
    assert (recorded.status, recorded.data["status"]) == (202, "suppressed")
    assert not prepared.published("email")


def test_preferences_that_cannot_be_read_send_nothing(post, prepared, monkeypatch) -> None:
    def away(*_: object) -> None:
        raise QueryError

    monkeypatch.setattr(recipients, "user_items", away)
    reply = post({"user_id": "ada", "channels": ["email"], "message": "Hello"})
    assert (reply.status, reply.body["code"]) == (502, "preferences-unreadable")
    assert prepared.untouched()


def test_another_client_s_id_in_the_body_is_refused_a_s12(post, prepared) -> None:
    body = {"user_id": "ada", "channels": ["email"], "message": "Hello", "client_id": "other"}
    assert post(body).status == 422
    assert prepared.untouched()


# --- expiry --------------------------------------------------------------------------------


@pytest.mark.parametrize("ago", [1, 3600])
def test_what_has_expired_is_refused_a_i14(post, prepared, ago) -> None:
    gone = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()
    body = {"user_id": "ada", "channels": ["email"], "message": "Hello", "expires_at": gone}
    reply = post(body)
    assert reply.status == 422
    assert reply.body["errors"][0]["pointer"] == "#/expires_at"
    assert prepared.untouched()


@pytest.mark.parametrize("moment", ["2099-01-01T00:00:00", "tomorrow", 12, True, "2099-13-01"])
def test_an_expiry_is_a_moment_with_its_time_zone(post, prepared, moment) -> None:
    body = {"user_id": "ada", "channels": ["email"], "message": "Hello", "expires_at": moment}
    assert post(body).status == 422
    assert prepared.untouched()


def test_a16_what_expires_on_its_way_is_not_sent(post, ask, prepared, deliver) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    reply = post({"user_id": "ada", "channels": ["email"], "message": "Hi", "expires_at": soon})
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=31)):
        assert deliver("email").calls == []
    read = ask("GET", f"/api/v1/notifications/{reply.data['notification_id']}").data
    assert read["status"] == "expired"
    assert (read["deliveries"][0]["status"], read["deliveries"][0]["attempts"]) == ("expired", 0)


def test_what_expires_while_it_waits_for_a_retry_is_not_sent_again_a_q11(
    post, ask, prepared, deliver
) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
    reply = post({"user_id": "ada", "channels": ["email"], "message": "Hi", "expires_at": soon})
    assert len(deliver("email", failing(Failure.RETRY)).calls) == 1
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=31)):
        assert deliver("email").calls == []
    read = ask("GET", f"/api/v1/notifications/{reply.data['notification_id']}").data
    assert read["deliveries"][0]["status"] == "expired"
