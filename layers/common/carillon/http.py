"""HTTP in one place: the resolver, the success envelope, problem+json (RFC 9457).

Success is ``{success, data, error, message, meta}``; a problem document carries the same members
as extensions, so one body satisfies both contracts (docs/adr/0003-one-envelope.md).
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

from carillon import audit, idempotency, limits, metrics, openapi
from carillon.bodies import check_content_type, read_body
from carillon.errors import Fault, NotModified, Problem, not_found
from carillon.idempotency import Keys
from carillon.identity import Caller, Scope, authenticate
from carillon.log import logger, trace
from carillon.models import Answer, Meta, PageMeta
from carillon.problems import PROBLEM, invalid_request, problem_document
from carillon.settings import settings
from carillon.tracing import traced

T = TypeVar("T")
Json = dict[str, Any]
Handler = Callable[[Json, Any], Json]

# How a route describes its answers, beside what gives them.
responses = openapi.responses
no_content = openapi.no_content
text_responses = openapi.text_responses

_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_ETAG = re.compile(r'"\d{1,18}"')
_BODY_KEY = "_canonical"
_ONCE_KEY = "_once"
_AUDIT_KEY = "_audit"
_REFUSED = 400
_SERVER_ERROR = 500
ACCEPTED = ("POST", "/api/v1/notifications", 202)
"""The answer that has a target (carillon/objectives.py)."""


def api() -> APIGatewayRestResolver:
    """Return a resolver that validates by the routes' types and answers errors as problems."""
    app = APIGatewayRestResolver(enable_validation=True)
    app.exception_handler(Problem)(_problem)
    app.exception_handler(NotModified)(_not_modified)
    app.exception_handler(idempotency.Answered)(_answered)
    app.exception_handler(RequestValidationError)(
        lambda error: _problem(invalid_request(error.errors()))
    )
    app.exception_handler(NotFoundError)(
        lambda _: _problem(Problem(404, "route-not-found", "There is no such route"))
    )
    app.exception_handler([PynamoDBException, BotoCoreError, ClientError])(_store_failed)
    app.exception_handler(Exception)(_bug)
    return app


def handler(
    app: APIGatewayRestResolver, *, asks_nobody: bool = False, passes_on: bool = False
) -> Handler:
    """Return the Lambda handler that answers through ``app``.

    One that ``asks_nobody`` keeps its metrics out of the table: it answers without a store. So
    does one that ``passes_on`` its requests; it leaves the caller's limits to who answers them.
    """

    def lambda_handler(event: Json, context: Any) -> Json:
        began = time.perf_counter()
        logger().set_correlation_id(_correlation_id(event))
        with traced("request", correlation_id=_correlation_id(event)):
            answer = (
                _answer(app, event, context)
                if passes_on
                else _limited(event, lambda: _answer(app, event, context))
            )
        answer["multiValueHeaders"]["X-Correlation-ID"] = [_correlation_id(event)]
        _account(event, answer["statusCode"], time.perf_counter() - began)
        # What answers 5xx may do so for want of the very store.
        metrics.end(flush=not (asks_nobody or passes_on) and answer["statusCode"] < _SERVER_ERROR)
        return answer

    return lambda_handler


def _answer(app: APIGatewayRestResolver, event: Json, context: Any) -> Json:
    try:
        check_content_type(event)
        event[_BODY_KEY] = read_body(event)
    except Problem as problem:
        return _refuse(problem, event)
    answer = app.resolve(event, context)
    if _ONCE_KEY in event:
        idempotency.finish(event[_ONCE_KEY], answer)
    if _AUDIT_KEY in event:
        audit.end(event[_AUDIT_KEY], answer["statusCode"], _code(answer))
    answer["body"] = answer.get("body") or ""  # AWS takes a null, the embedded cloud does not
    return answer


def _code(answer: Json) -> str | None:
    """Return the code of a refusal."""
    if answer["statusCode"] < _REFUSED:
        return None
    return str(json.loads(answer.get("body") or "{}").get("code"))


