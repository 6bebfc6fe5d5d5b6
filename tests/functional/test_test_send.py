"""Test sends (D11): one real message, accepted like any other; and what a rendering tells (D12)."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from functions.api.notifications import handler
from functions.api.templates import handler as templates

Json = dict[str, Any]
VARIABLES = {"name": "Ada", "order": {"number": "1", "arrives": "Monday", "lines": []}}
ADDRESSES = {
    "email": {"email": "tester@example.com"},
    "sms": {"phone": "+14155552671"},
    "push": {"push_token": "token-of-a-tester"},
    "inapp": {"user_id": "ada"},
}


@pytest.fixture
def test_send(prepared, call, sample) -> Callable[..., Any]:
    """Return a sender of the sample's test, changed where told."""
    event = sample("notifications-test-send")
    body = json.loads(event["body"])
    return lambda change=None, **how: call(handler, event, body=body | (change or {}), **how)


@pytest.fixture
def read(call, sample) -> Callable[[Any], Json]:
    """Return a reader of what was accepted."""

    def read(accepted: Any) -> Json:
        path = {"notification_id": accepted.data["notification_id"]}
        return dict(call(handler, sample("notifications-read"), path=path).data)

    return read


@pytest.mark.parametrize("channel", ADDRESSES)
def test_d11_a_test_is_queued_and_seen_like_any_other(test_send, read, cloud, channel) -> None:
    reply = test_send({"channel": channel, "to": ADDRESSES[channel]})
    assert reply.status == 202
    assert reply.headers["Location"].endswith(reply.data["links"]["self"])
    found = read(reply)
    assert found["metadata"] == {"test_send": True}
    assert (found["template_code"], found["template_version"]) == ("order-shipped", 1)
    assert [each["channel"] for each in found["deliveries"]] == [channel]
    (queued,) = cloud.published(channel)
    message = json.loads(queued["Body"])
    assert message["targets"] == {channel: list(ADDRESSES[channel].values())}


def test_d11_a_test_to_a_user_goes_to_their_own_address(test_send, read) -> None:
    found = read(test_send({"channel": "email", "to": {"user_id": "ada"}}))
    assert found["deliveries"][0]["to"] == "ada@example.com"


def test_d11_a_test_is_in_the_locale_asked_for(test_send, read, call, sample) -> None:
    event = sample("templates-create") | {
        "httpMethod": "PUT",
        "path": "/api/v1/templates/order-shipped",
    }
    german = {"language": "de", "content": "Unterwegs"}
    assert call(templates, event, body=german, headers={"If-Match": '"1"'}).status == 200
    assert read(test_send({"locale": "de-CH"}))["locale"] == "de"


def test_d11_a_version_that_is_not_in_use_can_be_tested(test_send, read, call, sample) -> None:
    event = sample("templates-create") | {
        "httpMethod": "PUT",
        "path": "/api/v1/templates/order-shipped",
    }
    assert call(templates, event, body={"content": "x"}, headers={"If-Match": '"1"'}).status == 200
    assert read(test_send({"version": 1}))["template_version"] == 1
    assert read(test_send())["template_version"] == 2


def test_d11_the_same_key_sends_one_test(test_send, cloud) -> None:
    key = {"Idempotency-Key": "once"}
    first, again = test_send(headers=key), test_send(headers=key)
    assert (again.status, again.data) == (202, first.data)
    assert again.headers["Idempotent-Replayed"] == "true"
    other = test_send({"channel": "sms", "to": ADDRESSES["sms"]}, headers=key)
    assert (other.status, other.body["code"]) == (422, "idempotency-key-reused")
    assert len(cloud.items("NotificationsTable")) == 1


def test_d11_the_same_key_and_body_for_another_template_is_another_request(
    test_send, call, sample
) -> None:
    body = {"code": "another", "content": "x"}
    assert call(templates, sample("templates-create"), body=body).status == 201
    key = {"Idempotency-Key": "once"}
    assert test_send(headers=key).status == 202
    other = test_send(headers=key, path={"code": "another"})
    assert (other.status, other.body["code"]) == (422, "idempotency-key-reused")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"to": {}}, "#/to"),
        ({"to": {"email": "a@example.com", "user_id": "ada"}}, "#/to"),
        ({"to": {"email": "not an address"}}, "#/to/email"),
        ({"channel": "sms"}, "#"),
        ({"channel": "fax"}, "#/channel"),
        ({"to": {"user_id": "nobody"}}, "#/to/user_id"),
        ({"variables": {}}, "#/variables/order"),
        ({"version": 7}, "#/version"),
        ({"title": "x"}, "#/title"),
    ],
)
def test_d11_a_bad_test_is_refused_with_its_own_places(test_send, cloud, change, pointer) -> None:
    reply = test_send(change)
    assert reply.status in {404, 422}
    assert reply.body["errors"][0]["pointer"] == pointer
    assert cloud.untouched()


def test_d11_a_test_of_a_template_that_is_not_there_names_the_path(test_send) -> None:
    reply = test_send(path={"code": "nothing"})
    assert (reply.status, reply.body["code"]) == (404, "template-not-found")
    assert reply.body["errors"][0]["pointer"] == "path:code"


def test_d11_a_user_without_the_address_is_no_place_to_test(test_send, call, sample) -> None:
    from functions.api.users import handler as users  # noqa: PLC0415

    call(users, sample("users-put"), body={"email": "bob@example.com"}, path={"user_id": "bob"})
    reply = test_send({"channel": "sms", "to": {"user_id": "bob"}})
    assert (reply.status, reply.body["code"]) == (422, "no-address")
    assert reply.body["errors"][0]["pointer"] == "#/channel"


@pytest.mark.parametrize("scope", ["send", "templates", "read"])
def test_d11_a_test_takes_the_right_to_send_and_the_right_to_templates(test_send, scope) -> None:
    caller = {"client_id": "c", "tenant": "default", "scope": scope}
    assert test_send(caller=caller).status == 403
    assert test_send(caller=caller | {"scope": "send templates"}).status == 202


def test_d12_a_rendering_says_what_it_amounts_to_and_may_cost(prepared, call, sample) -> None:
    event = sample("templates-render")
    reply = call(templates, event)
    assert reply.status == 200
    lint, price = reply.data["lint"], reply.data["price"]
    text = reply.data["parts"]["sms"]["text"]
    assert lint["sms"] == {
        "characters": len(text),
        "encoding": "GSM-7",
        "segments": 1,
        "limit": 1600,
        "not_gsm7": [],
    }
    assert lint["email"]["warnings"] == []
    assert lint["email"]["html_bytes"] == len(reply.data["parts"]["email"]["html"])
    assert 0 < lint["push"]["bytes"] < lint["push"]["limit"] == 4096
    assert sorted(lint) == sorted(price) == ["email", "inapp", "push", "sms"]
    assert price["email"]["amount"] == "0.0001"
    assert {each["currency"] for each in price.values()} == {"USD"}
    assert all(each["as_of"] and each["source"] for each in price.values())


def test_d12_a_push_over_the_limit_is_refused_when_it_is_rendered(prepared, call, sample) -> None:
    body = {"channel": "push", "variables": {"order": {"number": "1" * 4_096, "arrives": "x"}}}
    reply = call(templates, sample("templates-render"), body=body)
    assert (reply.status, reply.body["code"]) == (422, "not-renderable")
