"""Each scope opens its routes and no other; no route is without one."""

import json
import re
from typing import Any

import pytest
from cloudformation import ROOT, resources
from functional.conftest import APPLICATION_CALLER

from carillon.identity import Scope
from carillon.seeds.aliases import ALIASES

Json = dict[str, Any]

OPEN = {
    "GET /health",
    "GET /api/v1/health",
    # Passwords and refresh tokens speak for themselves (test_accounts.py).
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/auth/logout",
}
REGISTRATION: dict[str, Json] = {
    "POST /api/v1/clients": {"service_name": "x"},
    "POST /api/v1/auth/register": {"email": "a@example.com", "password": "12345678"},
    "POST /api/v1/auth/token": {},
}
"""Their handlers ask for the token by themselves: registration may be open (test_api.py)."""
PERSONAL = "/api/v1/users/{user_id}"
"""What a user's own token opens too, for that user alone."""
SCOPES = {
    "POST /api/v1/notifications": Scope.SEND,
    "POST /api/v1/notifications/batch": Scope.SEND,
    "GET /api/v1/notifications": Scope.READ,
    "GET /api/v1/notifications/{notification_id}": Scope.READ,
    "GET /api/v1/notifications/{notification_id}/events": Scope.READ,
    "GET /api/v1/notifications/{notification_id}/content": Scope.CONTENT,
    "PATCH /api/v1/notifications/{notification_id}/status": Scope.STATUS,
    "POST /api/v1/notifications/{notification_id}/cancel": Scope.SEND,
    "GET /api/v1/analytics/deliveries": Scope.READ,
    "GET /api/v1/ops/slo": Scope.OPS,
    "GET /api/v1/ops/costs": Scope.OPS,
    "GET /api/v1/ops/budgets": Scope.OPS,
    "GET /api/v1/ops/budgets/{scope}": Scope.OPS,
    "PUT /api/v1/ops/budgets/{scope}": Scope.OPS,
    "DELETE /api/v1/ops/budgets/{scope}": Scope.OPS,
    "GET /api/v1/ops/audit": Scope.ADMIN,
    "POST /api/v1/templates": Scope.TEMPLATES,
    "GET /api/v1/templates": Scope.TEMPLATES,
    "GET /api/v1/templates/{code}": Scope.TEMPLATES,
    "PUT /api/v1/templates/{code}": Scope.TEMPLATES,
    "DELETE /api/v1/templates/{code}": Scope.TEMPLATES,
    "POST /api/v1/templates/{code}/activate": Scope.TEMPLATES,
    "POST /api/v1/templates/{code}/render": Scope.TEMPLATES,
    "GET /api/v1/templates/{code}/versions": Scope.TEMPLATES,
    "GET /api/v1/users/{user_id}": Scope.USERS,
    "PUT /api/v1/users/{user_id}": Scope.USERS,
    "PATCH /api/v1/users/{user_id}": Scope.USERS,
    "DELETE /api/v1/users/{user_id}": Scope.USERS,
    "GET /api/v1/users/{user_id}/export": Scope.USERS,
    "GET /api/v1/users/{user_id}/preferences": Scope.USERS,
    "PUT /api/v1/users/{user_id}/preferences": Scope.USERS,
    "PATCH /api/v1/users/{user_id}/preferences": Scope.USERS,
    "GET /api/v1/users/{user_id}/push-tokens": Scope.USERS,
    "POST /api/v1/users/{user_id}/push-tokens": Scope.USERS,
    "DELETE /api/v1/users/{user_id}/push-tokens/{token_id}": Scope.USERS,
    "GET /api/v1/users/{user_id}/notifications": Scope.USERS,
    "PATCH /api/v1/users/{user_id}/notifications/{notification_id}": Scope.USERS,
    "POST /api/v1/users/{user_id}/notifications/read-all": Scope.USERS,
    "POST /api/v1/notifications/{notification_id}/replay": Scope.OPS,
    "GET /metrics": Scope.OPS,
    "GET /api/v1/ops/dlq": Scope.OPS,
    "GET /api/v1/ops/dlq/groups": Scope.OPS,
    "POST /api/v1/ops/dlq/redrive": Scope.OPS,
    "POST /api/v1/ops/dlq/discard": Scope.OPS,
    "GET /api/v1/ops/dlq/jobs/{job_id}": Scope.OPS,
    "GET /api/v1/ops/switches": Scope.OPS,
    "GET /api/v1/ops/switches/{scope}": Scope.OPS,
    "PUT /api/v1/ops/switches/{scope}": Scope.OPS,
    "DELETE /api/v1/ops/switches/{scope}": Scope.OPS,
    "GET /api/v1/suppressions/{channel}/{address}": Scope.OPS,
    "PUT /api/v1/suppressions/{channel}/{address}": Scope.OPS,
    "DELETE /api/v1/suppressions/{channel}/{address}": Scope.OPS,
    "GET /api/v1/clients": Scope.ADMIN,
    "GET /api/v1/clients/{client_id}": Scope.ADMIN,
    "PATCH /api/v1/clients/{client_id}": Scope.ADMIN,
    "GET /api/v1/clients/{client_id}/keys": Scope.ADMIN,
    "POST /api/v1/clients/{client_id}/keys": Scope.ADMIN,
    "DELETE /api/v1/clients/{client_id}/keys/{key_id}": Scope.ADMIN,
}
ALIASED = {f"{alias.method} {alias.path}" for alias in ALIASES}
"""Each asks for what the route asks for that it stands for (seeds/test_callers.py)."""
OWN = {
    "DELETE /api/v1/users/{user_id}": 202,
    "GET /api/v1/users/{user_id}/export": 202,
    "POST /api/v1/users/{user_id}/push-tokens": 201,
    "POST /api/v1/users/{user_id}/notifications/read-all": 204,
}
"""What a user's own token is answered, when it is not 200."""
BOTH = {"POST /api/v1/templates/{code}/test-send": {Scope.SEND, Scope.TEMPLATES}}
"""What takes two scopes at once."""
# A body that fits its route's schema: before it does, nobody is asked for a scope.
BODIES: dict[str, Json] = {
    "POST /api/v1/notifications": {"user_id": "ada", "channels": ["sms"], "message": "x"},
    "POST /api/v1/notifications/batch": {"items": [{}]},
    "PATCH /api/v1/notifications/{notification_id}/status": {"status": "delivered"},
    "POST /api/v1/templates": {"code": "x", "content": "x"},
    "PUT /api/v1/templates/{code}": {"content": "x"},
    "POST /api/v1/templates/{code}/activate": {"version": 1},
    "POST /api/v1/templates/{code}/render": {},
    "POST /api/v1/templates/{code}/test-send": {"channel": "inapp", "to": {"user_id": "ada"}},
    "PUT /api/v1/users/{user_id}": {},
    "PATCH /api/v1/users/{user_id}": {},
    "PUT /api/v1/users/{user_id}/preferences": {},
    "PATCH /api/v1/users/{user_id}/preferences": {},
    "POST /api/v1/users/{user_id}/push-tokens": {"fcm_token": "x", "platform": "ios"},
    "PATCH /api/v1/users/{user_id}/notifications/{notification_id}": {"read": True},
    "POST /api/v1/notifications/{notification_id}/replay": {"mode": "exact"},
    "POST /api/v1/ops/dlq/redrive": {"filter": {}},
    "PUT /api/v1/ops/switches/{scope}": {"reason": "x"},
    "PUT /api/v1/ops/budgets/{scope}": {"amount": "1"},
    "PUT /api/v1/suppressions/{channel}/{address}": {},
    "POST /api/v1/ops/dlq/discard": {"filter": {}, "reason": "x"},
    "PATCH /api/v1/clients/{client_id}": {},
    "POST /api/v1/clients/{client_id}/keys": {"mode": "live"},
}


