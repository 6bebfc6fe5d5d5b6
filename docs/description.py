"""The API's description (OpenAPI 3.1): the routes' own, completed by what their code calls.

A route states its scope once, where it checks it; here that is read from its source, and so are
the headers and preconditions it deals in. What every route shares is added to each.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from aws_lambda_powertools.event_handler.openapi.merge import OpenAPIMerge
from examples import VALUES, Examples

from carillon import metrics
from carillon.errors import Fault, Problem
from carillon.idempotency import Keys, keys_of
from carillon.identity import APPLICATION, Scope
from carillon.problems import PROBLEM, problem_document
from carillon.seeds.aliases import find

Json = dict[str, Any]

ROOT = Path(__file__).parent.parent
ABOUT = """Email, SMS, push and in-app notifications through one API.

Success is `{success, data, error, message, meta}`; a refusal is `application/problem+json`
(RFC 9457) with the same members beside its own. `X-Correlation-ID` is taken, answered and logged.
"""
TAGS = {
    "Notifications": "Accepted, looked up, reported on, cancelled.",
    "Templates": "What notifications say, in versions that never change.",
    "Users": "Recipients: where to reach them, what they want, what they got.",
    "Clients": "Applications that send, and their keys.",
    "Auth": "Users' own accounts and tokens.",
    "Analytics": "What became of deliveries, in numbers.",
    "Operations": "What was given up, and what is to stop.",
    "Health": "Whether it lives, what it counted.",
    "Source systems' routes": "What came before, as it was: each stands for a route of ours.",
}
SCHEMES = {
    "ApiToken": "An application's token, `nk_...` or the JWT it was exchanged for; "
    "its scopes are the roles named",
    "UserToken": "A user's access token (JWT): for what is their own",
}
PROBLEMS = {
    400: ("malformed-json", "The body is not JSON: Expecting value at character 0", "#"),
    401: ("unauthorized", "Give a valid token as Bearer", "header:Authorization"),
    402: ("budget-spent", "The month's budget of the tenant is spent", "header:Authorization"),
    403: ("forbidden", "This takes a token with another scope", "header:Authorization"),
    404: ("user-not-found", "There is no such user", "path:user_id"),
    409: (
        "in-progress",
        "A request with this idempotency key is under way; ask again",
        "header:Idempotency-Key",
    ),
    410: ("content-gone", "What it said is not kept any more", ""),
    412: (
        "precondition-failed",
        "The resource has changed since; read it again",
        "header:If-Match",
    ),
    413: ("too-large", "The body may have 65536 bytes", "#"),
    415: ("unsupported-media-type", "Send application/json", "header:Content-Type"),
    422: ("invalid-request", "The request does not fit the schema", "#/channels/0"),
    428: (
        "precondition-required",
        "Say with If-Match which version you change",
        "header:If-Match",
    ),
    429: ("rate-limited", "Too many requests; come again later", ""),
    500: ("internal-error", "Something went wrong on our side", ""),
    502: ("preferences-unreadable", "The user's preferences could not be read", ""),
    503: ("store-unavailable", "A store did not answer; try again", ""),
}
HEADERS = {
    "X-Correlation-ID": "The request's, or one made for it",
    "ETag": "The version, for If-Match and If-None-Match",
    "Location": "Where what was made is read",
    "Link": 'The next page, `rel="next"` (RFC 8288); none on the last',
    "Retry-After": "Seconds to wait before asking again",
    "Idempotent-Replayed": "`true` when the answer is an earlier request's",
    "RateLimit": "What is left to the caller, and for how long",
    "RateLimit-Policy": "How many requests the caller has",
}
PARAMETERS: Json = {
    "X-Correlation-ID": {
        "description": "Named in the answer, the logs and the messages of this request. Up to 128"
        " of `A-Za-z0-9._:-`; anything else is replaced",
        "schema": {"type": "string"},
    },
    "Idempotency-Key": {
        "description": "A request that comes again with its key is done once (docs/http.md)",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
    "If-Match": {
        "description": "Change it only if this is its version still",
        "schema": {"type": "string"},
        "example": '"1"',
    },
    "If-None-Match": {
        "description": "Answer 304 if this is its version still",
        "schema": {"type": "string"},
        "example": '"1"',
    },
}
METRICS = """# TYPE published_messages counter
# HELP published_messages Notifications published, republished ones included.
published_messages_total 1042
# EOF
"""
UNCOUNTED = {"/health"}
"""Answers without asking anything."""


@dataclass(frozen=True)
class Route:
    """A route: where it is in the description, and the source of what answers it.

    An alias ``stands_for`` another, and has no source of its own.
    """

    method: str
    path: str
    source: str
    stands_for: "Route | None" = None

    def calls(self, pattern: str) -> bool:
        """Tell whether its code calls or names something."""
        return re.search(pattern, self.source) is not None

    @property
    def keys(self) -> Keys:
        """What it does with idempotency keys."""
        route = self.stands_for or self
        return keys_of(route.method.upper(), route.path)


def _check_names(known: Json, own: Json) -> None:
    """Raise ValueError for a schema whose name another one has: the merge would drop one."""
    for name, schema in own.items():
        if known.setdefault(name, schema) != schema:
            raise ValueError(f"two models are called {name}: {known[name]} and {schema}")


def describe() -> Json:
    """Return the whole description."""
    merge = OpenAPIMerge(title="Carillon", version="1", description=ABOUT, on_conflict="error")
    routes: dict[tuple[str, str], Any] = {}
    known: Json = {}
    for module in _modules():
        own = json.loads(module.app.get_openapi_json_schema())
        _check_names(known, own.get("components", {}).get("schemas", {}))
        merge.add_schema(own)
        routes |= {(route.method, route.path): route for route in _routes(module)}
    routes = {place: _alias(route, routes) or route for place, route in routes.items()}
    schema = merge.get_openapi_schema()
    # Relative to where the description is read: right with a stage in the address and without.
    schema["servers"] = [{"url": "."}]
    for name in ("HTTPValidationError", "ValidationError", "ResponseValidationError"):
        schema["components"]["schemas"].pop(name, None)
    schema["components"] |= _components()
    operations = [
        (operation, routes[method, path])
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    used = {tag for operation, _ in operations for tag in operation["tags"]}
    schema["tags"] = [{"name": tag, "description": TAGS[tag]} for tag in TAGS if tag in used]
    examples = Examples(schema["components"]["schemas"])
    for operation, route in operations:
        examples.learn(operation, route.path, route.method)
    for operation, route in operations:
        _complete(operation, route, examples)
    _link(operations, examples)
    return schema


def _modules() -> Iterator[ModuleType]:
    for handler in sorted(ROOT.glob("functions/api/*/handler.py")):
        if handler.parent.name != "docs":
            yield import_module(".".join(handler.relative_to(ROOT).with_suffix("").parts))


def _routes(module: ModuleType) -> Iterator[Route]:
    router = module.app
    for route in [*router._static_routes, *router._dynamic_routes]:  # noqa: SLF001 - no other way
        for method in route.method if isinstance(route.method, tuple) else [route.method]:
            yield Route(method.lower(), route.openapi_path, _source(route.func, module))


def _alias(route: Route, routes: dict[tuple[str, str], Route]) -> Route | None:
    """Return an alias with the route it stands for."""
    alias = find(route.method.upper(), route.path)
    if alias is None:
        return None
    stands_for = routes[alias.target.method.lower(), alias.target.route]
    return Route(route.method, route.path, "", stands_for)


def _source(function: Callable[..., Any], module: ModuleType) -> str:
    """Return a function's source, and that of the module's own functions it names."""
    text = inspect.getsource(inspect.unwrap(function))
    named = {getattr(module, name, None) for name in re.findall(r"\b_\w+(?=\()", text)}
    return "\n".join(
        [text, *(inspect.getsource(each) for each in named if inspect.isfunction(each))]
    )


@cache
def public() -> frozenset[tuple[str, str]]:
    """Return the routes that API Gateway asks no token for."""
    functions = _template()["Resources"].values()
    events = [
        event["Properties"]
        for function in functions
        if function["Type"] == "AWS::Serverless::Function"
        for event in function["Properties"].get("Events", {}).values()
        if event["Type"] == "Api"
    ]
    return frozenset(
        (event["Method"].lower(), event["Path"])
        for event in events
        if event.get("Auth", {}).get("Authorizer") == "NONE"
    )


def _template() -> Json:
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda *_: None)
    found: Json = yaml.load((ROOT / "template.yaml").read_text(), Loader)  # noqa: S506 - is safe
    return found


def _complete(operation: Json, route: Route, examples: Examples) -> None:
    operation["security"] = _security(route)
    _add_parameters(operation, route)
    if "requestBody" in operation:
        body = operation["requestBody"]["content"]["application/json"]
        body["example"] = examples.request(operation)
    answers = operation["responses"]
    _drop_defaults(answers)
    for status in _refusals(operation, route):
        answers.setdefault(str(status), {})
    for status, answer in answers.items():
        if int(status) >= 400 and "application/json" not in answer.get("content", {}):  # noqa: PLR2004
            answers[status] = {"$ref": f"#/components/responses/{status}"}
        else:
            _complete_answer(int(status), answer, route, examples)
    if operation["security"]:
        _add_gateways_refusals(answers)


def _add_gateways_refusals(answers: Json) -> None:
    """What API Gateway answers by itself is a problem, also where the route's own is none."""
    for status in ("401", "403", "413", "429"):
        if "content" in answers.get(status, {}):
            answers[status]["content"] |= _refusal(int(status))["content"]


