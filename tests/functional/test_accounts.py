"""Users register, log in, refresh and log out; what a wrong password gets."""

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from argon2 import PasswordHasher

from carillon import attempts, erasure, logins, passwords, sessions, tokens
from carillon.jobs import Task
from carillon.models import now
from carillon.settings import settings
from functions.api.auth import handler
from functions.api.notifications import handler as notifications
from functions.api.users import handler as users
from functions.authorizer import handler as authorizer

Json = dict[str, Any]
EMAIL, PASSWORD = "grace@example.com", "correct horse battery staple"
LOGIN = {"email": EMAIL, "password": PASSWORD}
WRONG = LOGIN | {"password": "incorrect horse"}
NOBODY = {"email": "nobody@example.com", "password": PASSWORD}


@pytest.fixture
def auth(cloud, call, sample) -> Callable[..., Any]:
    """Return a caller of a route of auth with a body, from an address."""

    def auth(route: str, body: Any, address: str = "192.0.2.10", **headers: str) -> Any:
        event = sample(f"auth-{route}")
        event["requestContext"]["identity"]["sourceIp"] = address
        return call(handler, event, body=body, headers=headers)

    return auth


@pytest.fixture
def registered(auth, sample) -> Json:
    """The sample user, registered."""
    reply = auth("register", json.loads(sample("auth-register")["body"]))
    assert reply.status == 201, reply.body
    return dict(reply.data)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a setter of how many seconds have passed since a window began."""
    start = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    assert start.timestamp() % attempts.WINDOW_SECONDS == 0

    def at(seconds: float) -> None:
        monkeypatch.setattr(attempts, "now", lambda: start + timedelta(seconds=seconds))

    at(0)
    return at


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parameters of every hash that a password is checked against."""
    seen: list[str] = []
    verify = PasswordHasher.verify

    def spy(self: PasswordHasher, kept: str, password: str) -> bool:
        seen.append(kept.rsplit("$", 2)[0])
        return bool(verify(self, kept, password))

    monkeypatch.setattr(PasswordHasher, "verify", spy)
    return seen


def counted(cloud: Any) -> list[Json]:
    """Return the counters of attempts to log in."""
    return [c for c in cloud.items("CountersTable") if c["name"]["S"].startswith("login#")]


def authorized(access: str, sample: Callable[[str], Json]) -> Json:
    """Return what the authorizer tells functions of who is calling."""
    event = sample("authorizer-token") | {"authorizationToken": f"Bearer {access}"}
    return dict(authorizer.lambda_handler(event, None)["context"])


def test_b1_a_user_registers_and_is_kept_with_a_profile_and_preferences(
    registered, cloud, call, sample
) -> None:
    user_id = registered["user_id"]
    assert uuid.UUID(user_id).version == 4
    me = authorized(registered["access"], sample)
    assert me == {
        "client_id": f"user:{user_id}",
        "tenant": "default",
        "scope": "self",
        "user_id": user_id,
    }
    event = sample("users-put") | {"httpMethod": "GET", "path": f"/api/v1/users/{user_id}"}
    profile = call(users, event, caller=me).data
    assert (profile["email"], profile["full_name"]) == (EMAIL, "Grace Hopper")
    event["path"] += "/preferences"
    assert call(users, event, caller=me).data["channels"] == {"sms": False}


def test_b1_who_has_registered_can_be_notified(registered, prepared, call, sample) -> None:
    body = {"user_id": registered["user_id"], "channels": ["email"], "message": "Hello"}
    assert call(notifications, sample("notifications-send"), body=body).status == 202


def test_b1_registering_tells_where_the_user_is(auth) -> None:
    reply = auth("register", {"email": EMAIL, "password": PASSWORD})
    assert reply.headers["Location"] == f"/dev/api/v1/users/{reply.data['user_id']}"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.data["full_name"] is None


@pytest.mark.parametrize("email", [EMAIL, "GRACE@Example.COM", "Grace@example.com"])
def test_b1_an_address_is_registered_once_however_it_is_spelt(
    registered, auth, cloud, email
) -> None:
    before = cloud.items("AccountsTable"), cloud.items("UsersTable")
    reply = auth("register", {"email": email, "password": "another password"})
    assert (reply.status, reply.body["code"]) == (409, "email-taken")
    assert reply.body["errors"][0]["pointer"] == "#/email"
    assert (cloud.items("AccountsTable"), cloud.items("UsersTable")) == before


