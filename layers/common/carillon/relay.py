"""One function asks another: an alias is answered by the function of the route it stands for.

The other function gets API Gateway's own event, but for what is asked: the same caller as the
authorizer told of, the same headers, source address and request id.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from carillon import aws
from carillon.errors import CarillonError, Problem
from carillon.settings import settings

Json = dict[str, Any]

_REFUSED = 400
# Conditions are about the representation that was asked for, which the other route does not have.
_NOT_PASSED_ON = frozenset({"content-length", "content-type", "if-match", "if-none-match"})


@dataclass(frozen=True, slots=True)
class Target:
    """A route of ours; ``function`` is the setting that names who answers it."""

    function: str
    method: str
    route: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What the other function answered."""

    status: int
    headers: Mapping[str, str]
    body: Json

    @property
    def data(self) -> Any:
        """The data in the envelope."""
        return self.body["data"]


class Refused(CarillonError):  # noqa: N818 - the answer is a refusal, and no error of ours
    """The other function refused; its problem document is in the reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.body.get("code", ""))
        self.reply = reply
        self.code = str(reply.body.get("code", ""))


def ask(  # noqa: PLR0913 - the parts of a request
    event: Json,
    target: Target,
    *,
    path: Mapping[str, str],
    query: Mapping[str, str],
    body: Json | None,
    headers: Mapping[str, str],
) -> Reply:
    """Have ``target`` answered for the caller of ``event``; raises Refused, Problem (503)."""
    asked = _event(event, target, path, query)
    _put_headers(asked, {**headers, **({"Content-Type": "application/json"} if body else {})})
    asked["body"] = None if body is None else json.dumps(body, ensure_ascii=False)
    answer = invoke(settings().required(target.function), asked)
    reply = Reply(
        status=int(answer["statusCode"]),
        headers={name: values[0] for name, values in answer["multiValueHeaders"].items()},
        body=json.loads(answer.get("body") or "{}"),
    )
    if reply.status >= _REFUSED:
        raise Refused(reply)
    return reply


def invoke(name: str, event: Json) -> Json:
    """Invoke a function of ours, once, and return its answer; raises Problem (503)."""
    payload = json.dumps(event, ensure_ascii=False).encode()
    given = aws.functions().invoke(FunctionName=name, Payload=payload)
    if given.get("FunctionError"):
        raise Problem(503, "unavailable", "A part of us did not answer; try again", retry_after=2)
    answer: Json = json.loads(given["Payload"].read())
    return answer


def _event(event: Json, target: Target, path: Mapping[str, str], query: Mapping[str, str]) -> Json:
    asked = target.route.format_map(path)
    context = dict(event.get("requestContext") or {})
    stage = f"/{context.get('stage')}"
    staged = str(context.get("path", "")).startswith(f"{stage}/")
    context |= {
        "path": (stage if staged else "") + asked,
        "resourcePath": target.route,
        "httpMethod": target.method,
    }
    return {
        **{name: value for name, value in event.items() if not name.startswith("_")},
        "resource": target.route,
        "path": asked,
        "httpMethod": target.method,
        "pathParameters": dict(path) or None,
        "queryStringParameters": dict(query) or None,
        "multiValueQueryStringParameters": {n: [v] for n, v in query.items()} or None,
        "requestContext": context,
        "isBase64Encoded": False,
    }


def _put_headers(event: Json, headers: Mapping[str, str]) -> None:
    kept = {
        name: values
        for name, values in (event.get("multiValueHeaders") or {}).items()
        if name.lower() not in _NOT_PASSED_ON
    }
    event["multiValueHeaders"] = kept | {name: [value] for name, value in headers.items()}
    event["headers"] = {name: values[-1] for name, values in event["multiValueHeaders"].items()}
