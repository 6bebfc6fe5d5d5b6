"""HTTP in one place: the resolver, the success envelope, problem+json (RFC 9457).

Success is ``{success, data, error, message, meta}``; a problem document carries the same members
as extensions, so one body satisfies both contracts (docs/adr/0003-one-envelope.md).
"""

import json
import re
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel
from pynamodb.exceptions import PynamoDBException

from carillon.errors import Fault, NotModified, Problem, not_found
from carillon.identity import Caller, Scope, authenticate
from carillon.log import logger, trace
from carillon.models import MAX_BODY_BYTES, Answer, Meta, Page, PageMeta
from carillon.settings import settings

T = TypeVar("T")
Json = dict[str, Any]
Handler = Callable[[Json, Any], Json]

PROBLEM = "application/problem+json"
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
MAX_DEPTH = 32
_ETAG = re.compile(r'"\d{1,18}"')
_BODY_KEY = "_canonical"


class FaultOut(BaseModel):
    """One place in the request that is wrong."""

    pointer: str
    message: str


class ErrorOut(BaseModel):
    """The error of the envelope."""

    code: str


class ProblemDocument(BaseModel):
    """RFC 9457's members, ours, and the envelope's."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[FaultOut]
    correlation_id: str
    success: Literal[False] = False
    data: None = None
    error: ErrorOut
    message: str
    meta: Meta


def api() -> APIGatewayRestResolver:
    """Return a resolver that validates by the routes' types and answers errors as problems."""
    app = APIGatewayRestResolver(enable_validation=True)
    app.exception_handler(Problem)(_problem)
    app.exception_handler(NotModified)(_not_modified)
    app.exception_handler(RequestValidationError)(
        lambda error: _problem(invalid_request(error.errors()))
    )
    app.exception_handler(NotFoundError)(
        lambda _: _problem(Problem(404, "route-not-found", "There is no such route"))
    )
    app.exception_handler([PynamoDBException, BotoCoreError, ClientError])(_store_failed)
    app.exception_handler(Exception)(_bug)
    return app