def ask(api: Any, route: str, caller: Json | None) -> int:
    method, _, path = route.partition(" ")
    path = path.replace("{user_id}", "ada")
    body = BODIES.get(route)
    return int(api(method, re.sub(r"\{\w+\}", "x", path), body, caller=caller).status)


def test_b8_every_route_is_in_the_table_with_its_scope() -> None:
    described = json.loads((ROOT / "functions/api/docs/openapi.json").read_text())["paths"]
    routes = {f"{verb.upper()} {path}" for path, verbs in described.items() for verb in verbs}
    assert routes - ALIASED == SCOPES.keys() | BOTH.keys() | OPEN | REGISTRATION.keys()


def test_b8_the_gateway_asks_everybody_for_a_token_but_where_it_is_said() -> None:
    unasked = {
        f"{event['Properties']['Method']} {event['Properties']['Path']}"
        for function in resources("AWS::Serverless::Function").values()
        for event in function.get("Events", {}).values()
        if event["Type"] == "Api" and "Auth" in event["Properties"]
    }
    described = {"GET /docs", "GET /redoc", "GET /openapi.json"}
    assert unasked - ALIASED == OPEN | REGISTRATION.keys() | described


@pytest.mark.parametrize("route", SCOPES)
def test_b8_each_scope_opens_its_routes_and_no_other(api, route) -> None:
    opened = {
        scope
        for scope in Scope
        if ask(api, route, APPLICATION_CALLER | {"scope": scope.value}) not in (401, 403)
    }
    # Any user's token leads to a user's routes, and finds nobody there but its own (below).
    expected = {SCOPES[route]} | ({Scope.SELF} if PERSONAL in route else set())
    assert opened == expected
    every_other = " ".join(sorted(set(Scope) - expected - {Scope.SELF}))
    assert ask(api, route, APPLICATION_CALLER | {"scope": every_other}) == 403


@pytest.mark.parametrize("route", BOTH)
def test_b8_what_takes_two_scopes_is_not_opened_by_one(api, route) -> None:
    for scope in Scope:
        assert ask(api, route, APPLICATION_CALLER | {"scope": scope.value}) == 403
    every = " ".join(sorted(BOTH[route]))
    assert ask(api, route, APPLICATION_CALLER | {"scope": every}) != 403


@pytest.mark.parametrize("route", [*SCOPES, *BOTH, *REGISTRATION])
def test_b8_no_route_answers_without_a_caller(api, route) -> None:
    method, _, path = route.partition(" ")
    body = BODIES.get(route, REGISTRATION.get(route))
    assert api(method, re.sub(r"\{\w+\}", "x", path), body, caller=None).status == 401


@pytest.mark.parametrize("route", [route for route in SCOPES if PERSONAL in route])
def test_b8_a_user_s_token_finds_nobody_else(api, prepared, route) -> None:
    def token_of(user: str) -> Json:
        return {
            "client_id": f"user:{user}",
            "tenant": "default",
            "scope": "self",
            "user_id": user,
        }

    before = prepared.items("UsersTable")
    foreign = ask(api, route, token_of("bob"))
    assert foreign == 404
    assert prepared.items("UsersTable") == before
    own = ask(api, route, token_of("ada"))
    assert own == (404 if "_id}" in route.replace(PERSONAL, "") else OWN.get(route, 200))
