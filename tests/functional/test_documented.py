"""What the description gives for an example is taken by the route it stands at."""

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cloudformation import ROOT

from carillon.identity import Scope

Json = dict[str, Any]
NOTIFICATION = "ntf_yli2arumcvcsb3yw66svj7jcxy2h744l"  # as in docs/examples.py
DESCRIBED: Json = json.loads((ROOT / "functions/api/docs/openapi.json").read_text())
WITH_A_BODY = [
    pytest.param(path, method, operation, id=f"{method} {path}")
    for path, methods in DESCRIBED["paths"].items()
    for method, operation in methods.items()
    if "requestBody" in operation
]


def _handler(path: str, method: str) -> ModuleType:
    for file in Path(ROOT).glob("functions/api/*/handler.py"):
        module = import_module(f"functions.api.{file.parent.name}.handler")
        routes = [*module.app._static_routes, *module.app._dynamic_routes]
        if any((route.openapi_path, route.method) == (path, method.upper()) for route in routes):
            return module
    raise LookupError(path)


@pytest.mark.parametrize(("path", "method", "operation"), WITH_A_BODY)
def test_a18_every_example_fits_its_model(
    prepared, call, sample, here, path: str, method: str, operation: Json
) -> None:
    event = sample("users-put") | {"httpMethod": method.upper(), "resource": path}
    event["path"] = path.format_map(_Values())
    event["body"] = json.dumps(operation["requestBody"]["content"]["application/json"]["example"])
    caller = event["requestContext"]["authorizer"] | {"scope": " ".join(set(Scope) - {Scope.SELF})}
    event["headers"]["Authorization"] = f"Bearer {prepared.admin_token}"
    reply = call(_handler(path, method), event, caller=caller)
    assert reply.body.get("code") not in ("invalid-request", "malformed-json", "route-not-found")


class _Values(dict[str, str]):
    def __missing__(self, name: str) -> str:
        known = {
            "user_id": "ada",
            "code": "order-shipped",
            "notification_id": NOTIFICATION,
            "channel": "email",
            "address": "ada@example.com",
        }
        return known.get(name, "none")
