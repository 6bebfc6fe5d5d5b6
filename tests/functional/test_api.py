"""The routes around the path: clients, templates, users, inbox, health, docs, tokens."""

import hashlib
import json
from typing import Any

import pytest
from cloudformation import resources

from carillon import counters, storage, tables
from carillon.identity import APPLICATION
from carillon.settings import settings
from functions.api.clients import handler as clients
from functions.api.notifications import handler as notifications
from functions.api.templates import handler as templates
from functions.api.users import handler as users
from functions.authorizer import handler as authorizer

Json = dict[str, Any]
OTHER_TENANT = {
    "client_id": "c",
    "tenant": "other",
    "scope": " ".join(sorted(APPLICATION)),
}


def test_a_registered_client_s_token_authorizes(cloud, call, sample) -> None:
    reply = call(clients, sample("clients-register"))
    assert reply.status == 201
    event = sample("authorizer-token")
    event["authorizationToken"] = f"Bearer {reply.data['api_token']}"
    policy = authorizer.lambda_handler(event, None)
    assert policy["principalId"] == reply.data["client_id"]
    assert policy["context"] == {
        "client_id": reply.data["client_id"],
        "tenant": "default",
        "scope": " ".join(sorted(APPLICATION)),
    }
    (statement,) = policy["policyDocument"]["Statement"]
    assert statement["Resource"].endswith(":1234567890/dev/*")


def test_a_token_is_kept_only_as_a_hash_a_s11(cloud, call, sample) -> None:
    token = call(clients, sample("clients-register")).data["api_token"]
    kept = str(cloud.items("ClientsTable"))
    assert token not in kept
    assert token.split("_", 3)[3] not in kept
    assert str(hashlib.sha256(token.encode()).digest()) in kept


@pytest.mark.parametrize(
    "token",
    [
        "Bearer nk_live_0123456789ab_" + "A" * 43,
        "Bearer nk_live_ümlaut",
        "Bearer ",
        "nk_live_0123456789ab_" + "A" * 43,
        "Basic abc",
        "Bearer " + "a" * 5000,
        "Bearer nk_admin_" + "b" * 43,
    ],
)
def test_any_other_token_is_refused_a_s09(cloud, sample, token) -> None:
    event = sample("authorizer-token") | {"authorizationToken": token}
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorizer.lambda_handler(event, None)


def test_a_token_with_the_right_id_and_a_wrong_secret_is_refused(cloud, call, sample) -> None:
    token = call(clients, sample("clients-register")).data["api_token"]
    wrong = token[:-1] + ("A" if token[-1] != "A" else "B")
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorizer.lambda_handler(
            sample("authorizer-token") | {"authorizationToken": f"Bearer {wrong}"}, None
        )


def test_the_admin_token_authorizes_the_administrator(cloud, sample) -> None:
    event = sample("authorizer-token") | {"authorizationToken": f"Bearer {cloud.admin_token}"}
    assert authorizer.lambda_handler(event, None)["context"]["scope"] == "admin ops users"


def test_only_the_administrator_registers_clients(cloud, call, sample) -> None:
    token = call(clients, sample("clients-register")).data["api_token"]
    another = {"service_name": "another"}
    with_token = {"Authorization": f"Bearer {token}"}
    assert call(clients, sample("clients-register"), body=another, headers=with_token).status == 403
    wrong = {"Authorization": "Bearer nk_admin_" + "b" * 43}
    assert call(clients, sample("clients-register"), body=another, headers=wrong).status == 401


def test_anybody_registers_where_registration_is_open(cloud, call, sample, monkeypatch) -> None:
    event = sample("clients-register")
    del event["headers"]["Authorization"]
    assert call(clients, event).status == 401
    monkeypatch.setenv("OPEN_REGISTRATION", "true")
    settings.cache_clear()
    assert call(clients, event).status == 201


def test_the_administrator_sends_nothing(prepared, call, sample) -> None:
    admin = {"client_id": "admin", "tenant": "default", "scope": "admin ops users"}
    assert call(notifications, sample("notifications-send"), caller=admin).status == 403
    assert prepared.untouched()


def test_a_service_name_is_taken_once(cloud, call, sample) -> None:
    assert call(clients, sample("clients-register")).status == 201
    before = len(cloud.items("ClientsTable"))
    reply = call(clients, sample("clients-register"))
    assert (reply.status, reply.body["code"]) == (409, "client-exists")
    assert reply.body["errors"][0]["pointer"] == "#/service_name"
    assert len(cloud.items("ClientsTable")) == before


def test_a_template_is_read_as_it_was_created(cloud, call, sample) -> None:
    made = call(templates, sample("templates-create"))
    read = call(templates, sample("templates-read"))
    assert (made.status, read.status) == (201, 200)
    assert made.data == read.data
    assert made.headers["Location"].endswith("/api/v1/templates/order-shipped")


def test_a_template_code_is_taken_once(cloud, call, sample) -> None:
    call(templates, sample("templates-create"))
    reply = call(templates, sample("templates-create"))
    assert (reply.status, reply.body["code"]) == (409, "template-exists")


def test_another_tenant_has_its_own_templates(cloud, call, sample) -> None:
    call(templates, sample("templates-create"))
    assert call(templates, sample("templates-read"), caller=OTHER_TENANT).status == 404
    assert call(templates, sample("templates-create"), caller=OTHER_TENANT).status == 201


