"""Both clients have one surface, and it is the API's."""

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import carillon_client
from carillon_client import AsyncCarillon, Carillon, errors
from carillon_client.calls import PREFIX, Call, Reply, Slice
from carillon_client.models import Model, _key
from carillon_client.transport import Method

ROOT = Path(__file__).parent.parent.parent
OPENAPI = json.loads((ROOT / "functions/api/docs/openapi.json").read_text())

# Routes no client method calls, and why.
ALIAS = "a source system's spelling of a route of ours, for programs that were written for it"
WITHOUT_METHOD = {
    "POST /api/v1/notify": ALIAS,
    "POST /api/v1/register": ALIAS,
    "GET /api/v1/preferences": ALIAS,
    "POST /api/v1/preferences": ALIAS,
}

# A value for each parameter a method has, by its name.
SAMPLES: dict[str, Any] = {
    "address": "ada@example.com",
    "actor": "admin",
    "amount": "250.50",
    "archived": True,
    "as_of": datetime(2026, 1, 1, tzinfo=UTC),
    "attributes": {"plan": "gold"},
    "categories": {"news": {"sms": False}},
    "category": "orders",
    "changes": {"full_name": None},
    "channel": "sms",
    "channels": ["sms"],
    "client_id": "0c0ffee0-0000-4000-8000-000000000000",
    "code": "hello",
    "content": None,
    "currency": "USD",
    "dedupe": "at_most_once",
    "dry_run": True,
    "device_id": "phone-1",
    "email": "ada@example.com",
    "error_message": "No such number",
    "expires_at": datetime(2027, 1, 1, tzinfo=UTC),
    "fcm_token": "device-of-ada",
    "force": True,
    "fingerprint": "7b2f0c61d9a4e853",
    "full_name": "Ada King",
    "group_by": ["day", "state"],
    "idempotency_key": "welcome",
    "if_match": '"1"',
    "includes_mandatory": True,
    "items": [{"user_id": "ada", "channels": ["sms"], "message": "Hi"}],
    "job_id": "0b8f2c7e-4a55-4a5e-9d0b-0c6f0a4f2d11",
    "key_id": "0123456789ab",
    "label": "nightly",
    "language": "en",
    "letters": {"channel": "sms", "since": datetime(2026, 1, 1, tzinfo=UTC), "code": None},
    "limit": 10,
    "locale": "en-GB",
    "message": None,
    "message_id": "SM1",
    "mode": "test",
    "metadata": {"order": 1},
    "notification_id": "ntf_1",
    "notification_types": [{"name": "orders", "description": "What was bought"}],
    "on_opt_out": "reject",
    "parts": {"sms": {"text": "Hi"}},
    "password": "correct horse battery staple",
    "phone": "+14155552671",
    "platform": "ios",
    "preferences": {"channels": {"sms": False}},
    "priority": 8,
    "quiet_hours": {"windows": [{"start": "22:00", "end": "07:00"}]},
    "rate_per_second": 20,
    "read": False,
    "reason": "Sold out",
    "refresh": "r.e.f",
    "route": "/api/v1/ops/switches/{scope}",
    "scope": "channel:sms",
    "scopes": ["send", "read"],
    "service_name": "shop",
    "since": datetime(2026, 1, 1, tzinfo=UTC),
    "status": "delivered",
    "subject": "channel:sms",
    "target": "sms",
    "template": "hello",
    "template_code": "hello",
    "template_version": 2,
    "tenant": "default",
    "timezone": "Europe/London",
    "title": None,
    "to": {"email": "ada@example.com", "phone": "+14155552671", "push_token": "d"},
    "unread": True,
    "until": datetime(2027, 1, 1, tzinfo=UTC),
    "token_id": "0123456789abcdef",
    "user_id": "ada",
    "variables": {"name": "Ada"},
    "variables_schema": {"type": "object"},
    "version": 2,
    "when_spent": "degrade",
}
# The same name, another value.
ELSEWHERE = {
    ("replay", "mode"): "exact",
    ("put_preferences", "channels"): {"sms": False},
    ("patch_preferences", "changes"): {"channels": {"sms": False}, "timezone": None},
    ("search", "to"): "ada@example.com",
    ("costs", "group_by"): ["day", "channel"],
    ("test_send", "to"): {"phone": "+14155552671"},
}


def _methods() -> Iterator[tuple[str, Method[..., Any]]]:
    for name, found in inspect.getmembers_static(Carillon):
        if isinstance(found, Method):
            yield name, found


METHODS = dict(_methods())


def _call(name: str) -> Call[Any]:
    """What a method asks for when it is given everything it takes."""
    told = {each: ELSEWHERE.get((name, each), SAMPLES[each]) for each in _parameters(name)}
    return METHODS[name].build(**told)


def _parameters(name: str) -> list[str]:
    return list(METHODS[name].signature.parameters)


def _operation(name: str) -> tuple[str, str]:
    call = _call(name)
    return call.method, PREFIX + call.route


def _described() -> set[tuple[str, str]]:
    return {
        (method.upper(), path)
        for path, methods in OPENAPI["paths"].items()
        for method in methods
        if path.startswith(f"{PREFIX}/")
    }


