"""Many notifications in one request, and one that is only tried."""

import json
from typing import Any

import pytest
import time_machine

Json = dict[str, Any]
PATH = "/api/v1/notifications"
BATCH = f"{PATH}/batch"
HELLO: Json = {"user_id": "ada", "channels": ["email"], "message": "Hello"}


def test_a12_each_item_is_accepted_by_itself(prepared, ask, deliver) -> None:
    items = [HELLO, HELLO | {"channels": ["fax"]}, HELLO | {"user_id": "nobody"}, HELLO]
    reply = ask("POST", BATCH, {"items": items})
    assert reply.status == 202
    assert (reply.data["accepted"], reply.data["refused"]) == (2, 2)
    told = reply.data["items"]
    assert [(item["index"], item["status"]) for item in told] == [
        (0, 202),
        (1, 422),
        (2, 404),
        (3, 202),
    ]
    assert told[1]["error"]["errors"][0]["pointer"] == "#/items/1/channels/0"
    assert told[2]["error"] == {
        "code": "user-not-found",
        "detail": "There is no such user",
        "errors": [{"pointer": "#/items/2/user_id", "message": "No such user"}],
    }
    assert len(deliver("email").calls) == 2


def test_a_batch_again_with_its_key_sends_nothing_twice(prepared, ask, deliver) -> None:
    body = {"items": [HELLO, HELLO]}
    first = ask("POST", BATCH, body, headers={"Idempotency-Key": "b-1"})
    again = ask("POST", BATCH, body, headers={"Idempotency-Key": "b-1"})
    ids = [[i["notification"]["notification_id"] for i in r.data["items"]] for r in (first, again)]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2
    assert [item["replayed"] for item in again.data["items"]] == [True, True]
    assert len(prepared.items("NotificationsTable")) == 2


def test_the_same_request_id_fifty_times_is_one_notification_a_i08(prepared, ask) -> None:
    reply = ask("POST", BATCH, {"items": [HELLO | {"request_id": "r-1"}] * 50})
    assert reply.data["accepted"] == 50
    assert len(prepared.items("NotificationsTable")) == 1


def test_a_batch_with_its_key_and_another_body_is_refused_for_what_changed(prepared, ask) -> None:
    key = {"Idempotency-Key": "b-1"}
    ask("POST", BATCH, {"items": [HELLO, HELLO]}, headers=key)
    reply = ask("POST", BATCH, {"items": [HELLO, HELLO | {"message": "Bye"}]}, headers=key)
    assert [item["status"] for item in reply.data["items"]] == [202, 422]
    assert reply.data["items"][1]["error"]["code"] == "idempotency-key-reused"


def test_a_batch_without_a_valid_item_is_refused(prepared, ask) -> None:
    reply = ask("POST", BATCH, {"items": [{}, {"user_id": "ada"}, HELLO | {"dry_run": True}]})
    assert (reply.status, reply.body["code"]) == (400, "none-accepted")
    assert "#/items/2/dry_run" in [fault["pointer"] for fault in reply.body["errors"]]
    assert prepared.untouched()


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"items": []}, "#/items"),
        ({"items": [HELLO] * 101}, "#/items"),
        ({"items": ["x"]}, "#/items/0"),
        ({"items": HELLO}, "#/items"),
        ({}, "#/items"),
        ({"items": [HELLO], "key": "x"}, "#/key"),
    ],
)
def test_what_is_no_batch_is_refused(prepared, ask, body, pointer) -> None:
    reply = ask("POST", BATCH, body)
    assert (reply.status, reply.body["errors"][0]["pointer"]) == (422, pointer)
    assert prepared.untouched()


def test_b5_each_item_of_a_batch_is_a_request_of_the_minute(prepared, ask) -> None:
    with time_machine.travel("2026-11-21T12:00:01Z", tick=False):
        assert ask("POST", BATCH, {"items": [HELLO] * 99}).status == 202
        assert ask("GET", PATH).status == 200
        refused = ask("POST", BATCH, {"items": [HELLO] * 2})
    assert (refused.status, refused.body["code"]) == (429, "rate-limited")
    assert len(prepared.items("NotificationsTable")) == 99


# --- dry run -------------------------------------------------------------------------------


def test_a17_a_dry_run_decides_and_renders_and_leaves_nothing(prepared, ask, sample) -> None:
    ask("PUT", "/api/v1/users/ada/preferences", {"channels": {"sms": False}})
    body = json.loads(sample("notifications-send")["body"])
    reply = ask("POST", PATH, body | {"dry_run": True})
    assert reply.status == 200
    assert "Location" not in reply.headers
    decided = {each["channel"]: each for each in reply.data["deliveries"]}
    assert decided["email"] == {
        "channel": "email",
        "status": "queued",
        "to": ["ada@example.com"],
        "reason": None,
    }
    assert (decided["sms"]["status"], decided["sms"]["reason"]) == ("suppressed", "channel-opt-out")
    assert set(reply.data["parts"]) == {"email", "push", "inapp"}
    assert reply.data["parts"]["email"]["subject"] == "Your order A-1042 is on its way"
    assert reply.data["lint"]["push"]["bytes"] < reply.data["lint"]["push"]["limit"]
    assert reply.data["price"]["email"]["amount"] == "0.0001"
    assert prepared.untouched()


def test_a_dry_run_tells_what_a_text_message_costs_where_it_goes(prepared, ask) -> None:
    text = {"to": {"phone": "+447400123456"}, "channels": ["sms"], "message": "ä" * 200 + "ł"}
    reply = ask("POST", PATH, text | {"dry_run": True})
    assert (reply.data["lint"]["sms"]["encoding"], reply.data["lint"]["sms"]["segments"]) == (
        "UCS-2",
        3,
    )
    price = reply.data["price"]["sms"]
    assert (price["region"], price["units"]) == ("GB", 3)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"user_id": "nobody"}, 404),
        ({"template_code": "nothing", "message": None}, 404),
        ({"channels": ["fax"]}, 422),
        ({"title": "a\nb"}, 422),
    ],
)
def test_a_dry_run_is_refused_as_the_real_one_would_be(prepared, ask, change, status) -> None:
    body = {key: value for key, value in (HELLO | change).items() if value is not None}
    assert ask("POST", PATH, body | {"dry_run": True}).status == status
    assert ask("POST", PATH, body).status == status
    assert prepared.untouched()


def test_a_dry_run_spends_no_key(prepared, ask) -> None:
    key = {"Idempotency-Key": "k-1"}
    assert ask("POST", PATH, HELLO | {"dry_run": True}, headers=key).status == 200
    assert ask("POST", PATH, HELLO, headers=key).status == 202
