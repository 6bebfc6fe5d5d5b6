"""Who may ask an alias, what it hands on, and what it does where its source knows no users."""

import json
import re
from typing import Any

import pytest
from cloudformation import ROOT
from functional.conftest import APPLICATION_CALLER

from carillon import relay
from carillon.seeds.aliases import ALIASES
from carillon.seeds.targets import LOGIN, REFRESH, REGISTER_CLIENT, REGISTER_USER

Json = dict[str, Any]
DESCRIBED = json.loads((ROOT / "functions/api/docs/openapi.json").read_text())["paths"]
OPEN = {LOGIN, REFRESH, REGISTER_CLIENT, REGISTER_USER}
NOTIFICATION = "ntf_yli2arumcvcsb3yw66svj7jcxy2h744l"
GUARDED = [
    pytest.param(alias, id=f"{alias.method} {alias.path}")
    for alias in ALIASES
    if alias.target not in OPEN
]
NOTIFY = {
    "recipient_id": "ada@example.com",
    "notification_type": "promo",
    "channel": "email",
    "content": "Hello",
}


def asked(alias: Any) -> tuple[str, str, Any]:
    """Return a request of an alias, with the body its description gives for an example."""
    known = {"user_id": "ada", "notification_id": NOTIFICATION, "code": "order-shipped"}
    path = re.sub(r"{(\w+)}", lambda match: known[match[1]], alias.path)
    described = DESCRIBED[alias.path][alias.method.lower()].get("requestBody")
    body = described and described["content"]["application/json"]["example"]
    return alias.method, f"{path}?user_id=ada" if alias.needs else path, body


@pytest.mark.parametrize("alias", GUARDED)
def test_b8_an_alias_asks_for_the_scope_of_its_route(seed, prepared, alias) -> None:
    nothing = APPLICATION_CALLER | {"scope": ""}
    assert seed(*asked(alias), caller=nothing).status == 403
    assert seed(*asked(alias), caller=None).status == 401


@pytest.mark.parametrize("alias", GUARDED)
def test_a_s05_a_user_s_own_token_finds_nobody_else_through_an_alias(seed, prepared, alias) -> None:
    bob = {"client_id": "user:bob", "tenant": "default", "scope": "self", "user_id": "bob"}
    before = prepared.items("UsersTable")
    reply = seed(*asked(alias), caller=bob)
    assert reply.status in (400, 403, 404) or reply.body == []
    assert prepared.items("UsersTable") == before


@pytest.mark.parametrize("path", ["/register", "/api/user/signup", "/api/users/register"])
def test_b3_registering_through_an_alias_asks_for_a_token_unless_it_is_open(
    seed, cloud, monkeypatch, path
) -> None:
    monkeypatch.setenv("OPEN_REGISTRATION", "false")
    (alias,) = (alias for alias in ALIASES if alias.path == path)
    assert seed(*asked(alias), caller=None).status == 401
    token = {"Authorization": f"Bearer {cloud.admin_token}"}
    assert seed(*asked(alias), headers=token).status == 201


def test_the_other_function_gets_the_event_but_for_what_is_asked(
    seed, sample, context, monkeypatch
) -> None:
    from functions.api.seeds import handler  # noqa: PLC0415

    event = sample("seeds-notify")
    heard: list[Json] = []

    def hear(name: str, event: Json) -> Json:
        heard.append(event)
        body = json.dumps({"code": "forbidden", "detail": "no", "errors": []})
        headers = {"Content-Type": ["application/problem+json"]}
        return {"statusCode": 403, "multiValueHeaders": headers, "body": body}

    monkeypatch.setattr(relay, "invoke", hear)
    assert handler.lambda_handler(sample("seeds-notify"), context)["statusCode"] == 403
    (given,) = heard
    changed = {name for name in event if given[name] != event[name]}
    assert changed == {"resource", "path", "body", "requestContext"}
    context_changed = {
        name
        for name in event["requestContext"]
        if given["requestContext"][name] != event["requestContext"][name]
    }
    assert context_changed == {"path", "resourcePath"}
    assert given["requestContext"]["path"] == "/dev/api/v1/notifications"
    assert given.keys() == event.keys()


def test_a7_a_key_in_the_header_is_honoured_where_the_source_has_none(seed, cloud) -> None:
    key = {"Idempotency-Key": "promo-1"}
    first = seed("POST", "/notify", NOTIFY, headers=key)
    second = seed("POST", "/notify", NOTIFY, headers=key)
    assert (first.status, second.status) == (202, 202)
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["Location"] == first.headers["Location"]
    other = seed("POST", "/notify", NOTIFY | {"content": "Other"}, headers=key)
    assert other.status == 400
    assert len(cloud.items("NotificationsTable")) == 1