def _security(route: Route) -> list[Json]:
    if route.stands_for:
        return _security(route.stands_for)
    if found := re.findall(r"http\.(?:caller|registrar)\(\s*app,\s*Scope\.(\w+)", route.source):
        needed = {"ApiToken": sorted(Scope[name].value for name in found)}
        # With OPEN_REGISTRATION anybody may register.
        return [needed, {}] if route.calls(r"http\.registrar\(") else [needed]
    if route.calls(r"http\.caller_for\("):
        return [{"ApiToken": [Scope.USERS.value]}, {"UserToken": [Scope.SELF.value]}]
    if route.calls(r"http\.bearer\("):
        return [{"ApiToken": [scope.value]} for scope in sorted(APPLICATION)]
    if (route.method, route.path) in public():
        return []
    raise LookupError(f"{route.method} {route.path} states no scope")


def _add_parameters(operation: Json, route: Route) -> None:
    given = operation.get("parameters", [])
    wanted = {"X-Correlation-ID"}
    if route.keys is not Keys.IGNORED:
        wanted |= {"Idempotency-Key"}
    if route.calls(r"http\.(expected|required)_versions"):
        wanted |= {"If-Match"}
    if route.calls(r"http\.unless_"):
        wanted |= {"If-None-Match"}
    written = {name.lower() for name in wanted}  # as the resolver writes a header's name
    for parameter in given:
        if parameter["in"] == "path":
            parameter["example"] = VALUES[parameter["name"]]
    operation["parameters"] = [
        *(parameter for parameter in given if parameter["name"] not in written),
        *({"$ref": f"#/components/parameters/{name}"} for name in sorted(wanted)),
    ]


