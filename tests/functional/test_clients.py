"""Applications and their keys: registered, read, renamed; keys made, limited, revoked."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from functional.conftest import ADMIN_CALLER, APPLICATION_CALLER

from carillon import clients
from carillon.identity import APPLICATION, Caller, Scope, authenticate
from carillon.tables import ApiKey, Client

Json = dict[str, Any]
CLIENTS = "/api/v1/clients"


@pytest.fixture
def admin(api) -> Callable[..., Any]:
    """Return a caller of any route with the administrator's token."""

    def admin(method: str, path: str, body: Json | None = None, **headers: str) -> Any:
        return api(method, path, body, caller=ADMIN_CALLER, **headers)

    return admin


@pytest.fixture
def webshop(cloud, monkeypatch) -> Any:
    """A registered client, as registration answers it."""
    return clients.register(
        clients.ClientRequest.model_validate(
            {"service_name": "webshop", "notification_types": [{"name": "orders"}]}
        )
    )


@pytest.fixture
def path(webshop) -> str:
    return f"{CLIENTS}/{webshop.client_id}"


def test_b3_a_registered_client_s_token_says_who_is_calling(call, sample, cloud) -> None:
    from functions.api.clients import handler  # noqa: PLC0415

    made = call(handler, sample("clients-register"))
    assert made.status == 201
    caller = authenticate(made.data["api_token"])
    assert caller
    assert (caller.client_id, caller.scopes) == (made.data["client_id"], APPLICATION)
    assert not caller.test


def test_b3_a_client_is_read_as_it_was_registered(admin, webshop, path) -> None:
    data = admin("GET", path).data
    assert (data["client_id"], data["service_name"]) == (webshop.client_id, "webshop")
    assert data["notification_types"] == [{"name": "orders", "description": "", "mandatory": False}]


def test_b3_the_clients_are_listed_page_by_page(admin, cloud) -> None:
    made = {
        clients.register(clients.ClientRequest(service_name=f"service {n}")).client_id
        for n in range(5)
    }
    seen, query, pages = [], "?limit=2", 0
    while query:
        reply = admin("GET", f"{CLIENTS}{query}")
        seen += [client["client_id"] for client in reply.data]
        cursor, pages = reply.body["meta"]["next_cursor"], pages + 1
        query = f"?limit=2&cursor={cursor}" if cursor else ""
    assert (pages, len(seen), set(seen)) == (3, 5, made)


@pytest.mark.parametrize("cursor", ["x", "IngI", "bnVsbA", "MQ"])
def test_a_cursor_that_is_not_ours_is_refused(admin, cursor) -> None:
    reply = admin("GET", f"{CLIENTS}?cursor={cursor}")
    assert (reply.status, reply.body["code"]) == (400, "bad-cursor")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"notification_types": [{"name": "a"}, {"name": "a"}]}, "#/notification_types"),
        (
            {"notification_types": [{"name": "a", "mandatory": 1}]},
            "#/notification_types/0/mandatory",
        ),
        ({"service_name": None}, "#/service_name"),
        ({"service_name": " "}, "#/service_name"),
        ({"tenant": "other"}, "#/tenant"),
    ],
)
def test_a_change_that_cannot_be_is_refused(admin, path, body, pointer) -> None:
    reply = admin("PATCH", path, body)
    assert reply.status == 422
    assert reply.body["errors"][0]["pointer"] == pointer


def test_a_patch_changes_what_it_names(admin, path) -> None:
    types = [{"name": "alarms", "description": "", "mandatory": True}]
    reply = admin("PATCH", path, {"notification_types": types})
    assert (reply.status, reply.data["notification_types"]) == (200, types)
    assert reply.data["service_name"] == "webshop"


def test_a_type_without_its_description_is_one_with_none(admin, path) -> None:
    """As schemathesis found: it was kept without, and every reader of the client failed."""
    reply = admin("PATCH", path, {"notification_types": [{"name": "00"}]})
    assert reply.status == 200
    kept = {"name": "00", "description": "", "mandatory": False}
    assert admin("GET", path).data["notification_types"] == [kept]


def test_a_change_is_made_only_over_the_version_it_names(admin, path) -> None:
    tag = admin("GET", path).headers["ETag"]
    assert admin("PATCH", path, {"service_name": "shop"}, If_Match=tag).status == 200
    assert admin("PATCH", path, {"service_name": "late"}, If_Match=tag).status == 412
    assert admin("GET", path).data["service_name"] == "shop"
    assert admin("GET", path, If_None_Match=tag).status == 200
    assert admin("GET", path, If_None_Match=admin("GET", path).headers["ETag"]).status == 304


