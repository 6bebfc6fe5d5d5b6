"""The source systems' own routes: asked of ours, answered in the sources' words."""

import json
import re
from http import HTTPStatus
from inspect import Parameter, Signature
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query
from pydantic import StringConstraints

from carillon import http
from carillon.idempotency import Keys, keys_of
from carillon.models import Name, UserId
from carillon.openapi import responses
from carillon.relay import Json, Refused
from carillon.seeds.aliases import ALIASES, find
from carillon.seeds.asking import Alias, Asked
from carillon.seeds.models import Words
from carillon.seeds.targets import LOGIN, REFRESH

TAG = "Source systems' routes"
# A segment and no more: what is asked of our route must stay a request of that route.
_SEGMENT = Annotated[str, StringConstraints(pattern=r"^[^/?#%\s]{1,255}$")]
_PARAMETERS = {"user_id": UserId, "code": Name, "notification_id": _SEGMENT}
_REFUSED = 400
_UNPROCESSABLE = (400, 422)
_WORDS = {"content": {"application/json": {"model": Words}}}
# Of the body, or of the representation, that is no longer there.
_NOT_PASSED_ON = frozenset({"content-type", "content-length", "etag"})

app = http.api()


def _refused(refusal: Refused) -> Response[str]:
    reply = refusal.reply
    body = json.dumps(reply.body, ensure_ascii=False)
    kind = reply.headers.get("Content-Type", "application/json")
    return Response(reply.status, kind, body, _passed_on(reply.headers))


app.exception_handler(Refused)(_refused)


def _add(alias: Alias) -> None:
    def serve(**given: Any) -> Response[Any]:
        body = given.pop("request", None)
        path = {name: given.pop(name) for name in _names(alias)}
        query = {name: str(value) for name, value in given.items() if value is not None}
        told = alias.serve(Asked(app.current_event.raw_event, path, query, body))
        headers = _passed_on(told.reply.headers)
        return Response(told.reply.status, "application/json", told.body, headers)

    serve.__name__ = alias.serve.__name__
    serve.__doc__ = f"A route of the {alias.source.name}. {alias.serve.__doc__}"
    # The resolver validates and documents by the signature, which the table states.
    serve.__signature__ = Signature(_parameters(alias))  # type: ignore[attr-defined]
    app.route(
        alias.path.replace("{", "<").replace("}", ">"),
        method=alias.method,
        status_code=alias.status,
        summary=alias.summary,
        tags=[TAG],
        responses=_documented(alias),
    )(serve)


def _parameters(alias: Alias) -> list[Parameter]:
    told = {name: Annotated[_PARAMETERS[name], Path()] for name in _names(alias)}
    told |= {name: Annotated[kind, Query()] for name, kind in alias.needs.items()}
    if alias.body is not None:
        told["request"] = Annotated[alias.body, Body()]
    may = {name: Annotated[kind | None, Query()] for name, kind in alias.query.items()}
    kind = Parameter.KEYWORD_ONLY
    return [
        *(Parameter(name, kind, annotation=each) for name, each in told.items()),
        *(Parameter(name, kind, annotation=each, default=None) for name, each in may.items()),
    ]


def _names(alias: Alias) -> list[str]:
    return re.findall(r"{(\w+)}", alias.path)


def _documented(alias: Alias) -> dict[int, Any]:
    refusals = sorted(_refusals(alias))
    told: dict[int, Any] = dict(responses(alias.answer, *refusals, status=alias.status))
    if alias.source.words is not None:
        for status in refusals:
            told[status] |= _WORDS
    return told


def _refusals(alias: Alias) -> set[int]:
    """Return what the source states and what our route may refuse with besides."""
    ours = {400, 429, 500, 503}
    ours |= {401, 403} if alias.target not in {LOGIN, REFRESH} else set()
    ours |= {413, 415, 422} if alias.body is not None else set()
    keys = keys_of(alias.target.method, alias.target.route)
    ours |= {409, 422} if keys in (Keys.REPLAYED, Keys.ONCE) else set()
    return {alias.status_for(status, "") for status in ours} | {*alias.refusals}


def _passed_on(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _NOT_PASSED_ON}


def _restated(alias: Alias, event: Json, answer: Json) -> Json:
    """Return a refusal with the status, and where it has its own the words, of the source."""
    problem = json.loads(answer["body"])
    code = problem["code"]
    status = alias.status_for(answer["statusCode"], code)
    faults = [{**each, "pointer": alias.pointer(each["pointer"])} for each in problem["errors"]]
    if alias.source.words is None:
        told = {"status": status, "title": HTTPStatus(status).phrase, "instance": event["path"]}
        return {**answer, "statusCode": status, "body": _json(problem | told | {"errors": faults})}
    if not event.get("body") and answer["statusCode"] in _UNPROCESSABLE and alias.body is not None:
        code = "missing-body"
    wrong = ["; ".join(f"{each['pointer']} {each['message']}" for each in faults)]
    detail = ": ".join([problem["detail"], *(wrong if status == _REFUSED else [])])
    said = alias.source.words.get(code, detail)
    headers = {**answer["multiValueHeaders"], "Content-Type": ["application/json"]}
    return {
        **answer,
        "statusCode": status,
        "multiValueHeaders": headers,
        "body": _json({"message": said}),
    }


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


for _alias in ALIASES:
    _add(_alias)

_resolve = http.handler(app, passes_on=True)


def lambda_handler(event: Json, context: object) -> Json:
    """Answer a route of a source system."""
    alias = find(event["httpMethod"], event.get("resource") or "")
    answer = _resolve(event, context)
    if alias is None or answer["statusCode"] < _REFUSED:
        return answer
    return _restated(alias, event, answer)
