"""Twilio's Messages resource: create one SMS."""

import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

from .exchange import answer
from .mailroom import Message
from .outcomes import Fault, Provider

ROUTES = web.RouteTableDef()

API: Final = "/2010-04-01"
LONGEST_BODY: Final = 1600
E_164: Final = re.compile(r"\+[1-9]\d{6,14}")
NOBODY: Final = Fault(401, "20003", "Authenticate")
GSM_7: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_7_ESCAPED: Final = frozenset("\f^{}\\[~]|€")


@ROUTES.post(API + "/Accounts/{account}/Messages.json")
async def create_message(request: web.Request) -> web.Response:
    """Accept or refuse one message."""
    form = {name: str(value) for name, value in (await request.post()).items()}
    message = Message(
        Provider.TWILIO,
        to=form.get("To", ""),
        provider_message_id=f"SM{secrets.token_hex(16)}",
        notification_id=_notification_id(form.get("StatusCallback", "")),
        sender=form.get("From") or form.get("MessagingServiceSid"),
        body=form.get("Body"),
    )
    accepted = _respond(_resource(message, form, request.match_info["account"]), 201)
    return await answer(request, message, accepted, refuse, _objection(request, message))


@ROUTES.get(API + "/Accounts/{account}.json")
async def read_account(request: web.Request) -> web.Response:
    """Tell of the account, to whoever has credentials."""
    if not _signed(request):
        return refuse(NOBODY)
    return _respond({"sid": request.match_info["account"], "status": "active"}, 200)


@ROUTES.get("/v1/Services/{service}")
async def read_service(request: web.Request) -> web.Response:
    """Tell of a messaging service."""
    if not _signed(request):
        return refuse(NOBODY)
    return _respond({"sid": request.match_info["service"]}, 200)


def refuse(fault: Fault) -> web.Response:
    """Put a fault as Twilio does."""
    document = {
        "code": int(fault.code),
        "message": fault.message,
        "more_info": f"https://www.twilio.com/docs/errors/{fault.code}",
        "status": fault.status,
    }
    return _respond(document, fault.status)


def _signed(request: web.Request) -> bool:
    return request.headers.get("Authorization", "").startswith("Basic ")


def _objection(request: web.Request, message: Message) -> Fault | None:
    if not _signed(request):
        return NOBODY
    if not message.to:
        return Fault(400, "21604", "A 'To' phone number is required.")
    if not E_164.fullmatch(message.to):
        return Fault(400, "21211", f"Invalid 'To' Phone Number: {message.to[:-4]}XXXX")
    if not message.sender:
        return Fault(400, "21603", "A 'From' phone number is required.")
    return _objection_to_body(message.body or "")


def _objection_to_body(body: str) -> Fault | None:
    if not body:
        return Fault(400, "21602", "Message body is required.")
    if len(body) > LONGEST_BODY:
        text = "The concatenated message body exceeds the 1600 character limit"
        return Fault(400, "21617", text)
    return None


def _notification_id(callback: str) -> str | None:
    return parse_qs(urlsplit(callback).query).get("notification_id", [None])[0]


def _resource(message: Message, form: Mapping[str, str], account: str) -> dict[str, object]:
    now = format_datetime(datetime.now(UTC))
    service = form.get("MessagingServiceSid")
    uri = f"{API}/Accounts/{account}/Messages/{message.provider_message_id}"
    # A messaging service picks its sender later, so neither sender nor segments are known yet.
    return {
        "account_sid": account,
        "api_version": "2010-04-01",
        "body": message.body,
        "date_created": now,
        "date_sent": None,
        "date_updated": now,
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": form.get("From"),
        "messaging_service_sid": service,
        "num_media": "0",
        "num_segments": "0" if service else str(count_segments(message.body or "")),
        "price": None,
        "price_unit": None,
        "sid": message.provider_message_id,
        "status": "accepted" if service else "queued",
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": message.to,
        "uri": f"{uri}.json",
    }


def count_segments(body: str) -> int:
    """Count the SMS segments that a text needs."""
    if all(letter in GSM_7 or letter in GSM_7_ESCAPED for letter in body):
        length = len(body) + sum(letter in GSM_7_ESCAPED for letter in body)
        alone, joined = 160, 153
    else:
        length, alone, joined = len(body.encode("utf-16-be")) // 2, 70, 67
    return 1 if length <= alone else -(-length // joined)


def _respond(document: Mapping[str, object], status: int) -> web.Response:
    headers = {"Twilio-Request-Id": f"RQ{secrets.token_hex(16)}", "Twilio-Concurrent-Requests": "1"}
    return web.json_response(document, status=status, headers=headers)