def test_one_content_makes_a_part_for_every_channel(cloud, call, sample) -> None:
    body = {"code": "welcome_mail", "content": "Hello {{ name }}"}
    parts = call(templates, sample("templates-create"), body=body).data["locales"]["en"]
    assert parts["email"] == {"subject": "Welcome mail", "text": "Hello {{ name }}"}
    assert parts["sms"] == {"text": "Hello {{ name }}"}
    assert parts["push"] == parts["inapp"] == {"title": "Welcome mail", "body": "Hello {{ name }}"}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"code": "x"}, "#"),
        ({"code": "x", "content": "a", "parts": {"sms": {"text": "a"}}}, "#"),
        ({"code": "a b", "content": "a"}, "#/code"),
        ({"code": "x", "parts": {}}, "#/parts"),
        ({"code": "x", "parts": {"fax": {}}}, "#/parts/fax"),
        ({"code": "x", "parts": {"email": {"subject": "s"}}}, "#/parts/email"),
        ({"code": "x", "content": "a", "language": "english!"}, "#/language"),
        ({"code": "x", "content": "{{ '%1000000000d' % 1 }}"}, "#/parts/email/text"),
        ({"code": "x", "content": "{% if %}"}, "#/parts/email/text"),
    ],
)
def test_a_bad_template_is_refused_and_not_kept(cloud, call, sample, body, pointer) -> None:
    reply = call(templates, sample("templates-create"), body=body)
    assert reply.status == 422
    assert reply.body["errors"][0]["pointer"] == pointer
    assert not cloud.items("TemplatesTable")


def test_putting_a_user_again_replaces_the_whole_profile(cloud, call, sample) -> None:
    first = call(users, sample("users-put"))
    second = call(users, sample("users-put"), body={"email": "new@example.com"})
    assert (first.status, second.status) == (201, 200)
    assert (second.data["email"], second.data["phone"]) == ("new@example.com", None)
    assert second.data["created_at"] == first.data["created_at"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"email": "nobody"}, "#/email"),
        ({"phone": "12345"}, "#/phone"),
        ({"timezone": "Mars/Olympus"}, "#/timezone"),
        ({"locale": "x"}, "#/locale"),
        ({"is_admin": True}, "#/is_admin"),
    ],
)
def test_a_bad_profile_is_refused_and_not_kept(cloud, call, sample, body, pointer) -> None:
    reply = call(users, sample("users-put"), body=body)
    assert (reply.status, reply.body["errors"][0]["pointer"]) == (422, pointer)
    assert not cloud.items("UsersTable")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"channels": {"fax": True}}, "#/channels/fax"),
        ({"channels": {"sms": "no"}}, "#/channels/sms"),
        ({"categories": {"promo": {"fax": True}}}, "#/categories/promo"),
        ({"categories": {"promo": 1}}, "#/categories/promo"),
    ],
)
def test_a_bad_preference_is_pointed_at(cloud, call, sample, body, pointer) -> None:
    call(users, sample("users-put"))
    reply = call(users, sample("users-put-preferences"), body=body)
    assert reply.status == 422
    assert reply.body["errors"][0]["pointer"] == pointer


def test_preferences_are_kept_as_given(cloud, call, sample) -> None:
    call(users, sample("users-put"))
    body = {"channels": {"in_app": False}, "categories": {"promo": {"sms": False}, "x": True}}
    reply = call(users, sample("users-put-preferences"), body=body)
    assert reply.status == 200
    assert reply.data == {
        "channels": {"inapp": False},
        "categories": {"promo": {"sms": False}, "x": True},
        "quiet_hours": None,
        "timezone": None,
        "locale": None,
    }


def test_an_unknown_route_is_a_problem_too(cloud, call, sample) -> None:
    event = sample("users-put") | {"path": "/api/v1/users/ada/faxes"}
    reply = call(users, event)
    assert (reply.status, reply.body["code"]) == (404, "route-not-found")


def test_a_bug_of_ours_is_a_500_that_tells_nothing(cloud, call, sample, monkeypatch) -> None:
    def bug(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(users.users, "put", bug)
    reply = call(users, sample("users-put"))
    assert (reply.status, reply.body["code"]) == (500, "internal-error")
    assert "secret" not in json.dumps(reply.body)


def kinds(kind: type) -> list[type]:
    return [each for sub in kind.__subclasses__() for each in (sub, *kinds(sub))]


def test_the_tables_of_the_template_are_those_of_the_code() -> None:
    made = {
        name.lower(): [key["AttributeName"] for key in table["KeySchema"]]
        for name, table in resources("AWS::DynamoDB::Table").items()
    }
    used: dict[str, list[str]] = {}
    assert counters, tables  # loaded, so that their kinds are known
    for kind in kinds(storage.Item):
        if kind.__dict__.get("Meta") is None:
            continue  # a kind of item in its parent's table
        setting = vars(kind.Meta)["table_name"].setting
        name = setting.replace("_", "")
        keys = kind.get_attributes().values()
        used[name] = [a.attr_name for a in keys if a.is_hash_key] + [
            a.attr_name for a in keys if a.is_range_key
        ]
    assert used == made
