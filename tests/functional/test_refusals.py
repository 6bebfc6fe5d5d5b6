"""POST /notifications: what is refused, how it is said, and that it leaves nothing behind."""

import json
from typing import Any

import pytest

from carillon import models
from carillon.messages import Message
from carillon.problems import PROBLEM
from functions.api.notifications import handler
from functions.api.templates import handler as templates
from functions.api.users import handler as users


def test_two_different_keys_in_one_request_are_refused(send, prepared) -> None:
    assert send({"request_id": "another"}).status == 400
    assert prepared.untouched()


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256])
def test_an_unusable_key_is_refused_a_d05(send, prepared, key) -> None:
    reply = send(headers={"Idempotency-Key": key})
    assert reply.status == 400
    assert prepared.untouched()


def test_a_user_with_too_many_devices_is_refused_before_anything_is_recorded(
    send, prepared, call, sample
) -> None:
    for n in range(60):
        device = {"fcm_token": f"{n:04d}" * 1000, "platform": "ios"}
        assert call(users, sample("users-push-token"), body=device).status == 201
    assert send({"channels": ["push"]}).status == 413
    assert prepared.untouched()


@pytest.mark.parametrize("depth", [31, 32, 200, 255, 300])
def test_what_is_accepted_a_worker_can_read(send, prepared, depth) -> None:
    nested: Any = 1
    for _ in range(depth - 2):
        nested = [nested]
    reply = send({"channels": ["email"], "metadata": {"x": nested}})
    assert reply.status == (202 if depth < 32 else 400)
    for message in prepared.published("email"):
        Message.model_validate_json(message["Body"])


@pytest.mark.parametrize(
    "identifier", ["x" * 3000, "ntf_", "ntf_" + "a" * 33, "é", "ntf_" + "A" * 32]
)
def test_an_id_that_is_none_is_not_found(prepared, call, sample, identifier) -> None:
    event = sample("notifications-read")
    assert call(handler, event, path={"notification_id": identifier}).status == 404


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "application/xml",
    ],
)
def test_a_body_that_is_not_said_to_be_json_is_refused(send, prepared, kind) -> None:
    reply = send(headers={"Content-Type": kind})
    assert (reply.status, reply.body["code"]) == (415, "unsupported-media-type")
    assert reply.body["errors"][0]["pointer"] == "header:Content-Type"
    assert prepared.untouched()


@pytest.mark.parametrize("kind", ["APPLICATION/JSON", "application/json; charset=utf-8"])
def test_json_may_be_spelt_in_any_way(send, kind) -> None:
    assert send(headers={"Content-Type": kind}).status == 202


@pytest.mark.parametrize(
    ("change", "status", "code", "pointer"),
    [
        ({"chanel": "sms"}, 422, "invalid-request", "#/chanel"),
        pytest.param({"channels": []}, 422, "invalid-request", "#/channels", id="A-I13"),
        ({"channels": ["fax"]}, 422, "invalid-request", "#/channels/0"),
        ({"channels": ["sms", "sms"]}, 422, "invalid-request", "#/channels"),
        ({"channels": "sms"}, 422, "invalid-request", "#/channels"),
        ({"template_code": "nope"}, 404, "template-not-found", "#/template_code"),
        ({"variables": {}}, 422, "variable-missing", "#/variables/order"),
        ({"variables": {"name": "A", "order": {}}}, 422, "not-renderable", "#/variables"),
        ({"user_id": "nobody"}, 404, "user-not-found", "#/user_id"),
        ({"user_id": None}, 422, "invalid-request", "#"),
        ({"message": "both"}, 422, "invalid-request", "#"),
        ({"template_code": None}, 422, "invalid-request", "#"),
        pytest.param(
            {"to": {"email": "a@b.co,c@d.co"}}, 422, "invalid-request", "#/to/email", id="A-I11"
        ),
        pytest.param(
            {"to": {"email": "ü@example.com"}}, 422, "invalid-request", "#/to/email", id="A-I12"
        ),
        pytest.param(
            {"to": {"phone": "+１４１５５５５２６７１"}},
            422,
            "invalid-request",
            "#/to/phone",
            id="A-I09",
        ),
        ({"to": {"phone": "0171 1234567"}}, 422, "invalid-request", "#/to/phone"),
        ({"to": {"push_token": "a b"}}, 422, "invalid-request", "#/to/push_token"),
        ({"to": {"fax": "1"}}, 422, "invalid-request", "#/to/fax"),
        ({"template_code": None, "message": " \n"}, 422, "invalid-request", "#/message"),
        ({"priority": True}, 422, "invalid-request", "#/priority"),
        (
            {"template_code": None, "message": "x", "title": "a\x00b"},
            422,
            "invalid-request",
            "#/title",
        ),
        ({"to": {"phone": "+14155552671x"}}, 422, "invalid-request", "#/to/phone"),
        ({"user_id": ".."}, 422, "invalid-request", "#/user_id"),
        ({"user_id": "a?b"}, 422, "invalid-request", "#/user_id"),
        ({"priority": 11}, 422, "invalid-request", "#/priority"),
        ({"priority": "urgentest"}, 422, "invalid-request", "#/priority"),
        ({"category": "a b"}, 422, "invalid-request", "#/category"),
        ({"metadata": []}, 422, "invalid-request", "#/metadata"),
    ],
)
def test_a_bad_field_is_named_and_leaves_nothing(
    send, prepared, change, status, code, pointer
) -> None:
    reply = send(change)
    assert (reply.status, reply.body["code"]) == (status, code)
    assert reply.body["errors"][0]["pointer"] == pointer
    assert reply.headers["Content-Type"] == PROBLEM
    assert reply.body["correlation_id"] == "order-A-1042"
    assert prepared.untouched()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param("null", 400, id="A-I01"),
        ("[]", 400),
        ('"text"', 400),
        ("{", 400),
        ("{'a': 1}", 400),
        pytest.param('{"variables": {"x": NaN}}', 400, id="A-I02"),
        ('{"variables": {"x": -Infinity}}', 400),
        ('{"variables": {"x": 1e999}}', 400),
        pytest.param('{"variables": {"\\udfff": 1}}', 400, id="A-I04"),
        pytest.param('{"priority": ' + "9" * 5000 + "}", 400, id="A-I05"),
        ('{"variables": ' + "[" * 5000 + "]" * 5000 + "}", 400),
        ("", 422),
    ],
)
def test_what_is_not_a_json_object_is_refused_before_any_store(
    prepared, call, sample, raw, status
) -> None:
    reply = call(handler, sample("notifications-send"), raw=raw)
    assert reply.status == status
    assert reply.headers["Content-Type"] == PROBLEM
    assert reply.body["success"] is False
    assert reply.body["errors"][0]["pointer"] == "#"
    assert prepared.untouched()


