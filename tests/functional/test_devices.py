"""Devices: a token belongs to one user of a tenant, and moves with who is signed in."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from carillon.tables import PushDevice
from functions.api.users import handler

TOKEN = {"fcm_token": "token-of-a-phone", "platform": "ios", "device_id": "Phone"}
OTHER_TENANT = {"client_id": "c2", "tenant": "other", "scope": "users"}


@pytest.fixture
def ask(cloud, call, sample) -> Callable[..., Any]:
    """Return a caller of a user's devices; ada and Zoë exist."""
    for user in ("ada", "Zoë"):
        assert call(handler, sample("users-put"), path={"user_id": user}).status == 201

    def ask(method, user, body=None, token_id="", **how: Any):
        event = sample("users-push-token") | {"httpMethod": method}
        event["path"] = f"/api/v1/users/{user}/push-tokens" + (f"/{token_id}" if token_id else "")
        return call(handler, event, raw="" if body is None else json.dumps(body), **how)

    return ask


def _owners(cloud):
    return [item["user_id"]["S"] for item in cloud.items("UsersTable") if "user_id" in item]


def test_c2_a_device_is_registered_listed_and_forgotten(ask, cloud) -> None:
    made = ask("POST", "Zoë", TOKEN)
    assert made.status == 201
    assert made.data | TOKEN | {"is_active": True} == made.data
    assert ask("GET", "Zoë").data == [made.data]
    before = len(cloud.items("UsersTable"))
    assert ask("DELETE", "Zoë", token_id=made.data["id"]).status == 204
    assert ask("GET", "Zoë").data == []
    assert len(cloud.items("UsersTable")) == before - 2  # and nobody owns the token


def test_c2_a_token_registered_for_another_user_moves(ask, cloud) -> None:
    first = ask("POST", "ada", TOKEN).data
    second = ask("POST", "Zoë", TOKEN)
    assert (second.status, second.data["id"]) == (201, first["id"])
    assert ask("GET", "ada").data == []
    assert ask("GET", "Zoë").data == [second.data]
    assert _owners(cloud) == ["Zoë"]
    assert ask("DELETE", "ada", token_id=first["id"]).status == 404
    assert ask("POST", "ada", TOKEN).status == 201
    assert ask("GET", "Zoë").data == []


def test_c2_the_same_token_again_keeps_its_id_and_age_and_is_active_again(ask) -> None:
    first = ask("POST", "ada", TOKEN).data
    device = PushDevice.get("default#ada", f"push#{first['id']}")
    device.update(
        actions=[
            PushDevice.is_active.set(False),
            PushDevice.created_at.set("2026-01-01T00:00:00.000Z"),
        ]
    )
    assert not ask("GET", "ada").data[0]["is_active"]
    again = ask("POST", "ada", {"fcm_token": TOKEN["fcm_token"], "platform": "android"})
    assert again.status == 201
    assert again.data == first | {
        "created_at": "2026-01-01T00:00:00.000Z",
        "platform": "android",
        "device_id": None,
    }
    assert ask("GET", "ada").data == [again.data]


def test_a_token_of_another_tenant_is_another_s(ask, call, sample) -> None:
    ask("POST", "ada", TOKEN)
    assert call(handler, sample("users-put"), caller=OTHER_TENANT).status == 201
    assert ask("POST", "ada", TOKEN, caller=OTHER_TENANT).status == 201
    assert len(ask("GET", "ada").data) == len(ask("GET", "ada", caller=OTHER_TENANT).data) == 1


def test_nobody_gets_a_device_who_is_not_there(ask, cloud) -> None:
    before = cloud.items("UsersTable")
    assert ask("POST", "nobody", TOKEN).status == 404
    assert cloud.items("UsersTable") == before


def test_a_token_is_not_taken_from_its_user_for_nobody(ask) -> None:
    kept = ask("POST", "ada", TOKEN).data
    assert ask("POST", "nobody", TOKEN).status == 404
    assert ask("GET", "ada").data == [kept]
