"""The API's description says everything, and nothing that is not so."""

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cloudformation import ROOT
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from carillon.idempotency import Keys, keys_of
from carillon.identity import Scope
from carillon.seeds.aliases import find

Json = dict[str, Any]
DESCRIBED: Json = json.loads((ROOT / "functions/api/docs/openapi.json").read_text())
OPERATIONS = [
    pytest.param(path, method, operation, id=f"{method} {path}")
    for path, methods in DESCRIBED["paths"].items()
    for method, operation in methods.items()
]
every_operation = pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS)


def _resolved(thing: Json) -> Json:
    while "$ref" in thing:
        found: Any = DESCRIBED
        for step in thing["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        thing = found
    return thing


def _contents(operation: Json) -> Iterator[tuple[str, Json]]:
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"request {kind}", content
    for status, answer in operation["responses"].items():
        for kind, content in _resolved(answer).get("content", {}).items():
            yield f"{status} {kind}", content


def test_a18_the_description_is_openapi_3_1() -> None:
    assert DESCRIBED["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(DESCRIBED).iter_errors()] == []


@every_operation
def test_a18_every_body_and_answer_has_an_example_that_fits(path, method, operation) -> None:
    for name, content in _contents(operation):
        assert "example" in content, name
        whole = content["schema"] | {"components": DESCRIBED["components"]}
        faults = Draft202012Validator(whole).iter_errors(content["example"])
        assert [fault.message for fault in faults] == [], name


@every_operation
def test_a18_every_operation_says_who_may_call_it(path, method, operation) -> None:
    schemes = DESCRIBED["components"]["securitySchemes"]
    for required in operation["security"]:
        for scheme, scopes in required.items():
            assert scheme in schemes
            assert scopes
            assert set(scopes) <= set(Scope)
    refusals = {"401", "403", "429"}
    assert not operation["security"] or refusals <= operation["responses"].keys()


@every_operation
def test_a18_every_answer_names_its_headers(path, method, operation) -> None:
    for status, answer in operation["responses"].items():
        headers = _resolved(answer)["headers"]
        assert "X-Correlation-ID" in headers, status
        assert status not in ("429", "503") or "Retry-After" in headers or path.endswith("health")


@every_operation
def test_a7_every_post_and_patch_describes_its_key_and_the_conflict(
    path, method, operation
) -> None:
    alias = find(method.upper(), path)
    asked = (alias.target.method, alias.target.route) if alias else (method.upper(), path)
    keys = keys_of(*asked)
    named = {_resolved(parameter)["name"] for parameter in operation["parameters"]}
    assert ("Idempotency-Key" in named) == (keys is not Keys.IGNORED)
    assert "409" in operation["responses"] or keys not in (Keys.REPLAYED, Keys.ONCE)


@every_operation
def test_a18_every_operation_can_fail_and_is_tagged(path, method, operation) -> None:
    assert "500" in operation["responses"]
    described = {tag["name"] for tag in DESCRIBED["tags"] if tag["description"]}
    assert operation["tags"]
    assert set(operation["tags"]) <= described
    assert operation["summary"]


def test_a18_every_status_a_problem_can_have_is_described() -> None:
    raised = {
        node.args[0].value
        for path in [*ROOT.glob("layers/common/**/*.py"), *ROOT.glob("functions/api/**/*.py")]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and re.fullmatch(r"(errors\.)?_?[Pp]roblem", ast.unparse(node.func))
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    assert raised
    assert {str(status) for status in raised} <= DESCRIBED["components"]["responses"].keys()
