"""Firebase Cloud Messaging, HTTP v1, and the Google token endpoint its SDK calls first."""

import json
import secrets
import time
from typing import Final

from aiohttp import web

from .exchange import answer, parse_json, text_at
from .mailroom import Message
from .outcomes import Fault, Provider

ROUTES = web.RouteTableDef()

LARGEST_PAYLOAD: Final = 4096
RETRY_AFTER_SECONDS: Final = "60"
TARGETS: Final = ("fid", "token", "topic", "condition")
JWT_PARTS: Final = 3
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
STATUS_NAMES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
FCM_ERRORS: Final = frozenset(
    {
        "INVALID_ARGUMENT",
        "UNREGISTERED",
        "QUOTA_EXCEEDED",
        "SENDER_ID_MISMATCH",
        "INTERNAL",
        "UNAVAILABLE",
        "THIRD_PARTY_AUTH_ERROR",
    }
)
UNAUTHENTICATED: Final = Fault(
    401,
    "UNAUTHENTICATED",
    "Request is missing required authentication credential. Expected OAuth 2 access token, login "
    "cookie or other valid authentication credential.",
)
NO_RECIPIENT: Final = Fault(400, "INVALID_ARGUMENT", "Recipient of the message is not set.")
NOT_TEXT: Final = Fault(400, "INVALID_ARGUMENT", "Invalid value at 'message.data' (TYPE_STRING)")
TOO_BIG: Final = Fault(400, "INVALID_ARGUMENT", "Android message is too big")


@ROUTES.post("/v1/projects/{project}/messages:send")
async def send_message(request: web.Request) -> web.Response:
    """Accept or refuse one push message."""
    document = parse_json(await request.text()) or {}
    pushed = document.get("message")
    to = next(filter(None, (text_at(pushed, target) for target in TARGETS)), None)
    message = Message(
        Provider.FCM,
        to=to or "",
        provider_message_id=_new_name(request.match_info["project"]),
        notification_id=text_at(pushed, "data", "notification_id"),
        title=text_at(pushed, "notification", "title"),
        body=text_at(pushed, "notification", "body"),
    )
    accepted = web.json_response({"name": message.provider_message_id})
    return await answer(request, message, accepted, refuse, _objection(request, pushed, to))


@ROUTES.post("/token")
async def grant_token(request: web.Request) -> web.Response:
    """Trade a signed assertion for an access token, without checking the signature."""
    form = await request.post()
    if form.get("grant_type") != JWT_BEARER:
        return _refuse_token("unsupported_grant_type", "Invalid grant_type")
    if len(str(form.get("assertion", "")).split(".")) != JWT_PARTS:
        return _refuse_token("invalid_grant", "Invalid JWT: Failed audience check.")
    token = f"ya29.c.{secrets.token_urlsafe(48)}"
    return web.json_response({"access_token": token, "expires_in": 3600, "token_type": "Bearer"})


def refuse(fault: Fault) -> web.Response:
    """Put a fault as google.rpc.Status, marked as FCM's own where it is."""
    error: dict[str, object] = {
        "code": fault.status,
        "message": fault.message,
        "status": STATUS_NAMES[fault.status],
    }
    if fault.code in FCM_ERRORS:
        kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
        error["details"] = [{"@type": kind, "errorCode": fault.code}]
    throttled = fault.status == web.HTTPTooManyRequests.status_code
    headers = {"Retry-After": RETRY_AFTER_SECONDS} if throttled else None
    return web.json_response({"error": error}, status=fault.status, headers=headers)


def _objection(request: web.Request, pushed: object, to: str | None) -> Fault | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or not token:
        return UNAUTHENTICATED
    if not isinstance(pushed, dict) or not to:
        return NO_RECIPIENT
    data = pushed.get("data", {})
    if not isinstance(data, dict) or not all(isinstance(text, str) for text in data.values()):
        return NOT_TEXT
    return TOO_BIG if _payload_size(pushed) > LARGEST_PAYLOAD else None


def _payload_size(pushed: dict[str, object]) -> int:
    payload = {name: pushed[name] for name in ("data", "notification") if name in pushed}
    return len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode())


def _new_name(project: str) -> str:
    return f"projects/{project}/messages/0:{time.time_ns() // 1000}%{secrets.token_hex(8)}"


def _refuse_token(error: str, description: str) -> web.Response:
    return web.json_response({"error": error, "error_description": description}, status=400)