def test_b1_where_no_key_was_made_registering_leaves_nothing_behind(
    auth, cloud, monkeypatch
) -> None:
    monkeypatch.setattr(tokens, "_parameter", lambda name: f"/carillon/none/jwt/{name}")
    reply = auth("register", {"email": EMAIL, "password": PASSWORD})
    assert (reply.status, reply.body["code"]) == (503, "store-unavailable")
    assert cloud.items("AccountsTable") == cloud.items("UsersTable") == []


def test_b1_registering_takes_a_token_that_may_keep_users(auth, cloud) -> None:
    body = {"email": EMAIL, "password": PASSWORD}
    assert auth("register", body, Authorization="Bearer nk_admin_" + "b" * 43).status == 401
    assert auth("register", body, Authorization="").status == 401
    assert cloud.items("AccountsTable") == cloud.items("UsersTable") == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("password", "1234567"),
        ("password", "x" * 1025),
        ("password", 12345678),
        ("password", None),
        ("email", "nobody"),
        ("email", "a@b.co,c@d.co"),
        ("full_name", "Grace\r\nBcc: x@y.co"),
        ("preferences", {"channels": {"fax": True}}),
        ("tenant", "other"),
        ("user_id", "ada"),
    ],
)
def test_b1_what_cannot_be_registered_is_refused_unhashed(auth, cloud, field, value) -> None:
    with patch.object(PasswordHasher, "hash", side_effect=AssertionError("hashed")):
        reply = auth("register", {"email": EMAIL, "password": PASSWORD, field: value})
    assert reply.status == 422
    assert reply.body["errors"][0]["pointer"].startswith(f"#/{field}")
    assert cloud.items("AccountsTable") == []


def test_b1_a_user_logs_in(registered, auth, sample) -> None:
    reply = auth("login", LOGIN | {"email": EMAIL.upper()})
    assert reply.status == 200
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.data["user"] == {
        "id": registered["user_id"],
        "email": EMAIL,
        "full_name": "Grace Hopper",
    }
    assert (reply.data["token_type"], reply.data["expires_in"]) == ("Bearer", 900)
    assert authorized(reply.data["access"], sample)["user_id"] == registered["user_id"]


def test_b1_a_letter_composed_in_another_way_is_the_same_letter(auth) -> None:
    assert auth("register", {"email": EMAIL, "password": "Zürich 2026"}).status == 201
    assert auth("login", {"email": EMAIL, "password": "Zu\u0308rich 2026"}).status == 200


def test_b1_an_account_belongs_to_its_tenant(registered, auth) -> None:
    assert auth("login", LOGIN | {"tenant": "other"}).status == 401


def test_b1_a_user_who_is_no_more_neither_logs_in_nor_refreshes(registered, auth, cloud) -> None:
    for item in cloud.items("UsersTable"):
        cloud.dynamodb.delete_item(
            TableName="UsersTable", Key={name: item[name] for name in ("key", "part")}
        )
    assert auth("login", LOGIN).body["code"] == "invalid-credentials"
    assert auth("refresh", {"refresh": registered["refresh"]}).status == 401


def test_j5_a_user_who_is_erased_has_no_account_and_leaves_the_address_free(
    registered, auth, cloud, api
) -> None:
    path = f"/api/v1/users/{registered['user_id']}"
    assert api("DELETE", path).status == 202
    assert auth("refresh", {"refresh": registered["refresh"]}).status == 401
    (message,) = cloud.sqs.receive_message(QueueUrl=cloud.jobs)["Messages"]
    task = Task.model_validate_json(message["Body"])
    for _ in range(2):
        erasure.run(task)
    assert {item["key"]["S"].split("#")[0] for item in cloud.items("AccountsTable")} == {"session"}
    assert auth("login", LOGIN).status == 401
    # An application may give the id to somebody else; the old session is not theirs.
    assert api("PUT", path, {}).status == 201
    assert auth("refresh", {"refresh": registered["refresh"]}).status == 401
    assert auth("register", {"email": EMAIL, "password": PASSWORD}).status == 201


def test_j5_an_address_registered_anew_is_not_forgotten_with_its_former_user(
    registered, auth, cloud
) -> None:
    logins.forget("default", registered["user_id"])
    assert auth("register", {"email": EMAIL, "password": PASSWORD}).status == 201
    logins.forget("default", registered["user_id"])
    assert auth("login", LOGIN).status == 200


def test_a_user_s_token_says_who_and_may_not_send_b8(registered, prepared, call, sample) -> None:
    me = authorized(registered["access"], sample)
    assert call(notifications, sample("notifications-send"), caller=me).status == 403
    assert prepared.untouched()


