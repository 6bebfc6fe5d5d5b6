"""Many notifications in one request, and one that is only tried."""

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import pytest
import time_machine

from carillon import publishing, signed
from carillon.publishing import Letter

if TYPE_CHECKING:
    from carillon.messages import Message

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


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The signed calls that are made from now on, by operation."""
    made: Counter[str] = Counter()
    call = signed.Client.call

    def counted(client: signed.Client, operation: str, told: Json) -> Json:
        made[operation] += 1
        return call(client, operation, told)

    monkeypatch.setattr(signed.Client, "call", counted)
    return made


def test_a_batch_takes_few_calls(prepared, ask, calls) -> None:
    prepared.standstill = True  # only of intake: lists are written by another function
    reply = ask("POST", BATCH, {"items": [HELLO] * 90})
    assert reply.data["accepted"] == 90
    asked = {name: times for name, times in calls.items() if name != "PutItem"}
    # PutItem is how the stand-in for PartiQL inserts. The query is of the controls, each five
    # seconds; the last is the caller's limit.
    assert asked == {
        "GetItem": 1,
        "Query": 1,
        "BatchGetItem": 1,
        "BatchExecuteStatement": 4,
        "PublishBatch": 9,
        "UpdateItem": 1,
    }
    assert len(prepared.items("NotificationsTable")) == 90


def test_a_publish_that_is_lost_is_told_of_its_items_alone(prepared, ask, monkeypatch) -> None:
    real = signed.Client.call

    def lossy(client: signed.Client, operation: str, told: Json) -> Json:
        answer = real(client, operation, told)
        if operation == "PublishBatch":
            answer["Successful"] = [each for each in answer["Successful"] if each["Id"] != "1"]
        return answer

    monkeypatch.setattr(signed.Client, "call", lossy)
    items = [HELLO | {"request_id": f"r-{number}"} for number in range(3)]
    reply = ask("POST", BATCH, {"items": items})
    assert [item["status"] for item in reply.data["items"]] == [202, 503, 202]
    error = reply.data["items"][1]["error"]
    assert error["code"] == "publish-failed"
    assert "r-1" in error["detail"]
    monkeypatch.undo()
    again = ask("POST", BATCH, {"items": items})
    assert [item["status"] for item in again.data["items"]] == [202, 202, 202]


def test_an_insertion_that_is_refused_is_made_by_itself(prepared, ask, monkeypatch) -> None:
    real = signed.Client.call

    def throttled(client: signed.Client, operation: str, told: Json) -> Json:
        if operation != "BatchExecuteStatement":
            return real(client, operation, told)
        refused = {"Error": {"Code": "ThrottlingError", "Message": "slower"}}
        return {"Responses": [refused for _ in told["Statements"]]}

    monkeypatch.setattr(signed.Client, "call", throttled)
    reply = ask("POST", BATCH, {"items": [HELLO] * 3})
    assert reply.data["accepted"] == 3
    assert [item["replayed"] for item in reply.data["items"]] == [False] * 3
    assert len(prepared.published("email")) == 3


def test_messages_too_large_for_one_publish_go_in_several() -> None:
    large = [Letter(cast("Message", None), (), "x" * 60_000) for _ in range(9)]
    small = [Letter(cast("Message", None), (), "{}") for _ in range(11)]
    sizes = [len(batch) for batch in publishing._batches([*large, *small])]
    assert sizes == [4, 4, 10, 2]


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