def test_one_byte_too_many_is_refused_a_i07(send, prepared, call, sample) -> None:
    limit = models.MAX_BODY_BYTES
    small = json.dumps({"user_id": "ada", "channels": ["email"], "message": ""})
    for size, status in ((limit, 202), (limit + 1, 413)):
        body = small.replace('""', json.dumps("x" * (size - len(small))))
        assert len(body) == size
        event = sample("notifications-send") | {"body": body}
        event["headers"]["Idempotency-Key"] = f"size-{size}"
        event["multiValueHeaders"]["Idempotency-Key"] = [f"size-{size}"]
        assert call(handler, event).status == status
    assert len(prepared.items("NotificationsTable")) == 1


@pytest.mark.parametrize("break_", ["\r\nBcc: v@example.com", "\n", "\u2028", "\x85"])
def test_a_line_break_never_gets_into_a_subject_a_t08_a_i03(send, prepared, break_) -> None:
    variables = {"name": "Ada", "order": {"number": f"1{break_}", "arrives": "", "lines": []}}
    reply = send({"variables": variables})
    assert (reply.status, reply.body["code"]) == (422, "not-renderable")
    assert prepared.untouched()


def test_no_address_for_any_channel_is_refused(send, prepared) -> None:
    reply = send({"user_id": None, "to": {"phone": "+14155552671"}, "channels": ["inapp"]})
    assert (reply.status, reply.body["code"]) == (422, "no-address")
    assert reply.body["errors"][0]["pointer"] == "#/channels/0"
    assert prepared.untouched()


def test_a_template_without_the_channel_s_part_is_refused(send, prepared, call, sample) -> None:
    body = {"code": "sms-only", "parts": {"sms": {"text": "hi"}}}
    assert call(templates, sample("templates-create"), body=body).status == 201
    reply = send({"template_code": "sms-only", "channels": ["sms", "email"]})
    assert (reply.status, reply.body["code"]) == (422, "template-part-missing")
    assert reply.body["errors"][0]["pointer"] == "#/channel"
    assert prepared.untouched()


@pytest.mark.parametrize(
    ("channel", "length"), [("sms", 1600), ("push", 4096 - 192 - len('{"title": "T", "body": ""}'))]
)
def test_what_the_provider_would_refuse_for_its_size_is_refused_at_once_a_t09(
    send, prepared, channel, length
) -> None:
    for size, status in ((length, 202), (length + 1, 422)):
        body = {"template_code": None, "title": "T", "message": "x" * size, "channels": [channel]}
        reply = send(body, headers={"Idempotency-Key": f"size-{size}"})
        assert reply.status == status
    assert reply.body["code"] == "not-renderable"
    assert len(prepared.published(channel)) == 1