def test_a_renamed_client_frees_its_old_name_and_keeps_the_new_one(admin, path, cloud) -> None:
    assert admin("PATCH", path, {"service_name": "shop"}).status == 200
    clients.register(clients.ClientRequest(service_name="webshop"))
    with pytest.raises(clients.Problem, match="exists already"):
        clients.register(clients.ClientRequest(service_name="shop"))


def test_a_client_is_not_renamed_to_another_s_name(admin, path, cloud) -> None:
    clients.register(clients.ClientRequest(service_name="shop"))
    before = cloud.items("ClientsTable")
    reply = admin("PATCH", path, {"service_name": "shop"})
    assert (reply.status, reply.body["errors"][0]["pointer"]) == (409, "#/service_name")
    assert cloud.items("ClientsTable") == before


def test_names_are_kept_apart_by_tenant(cloud) -> None:
    for tenant in ("default", "other"):
        clients.register(clients.ClientRequest(service_name="shop", tenant=tenant))


def test_a_change_that_lost_a_race_is_made_over_the_winner_s(
    admin, path, webshop, monkeypatch
) -> None:
    replace_all, raced = clients.replace_all, []

    def race(changed: Client, *new: Any, gone: Any = ()) -> bool:
        if not raced:
            raced.append(True)
            key = clients.KeyRequest(mode="test", label="the winner's")
            clients.add_key(webshop.client_id, key)
        return replace_all(changed, *new, gone=gone)

    monkeypatch.setattr(clients, "replace_all", race)
    assert admin("PATCH", path, {"service_name": "shop"}).status == 200
    assert [key["label"] for key in admin("GET", f"{path}/keys").data] == [None, "the winner's"]
    assert admin("GET", path).data["service_name"] == "shop"


@pytest.mark.parametrize(
    ("method", "rest", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {}),
        ("GET", "/keys", None),
        ("POST", "/keys", {"mode": "live"}),
        ("DELETE", "/keys/0123456789ab", None),
    ],
)
def test_a_client_that_is_not_there_is_not_found(admin, method, rest, body) -> None:
    reply = admin(method, f"{CLIENTS}/nobody{rest}", body)
    assert (reply.status, reply.body["code"]) == (404, "client-not-found")


def test_b7_a_key_is_told_once_and_listed_without_its_token(admin, path, webshop) -> None:
    made = admin("POST", f"{path}/keys", {"label": "nightly", "scopes": ["send"], "mode": "live"})
    assert made.status == 201
    token = made.data.pop("api_token")
    assert made.data["scopes"] == ["send"]
    first, second = admin("GET", f"{path}/keys").data
    assert second == made.data
    assert first["revoked_at"] is second["revoked_at"] is None
    kept = str(admin("GET", f"{path}/keys").body)
    for each in (token, webshop.api_token):
        assert each.split("_", 3)[3] not in kept


def test_b7_a_client_rotates_by_two_keys(admin, path, webshop) -> None:
    (old,) = admin("GET", f"{path}/keys").data
    new = admin("POST", f"{path}/keys", {"mode": "live"}).data
    assert authenticate(webshop.api_token) == authenticate(new["api_token"]) != None  # noqa: E711
    assert admin("DELETE", f"{path}/keys/{old['key_id']}").status == 204
    assert authenticate(webshop.api_token) is None
    assert authenticate(new["api_token"])
    listed = {key["key_id"]: key["revoked_at"] for key in admin("GET", f"{path}/keys").data}
    assert listed[old["key_id"]]
    assert listed[new["key_id"]] is None


def test_b7_revoking_twice_keeps_the_first_moment(admin, path) -> None:
    (key,) = admin("GET", f"{path}/keys").data
    revoke = f"{path}/keys/{key['key_id']}"
    assert admin("DELETE", revoke).status == 204
    (first,) = admin("GET", f"{path}/keys").data
    assert admin("DELETE", revoke).status == 204
    assert admin("GET", f"{path}/keys").data == [first]


def test_b7_nobody_revokes_another_client_s_key(admin, path, cloud) -> None:
    other = clients.register(clients.ClientRequest(service_name="other"))
    (key,) = clients.find(other.client_id).keys
    reply = admin("DELETE", f"{path}/keys/{key['key_id']}")
    assert (reply.status, reply.body["code"]) == (404, "key-not-found")
    assert authenticate(other.api_token)


