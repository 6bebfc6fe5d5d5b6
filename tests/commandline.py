"""A service that answers the command line as it is told, and readers of what is printed."""

import json
from collections.abc import Callable
from typing import Any

import httpx
from typer.testing import Result

ID = "ntf_xs7grgx6tyosd2mhcozaajqbfp4kq2ha"
AT = "2026-11-21T05:43:57.900Z"
NO_CONTENT = 204
Json = dict[str, Any]
Run = Callable[..., Result]


class Service:
    """Answers by method and path, in turn; remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[httpx.Response]] = {}
        self.asked: list[tuple[str, Json | None]] = []
        self.requests: list[httpx.Request] = []

    def says(
        self, operation: str, data: Any, status: int = 200, meta: Any = None, **headers: str
    ) -> None:
        body = {"success": True, "data": data, "meta": {"next_cursor": None} | (meta or {})}
        kept = {} if status == NO_CONTENT else {"json": body}
        answer = httpx.Response(status, headers=headers, **kept)
        self.answers.setdefault(operation, []).append(answer)

    def refuses(self, operation: str, status: int, code: str, detail: str) -> None:
        faults = [{"pointer": "#/channels/0", "message": "not [bold]a channel"}]
        body = {"code": code, "detail": detail, "errors": faults}
        answer = httpx.Response(status, json=body, headers={"X-Correlation-ID": "cor-1"})
        self.answers.setdefault(operation, []).append(answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        operation = f"{request.method} {request.url.path.removeprefix('/api/v1')}"
        self.asked.append((operation, json.loads(request.content) if request.content else None))
        self.requests.append(request)
        answers = self.answers[operation]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)


def delivery(channel: str, state: str, **more: Any) -> Json:
    return {
        "channel": channel,
        "target": channel,
        "to": "ada",
        "status": state,
        "attempts": 1,
    } | more


def standing(*deliveries: Json, status: str = "processing") -> Json:
    return {
        "notification_id": ID,
        "request_id": "k",
        "status": status,
        "category": "general",
        "priority": 5,
        "created_at": AT,
        "deliveries": list(deliveries),
    }


def lines(result: Result) -> list[str]:
    return [line.rstrip() for line in result.stdout.splitlines()]
