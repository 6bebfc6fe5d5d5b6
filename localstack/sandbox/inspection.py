"""What tests and people ask the sandbox: what arrived, and what was tried."""

import contextlib
import json
from typing import Any, Final

from aiohttp import web

from .addresses import ADDRESSES, find_agreed
from .exchange import MAILROOM
from .outcomes import Provider

ROUTES = web.RouteTableDef()
SMTP_PORT: Final = web.AppKey("smtp_port", int)
FILTERS: Final = ("notification_id", "channel", "provider", "to")


@ROUTES.get("/health")
async def report_health(request: web.Request) -> web.Response:
    """Say that the sandbox is up, and where it takes mail."""
    return web.json_response({"status": "ok", "smtp_port": request.app[SMTP_PORT]})


@ROUTES.get("/addresses")
async def list_addresses(_: web.Request) -> web.Response:
    """List the agreed addresses."""
    return web.json_response([row.as_json() for row in ADDRESSES])


@ROUTES.get("/messages")
async def list_messages(request: web.Request) -> web.Response:
    """List what was accepted."""
    return web.json_response(request.app[MAILROOM].messages(**_wanted(request)))


@ROUTES.delete("/messages")
async def empty(request: web.Request) -> web.Response:
    """Forget every message and request."""
    request.app[MAILROOM].empty()
    return web.Response(status=204)


@ROUTES.get("/requests")
async def list_requests(request: web.Request) -> web.Response:
    """List every call to a provider."""
    return web.json_response(request.app[MAILROOM].requests(**_wanted(request)))


@ROUTES.get("/counts")
async def count_all(request: web.Request) -> web.Response:
    """Tell how many there were: cheap, however many there were."""
    return web.json_response(request.app[MAILROOM].counts())


@ROUTES.put("/weather/{provider}")
async def change_weather(request: web.Request) -> web.Response:
    """Let a share of a provider's requests fail as if they were to agreed addresses."""
    try:
        provider = Provider(request.match_info["provider"])
        share, addresses = _sky(provider, await request.text())
        request.app[MAILROOM].weather.change(provider, share, addresses)
    except (KeyError, TypeError, ValueError) as error:
        return web.json_response({"error": str(error)}, status=400)
    return web.Response(status=204)


@ROUTES.get("/events")
async def stream_events(request: web.Request) -> web.StreamResponse:
    """Stream accepted messages as they come."""
    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    with request.app[MAILROOM].listen() as news, contextlib.suppress(ConnectionResetError):
        # Without a first byte the browser does not report the stream as open.
        await response.write(b"retry: 1000\n\n")
        while event := await news.get():
            await response.write(event.encode())
    return response


def _sky(provider: Provider, text: str) -> tuple[float, list[str]]:
    """Return the share and the addresses; raises KeyError, TypeError, ValueError."""
    told: dict[str, Any] = json.loads(text)
    if not all(find_agreed(provider, each) for each in told["as_if_to"]):
        raise ValueError("no such agreed address")
    return float(told["failing"]), list(told["as_if_to"])


def _wanted(request: web.Request) -> dict[str, str]:
    return {name: request.query[name] for name in FILTERS if name in request.query}