def test_a7_a_repeat_is_the_same_after_the_address_has_become_a_user(seed, cloud) -> None:
    key = {"Idempotency-Key": "promo-1"}
    first = seed("POST", "/notify", NOTIFY, headers=key)
    seed("POST", "/preferences", {"user_id": NOTIFY["recipient_id"], "channels": {"sms": False}})
    second = seed("POST", "/notify", NOTIFY, headers=key)
    assert second.headers["Location"] == first.headers["Location"]
    assert len(cloud.items("NotificationsTable")) == 1


def test_c5_a_recipient_s_preferences_are_asked_by_their_address(seed, cloud) -> None:
    kept = seed(
        "POST", "/preferences", {"user_id": "ada@example.com", "categories": {"promo": False}}
    )
    assert kept.body["categories"] == {"promo": False}
    assert seed("GET", "/preferences?user_id=ada@example.com").body == kept.body
    refused = seed("POST", "/notify", NOTIFY)
    assert (refused.status, refused.body) == (403, {"message": "User preference rejected"})
    assert cloud.untouched()
    assert seed("POST", "/notify", NOTIFY | {"notification_type": "security_alert"}).status == 202


def test_a6_who_is_neither_a_user_nor_an_address_is_not_found(seed, cloud) -> None:
    reply = seed("POST", "/notify", NOTIFY | {"recipient_id": "nobody"})
    assert (reply.status, reply.body) == (404, {"message": "There is no such user"})


def test_a6_a_device_s_token_is_a_recipient(seed, cloud) -> None:
    token = "device:" + "x" * 150
    reply = seed("POST", "/notify", NOTIFY | {"recipient_id": token, "channel": "push"})
    assert reply.status == 202
    (message,) = cloud.published("push")
    assert json.loads(message["Body"])["targets"] == {"push": [token]}


def test_a6_a_push_token_known_by_the_caller_needs_no_user(seed, cloud) -> None:
    seed("POST", "/templates", {"code": "ping", "content": "ping"})
    body = {"request_id": "r-1", "user_id": "nobody", "template_code": "ping", "variables": {}}
    given = body | {"metadata": {"push_token": "given"}}
    assert seed("POST", "/send", given).status == 202
    assert seed("POST", "/send", body | {"request_id": "r-2"}).status == 404


def test_a3_a_push_s_title_stands_in_place_of_its_template_s(seed, prepared, deliver) -> None:
    seed("POST", "/templates", {"code": "ping", "content": "It is {{ what }}"})
    body = {
        "request_id": "r-1",
        "user_id": "ada",
        "template_code": "ping",
        "variables": {"what": "here"},
        "metadata": {"title": "{{ what }} arrived"},
    }
    assert seed("POST", "/send", body).status == 202
    (call,) = deliver("push").calls
    assert call.content == {"title": "{{ what }} arrived", "body": "It is here"}
    refused = seed("POST", "/send", body | {"request_id": "r-2", "metadata": {"title": "a\nb"}})
    assert (refused.status, refused.body["errors"][0]["pointer"]) == (422, "#/metadata/title")


def test_a3_a_title_replaces_the_heading_and_no_link(prepared, send, deliver) -> None:
    send({"channels": ["email", "inapp"], "title": "Soon"})
    (email,), (inapp,) = deliver("email").calls, deliver("inapp").calls
    assert (email.content["subject"], inapp.content["title"]) == ("Soon", "Soon")
    assert inapp.content["action_url"] == "/orders/A-1042"


def test_c4_a_list_of_categories_is_all_that_is_wanted(seed, prepared, cloud) -> None:
    place = "/api/users/ada/preferences"
    kept = seed("PATCH", place, {"categories": ["orders", "bills"]})
    assert kept.body["categories"] == ["bills", "orders"]
    ours = seed("GET", "/api/v1/users/ada/preferences").data["categories"]
    assert ours == {"*": False, "bills": True, "orders": True}
    promo = {"user_id": "ada", "channel": "email", "message": "x", "category": "promo"}
    assert seed("POST", "/api/v1/notifications", promo).data["status"] == "suppressed"
    bill = promo | {"category": "bills"}
    assert seed("POST", "/api/v1/notifications", bill).data["status"] == "accepted"
    assert seed("PATCH", place, {"categories": []}).body["categories"] == []
    assert seed("POST", "/api/v1/notifications", promo).data["status"] == "accepted"


def test_c3_what_the_source_does_not_know_of_stays(seed, prepared) -> None:
    ours = {"channels": {"inapp": False, "email": False}, "timezone": "Europe/London"}
    seed("PUT", "/api/v1/users/ada/preferences", ours)
    whole = {f"{name}_notifications": True for name in ("email", "push", "sms")}
    assert seed("PUT", "/api/users/ada/preferences", whole | {"categories": []}).status == 200
    kept = seed("GET", "/api/v1/users/ada/preferences").data
    assert kept["channels"] == {"email": True, "push": True, "sms": True, "inapp": False}
    assert kept["timezone"] == "Europe/London"