def _refusals(operation: Json, route: Route) -> set[int]:
    """Return what a route may answer that it need not say itself; an alias says it all."""
    if route.stands_for:
        return {404} if "{" in route.path else set()
    if route.path in UNCOUNTED:
        return {500}
    found = {500, 503}
    if operation["security"]:
        found |= {401, 403, 429}
    if "requestBody" in operation or operation["parameters"]:
        found |= {400}
    if "requestBody" in operation:
        found |= {413, 415, 422}
    if route.keys in (Keys.REPLAYED, Keys.ONCE):
        found |= {409, 422}
    if route.calls(r"http\.(expected|required)_versions"):
        found |= {412}
    if route.calls(r"http\.required_versions"):
        found |= {428}
    if route.calls(r"http\.unless_"):
        found |= {304}
    return found


def _complete_answer(status: int, answer: Json, route: Route, examples: Examples) -> None:
    answer.setdefault("description", HTTPStatus(status).phrase)
    answer["headers"] = {
        name: {"$ref": f"#/components/headers/{name}"} for name in _headers(status, route)
    }
    for kind, content in answer.get("content", {}).items():
        if kind == "application/json":
            content["example"] = examples.answer(content["schema"])
        elif kind == metrics.CONTENT_TYPE:
            content["example"] = METRICS


