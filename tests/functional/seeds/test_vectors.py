"""Every JSON example of the source systems' documents, sent or expected as it stands."""

import json
from typing import Any

import pytest
from seed_documents import ANY, ONE_OF, TEXTS, blocks, faults, filled

from functions.channels.inapp import handler as inapp

Json = dict[str, Any]
BLOCKS = {name: blocks(text) for name, text in TEXTS.items()}
EMAIL = "ada@example.com"
HEADER = "Idempotency-Key"


def example(document: str, place: int) -> Any:
    """Return a document's JSON example, counted from 0."""
    return BLOCKS[document][place]


# --- S0: gateway ----------------------------------------------------------------------------


@pytest.mark.parametrize("optional", [True, False])
@pytest.mark.parametrize("channel", example("S0", 0)["notification_type"][ONE_OF])
def test_i6_s0_send_notification(seed, ada, template, cloud, channel, optional) -> None:
    seed("POST", f"/api/users/{ada.id}/push-tokens/", {"fcm_token": "tok", "platform": "ios"})
    told = {"user_id": ada.id, "template_code": "welcome", "request_id": "r-1", "priority": 8}
    body = filled(example("S0", 0), optional=optional, notification_type=channel, **told)
    reply = seed("POST", "/api/notifications/send-notification", body)
    assert (reply.status, faults(example("S0", 1), reply.body)) == (202, [])
    result = {"success": True, "routingKey": f"notification.{channel}"}
    assert reply.body | {"result": result} == reply.body
    assert (reply.body["user"], reply.body["request_id"]) == (ada.id, "r-1")
    (message,) = cloud.published(channel)
    assert json.loads(message["Body"])["variables"]["name"] == "string"


def test_i6_s0_status_is_reported_and_read(seed, sent) -> None:
    place = f"/api/notifications/{sent}"
    told = {"notificationId": sent, "channel": "email", "status": "delivered", "messageId": "m-1"}
    whole = filled(example("S0", 2), optional=False, **told)
    reported = seed("POST", f"{place}/status", whole | {"messageId": "m-1"})
    assert (reported.status, faults(example("S0", 3), reported.body)) == (200, [])
    assert reported.body["result"] | whole | {"messageId": "m-1"} == reported.body["result"]
    found = seed("GET", f"{place}/statuses")
    assert (found.status, faults(example("S0", 4), found.body)) == (200, [])
    assert found.body["statuses"] == reported.body["result"]


def test_i6_s0_a_failure_is_reported_with_its_message(seed, sent) -> None:
    told = {"notificationId": sent, "channel": "email", "status": "failed", "messageId": "m-1"}
    body = filled(example("S0", 2), errorMessage="mailbox full", **told)
    reported = seed("POST", f"/api/notifications/{sent}/status", body)
    assert faults(example("S0", 3), reported.body) == []
    assert reported.body["result"]["errorMessage"] == "mailbox full"


def test_i6_s0_a_notification_waits_as_pending(seed, sent) -> None:
    found = seed("GET", f"/api/notifications/{sent}/statuses")
    assert faults(example("S0", 4), found.body) == []
    assert found.body["statuses"]["status"] == "pending"


@pytest.mark.parametrize("optional", [True, False])
def test_i6_s0_signup_and_login_at_the_gateway(seed, caller_of, optional) -> None:
    told = {"email": EMAIL, "password": "correct horse", "push": False, "sms": True}
    wanted = {"preferences": {"email": True, "push": False, "sms": True}} if optional else {}
    body = filled(example("S0", 5), optional=optional, **told, **wanted)
    made = seed("POST", "/api/user/signup", body, caller=None)
    assert (made.status, faults(example("S0", 6), made.body)) == (201, [])
    login = filled(example("S0", 7), **told)
    entered = seed("POST", "/api/user/login", login, caller=None)
    assert (entered.status, faults(example("S0", 8), entered.body)) == (200, [])
    assert entered.body["id"] == made.body["id"]
    mine = caller_of(entered.body["token"])
    kept = seed("GET", f"/api/users/{made.body['id']}/preferences", caller=mine).body
    assert kept["push_notifications"] is (not optional)


# --- S0: users ------------------------------------------------------------------------------