def _limited(event: Json, respond: Callable[[], Json]) -> Json:
    """Return ``respond``'s answer, or 429; with the caller's limits when there is a caller."""
    who = _authorized(event)
    if who is None:
        return respond()
    try:
        limits.take(who)
    except Problem as problem:
        answer = _refuse(problem, event)
    else:
        answer = respond()
    for name, value in limits.headers(who).items():
        answer["multiValueHeaders"][name] = [value]
    return answer


def _account(event: Json, status: int, seconds: float) -> None:
    """Log and count a request. The route is the template's path, not the caller's."""
    method, route = event["httpMethod"], event.get("resource") or "none"
    who = _authorized(event)
    told = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1)}
    logger().info("request", extra=told | ({"client_id": who.client_id} if who else {}))
    labels = {"method": method, "route": route, "status": f"{status // 100}xx"}
    metrics.count("api_requests_total", **labels)
    metrics.observe("api_request_duration_seconds", seconds, **labels)
    if (method, route, status) == ACCEPTED:
        metrics.accepted_within(seconds)


def canonical_body(app: APIGatewayRestResolver) -> bytes:
    """Return the body as ``read_body`` read it, before validation."""
    return bytes(app.current_event.raw_event[_BODY_KEY])


def caller(app: APIGatewayRestResolver, scope: Scope) -> Caller:
    """Return who the authorizer said is calling; raises Problem: 403 without the ``scope``."""
    who = _authorized(app.current_event.raw_event)
    if who is None:
        raise _unauthorized()
    return _admitted(app, _with_scope(app, who, scope))


def caller_for(app: APIGatewayRestResolver, user_id: str) -> Caller:
    """Return who is calling about a user: one with the scope ``users``, or that very user.

    Raises Problem: 404 for another user, exactly as for one that is not there.
    """
    who = _authorized(app.current_event.raw_event)
    if who is None:
        raise _unauthorized()
    if Scope.SELF not in who.scopes:
        return _admitted(app, _with_scope(app, who, Scope.USERS), user_id)
    if who.user_id != user_id:
        raise not_found("user", "path:user_id")
    return _admitted(app, who, user_id)


def registrar(app: APIGatewayRestResolver, scope: Scope) -> Caller:
    """Return who registers somebody, on a route API Gateway asks no token for.

    With OPEN_REGISTRATION nobody needs a token; one that is given must be good all the same.
    """
    given = app.current_event.headers.get("authorization")
    if not given and settings().open_registration == "true":
        return _with_scope(app, Caller("anonymous", "default", frozenset({scope})), scope)
    return _admitted(app, _with_scope(app, bearer(app), scope))


def bearer(app: APIGatewayRestResolver) -> Caller:
    """Return whose API token came, on a route API Gateway asks no token for; Problem (401)."""
    kind, _, token = (app.current_event.headers.get("authorization") or "").partition(" ")
    who = authenticate(token.strip()) if kind.lower() == "bearer" else None
    if who is None:
        raise _unauthorized()
    return who


def _admitted(app: APIGatewayRestResolver, who: Caller, about: str | None = None) -> Caller:
    """Return a caller who may do this, once its idempotency key, if any, lets the request in."""
    event = app.current_event.raw_event
    key = app.current_event.headers.get(idempotency.HEADER)
    keys = idempotency.keys_of(event["httpMethod"], event.get("resource") or "")
    if key is None or keys in (Keys.OWN, Keys.IGNORED) or _ONCE_KEY in event:
        return who
    asked = [event["httpMethod"], event["path"], event.get("multiValueQueryStringParameters")]
    request = json.dumps(asked).encode() + canonical_body(app)
    left = app.lambda_context.get_remaining_time_in_millis() / 1000
    event[_ONCE_KEY] = idempotency.begin(who, key, request, keys, left, about)
    return who


def _authorized(event: Mapping[str, Any]) -> Caller | None:
    told = (event.get("requestContext") or {}).get("authorizer") or {}
    try:
        return Caller.from_context(told)
    except (KeyError, ValueError):
        return None


