"""The source systems' routes on the mocked cloud: what one function asks another stays here."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

Json = dict[str, Any]


@pytest.fixture
def seed(ask, here, monkeypatch) -> Callable[..., Any]:
    """Return a caller of any route, whose functions invoke each other in this process."""

    monkeypatch.setenv("OPEN_REGISTRATION", "true")

    def send(method: str, path: str, body: Any = None, **how: Any) -> Any:
        path, _, query = path.partition("?")
        told = dict(pair.split("=", 1) for pair in query.split("&") if pair)
        nobody = {"Authorization": ""} if how.get("caller", ask) is None else {}
        headers = nobody | how.pop("headers", {})
        return ask(method, path, body, query=told or None, headers=headers, **how)

    return send


@pytest.fixture
def caller_of(cloud) -> Callable[[str], Mapping[str, str]]:
    """Return what the authorizer tells of a token; raises what makes it a 401."""

    def told(token: str) -> Mapping[str, str]:
        from functions.authorizer.handler import lambda_handler  # noqa: PLC0415

        event = {"authorizationToken": f"Bearer {token}", "methodArn": "arn:aws:x/dev/GET/y"}
        return dict(lambda_handler(event, None)["context"])

    return told


@pytest.fixture
def ada(seed, caller_of) -> SimpleNamespace:
    """Somebody who has registered and logged in through the user service's own routes."""
    new = {"email": "ada@example.com", "full_name": "Ada Lovelace", "password": "correct horse"}
    registered = seed("POST", "/api/users/register", new, caller=None)
    assert registered.status == 201, registered.body
    login = {"email": new["email"], "password": new["password"]}
    entered = seed("POST", "/api/users/login", login, caller=None).body
    return SimpleNamespace(
        id=registered.body["data"]["user_id"],
        registered=registered.body,
        entered=entered,
        caller=caller_of(entered["access"]),
        **new,
    )


@pytest.fixture
def template(seed) -> Json:
    """A template of the template service."""
    made = seed(
        "POST", "/templates", {"code": "welcome", "content": "Hello {{ name }}: {{ link }}"}
    )
    assert made.status == 201, made.body
    return dict(made.body)