def test_i6_s0_register_login_refresh(seed, caller_of) -> None:
    told = {"email": EMAIL, "full_name": "Ada Lovelace", "password": "correct horse"}
    made = seed("POST", "/api/users/register/", filled(example("S0", 9), **told), caller=None)
    assert (made.status, faults(example("S0", 10), made.body)) == (201, [])
    entered = seed("POST", "/api/users/login/", filled(example("S0", 11), **told), caller=None)
    assert (entered.status, faults(example("S0", 12), entered.body)) == (200, [])
    body = filled(example("S0", 13), refresh=entered.body["refresh"])
    again = seed("POST", "/api/users/refresh/", body, caller=None)
    assert (again.status, faults(example("S0", 14), again.body)) == (200, [])
    mine = caller_of(again.body["access"])
    user = seed("GET", f"/api/users/{made.data['user_id']}/", caller=mine)
    assert (user.status, faults(example("S0", 15), user.body)) == (200, [])


def test_i6_s0_preferences(seed, ada) -> None:
    place = f"/api/users/{ada.id}/preferences/"
    found = seed("GET", place, caller=ada.caller)
    assert (found.status, faults(example("S0", 16), found.body)) == (200, [])
    told = dict(example("S0", 18))
    put = seed("PUT", place, filled(example("S0", 17), **told), caller=ada.caller)
    assert (put.status, put.body) == (200, example("S0", 18))
    patched = seed("PATCH", place, example("S0", 19), caller=ada.caller)
    assert (patched.status, patched.body) == (200, example("S0", 20))
    assert seed("GET", place, caller=ada.caller).body == example("S0", 20)


@pytest.mark.parametrize("optional", [True, False])
@pytest.mark.parametrize("platform", example("S0", 21)["platform"][ONE_OF])
def test_i6_s0_push_tokens(seed, ada, platform, optional) -> None:
    body = filled(example("S0", 21), optional=optional, fcm_token="tok", platform=platform)
    made = seed("POST", f"/api/users/{ada.id}/push-tokens/", body, caller=ada.caller)
    expected = example("S0", 22) | ({} if optional else {"device_id": None})
    assert (made.status, faults(expected, made.body)) == (201, [])
    assert made.body | body == made.body


# --- S0: templates and push -----------------------------------------------------------------


@pytest.mark.parametrize("place", [23, 29])
def test_i6_s0_health(seed, place) -> None:
    assert example("S0", 23) == example("S0", 29)
    reply = seed("GET", "/health", caller=None)
    assert (reply.status, reply.body) == (200, BLOCKS["S0"][place])


def test_i6_s0_templates(seed) -> None:
    told = {"code": "welcome", "content": "{{ variable_name_1 }} & {{ variable_name_2 }}"}
    body = filled(example("S0", 24), language="fr", **told)
    made = seed("POST", "/templates/", body)
    assert (made.status, faults(example("S0", 25), made.body)) == (201, [])
    assert made.body | body == made.body
    found = seed("GET", "/templates/welcome")
    assert (found.status, faults(example("S0", 26), found.body)) == (200, [])
    assert found.body == made.body
    rendered = seed("POST", "/render/welcome", example("S0", 27))
    assert (rendered.status, faults(example("S0", 28), rendered.body)) == (200, [])
    assert rendered.body == {"rendered": "value_1 & value_2"}


@pytest.mark.parametrize("optional", [True, False])
def test_i6_s0_push(seed, ada, cloud, optional) -> None:
    seed("POST", "/templates", {"code": "ping", "content": "{{ key }}"})
    seed("POST", f"/api/users/{ada.id}/push-tokens", {"fcm_token": "hers", "platform": "ios"})
    told = {"user_id": ada.id, "template_code": "ping", "request_id": "r-1", "priority": 10}
    body = filled(example("S0", 30), optional=optional, push_token="given", **told)
    reply = seed("POST", "/send/", body)
    assert (reply.status, reply.body) == (202, example("S0", 31))
    (message,) = cloud.published("push")
    assert json.loads(message["Body"])["targets"]["push"] == ["given" if optional else "hers"]


# --- S1 -------------------------------------------------------------------------------------


def test_i6_s1_answers_in_its_envelope_and_queues_its_message(seed, prepared, cloud) -> None:
    curl = TEXTS["S1"].partition("-d '")[2].partition("'")[0]
    asked = json.loads(curl)
    seed("PUT", f"/api/v1/users/{asked['user_id']}", {"email": EMAIL})
    content = "Hello {{ name }}: {{ link }}"
    seed("POST", "/api/v1/templates", {"code": asked["template_code"], "content": content})
    reply = seed("POST", "/api/v1/notifications", asked)
    structure = example("S1", 0) | {"message": "string", "meta": {ANY: "any"}}
    assert (reply.status, faults(structure, reply.body)) == (202, [])
    (queued,) = cloud.published("email")
    message = json.loads(queued["Body"])
    told = example("S1", 1)
    assert message["notification_id"].startswith("ntf_")
    assert list(message["targets"]) == [told["notification_type"]]
    assert message["template"]["code"] == told["template_code"]
    assert message["user_id"] == asked["user_id"]
    assert message["variables"] == asked["variables"]
    assert message["priority"] == told["priority"]
    assert reply.data["request_id"] == asked["request_id"]


