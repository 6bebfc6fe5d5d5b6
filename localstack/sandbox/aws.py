"""AWS End User Messaging SMS, version 2 of its API: SendTextMessage."""

import re
import uuid
from typing import Final

from aiohttp import web

from .exchange import answer, parse_json, text_at
from .mailroom import Message
from .outcomes import Fault, Provider

ROUTES = web.RouteTableDef()

OPERATION: Final = "PinpointSMSVoiceV2.SendTextMessage"
LONGEST_BODY: Final = 1600
NUMBER: Final = re.compile(r"\+?[1-9][0-9]{1,18}")
NO_SIGNATURE: Final = Fault(400, "MissingAuthenticationTokenException", "Missing Authentication")
NO_OPERATION: Final = Fault(404, "UnknownOperationException", "No such operation")
NO_NUMBER: Final = Fault(
    400, "ValidationException:INVALID_PARAMETER", "DestinationPhoneNumber is not valid"
)
NO_BODY: Final = Fault(400, "ValidationException:FIELD_VALIDATION_FAILED", "MessageBody is missing")
TOO_LONG: Final = Fault(400, "ValidationException:MAXIMUM_SIZE_EXCEEDED", "MessageBody is too long")


@ROUTES.post("/")
async def send_text_message(request: web.Request) -> web.Response:
    """Accept or refuse one text message."""
    document = parse_json(await request.text()) or {}
    message = Message(
        Provider.AWS,
        to=text_at(document, "DestinationPhoneNumber") or "",
        provider_message_id=str(uuid.uuid4()),
        notification_id=text_at(document, "Context", "notification_id"),
        sender=text_at(document, "OriginationIdentity"),
        body=text_at(document, "MessageBody"),
    )
    accepted = _respond({"MessageId": message.provider_message_id})
    return await answer(request, message, accepted, refuse, _objection(request, message))


def refuse(fault: Fault) -> web.Response:
    """Put a fault as this API does: its type, and its reason where it has one."""
    kind, _, reason = fault.code.partition(":")
    document: dict[str, object] = {"__type": kind, "Message": fault.message}
    if reason:
        document["Reason"] = reason
    if "DestinationPhoneNumber" in fault.message:
        document["Fields"] = [{"Name": "DestinationPhoneNumber", "Message": fault.message}]
    return _respond(document, fault.status)


def _objection(request: web.Request, message: Message) -> Fault | None:
    if not request.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256"):
        return NO_SIGNATURE
    if request.headers.get("X-Amz-Target") != OPERATION:
        return NO_OPERATION
    if not NUMBER.fullmatch(message.to):
        return NO_NUMBER
    if not (message.body or "").strip():
        return NO_BODY
    return TOO_LONG if len(message.body or "") > LONGEST_BODY else None


def _respond(document: dict[str, object], status: int = 200) -> web.Response:
    return web.json_response(
        document,
        status=status,
        content_type="application/x-amz-json-1.0",
        headers={"x-amzn-RequestId": str(uuid.uuid4())},
    )