@pytest.mark.parametrize("user_id", ["ada", "no-such-user"])
def test_another_user_is_like_none_a_s04(registered, prepared, call, sample, user_id) -> None:
    me = authorized(registered["access"], sample)
    before = prepared.items("UsersTable")
    event = sample("users-put-preferences") | {"path": f"/api/v1/users/{user_id}/preferences"}
    missing = call(users, event | {"httpMethod": "PATCH"}, body={"channels": {}}, caller=me)
    assert (missing.status, missing.body["code"]) == (404, "user-not-found")
    assert user_id not in missing.body["detail"]
    assert prepared.items("UsersTable") == before


def test_unknown_and_wrong_get_the_same_answer_for_the_same_work_a_s06(
    registered, auth, verifications
) -> None:
    wrong, unknown = auth("login", WRONG), auth("login", NOBODY)
    assert wrong.status == unknown.status == 401
    assert wrong.body == unknown.body
    assert wrong.headers == unknown.headers
    assert len(verifications) == 2
    assert verifications[0] == verifications[1] == "$argon2id$v=19$m=19456,t=2,p=1"


def test_a_hundred_wrong_passwords_are_stopped_and_the_right_one_works_again_a_s07(
    registered, auth, clock, verifications
) -> None:
    replies = [auth("login", WRONG) for _ in range(100)]
    assert [reply.status for reply in replies] == [401] * 10 + [429] * 90
    assert len(verifications) == 10
    clock(899)
    late = auth("login", LOGIN)
    assert (late.status, late.body["code"]) == (429, "too-many-attempts")
    assert (replies[-1].headers["Retry-After"], late.headers["Retry-After"]) == ("900", "1")
    clock(900)
    assert auth("login", LOGIN).status == 200


def test_j1_an_account_there_is_not_is_throttled_alike(registered, auth, clock) -> None:
    known = [auth("login", WRONG) for _ in range(11)][-1]
    unknown = [auth("login", NOBODY) for _ in range(11)][-1]
    assert (known.status, known.body, known.headers) == (429, unknown.body, unknown.headers)


def test_j1_success_forgets_the_account_s_failures(registered, auth, clock) -> None:
    for _ in range(3):
        assert {auth("login", WRONG).status for _ in range(9)} == {401}
        assert auth("login", LOGIN).status == 200


def test_j1_an_address_is_throttled_over_all_accounts(registered, auth, clock, monkeypatch) -> None:
    monkeypatch.setenv("LOGIN_ATTEMPTS", "3")
    settings.cache_clear()

    def guess(n: int, address: str) -> int:
        body = {"email": f"user{n}@example.com", "password": PASSWORD}
        return int(auth("login", body, address).status)

    assert {guess(n, "192.0.2.66") for n in range(30)} == {401}
    assert guess(30, "192.0.2.66") == 429
    assert auth("login", LOGIN, "192.0.2.66").status == 429
    assert auth("login", LOGIN, "192.0.2.67").status == 200


def test_j1_those_who_succeed_do_not_use_up_the_address_they_share(
    registered, auth, clock, monkeypatch
) -> None:
    monkeypatch.setattr(attempts, "ADDRESS_FACTOR", 1)
    assert {auth("login", LOGIN).status for _ in range(12)} == {200}


def test_j1_all_of_a_subscriber_s_ipv6_addresses_are_one(auth, clock, monkeypatch) -> None:
    monkeypatch.setattr(attempts, "ADDRESS_FACTOR", 0)
    attempts_of = {attempts._network(f"2001:db8:0:1::{n}") for n in (1, 2)}
    assert attempts_of == {"2001:db8:0:1::/64"}
    assert attempts._network("2001:db8:0:2::1") not in attempts_of
    assert auth("login", LOGIN, "2001:db8::1").status == 429


def test_j1_counters_say_neither_who_nor_whence_and_go_away(registered, auth, cloud, clock) -> None:
    auth("login", WRONG)
    counters = counted(cloud)
    assert len(counters) == 2
    assert "grace" not in str(counters)
    assert "192.0.2" not in str(counters)
    assert {int(c["expires_at"]["N"]) for c in counters} == {int(c["slot"]["S"]) for c in counters}


@pytest.mark.parametrize(("size", "status"), [(1_025, 422), (60_000, 422), (1_000_000, 413)])
def test_a_long_password_is_refused_unhashed_a_s08(registered, auth, cloud, size, status) -> None:
    with patch.object(PasswordHasher, "verify", side_effect=AssertionError("hashed")):
        reply = auth("login", LOGIN | {"password": "x" * size})
    assert reply.status == status
    assert "xxx" not in str(reply.body)
    assert counted(cloud) == []