def invalid_request(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """Return the refusal for pydantic's ``errors``: 422 for a body, 400 for anything around it."""
    faults = [
        Fault(_pointer(error["loc"]), error["msg"].removeprefix("Value error, "))
        for error in errors
    ]
    status = 422 if any(error["loc"][0] == "body" for error in errors) else 400
    return Problem(status, "invalid-request", "The request does not fit the schema", faults=faults)


def handler(app: APIGatewayRestResolver) -> Handler:
    """Return the Lambda handler that answers through ``app``."""

    def lambda_handler(event: Json, context: Any) -> Json:
        correlation = _correlation_id(event)
        logger().set_correlation_id(correlation)
        try:
            _check_content_type(event)
            event[_BODY_KEY] = read_body(event)
        except Problem as problem:
            answer = _refuse(problem, event)
        else:
            answer = app.resolve(event, context)
        logger().info(
            "request",
            extra={
                "method": event["httpMethod"],
                "route": event.get("resource"),
                "status": answer["statusCode"],
            },
        )
        return answer

    return lambda_handler


def read_body(event: Json) -> bytes:
    """Return the request's JSON the same for any order of keys and any spacing (RFC 8785's aim).

    Raises Problem for what no schema would describe. Stricter than ``json.loads``: no NaN, no lone
    surrogates, no endless numbers or nesting. Empty when there is no body.
    """
    text = event.get("body")
    if not text:
        return b""
    if event.get("isBase64Encoded"):
        text = _decoded(text)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BODY_BYTES:
        limit = f"The body may have {MAX_BODY_BYTES} bytes"
        raise Problem(413, "too-large", limit, faults=[Fault("#", limit)])
    try:
        body = json.loads(text, parse_constant=_no_constant)
        _check_depth(body, MAX_DEPTH)
        canonical = json.dumps(
            body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        ).encode()
    except (ValueError, RecursionError) as error:
        reason = _why_not_json(error)
        raise Problem(
            400, "malformed-json", f"The body is not JSON: {reason}", faults=[Fault("#", reason)]
        ) from None
    if not isinstance(body, dict):
        raise Problem(
            400,
            "malformed-json",
            "The body is not a JSON object",
            faults=[Fault("#", "must be an object, in braces")],
        )
    return canonical


def _check_content_type(event: Json) -> None:
    """Raise Problem (415) for a body that is not said to be JSON; said nothing, it is taken so."""
    headers = event.get("headers") or {}
    name = next((name for name in headers if name.lower() == "content-type"), None)
    kind = headers[name].partition(";")[0].strip().lower() if name else ""
    if event.get("body") and kind not in ("", "application/json"):
        text = "Send application/json"
        raise Problem(
            415, "unsupported-media-type", text, faults=[Fault("header:Content-Type", text)]
        )
    if name:
        headers[name] = "application/json"  # the resolver compares it as it is spelt


def _decoded(text: str) -> str:
    try:
        return b64decode(text, validate=True).decode()
    except ValueError:
        raise Problem(400, "malformed-json", "The body is not base64 of UTF-8") from None


def _why_not_json(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    if isinstance(error, UnicodeEncodeError):
        return "a lone surrogate is no character"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error).partition(";")[0]


def _check_depth(value: Any, left: int) -> None:
    """Raise ValueError for JSON so deep that its next reader might refuse it."""
    if not left:
        raise ValueError("nested too deeply")
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            _check_depth(each, left - 1)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def canonical_body(app: APIGatewayRestResolver) -> bytes:
    """Return the body as ``read_body`` read it, before validation."""
    return bytes(app.current_event.raw_event[_BODY_KEY])


def caller(app: APIGatewayRestResolver, scope: Scope) -> Caller:
    """Return who the authorizer said is calling; raises Problem: 403 without the ``scope``."""
    who = _authorized(app)
    if who is None:
        raise _unauthorized()
    return _with_scope(who, scope)


def caller_for(app: APIGatewayRestResolver, user_id: str) -> Caller:
    """Return who is calling about a user: one with the scope ``users``, or that very user.

    Raises Problem: 404 for another user, exactly as for one that is not there.
    """
    who = _authorized(app)
    if who is None:
        raise _unauthorized()
    if Scope.SELF not in who.scopes:
        return _with_scope(who, Scope.USERS)
    if who.user_id != user_id:
        raise not_found("user", "path:user_id")
    return who


def registrar(app: APIGatewayRestResolver, scope: Scope) -> Caller:
    """Return who registers somebody, on a route API Gateway asks no token for.

    With OPEN_REGISTRATION nobody needs a token; one that is given must be good all the same.
    """
    given = app.current_event.headers.get("authorization") or ""
    if not given and settings().open_registration == "true":
        return Caller("anonymous", "default", frozenset({scope}))
    kind, _, token = given.partition(" ")
    who = authenticate(token.strip()) if kind.lower() == "bearer" else None
    if who is None:
        raise _unauthorized()
    return _with_scope(who, scope)


def _authorized(app: APIGatewayRestResolver) -> Caller | None:
    told = (app.current_event.raw_event.get("requestContext") or {}).get("authorizer") or {}
    try:
        return Caller.from_context(told)
    except (KeyError, ValueError):
        return None


def _unauthorized() -> Problem:
    text = "Give an API token as Bearer"
    fault = Fault("header:Authorization", "missing or not valid")
    return Problem(401, "unauthorized", text, faults=[fault])


def _with_scope(who: Caller, scope: Scope) -> Caller:
    if scope not in who.scopes:
        text = f"This takes a token with the scope {scope}"
        raise Problem(403, "forbidden", text, faults=[Fault("header:Authorization", text)])
    return who


def correlation_id(app: APIGatewayRestResolver) -> str:
    """Return the request's correlation id."""
    return _correlation_id(app.current_event.raw_event)


def _correlation_id(event: Mapping[str, Any]) -> str:
    headers = event.get("headers") or {}
    given = next((v for k, v in headers.items() if k.lower() == "x-correlation-id"), "")
    if _CORRELATION_ID.fullmatch(given):
        return str(given)
    return str((event.get("requestContext") or {}).get("requestId", "none"))


def answer(
    app: APIGatewayRestResolver,
    data: T,
    message: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response[Answer[T]]:
    """Return ``data`` in the envelope."""
    meta = Meta(correlation_id=correlation_id(app))
    return _enveloped(data, message, meta, status, headers or {})


def page(
    app: APIGatewayRestResolver, data: list[T], message: str, *, limit: int, cursor: str | None
) -> Response[Page[T]]:
    """Return a page of a list; ``cursor``, also as ``Link``, leads to the next (RFC 8288)."""
    headers = {}
    if cursor:
        query = urlencode({"limit": limit, "cursor": cursor})
        headers["Link"] = f'<{location(app, app.current_event.path)}?{query}>; rel="next"'
    meta = PageMeta(
        correlation_id=correlation_id(app),
        limit=limit,
        next_cursor=cursor,
        has_next=cursor is not None,
    )
    return _enveloped(data, message, meta, 200, headers)


def nothing(app: APIGatewayRestResolver) -> Response[None]:
    """Return 204."""
    return Response(status_code=204, headers={"X-Correlation-ID": correlation_id(app)})


def _enveloped(
    data: object, message: str, meta: Meta, status: int, headers: Mapping[str, str]
) -> Response[Any]:
    # The resolver makes the route's return type of the body, and JSON of that.
    return Response(
        status_code=status,
        content_type="application/json",
        headers={"X-Correlation-ID": meta.correlation_id, **headers},
        body={"data": data, "message": message, "meta": meta},
    )


def etag(version: float) -> str:
    """Return the entity tag of a resource's version."""
    return f'"{int(version)}"'


def expected_versions(app: APIGatewayRestResolver) -> frozenset[int] | None:
    """Return the versions ``If-Match`` takes for current; None when it asks for none or any."""
    tags = _tags(app, "if-match")
    if not tags or "*" in tags:
        return None
    return frozenset(int(tag.strip('"')) for tag in tags if _ETAG.fullmatch(tag))


def required_versions(app: APIGatewayRestResolver) -> frozenset[int]:
    """Return the same of a change that must say what it changes; raises Problem (428)."""
    expected = expected_versions(app)
    if expected is None:
        raise Problem(
            428,
            "precondition-required",
            "Say with If-Match which version you change",
            faults=[Fault("header:If-Match", "missing")],
        )
    return expected


def unless_current(app: APIGatewayRestResolver, version: float) -> dict[str, str]:
    """Return the ETag header; raises NotModified when ``If-None-Match`` names the version."""
    tag = etag(version)
    if {tag, "*", f"W/{tag}"} & _tags(app, "if-none-match"):
        raise NotModified(tag)
    return {"ETag": tag}


def _tags(app: APIGatewayRestResolver, header: str) -> set[str]:
    given = app.current_event.headers.get(header) or ""
    return {tag.strip() for tag in given.split(",") if tag.strip()}


def _not_modified(found: NotModified) -> Response[None]:
    return Response(status_code=304, headers={"ETag": found.etag})


def location(app: APIGatewayRestResolver, path: str) -> str:
    """Return ``path`` as the caller can ask for it: with the stage where the address has one."""
    context = app.current_event.request_context
    stage = f"/{context.stage}"
    return (stage if (context.path or "").startswith(f"{stage}/") else "") + path


def problem_document(problem: Problem, instance: str, correlation: str) -> ProblemDocument:
    """Return the RFC 9457 document that also completes the envelope."""
    return ProblemDocument(
        type=f"https://carillon.example/problems/{problem.code}",
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.detail,
        instance=instance,
        code=problem.code,
        errors=[FaultOut(pointer=f.pointer, message=f.message) for f in problem.faults],
        correlation_id=correlation,
        error=ErrorOut(code=problem.code),
        message=problem.detail,
        meta=Meta(correlation_id=correlation),
    )


def responses(
    success: type[BaseModel], *refusals: int, status: int = 200
) -> dict[int, OpenAPIResponse]:
    """Return a route's OpenAPI responses: its success, and the problems it may answer."""
    documented: dict[int, OpenAPIResponse] = {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {"application/json": {"model": success}},
        }
    }
    for refusal in refusals:
        documented[refusal] = {
            "description": HTTPStatus(refusal).phrase,
            "content": {PROBLEM: {"model": ProblemDocument}},
        }
    return documented


def no_content(*refusals: int) -> dict[int, OpenAPIResponse]:
    """Return the OpenAPI responses of a route that answers 204."""
    documented = responses(ProblemDocument, *refusals)
    del documented[200]
    return {204: {"description": HTTPStatus(204).phrase}, **documented}


def _refuse(problem: Problem, event: Mapping[str, Any]) -> Json:
    correlation = _correlation_id(event)
    headers = {"Content-Type": PROBLEM, "X-Correlation-ID": correlation}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    return {
        "statusCode": problem.status,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "body": problem_document(problem, event["path"], correlation).model_dump_json(),
        "isBase64Encoded": False,
    }


def _problem(problem: Problem) -> Response[str]:
    event = APIGatewayRestResolver.current_event.raw_event
    refusal = _refuse(problem, event)
    return Response(
        status_code=refusal["statusCode"],
        headers={name: values[0] for name, values in refusal["multiValueHeaders"].items()},
        content_type=PROBLEM,
        body=refusal["body"],
    )


def _store_failed(error: Exception) -> Response[str]:
    logger().error("store unavailable", extra=trace(error))
    return _problem(
        Problem(503, "store-unavailable", "A store did not answer; try again", retry_after=2)
    )


def _bug(error: Exception) -> Response[str]:
    logger().error("unhandled", extra=trace(error))
    return _problem(Problem(500, "internal-error", "Something went wrong on our side"))


def _pointer(place: tuple[str | int, ...]) -> str:
    """JSON Pointer (RFC 6901, as a fragment) for a body field, else ``query:limit`` and so on."""
    where, *steps = place
    if where != "body":
        return ":".join(str(step) for step in place)
    named = (str(step) for step in steps if not _is_of_the_schema(step))
    return "/".join(["#", *(name.replace("~", "~0").replace("/", "~1") for name in named)])


def _is_of_the_schema(step: str | int) -> bool:
    """Tell whether pydantic added this step: a union's branch or a mark for a mapping's key."""
    return isinstance(step, str) and ("[" in step or step == "bool")
