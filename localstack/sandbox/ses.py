"""Amazon SES, version 2 of its API: SendEmail with simple or raw content."""

import base64
import binascii
import time
import uuid

from aiohttp import web

from .exchange import answer, parse_json, text_at
from .mailroom import Message
from .mime import Content, read
from .outcomes import Fault, Provider

ROUTES = web.RouteTableDef()


@ROUTES.post("/v2/email/outbound-emails")
async def send_email(request: web.Request) -> web.Response:
    """Accept or refuse one SendEmail call."""
    document = parse_json(await request.text()) or {}
    content = _content(document)
    message = _message(document, content or NOTHING)
    accepted = _respond({"MessageId": message.provider_message_id})
    objection = _objection(request, message, content)
    return await answer(request, message, accepted, refuse, objection)


def refuse(fault: Fault) -> web.Response:
    """Put a fault as SES does: its type in a header, its text in the body."""
    response = _respond({"message": fault.message}, fault.status)
    response.headers["x-amzn-ErrorType"] = fault.code
    return response


NO_SIGNATURE = Fault(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
NO_DESTINATION = Fault(400, "BadRequestException", "Invalid email address .")
NO_SENDER = Fault(400, "BadRequestException", "Missing required header 'From'.")
NO_CONTENT = Fault(400, "BadRequestException", "Content must be simple or raw and readable.")
NOTHING = Content(None, None, None)


def _message(document: dict[str, object], content: Content) -> Message:
    return Message(
        Provider.SES,
        to=", ".join(_recipients(document)) or content.to or "",
        provider_message_id=_new_id(),
        notification_id=_tag(document, "notification_id"),
        sender=text_at(document, "FromEmailAddress") or content.sender,
        subject=content.subject,
        body=content.body,
        html=content.html,
    )


def _objection(request: web.Request, message: Message, content: Content | None) -> Fault | None:
    if not request.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256"):
        return NO_SIGNATURE
    if content is None:
        return NO_CONTENT
    if not message.to:
        return NO_DESTINATION
    return None if message.sender else NO_SENDER


def _respond(document: dict[str, str], status: int = 200) -> web.Response:
    return web.json_response(
        document,
        status=status,
        headers={"x-amzn-RequestId": str(uuid.uuid4())},
    )


def _new_id() -> str:
    # Real ids begin with the region and the time in milliseconds: 0102 is eu-west-1.
    return f"0102{time.time_ns() // 1_000_000:012x}-{uuid.uuid4()}-000000"


def _recipients(document: dict[str, object]) -> list[str]:
    destination = document.get("Destination")
    addresses = destination.get("ToAddresses") if isinstance(destination, dict) else None
    if not isinstance(addresses, list):
        return []
    return [address for address in addresses if isinstance(address, str) and address]


def _tag(document: dict[str, object], name: str) -> str | None:
    tags = document.get("EmailTags")
    for tag in tags if isinstance(tags, list) else []:
        if text_at(tag, "Name") == name:
            return text_at(tag, "Value")
    return None


def _content(document: dict[str, object]) -> Content | None:
    raw = text_at(document, "Content", "Raw", "Data")
    if raw is not None:
        try:
            return read(base64.b64decode(raw))
        except binascii.Error:
            return None
    simple = ("Content", "Simple")
    subject = text_at(document, *simple, "Subject", "Data")
    text = text_at(document, *simple, "Body", "Text", "Data")
    html = text_at(document, *simple, "Body", "Html", "Data")
    complete = subject is not None and (text is not None or html is not None)
    return Content(subject, text, html) if complete else None