def test_i6_s1_the_same_request_id_returns_the_first_notification(seed, prepared) -> None:
    seed("PUT", "/api/v1/users/ada", {"email": EMAIL})
    body = {"notification_type": "email", "user_id": "ada", "message": "x", "request_id": "req_1"}
    first, second = (seed("POST", "/api/v1/notifications", body) for _ in range(2))
    assert (second.status, second.data) == (202, first.data)
    assert second.headers["Idempotent-Replayed"] == "true"


# --- S2 -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "to"), [("email", "user@example.com"), ("sms", "+14155552671"), ("inapp", "user")]
)
def test_i6_s2_a_numbered_user_is_made_and_sent_to(seed, cloud, kind, to) -> None:
    body = example("S2", 0) | {"type": kind, "to": to}
    reply = seed("POST", "/notifications", body)
    assert (reply.status, reply.body["type"], reply.body["user_id"]) == (202, kind, "1")
    (message,) = cloud.published(kind)
    target = {"inapp": "1"}.get(kind, to)
    assert json.loads(message["Body"])["targets"] == {kind: [target]}
    again = seed("POST", "/notifications", body)
    assert again.body["id"] != reply.body["id"]


def test_i6_s2_lists_a_user_s_in_app_notifications(seed, deliver) -> None:
    body = example("S2", 0) | {"type": "inapp"}
    sent = seed("POST", "/notifications", body).body
    deliver("inapp", inapp.send)
    found = seed("GET", "/users/1/notifications")
    (entry,) = found.body
    assert found.status == 200
    assert entry.pop("created_at")
    assert entry == {"id": sent["id"], "type": "inapp", "message": "Hello!", "user_id": "1"}
    assert seed("GET", "/users/2/notifications").body == []


# --- S3 -------------------------------------------------------------------------------------


def test_i6_s3_creates_gets_lists_and_patches(seed, cloud) -> None:
    seed("PUT", "/api/v1/users/user123", {"email": EMAIL})
    made = seed("POST", "/api/v1/notifications", example("S3", 0))
    assert made.status == 202
    (message,) = cloud.published("email")
    told = json.loads(message["Body"])
    assert (told["priority"], told["category"]) == (8, "welcome")
    assert told["metadata"] == example("S3", 0)["metadata"]
    place = f"/api/v1/notifications/{made.data['notification_id']}"
    found = seed("GET", place)
    assert (found.status, found.data["user_id"]) == (200, "user123")
    listed = seed("GET", "/api/v1/users/user123/notifications")
    assert (listed.status, listed.body["meta"]["has_next"]) == (200, False)
    patched = seed("PATCH", f"{place}/status", {"status": "delivered"})
    assert (patched.status, patched.data["status"]) == (200, "completed")


# --- S4 -------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["", "/api/v1"])
def test_i6_s4_registers_and_notifies(seed, cloud, caller_of, base) -> None:
    made = seed("POST", f"{base}/register", example("S4", 0), caller=None)
    assert (made.status, faults(example("S4", 1), made.body)) == (201, [])
    client = caller_of(made.body["api_token"])
    sent = seed("POST", f"{base}/notify", example("S4", 2), caller=client)
    assert (sent.status, sent.body) == (202, example("S4", 3))
    (message,) = cloud.published("email")
    told = json.loads(message["Body"])
    assert told["targets"] == {"email": ["user@example.com"]}
    assert (told["category"], told["inline"]["message"]) == ("promo", example("S4", 2)["content"])


@pytest.fixture
def sent(seed, ada, template) -> str:
    """A notification of the gateway's, that waits."""
    body = {
        "notification_type": "email",
        "user_id": ada.id,
        "template_code": "welcome",
        "variables": {"name": "Ada", "link": "https://example.com"},
        "request_id": "r-0",
    }
    reply = seed("POST", "/api/notifications/send-notification", body)
    assert reply.status == 202, reply.body
    return str(reply.headers["Location"].rpartition("/")[2])