def _blank(operation: tuple[str, str]) -> tuple[str, str]:
    return operation[0], re.sub(r"\{\w+\}", "{}", operation[1])


def test_i3_every_route_of_the_api_has_a_method_and_every_method_a_route() -> None:
    """A new route wants a function that describes its call and a line in the class below it.

    Both go into a module of client/carillon_client, what it answers into models.py, and new
    parameters' samples into SAMPLES.
    """
    called = {_blank(_operation(name)) for name in METHODS}
    described = {_blank(each) for each in _described()}
    excused = {tuple(each.split(" ")) for each in WITHOUT_METHOD}
    assert called - described == set()
    assert described - called == {_blank(each) for each in excused}


def _route(name: str) -> dict[str, Any]:
    """The API's description of what a method calls."""
    method, path = _blank(_operation(name))
    found = next(each for each in OPENAPI["paths"] if _blank(("", each))[1] == path)
    described: dict[str, Any] = OPENAPI["paths"][found][method.lower()]
    return described


def _named(parameter: dict[str, Any]) -> str:
    return str(parameter.get("name") or parameter["$ref"].rpartition("/")[2])


def _example(schema: dict[str, Any]) -> Any:
    """Return JSON that a schema describes, with every property it names."""
    if "$ref" in schema:
        return _example(OPENAPI["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return _example(schema["anyOf"][0])
    if "enum" in schema or "const" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if schema.get("type") == "object":
        return {name: _example(each) for name, each in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        return [_example(schema["items"])]
    # Times are plain strings in the description.
    scalars = {"string": "2026-11-21T05:43:57.900Z", "integer": 1, "number": 1.5, "boolean": True}
    return scalars.get(schema.get("type", ""))


def _models(found: Any) -> Iterator[Model]:
    if isinstance(found, Model):
        yield found
        yield from _models([getattr(found, each.name) for each in fields(found)])
    for each in found if isinstance(found, list) else []:
        yield from _models(each)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_reads_what_its_route_answers(name) -> None:
    """No field is made up: each is one of the answer, or says in which header it comes."""
    answers = _route(name)["responses"]
    status = "200" if name == "dry_run" else max(each for each in answers if each < "300")
    if status == "204":
        assert _call(name).read(Reply({})) is None
        return
    body = _example(answers[status]["content"]["application/json"]["schema"])
    read = _call(name).read(Reply({}, body["data"], body["meta"]))
    found = list(_models(read.items if isinstance(read, Slice) else read))
    assert found or isinstance(read, dict | int)
    for model in found:
        told = {_key(each) for each in fields(model)} - {"raw", "etag", "replayed"}
        assert told <= model.raw.keys()


@pytest.mark.parametrize("name", METHODS)
def test_a_method_sends_what_its_route_takes(name) -> None:
    call, described = _call(name), _route(name)
    parameters = {_named(each) for each in described.get("parameters", [])}
    assert set(call.query) | set(call.headers) <= parameters
    if "requestBody" in described:
        schema = described["requestBody"]["content"]["application/json"]["schema"]
        # One of content and parts, message and template: the samples give one.
        jsonschema.Draft202012Validator(
            schema | {"components": OPENAPI["components"]},
        ).validate(json.loads(json.dumps(call.body)))
    else:
        assert call.body is None


@pytest.mark.parametrize("name", METHODS)
def test_a_name_in_a_path_cannot_leave_its_place(name) -> None:
    call = _call(name)
    odd = dict.fromkeys(call.names, "a/../b?c#d%")
    path = Call(call.method, call.route, call.read, odd).path
    assert path.count("/") == call.route.count("/")
    assert not set("?#") & set(path)


def test_i3_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    def surface(kind: type) -> dict[str, list[inspect.Parameter]]:
        found = {}
        for name, member in inspect.getmembers_static(kind):
            if name.startswith("_") or not (callable(member) or isinstance(member, Method)):
                continue
            described = (
                member.signature if isinstance(member, Method) else inspect.signature(member)
            )
            found[name] = [p.replace(annotation=p.empty) for p in described.parameters.values()]
        return found

    blocking, awaited = surface(Carillon), surface(AsyncCarillon)
    assert len(blocking) > len(METHODS) > 20
    assert blocking == awaited
    names = [list(inspect.signature(kind).parameters) for kind in (Carillon, AsyncCarillon)]
    assert names[0] == names[1]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_explains_itself(name) -> None:
    for client in (Carillon("http://x.example"), AsyncCarillon("http://x.example")):
        method = getattr(client, name)
        assert (inspect.getdoc(method) or "").endswith(".")
        assert method.__name__ == name
        assert inspect.signature(method).parameters.keys() == set(_parameters(name))
        assert "Call[" not in str(inspect.signature(method).return_annotation)


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)|^(\w+Error)$", errors.__doc__ or "", re.MULTILINE))
    kinds = {
        name
        for name, found in vars(errors).items()
        if inspect.isclass(found) and issubclass(found, errors.CarillonError)
    }
    assert {one or other for one, other in drawn} == kinds
    assert kinds <= set(carillon_client.__all__)
