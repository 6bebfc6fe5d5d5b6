"""SendGrid's Mail Send, version 3 of its API."""

import secrets
import time
from typing import Final

from aiohttp import web

from .exchange import answer, parse_json, text_at
from .mailroom import Message
from .outcomes import Fault, Provider

ROUTES = web.RouteTableDef()

RESET_AFTER_SECONDS: Final = 60
UNAUTHORIZED: Final = Fault(
    401, "", "The provided authorization grant is invalid, expired, or revoked"
)
NO_RECIPIENT: Final = Fault(
    400, "personalizations.0.to.0.email", "The email address cannot be blank."
)
NO_SENDER: Final = Fault(400, "from.email", "The from email does not contain a valid address.")
NO_SUBJECT: Final = Fault(
    400, "subject", "The subject is required. You can get around this requirement with a template."
)
NO_CONTENT: Final = Fault(
    400, "content", "Unless a valid template_id is provided, the content parameter is required."
)
WRONG_ORDER: Final = Fault(
    400, "content", "If text/plain content is provided, it must be the first content object."
)


@ROUTES.post("/v3/mail/send")
async def send_mail(request: web.Request) -> web.Response:
    """Accept or refuse one email."""
    document = parse_json(await request.text()) or {}
    to = _first(document, "personalizations")
    contents = _contents(document)
    message = Message(
        Provider.SENDGRID,
        to=", ".join(_recipients(to)),
        provider_message_id=secrets.token_urlsafe(16),
        notification_id=text_at(to, "custom_args", "notification_id"),
        sender=text_at(document, "from", "email"),
        subject=text_at(document, "subject"),
        body=dict(contents).get("text/plain"),
        html=dict(contents).get("text/html"),
    )
    accepted = web.Response(status=202, headers={"X-Message-Id": message.provider_message_id})
    return await answer(request, message, accepted, refuse, _objection(request, message, contents))


@ROUTES.get("/v3/scopes")
async def read_scopes(request: web.Request) -> web.Response:
    """Tell what the key may do."""
    if not request.headers.get("Authorization", "").startswith("Bearer SG."):
        return refuse(UNAUTHORIZED)
    return web.json_response({"scopes": ["mail.send"]})


def refuse(fault: Fault) -> web.Response:
    """Put a fault as SendGrid does: a list of what is wrong with which field."""
    errors = [{"message": fault.message, "field": fault.code or None, "help": None}]
    headers = {}
    if fault.status == web.HTTPTooManyRequests.status_code:
        headers["X-RateLimit-Reset"] = str(int(time.time()) + RESET_AFTER_SECONDS)
    return web.json_response({"errors": errors}, status=fault.status, headers=headers)


def _objection(
    request: web.Request, message: Message, contents: list[tuple[str, str]]
) -> Fault | None:
    if not request.headers.get("Authorization", "").startswith("Bearer "):
        return UNAUTHORIZED
    missing = {
        NO_RECIPIENT: message.to,
        NO_SENDER: message.sender,
        NO_SUBJECT: message.subject,
        NO_CONTENT: contents,
    }
    wrong = next((fault for fault, given in missing.items() if not given), None)
    kinds = [kind for kind, _ in contents]
    return wrong or (WRONG_ORDER if "text/plain" in kinds[1:] else None)


def _contents(document: dict[str, object]) -> list[tuple[str, str]]:
    parts = document.get("content")
    found = [
        (text_at(part, "type"), text_at(part, "value"))
        for part in (parts if isinstance(parts, list) else [])
    ]
    return [(kind, value) for kind, value in found if kind and value]


def _first(document: dict[str, object], name: str) -> object:
    each = document.get(name)
    return each[0] if isinstance(each, list) and each else {}


def _recipients(personalization: object) -> list[str]:
    listed = personalization.get("to") if isinstance(personalization, dict) else None
    found = [text_at(to, "email") for to in (listed if isinstance(listed, list) else [])]
    return [address for address in found if address]