def _headers(status: int, route: Route) -> Iterator[str]:
    yield "X-Correlation-ID"
    if route.stands_for and status in (429, 503):
        yield "Retry-After"
    if {} not in (_security(route) or [{}]):
        yield from ("RateLimit", "RateLimit-Policy")
    if route.calls(r'"ETag"|http\.unless_'):
        yield "ETag"
    route = route.stands_for or route
    if route.calls('"Location"') and status in (201, 202):
        yield "Location"
    if route.calls(r"http\.page\("):
        yield "Link"
    if route.keys is Keys.REPLAYED or route.calls("Idempotent-Replayed"):
        yield "Idempotent-Replayed"


def _link(operations: list[tuple[Json, Route]], examples: Examples) -> None:
    """Say which routes take what another route's answer names."""
    for operation, route in operations:
        if route.method not in ("post", "put"):
            continue
        for status in ("200", "201", "202"):
            answer = operation["responses"].get(status, {})
            content = answer.get("content", {}).get("application/json", {})
            named = examples.fields_of_data(content.get("schema", {}))
            if links := dict(_links(route, named, operations)):
                answer["links"] = links


def _links(
    route: Route, named: set[str], operations: list[tuple[Json, Route]]
) -> Iterator[tuple[str, Json]]:
    asked = set(re.findall(r"{(\w+)}", route.path))
    for operation, other in operations:
        wanted = set(re.findall(r"{(\w+)}", other.path))
        found = {name: f"$request.path.{name}" for name in wanted & asked}
        for name in wanted - asked:
            member = "id" if name == "token_id" else name
            if member in named:
                found[name] = f"$response.body#/data/{member}"
        if wanted and found.keys() == wanted and other.path.startswith(route.path):
            link = {"operationId": operation["operationId"], "parameters": found}
            yield operation["operationId"], link


def _components() -> Json:
    return {
        "securitySchemes": {
            name: {"type": "http", "scheme": "bearer", "description": text}
            for name, text in SCHEMES.items()
        },
        "headers": {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in HEADERS.items()
        },
        "parameters": {
            name: {"name": name, "in": "header", **parameter}
            for name, parameter in PARAMETERS.items()
        },
        "responses": {str(status): _refusal(status) for status in PROBLEMS},
    }


def _refusal(status: int) -> Json:
    code, text, pointer = PROBLEMS[status]
    faults = [Fault(pointer, text)] if pointer else []
    document = problem_document(
        Problem(status, code, text, faults=faults), "/api/v1/notifications", "order-A-1042"
    )
    names = ["X-Correlation-ID", *(["Retry-After"] if status in (402, 409, 429, 503) else [])]
    return {
        "description": HTTPStatus(status).phrase,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        "content": {
            PROBLEM: {
                "schema": {"$ref": "#/components/schemas/ProblemDocument"},
                "example": document.model_dump(mode="json"),
            }
        },
    }


def _drop_defaults(answers: dict[str, Json]) -> None:
    """Drop what the resolver takes for granted: a 422 of its own shape, and a body for a 204."""
    answers.get("204", {}).pop("content", None)
    content = answers.get("422", {}).get("content", {})
    content.pop("application/json", None)
    if "422" in answers and not content:
        del answers["422"]
