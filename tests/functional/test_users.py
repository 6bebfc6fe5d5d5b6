"""Users as a resource: partial changes, entity tags, lost races, devices."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from functions.api.users import handler

Json = dict[str, Any]
PROFILE = "/api/v1/users/ada"
PREFERENCES = f"{PROFILE}/preferences"
TOKENS = f"{PROFILE}/push-tokens"


@pytest.fixture
def ask(cloud, call, sample) -> Callable[..., Any]:
    """Return a caller of any route of the user ada, who exists."""
    assert call(handler, sample("users-put")).status == 201

    def ask(method: str, path: str, body: Json | None = None, **headers: str) -> Any:
        event = sample("users-put") | {"httpMethod": method, "path": path}
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        raw = "" if body is None else json.dumps(body)
        return call(handler, event, raw=raw, headers=told)

    return ask


def test_c1_a_user_is_read_as_it_was_put(ask, sample) -> None:
    read = ask("GET", PROFILE)
    assert read.status == 200
    put = json.loads(sample("users-put")["body"])
    assert {name: read.data[name] for name in put} == put


def test_c1_a_patch_changes_what_it_names_and_null_empties(ask) -> None:
    reply = ask("PATCH", PROFILE, {"full_name": "Ada King", "phone": None})
    assert reply.status == 200
    assert (reply.data["full_name"], reply.data["phone"]) == ("Ada King", None)
    assert reply.data["email"] == "ada@example.com"


def test_a_patch_creates_nobody(ask, cloud) -> None:
    reply = ask("PATCH", "/api/v1/users/nobody", {"full_name": "x"})
    assert reply.status == 404
    assert len(cloud.items("UsersTable")) == 1


@pytest.mark.parametrize("path", [PROFILE, PREFERENCES])
def test_what_has_not_changed_is_not_sent_again(ask, path) -> None:
    tag = ask("GET", path).headers["ETag"]
    current = ask("GET", path, If_None_Match=tag)
    assert (current.status, current.headers["ETag"], current.body) == (304, tag, {})
    body = {"full_name": "B"} if path == PROFILE else {"channels": {"sms": False}}
    assert ask("PATCH", path, body).status == 200
    assert ask("GET", path, If_None_Match=tag).status == 200


@pytest.mark.parametrize("path", [PROFILE, PREFERENCES])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_change_of_a_version_that_is_no_more_is_refused(ask, path, method) -> None:
    stale = ask("GET", path).headers["ETag"]
    body = {"full_name": "B"} if path == PROFILE else {"channels": {"sms": False}}
    done = ask(method, path, body, If_Match=stale)
    assert done.status == 200
    late = ask(method, path, {}, If_Match=stale)
    assert (late.status, late.body["code"]) == (412, "precondition-failed")
    assert ask("GET", path).data == done.data
    assert ask(method, path, {}, If_Match=done.headers["ETag"]).status == 200
    assert ask(method, path, {}, If_Match="*").status == 200


@pytest.mark.parametrize("tag", ['"x"', "W/", '"1" or so', '"999999999999999999999"'])
def test_a_tag_that_is_none_of_ours_matches_nothing(ask, tag) -> None:
    assert ask("PUT", PROFILE, {}, If_Match=tag).status == 412


def test_a_preference_patch_keeps_the_other_half(ask) -> None:
    ask("PUT", PREFERENCES, {"channels": {"sms": False}, "categories": {"promo": False}})
    reply = ask("PATCH", PREFERENCES, {"categories": {"news": {"email": False}}})
    assert reply.data["channels"] == {"sms": False}
    assert reply.data["categories"] == {"news": {"email": False}}


def test_a_user_without_preferences_wants_everything(ask) -> None:
    kept = ask("GET", PREFERENCES).data
    nothing = dict.fromkeys(("quiet_hours", "timezone", "locale"))
    assert kept == {"channels": {}, "categories": {}} | nothing


def test_a_forgotten_device_is_not_listed_any_more(ask) -> None:
    kept, gone = (
        ask("POST", TOKENS, {"fcm_token": token, "platform": "ios"}).data["id"]
        for token in ("one", "two")
    )
    assert ask("DELETE", f"{TOKENS}/{gone}").status == 204
    assert [device["id"] for device in ask("GET", TOKENS).data] == [kept]
    assert ask("DELETE", f"{TOKENS}/{gone}").status == 404