def test_b7_a_client_has_so_many_keys_at_most(admin, path, cloud) -> None:
    for _ in range(clients.MAX_KEYS - 1):
        made = admin("POST", f"{path}/keys", {"mode": "live"})
        assert made.status == 201
    before = len(cloud.items("ClientsTable"))
    reply = admin("POST", f"{path}/keys", {"mode": "live"})
    assert (reply.status, reply.body["code"]) == (409, "too-many-keys")
    assert len(cloud.items("ClientsTable")) == before
    assert admin("DELETE", f"{path}/keys/{made.data['key_id']}").status == 204
    assert admin("POST", f"{path}/keys", {"mode": "live"}).status == 201


def test_of_the_revoked_keys_the_oldest_are_forgotten(cloud, webshop, monkeypatch) -> None:
    monkeypatch.setattr(clients, "REVOKED_KEPT", 2)
    made = []
    for _ in range(4):
        key, _ = clients.add_key(webshop.client_id, clients.KeyRequest(mode="live"))
        clients.revoke_key(webshop.client_id, key["key_id"])
        made.append(key["key_id"])
    kept = [key["key_id"] for key in clients.find(webshop.client_id).keys]
    assert len(kept) == 3  # the first, which is in use, and two that are revoked
    assert set(kept[1:]) < set(made)
    assert len(list(ApiKey.scan(ApiKey.key.startswith("key#")))) == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"scopes": ["admin"], "mode": "live"}, "#/scopes"),
        ({"scopes": ["send", "self"], "mode": "live"}, "#/scopes"),
        ({"scopes": [], "mode": "live"}, "#/scopes"),
        ({"scopes": ["everything"], "mode": "live"}, "#/scopes/0"),
        ({"mode": "dry"}, "#/mode"),
        ({}, "#/mode"),
        ({"mode": "live", "client_id": "another"}, "#/client_id"),
    ],
)
def test_b8_a_key_gets_no_scope_that_is_not_a_key_s(admin, path, body, pointer) -> None:
    reply = admin("POST", f"{path}/keys", body)
    assert reply.status == 422
    assert reply.body["errors"][0]["pointer"] == pointer
    assert len(admin("GET", f"{path}/keys").data) == 1


@pytest.mark.parametrize(
    ("asked", "granted"),
    [(None, APPLICATION), (["ops"], {Scope.OPS}), (["read", "send"], {Scope.READ, Scope.SEND})],
)
def test_b8_a_key_may_do_what_it_was_made_for(admin, path, webshop, asked, granted) -> None:
    body = {"mode": "live"} | ({"scopes": asked} if asked else {})
    made = admin("POST", f"{path}/keys", body).data
    caller = authenticate(made["api_token"])
    assert caller
    assert (caller.client_id, caller.scopes) == (webshop.client_id, granted)


def test_b10_a_test_key_says_so_to_whoever_reads_it(admin, path, webshop, sample) -> None:
    from functions.authorizer import handler  # noqa: PLC0415

    token = admin("POST", f"{path}/keys", {"mode": "test"}).data["api_token"]
    assert token.startswith("nk_test_")
    event = sample("authorizer-token") | {"authorizationToken": f"Bearer {token}"}
    told = handler.lambda_handler(event, None)["context"]
    assert (told["client_id"], told["test"]) == (webshop.client_id, "true")
    assert Caller.from_context(told).test
    # The mode is the key's, not what the token calls itself.
    event["authorizationToken"] = f"Bearer {token.replace('nk_test_', 'nk_live_')}"
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        handler.lambda_handler(event, None)


def test_b10_a_test_and_a_live_request_of_one_key_are_two(send, prepared) -> None:
    tested = send({"channels": ["email"]}, caller=APPLICATION_CALLER | {"test": "true"})
    live = send({"channels": ["email"]}, caller=APPLICATION_CALLER)
    assert "Idempotent-Replayed" not in live.headers
    assert live.data["notification_id"] != tested.data["notification_id"]
    bodies = [json.loads(message["Body"]) for message in prepared.published("email")]
    assert sorted(body.get("test", False) for body in bodies) == [False, True]


def test_a_notification_is_its_caller_s_whatever_its_body_says_a_s12(send, prepared) -> None:
    for name in ("client_id", "tenant", "test"):
        reply = send({name: "another"})
        assert (reply.status, reply.body["errors"][0]["pointer"]) == (422, f"#/{name}")
    assert prepared.untouched()
