"""The audit trail: who changed what, when, from where, and what came of it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from cloudformation import resources
from functional.conftest import ADMIN_CALLER, APPLICATION_CALLER
from functional.test_scopes import PERSONAL, REGISTRATION, SCOPES
from pynamodb.exceptions import PutError

from carillon import audit
from carillon.identity import Scope
from carillon.settings import settings
from carillon.trail import Entry

Json = dict[str, Any]
SWITCH = "/api/v1/ops/switches/channel:sms"
TEMPLATE = {"code": "hello", "content": "Hi {{ name }}"}
APPLICATION = APPLICATION_CALLER["client_id"]


@pytest.fixture
def trail(ask) -> Callable[..., list[Json]]:
    """Return a reader of the trail, newest first."""

    def read(caller: Json = ADMIN_CALLER, **query: str) -> list[Json]:
        reply = ask("GET", "/api/v1/ops/audit", caller=caller, query=query)
        assert reply.status == 200, reply.body
        return list(reply.data)

    return read


def test_j7_a_change_is_kept_with_who_what_when_from_where_and_its_outcome(ask, trail) -> None:
    with time_machine.travel(datetime(2026, 11, 21, 9, 30, tzinfo=UTC), tick=False):
        made = ask(
            "PUT",
            SWITCH,
            {"reason": "the provider doubles messages"},
            headers={"X-Correlation-ID": "audit.1"},
            caller=ADMIN_CALLER,
        )
        assert made.status == 200
    (entry,) = trail()
    assert entry == {
        "at": "2026-11-21T09:30:00.000Z",
        "actor": "admin",
        "scope": "ops",
        "method": "PUT",
        "route": "/api/v1/ops/switches/{scope}",
        "subject": {"scope": "channel:sms"},
        "source": "192.0.2.10",
        "correlation_id": "audit.1",
        "status": 200,
        "code": None,
    }


def test_j7_what_was_refused_is_kept_too(ask, trail) -> None:
    assert ask("PUT", SWITCH, {"reason": "x"}, caller=APPLICATION_CALLER).status == 403
    assert ask("DELETE", SWITCH, caller=ADMIN_CALLER).status in (204, 404)
    lifted, refused = trail()
    assert (refused["actor"], refused["status"], refused["code"]) == (
        APPLICATION,
        403,
        "forbidden",
    )
    assert lifted["method"] == "DELETE"


def test_j7_reading_is_no_change_but_an_export_is_told(ask, trail, prepared) -> None:
    before = len(trail())
    ask("GET", "/api/v1/ops/switches", caller=ADMIN_CALLER)
    ask("GET", "/api/v1/users/ada")
    ask("POST", "/api/v1/templates/order-shipped/render", {"variables": {}})
    trail()
    assert len(trail()) == before
    assert ask("GET", "/api/v1/users/ada/export").status == 202
    assert trail()[0]["route"] == "/api/v1/users/{user_id}/export"


def test_j7_what_users_do_for_themselves_is_not_in_it(ask, trail, prepared) -> None:
    before = len(trail())
    herself = {"client_id": "ada", "tenant": "default", "scope": "self", "user_id": "ada"}
    assert ask("PATCH", "/api/v1/users/ada", {"locale": "en-GB"}, caller=herself).status == 200
    assert len(trail()) == before


AUDITED = [
    operation
    for operation, scope in {**SCOPES, **dict.fromkeys(REGISTRATION, Scope.ADMIN)}.items()
    if audit.concerns(*operation.split(" "), scope)
]


def _function(operation: str) -> tuple[str, Json]:
    method, path = operation.split(" ")
    return next(
        (name, function)
        for name, function in resources("AWS::Serverless::Function").items()
        for event in function.get("Events", {}).values()
        if event["Type"] == "Api"
        and (event["Properties"]["Method"], event["Properties"]["Path"]) == (method, path)
    )


@pytest.mark.parametrize("operation", AUDITED)
def test_j7_a_function_with_such_a_route_may_write_the_trail_and_not_change_it(operation) -> None:
    name, function = _function(operation)
    granted = {
        statement["Sid"]: statement["Action"]
        for policy in function["Policies"]
        for statement in policy["Statement"]
        if "AuditTable" in json.dumps(statement)
    }
    assert granted.pop("KeepAudit", None) == "dynamodb:PutItem", name
    assert granted in ({}, {"ReadAudit": "dynamodb:Query"})


def test_j7_every_change_by_these_scopes_is_one_of_them() -> None:
    assert len(AUDITED) > 25
    for wanted in (
        "PUT /api/v1/ops/switches/{scope}",
        "POST /api/v1/ops/dlq/redrive",
        "POST /api/v1/ops/dlq/discard",
        "POST /api/v1/clients",
        "DELETE /api/v1/clients/{client_id}/keys/{key_id}",
        "PUT /api/v1/suppressions/{channel}/{address}",
        "POST /api/v1/templates/{code}/activate",
        f"DELETE {PERSONAL}",
        "POST /api/v1/notifications/{notification_id}/replay",
    ):
        assert wanted in AUDITED


def test_j7_no_address_no_secret_and_no_text_is_in_it(ask, cloud, trail) -> None:
    ask("PUT", "/api/v1/suppressions/sms/+14155552671", {"reason": "x"}, caller=ADMIN_CALLER)
    ask("PUT", "/api/v1/users/bob@example.com", {"email": "ada@example.com"})
    ask("POST", "/api/v1/clients", {"service_name": "shop"}, caller=ADMIN_CALLER)
    kept = json.dumps(cloud.items("AuditTable"))
    for secret in ("4155552671", "example.com", "nk_", "shop"):
        assert secret not in kept
    assert len(cloud.items("AuditTable")) >= 2
    # Whoever knows the address finds what was done to it.
    (found,) = trail(subject="+14155552671")
    assert found["route"] == "/api/v1/suppressions/{channel}/{address}"
    assert found["subject"]["address"].startswith("sha256:")
    (found,) = trail(subject="bob@example.com")
    assert found["method"] == "PUT"


def fails(*_: Any, **__: Any) -> None:
    raise PutError("away", cause=ConnectionError())


def test_j7_what_cannot_be_kept_is_not_done(ask, cloud, monkeypatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Entry, "save", fails)
        refused = ask("PUT", SWITCH, {"reason": "x"}, caller=ADMIN_CALLER)
    assert (refused.status, refused.body["code"]) == (503, "store-unavailable")
    assert cloud.items("ControlsTable") == []


def test_j7_a_call_whose_outcome_cannot_be_added_is_kept_without_one(
    ask, cloud, trail, monkeypatch
) -> None:
    save = Entry.save

    def once(entry: Entry, *args: Any, **how: Any) -> Any:
        if entry.status is not None:
            fails()
        return save(entry, *args, **how)

    with monkeypatch.context() as patched:
        patched.setattr(Entry, "save", once)
        assert ask("PUT", SWITCH, {"reason": "x"}, caller=ADMIN_CALLER).status == 200
    (entry,) = trail()
    assert entry["status"] is None
    assert cloud.items("ControlsTable")


def test_j7_a_call_is_one_entry_however_often_it_is_repeated(ask, trail) -> None:
    for _ in range(2):
        headers = {"Idempotency-Key": "k1"}
        assert ask("POST", "/api/v1/templates", TEMPLATE, headers=headers).status == 201
    assert [entry["status"] for entry in trail()] == [201, 201]


def test_j7_the_trail_is_asked_by_who_what_and_when(ask, trail) -> None:
    start = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    with time_machine.travel(start, tick=False) as clock:
        for scope in ("channel:sms", "channel:push", "channel:email"):
            ask("PUT", f"/api/v1/ops/switches/{scope}", {"reason": "x"}, caller=ADMIN_CALLER)
            clock.shift(60)
        ask("POST", "/api/v1/templates", TEMPLATE)
    assert [entry["scope"] for entry in trail()] == ["templates", "ops", "ops", "ops"]
    assert len(trail(actor="admin")) == 3
    assert len(trail(actor=APPLICATION, route="/api/v1/templates")) == 1
    assert [e["subject"]["scope"] for e in trail(subject="channel:push")] == ["channel:push"]
    since, until = (
        (start + timedelta(seconds=s)).isoformat().replace("+00:00", "Z") for s in (30, 90)
    )
    assert [e["subject"]["scope"] for e in trail(since=since, until=until)] == ["channel:push"]


def test_j7_the_trail_comes_in_pages(ask, trail) -> None:
    for n in range(5):
        ask("PUT", f"/api/v1/ops/switches/template:t{n}", {"reason": "x"}, caller=ADMIN_CALLER)
    found: list[Json] = []
    query = {"limit": "2"}
    while True:
        reply = ask("GET", "/api/v1/ops/audit", caller=ADMIN_CALLER, query=query)
        found += reply.data
        cursor = reply.body["meta"]["next_cursor"]
        if cursor is None:
            break
        query = {"limit": "2", "cursor": cursor}
    assert [entry["at"] for entry in found] == [entry["at"] for entry in trail()]
    assert len(found) == 5
    assert ask("GET", "/api/v1/ops/audit", caller=ADMIN_CALLER, query={"cursor": "x"}).status == 400


def test_j7_a_span_that_ends_before_it_begins_has_nothing_in_it(ask, trail) -> None:
    ask("PUT", SWITCH, {"reason": "x"}, caller=ADMIN_CALLER)
    assert trail(since="2026-11-21T10:00:00Z", until="2026-11-21T09:00:00Z") == []
    assert trail(until="2020-01-01T00:00:00Z") == []


def test_j7_a_page_looks_at_no_more_than_it_says_and_leads_on(ask, trail, monkeypatch) -> None:
    monkeypatch.setattr(audit, "EVALUATED", 2)
    ask("POST", "/api/v1/templates", TEMPLATE)
    for n in range(3):
        ask("PUT", f"/api/v1/ops/switches/template:t{n}", {"reason": "x"}, caller=ADMIN_CALLER)
    query = {"actor": APPLICATION}
    first = ask("GET", "/api/v1/ops/audit", caller=ADMIN_CALLER, query=query)
    assert first.data == []
    query |= {"cursor": first.body["meta"]["next_cursor"]}
    second = ask("GET", "/api/v1/ops/audit", caller=ADMIN_CALLER, query=query)
    assert [entry["actor"] for entry in second.data] == [APPLICATION]


def test_j7_a_tenant_s_trail_is_its_own(ask, trail) -> None:
    elsewhere = ADMIN_CALLER | {"tenant": "other", "client_id": "their-operator"}
    ask("PUT", SWITCH, {"reason": "x"}, caller=elsewhere)
    assert trail() == []
    assert [entry["actor"] for entry in trail(caller=elsewhere)] == ["their-operator"]


def test_j7_the_trail_lapses_when_it_is_told_to(ask, cloud, monkeypatch) -> None:
    monkeypatch.setenv("AUDIT_RETENTION_DAYS", "30")
    settings.cache_clear()
    with time_machine.travel(datetime(2026, 11, 21, tzinfo=UTC), tick=False):
        ask("PUT", SWITCH, {"reason": "x"}, caller=ADMIN_CALLER)
    (item,) = cloud.items("AuditTable")
    assert int(item["expires_at"]["N"]) == datetime(2026, 12, 21, tzinfo=UTC).timestamp()
