"""A user's own token at another user's resources: exactly the answer of a user who is not there."""

import re
from typing import Any

import pytest
from functional.test_scopes import BODIES, PERSONAL, SCOPES

ROUTES = [route for route in SCOPES if PERSONAL in route]
ADA = {"client_id": "user:ada", "tenant": "default", "scope": "self", "user_id": "ada"}


def _ask(api: Any, route: str, user: str) -> Any:
    method, _, path = route.partition(" ")
    path = re.sub(r"\{\w+\}", "ntf_" + "a" * 32, path.replace("{user_id}", user))
    return api(method, path, BODIES.get(route), caller=ADA)


def _told(reply: Any) -> Any:
    """What a reply tells but of the limits and of the address that was asked."""
    headers = {name: value for name, value in reply.headers.items() if "RateLimit" not in name}
    return reply.status, headers, {k: v for k, v in reply.body.items() if k != "instance"}


@pytest.mark.parametrize("route", ROUTES)
def test_another_user_answers_like_one_that_is_not_there_a_s04(prepared, api, route) -> None:
    assert api("PUT", "/api/v1/users/Zoë", {"full_name": "Zoë"}).status == 201
    kept = {name: prepared.items(name) for name in prepared.tables if name != "CountersTable"}
    other, missing = _ask(api, route, "Zoë"), _ask(api, route, "nobody")
    assert (other.status, other.body["code"]) == (404, "user-not-found")
    assert _told(other) == _told(missing)
    assert {name: prepared.items(name) for name in kept} == kept