def _unauthorized() -> Problem:
    text = "Give a valid token as Bearer"
    fault = Fault("header:Authorization", "missing or not valid")
    return Problem(401, "unauthorized", text, faults=[fault])


def _with_scope(app: APIGatewayRestResolver, who: Caller, scope: Scope) -> Caller:
    """Return a caller who has the scope, once the audit trail has what is to be done."""
    event = app.current_event.raw_event
    if audit.concerns(event["httpMethod"], event.get("resource") or "", scope):
        known = event.get(_AUDIT_KEY)
        event[_AUDIT_KEY] = known or audit.entry_of(who, scope, event, _correlation_id(event))
        if known is None and scope in who.scopes:
            audit.begin(event[_AUDIT_KEY])
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
    meta = Meta(correlation_id=correlation_id(app)).model_dump()
    return _enveloped(data, message, meta, status, headers or {})


def page(
    app: APIGatewayRestResolver,
    data: list[T],
    message: str,
    *,
    limit: int,
    cursor: str | None,
    **more: object,
) -> Response[Any]:
    """Return a page of a list; ``cursor``, also as ``Link``, leads to the next (RFC 8288).

    ``more`` is what the ``meta`` of this list tells besides.
    """
    headers = {}
    if cursor:
        asked = app.current_event.query_string_parameters
        query = urlencode({**asked, "limit": limit, "cursor": cursor})
        path = quote(location(app, app.current_event.path), safe="/%~()'!*:@,;=+&$|^-")
        headers["Link"] = f'<{path}?{query}>; rel="next"'
    meta = PageMeta(
        correlation_id=correlation_id(app),
        limit=limit,
        next_cursor=cursor,
        has_next=cursor is not None,
    )
    return _enveloped(data, message, meta.model_dump() | more, 200, headers)


def nothing(app: APIGatewayRestResolver) -> Response[None]:
    """Return 204."""
    return Response(status_code=204, headers={"X-Correlation-ID": correlation_id(app)})


def text(body: str, content_type: str) -> Response[str]:
    """Return a text that is no JSON."""
    return Response(200, content_type, body)


def _enveloped(
    data: object, message: str, meta: Json, status: int, headers: Mapping[str, str]
) -> Response[Any]:
    # The resolver makes the route's return type of the body, and JSON of that.
    return Response(
        status_code=status,
        content_type="application/json",
        headers=dict(headers),
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


def unless_same(app: APIGatewayRestResolver, tag: str) -> dict[str, str]:
    """Return the ETag header; raises NotModified when ``If-None-Match`` names the tag."""
    if {tag, "*", f"W/{tag}"} & _tags(app, "if-none-match"):
        raise NotModified(tag)
    return {"ETag": tag}


def unless_current(app: APIGatewayRestResolver, version: float) -> dict[str, str]:
    """Return the ETag header; raises NotModified when ``If-None-Match`` names the version."""
    return unless_same(app, etag(version))


def _tags(app: APIGatewayRestResolver, header: str) -> set[str]:
    given = app.current_event.headers.get(header) or ""
    return {tag.strip() for tag in given.split(",") if tag.strip()}


def _not_modified(found: NotModified) -> Response[None]:
    return Response(status_code=304, headers={"ETag": found.etag})


def _answered(first: idempotency.Answered) -> Response[str]:
    headers = first.headers | {"Idempotent-Replayed": "true"}
    return Response(first.status, body=first.body, headers=headers)


def location(app: APIGatewayRestResolver, path: str) -> str:
    """Return ``path`` as the caller can ask for it: with the stage where the address has one."""
    context = app.current_event.request_context
    stage = f"/{context.stage}"
    return (stage if (context.path or "").startswith(f"{stage}/") else "") + path


def _refuse(problem: Problem, event: Mapping[str, Any]) -> Json:
    correlation = _correlation_id(event)
    headers = {"Content-Type": PROBLEM}
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