def test_j1_a_password_is_hashed_as_the_time_demands(registered, cloud) -> None:
    (kept,) = (i["password"]["S"] for i in cloud.items("AccountsTable") if "password" in i)
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_j1_a_hash_of_older_parameters_is_made_anew_at_the_next_login(
    registered, auth, cloud
) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash(PASSWORD)
    (key,) = (i["key"] for i in cloud.items("AccountsTable") if "password" in i)
    cloud.dynamodb.update_item(
        TableName="AccountsTable",
        Key={"key": key},
        UpdateExpression="SET password = :p",
        ExpressionAttributeValues={":p": {"S": old}},
    )
    assert auth("login", LOGIN).status == 200
    (kept,) = (i["password"]["S"] for i in cloud.items("AccountsTable") if "password" in i)
    assert not passwords.is_outdated(kept)
    assert auth("login", LOGIN).status == 200


def test_nobody_has_the_password_of_nobody() -> None:
    assert not passwords.is_right("", None)
    assert not passwords.is_outdated(passwords._nobody())


def test_b2_a_refresh_token_gets_the_next_pair(registered, auth, sample) -> None:
    first = auth("refresh", {"refresh": registered["refresh"]})
    assert first.status == 200
    assert authorized(first.data["access"], sample)["user_id"] == registered["user_id"]
    second = auth("refresh", {"refresh": first.data["refresh"]})
    assert second.status == 200
    assert second.data["refresh"] != first.data["refresh"] != registered["refresh"]


def test_b2_a_refresh_token_used_again_ends_the_session_for_both(registered, auth) -> None:
    following = auth("refresh", {"refresh": registered["refresh"]}).data["refresh"]
    elsewhere = auth("login", LOGIN).data["refresh"]
    again = auth("refresh", {"refresh": registered["refresh"]})
    assert (again.status, again.body["code"]) == (401, "invalid-refresh-token")
    assert auth("refresh", {"refresh": following}).status == 401
    assert auth("refresh", {"refresh": elsewhere}).status == 200


def test_b2_a_write_the_sdk_repeated_is_no_second_use(registered, auth, monkeypatch) -> None:
    """The answer to the first got lost: the repeat finds its own digest, not the used one."""
    advance = sessions.advance_session
    monkeypatch.setattr(sessions, "advance_session", lambda *how: advance(*how) and advance(*how))
    following = auth("refresh", {"refresh": registered["refresh"]})
    assert following.status == 200
    assert auth("refresh", {"refresh": following.data["refresh"]}).status == 200


def test_b2_a_refresh_token_expires(registered, auth, monkeypatch) -> None:
    long_ago = now() - timedelta(days=31)
    with monkeypatch.context() as moved:
        moved.setattr(tokens, "now", lambda: long_ago)
        old = auth("login", LOGIN).data["refresh"]
    assert auth("refresh", {"refresh": old}).status == 401


@pytest.mark.parametrize("garbage", ["", "x", "eyJ.eyJ.x", "é" * 10, "nk_live_x"])
@pytest.mark.parametrize("route", ["refresh", "logout"])
def test_b2_what_is_no_refresh_token_is_refused(auth, registered, route, garbage) -> None:
    assert auth(route, {"refresh": garbage}).status == 401
    assert auth(route, {"refresh": registered["access"]}).status == 401
    assert auth(route, {"refresh": "x" * 3_000}).status == 422


def test_b2_logging_out_ends_the_session_and_no_other(registered, auth) -> None:
    other = auth("login", LOGIN).data["refresh"]
    assert auth("logout", {"refresh": registered["refresh"]}).status == 204
    assert auth("logout", {"refresh": registered["refresh"]}).status == 204
    assert auth("refresh", {"refresh": registered["refresh"]}).status == 401
    assert auth("refresh", {"refresh": other}).status == 200


def test_no_table_and_no_log_has_a_password_or_a_token_a_s11(cloud, call, sample, caplog) -> None:
    caplog.set_level("DEBUG", logger="carillon")
    given: list[str] = []
    registering = call(handler, sample("auth-register"))
    entered = [registering, call(handler, sample("auth-login"))]
    for reply in entered:
        given += [reply.data["access"], reply.data["refresh"]]
    again = call(handler, sample("auth-refresh"), body={"refresh": given[1]})
    given += [again.data["access"], again.data["refresh"]]
    call(handler, sample("auth-refresh"), body={"refresh": given[1]})
    call(handler, sample("auth-login"), body=WRONG)
    logged = "".join(str(vars(record)) for record in caplog.records)
    dump = "".join(str(cloud.items(table)) for table in cloud.tables) + logged
    assert "refresh token used again" in dump
    for secret in (*given, *(token.rpartition(".")[2] for token in given), PASSWORD):
        assert secret not in dump
    assert WRONG["password"] not in dump
