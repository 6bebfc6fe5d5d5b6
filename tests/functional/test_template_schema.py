"""A template's schema and category: kept with the version, held against every use of it (D9)."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from functions.api.notifications import handler as notifications
from functions.api.templates import handler

Json = dict[str, Any]
ROOT = "/api/v1/templates"
PATH = f"{ROOT}/parcel"
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 40, "title": "Who"},
        "parcels": {"type": "array", "maxItems": 3, "items": {"type": "integer", "minimum": 1}},
        "speed": {"enum": ["slow", "fast"], "default": "slow"},
    },
    "required": ["name"],
    "additionalProperties": False,
}
BODY = {"code": "parcel", "content": "Hi {{ name }}", "variables_schema": SCHEMA}


@pytest.fixture
def ask(prepared, call, sample) -> Callable[..., Any]:
    """Return a caller of any template route; the template with the schema exists."""

    def ask(method: str, path: str, body: Json | None = None, **how: Any) -> Any:
        event = sample("templates-create") | {"httpMethod": method, "path": path}
        raw = "" if body is None else json.dumps(body)
        headers = {name.replace("_", "-"): value for name, value in how.items()}
        return call(handler, event, raw=raw, headers=headers)

    assert ask("POST", ROOT, BODY).status == 201
    return ask


@pytest.fixture
def change(ask) -> Callable[[Json], Any]:
    return lambda body: ask("PUT", PATH, body, If_Match=ask("GET", PATH).headers["ETag"])


@pytest.mark.parametrize(
    ("variables", "pointers"),
    [
        ({}, ["#/variables/name"]),
        ({"name": 1}, ["#/variables/name"]),
        ({"name": ""}, ["#/variables/name"]),
        ({"name": "x" * 41}, ["#/variables/name"]),
        ({"name": "x", "parcels": [1, 0, "2"]}, ["#/variables/parcels/1", "#/variables/parcels/2"]),
        ({"name": "x", "parcels": [1] * 4}, ["#/variables/parcels"]),
        ({"name": "x", "speed": "fastest"}, ["#/variables/speed"]),
        ({"nam": "x", "a/b": 1}, ["#/variables/a~1b", "#/variables/nam", "#/variables/name"]),
    ],
)
def test_d9_variables_that_do_not_fit_are_refused_with_their_places(
    ask, send, cloud, variables, pointers
) -> None:
    shown = ask("POST", f"{PATH}/render", {"variables": variables})
    sent = send({"template_code": "parcel", "variables": variables})
    for reply in (shown, sent):
        assert (reply.status, reply.body["code"]) == (422, "variables-invalid")
        assert [error["pointer"] for error in reply.body["errors"]] == pointers
    assert cloud.untouched()


def test_d9_variables_that_fit_are_accepted(ask, send) -> None:
    variables = {"name": "Ada", "parcels": [1, 2], "speed": "fast"}
    assert ask("POST", f"{PATH}/render", {"variables": variables}).status == 200
    assert send({"template_code": "parcel", "variables": variables}).status == 202


def test_d9_a_refusal_does_not_repeat_what_it_refuses(ask) -> None:
    reply = ask("POST", f"{PATH}/render", {"variables": {"name": ["secret-4711"]}})
    assert reply.status == 422
    assert "secret-4711" not in json.dumps(reply.body)


def test_d9_the_schema_stays_with_its_version(ask, change) -> None:
    assert change({"content": "Hello {{ name }}"}).data["variables_schema"] == SCHEMA
    assert change({"content": "Hello", "variables_schema": {}}).data["variables_schema"] == {}
    assert ask("POST", f"{PATH}/render", {"variables": {"x": 1}}).status == 200
    older = ask("POST", f"{PATH}/render", {"variables": {"x": 1}, "version": 2})
    assert older.body["code"] == "variables-invalid"
    assert ask("POST", f"{PATH}/activate", {"version": 1}).data["variables_schema"] == SCHEMA


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"$ref": "https://example.com/schema"}, "/$ref"),
        ({"properties": {"a": {"$dynamicRef": "#x"}}}, "/properties/a/$dynamicRef"),
        ({"$defs": {}}, "/$defs"),
        ({"$id": "x"}, "/$id"),
        ({"properties": {"a/b": {"pattern": "(a+)+$"}}}, "/properties/a~1b/pattern"),
        ({"patternProperties": {"(a+)+$": {}}}, "/patternProperties"),
        ({"items": {"format": "regex"}}, "/items/format"),
        ({"anyOf": [{}]}, "/anyOf"),
        ({"uniqueItems": True}, "/uniqueItems"),
        ({"multipleOf": 1e-300}, "/multipleOf"),
        ({"additionalProperties": {"not": {}}}, "/additionalProperties/not"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/$schema"),
        ({"type": "array"}, "/type"),
        ({"properties": {"a": {"type": "text"}}}, "/properties/a/type"),
        ({"properties": {"a": 1}}, "/properties/a"),
        ({"required": "name"}, "/required"),
        ({"minLength": -1}, "/minLength"),
        ({"properties": {"a": {"enum": list(range(51))}}}, "/properties/a/enum"),
        ({"required": [f"n{n}" for n in range(101)]}, "/required"),
        ({"description": "x" * 20_000}, ""),
    ],
)
def test_d9_a_schema_we_would_not_run_is_refused_at_save(ask, schema, place) -> None:
    reply = ask("POST", ROOT, {"code": "bad", "content": "x", "variables_schema": schema})
    assert (reply.status, reply.body["code"]) == (422, "schema-not-allowed")
    assert reply.body["errors"][0]["pointer"] == f"#/variables_schema{place}"
    assert ask("GET", f"{ROOT}/bad").status == 404


def test_d9_a_schema_may_be_so_deep_and_no_deeper(ask) -> None:
    def nested(depth: int) -> Json:
        return {"items": nested(depth - 1)} if depth > 1 else {}

    for code, depth, status in (("deep", 8, 201), ("deeper", 9, 422)):
        body = {"code": code, "content": "x", "variables_schema": nested(depth)}
        assert ask("POST", ROOT, body).status == status


def test_d9_a_schema_may_be_so_wide_and_no_wider(ask) -> None:
    inner = {"properties": {f"p{n}": {} for n in range(99)}}
    for code, count, status in (("wide", 1, 201), ("wider", 2, 422)):
        schema = {"properties": {f"o{n}": inner for n in range(count)}}
        body = {"code": code, "content": "x", "variables_schema": schema}
        assert ask("POST", ROOT, body).status == status


def test_d9_a_template_s_category_is_that_of_what_names_none(ask, send, call, sample) -> None:
    def category(**named: str) -> str:
        body = {"template_code": "parcel", "variables": {"name": "Ada"}, "category": None}
        sent = send(body | named, headers={"Idempotency-Key": "key-" + "-".join(named.values())})
        path = {"notification_id": sent.data["notification_id"]}
        return str(call(notifications, sample("notifications-read"), path=path).data["category"])

    assert category() == "general"
    ask("POST", ROOT, BODY | {"code": "parcel-2", "category": "shipping"})
    assert category(template_code="parcel-2") == "shipping"
    assert category(template_code="parcel-2", category="orders") == "orders"


def test_d9_a_category_is_carried_over_unless_given(change) -> None:
    assert change({"content": "a", "category": "shipping"}).data["category"] == "shipping"
    assert change({"content": "b"}).data["category"] == "shipping"
    assert change({"content": "c", "category": "orders"}).data["category"] == "orders"


def test_d9_an_opt_out_of_the_template_s_category_counts(ask, send, call, sample) -> None:
    from functions.api.users import handler as users  # noqa: PLC0415

    event = sample("users-put-preferences")
    call(users, event, body={"categories": {"shipping": False}})
    ask("POST", ROOT, BODY | {"code": "parcel-2", "category": "shipping"})
    change = {"template_code": "parcel-2", "variables": {"name": "Ada"}, "category": None}
    reply = send(change)
    assert {each["reason"] for each in reply.data["deliveries"]} == {"category-opt-out"}
