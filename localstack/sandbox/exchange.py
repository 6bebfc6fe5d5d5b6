"""One exchange with a provider: decide, remember, answer (or fail to)."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from .addresses import find_agreed
from .mailroom import Mailroom, Message, Request
from .outcomes import KEPT, SILENCE_SECONDS, Fault, Reaction

MAILROOM: Final = web.AppKey("mailroom", Mailroom)
PROXY_HTML: Final = "<html><head><title>Sign in</title></head><body>Corporate proxy</body></html>"

Refusal = Callable[[Fault], web.Response]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a request; without a response the caller is left alone."""

    outcome: str
    response: web.Response | None
    kept: bool = False


async def answer(
    request: web.Request,
    message: Message,
    accepted: web.Response,
    refuse: Refusal,
    objection: Fault | None,
) -> web.Response:
    """Answer a request: by the provider's own objection, or as its recipient was agreed to."""
    mailroom = request.app[MAILROOM]
    if objection:
        verdict = _turn_away(objection, refuse)
    else:
        verdict = _judge(message, mailroom, accepted, refuse)
    if verdict.kept:
        mailroom.keep(message)
    status = verdict.response.status if verdict.response else None
    mailroom.note(
        Request(message.provider, message.to, message.notification_id, verdict.outcome, status)
    )
    return verdict.response or await _vanish(request, verdict.outcome)


def parse_json(text: str) -> dict[str, object] | None:
    """Read a JSON object, or nothing."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def text_at(document: object, *path: str) -> str | None:
    """Read the text at a path of keys, or nothing."""
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document if isinstance(document, str) else None


def _turn_away(objection: Fault, refuse: Refusal) -> Verdict:
    outcome = "unauthenticated" if objection.status in {401, 403} else "invalid"
    return Verdict(outcome, refuse(objection))


def _judge(
    message: Message, mailroom: Mailroom, accepted: web.Response, refuse: Refusal
) -> Verdict:
    reaction, fault = judge(message, mailroom)
    if fault:
        return Verdict(reaction, refuse(fault))
    return Verdict(reaction, _response(reaction, accepted), reaction in KEPT)


def judge(message: Message, mailroom: Mailroom) -> tuple[Reaction, Fault | None]:
    """Return what was agreed on for the recipient, and the error that goes with a refusal."""
    struck = mailroom.weather.strike(message.provider)
    agreed = find_agreed(message.provider, struck or message.to)
    reaction = agreed.reaction if agreed else Reaction.ACCEPTED
    if reaction is Reaction.FLAKY:
        first = mailroom.first_time((message.provider, message.notification_id or message.to))
        reaction = Reaction.REFUSED if first else Reaction.ACCEPTED
    return reaction, agreed.fault if agreed and reaction is Reaction.REFUSED else None


def _response(reaction: Reaction, accepted: web.Response) -> web.Response | None:
    match reaction:
        case Reaction.EMPTY_BODY:
            return web.Response(status=accepted.status, content_type="application/json")
        case Reaction.PROXY_PAGE:
            return web.Response(text=PROXY_HTML, content_type="text/html")
        case Reaction.NO_REPLY | Reaction.RESET:
            return None
        case _:
            return accepted


async def _vanish(request: web.Request, outcome: str) -> web.Response:
    """Drop the connection without a reply, at once or after a long silence."""
    if outcome == Reaction.NO_REPLY:
        await asyncio.sleep(SILENCE_SECONDS)
    if request.transport:
        peer = request.transport.get_extra_info("socket")
        # Lingering for zero seconds is what turns the close into a reset.
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()