def test_c3_a_change_that_lost_a_race_is_made_again_over_the_winner_s(
    seed, prepared, monkeypatch
) -> None:
    invoke, races = relay.invoke, [True]

    def raced(name: str, event: Json) -> Json:
        if event["httpMethod"] == "PATCH" and races:
            races.clear()
            seed("PATCH", "/api/v1/users/ada/preferences", {"timezone": "Asia/Tokyo"})
        return invoke(name, event)

    monkeypatch.setattr(relay, "invoke", raced)
    changed = seed("PATCH", "/api/users/ada/preferences", {"sms_notifications": False})
    assert changed.body["sms_notifications"] is False
    kept = seed("GET", "/api/v1/users/ada/preferences").data
    assert kept["timezone"] == "Asia/Tokyo"


def test_b2_the_one_refresh_token_of_the_user_service_stays_good(seed, ada, caller_of) -> None:
    refresh = {"refresh": ada.entered["refresh"]}
    for _ in range(3):
        again = seed("POST", "/api/users/refresh", refresh, caller=None)
        assert again.status == 200
        assert caller_of(again.body["access"])["user_id"] == ada.id
    assert seed("POST", "/api/v1/auth/logout", refresh, caller=None).status == 204
    assert seed("POST", "/api/users/refresh", refresh, caller=None).status == 401


def test_b2_no_other_refresh_token_is_good_twice_through_an_alias(seed, ada) -> None:
    login = {"email": ada.email, "password": ada.password}
    ours = seed("POST", "/api/v1/auth/login", login, caller=None).data
    refresh = {"refresh": ours["refresh"]}
    assert seed("POST", "/api/users/refresh", refresh, caller=None).status == 200
    assert seed("POST", "/api/users/refresh", refresh, caller=None).status == 401


def test_d5_a_template_without_a_language_is_english(seed, cloud) -> None:
    made = seed("POST", "/templates", {"code": "hi", "content": "Hi"})
    assert made.body["language"] == "en"


def test_d1_each_template_has_a_number_of_its_own(seed, cloud) -> None:
    made = [seed("POST", "/templates", {"code": code, "content": "x"}).body for code in "ab"]
    assert made[0]["id"] < made[1]["id"]
    assert seed("GET", "/templates/b").body == made[1]


def test_g2_a_status_can_be_reported_by_reference_alone(seed, prepared, send) -> None:
    notification = send({"channels": ["sms"]}).data["notification_id"]
    report = {"channel": "sms", "status": "delivered", "messageId": "SM1"}
    reply = seed("POST", f"/{notification}/status", report)
    assert (reply.status, reply.body["result"]["notificationId"]) == (200, notification)
    again = seed("POST", f"/{notification}/status", report | {"status": "sent"})
    assert again.status == 400


def test_a_fault_is_pointed_out_by_the_source_s_own_name(seed, prepared) -> None:
    bad = {"type": "email", "to": "nobody", "message": "x", "user_id": 1}
    reply = seed("POST", "/notifications", bad)
    assert (reply.status, reply.body["errors"][0]["pointer"]) == (422, "#/to")
    report = {"notificationId": NOTIFICATION, "channel": "sms", "status": "sent", "messageId": "ä"}
    reply = seed("POST", f"/api/notifications/{NOTIFICATION}/status", report)
    assert (reply.status, reply.body["errors"][0]["pointer"]) == (400, "#/messageId")
    assert reply.body["status"] == 400
    assert reply.body["instance"] == f"/api/notifications/{NOTIFICATION}/status"


@pytest.mark.parametrize("path", ["/templates/a%2Fversions", "/templates/..", "/render/a%2Fb"])
def test_an_alias_s_path_leads_to_its_own_route_alone(seed, prepared, path) -> None:
    method = "POST" if "render" in path else "GET"
    assert seed(method, path, {} if method == "POST" else None).status in (400, 404)


def test_a_function_that_fails_is_no_answer(seed, prepared, monkeypatch) -> None:
    class Client:
        def invoke(self, **_: Any) -> Json:
            return {"FunctionError": "Unhandled"}

    monkeypatch.undo()
    monkeypatch.setattr(relay.aws, "functions", Client)
    with pytest.raises(relay.Problem) as raised:
        relay.invoke("x", {})
    assert raised.value.status == 503


def test_an_invocation_is_made_once() -> None:
    config = relay.aws.functions().meta.config
    assert config.retries["total_max_attempts"] == 1
    assert config.connect_timeout + config.read_timeout < 29
