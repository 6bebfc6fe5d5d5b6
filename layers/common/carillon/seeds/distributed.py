"""The distributed notification system: gateway, user, template and push service."""

import uuid
from collections.abc import Mapping

from carillon.errors import bad_field
from carillon.models import OPEN_STATES
from carillon.relay import Json, Refused, Reply
from carillon.seeds import models as m
from carillon.seeds.asking import Asked, Told
from carillon.seeds.recipients import CONFLICT, send_to
from carillon.seeds.targets import (
    ADD_DEVICE,
    CREATE_TEMPLATE,
    LOGIN,
    PATCH_PREFERENCES,
    READ,
    READ_PREFERENCES,
    READ_TEMPLATE,
    READ_USER,
    REFRESH,
    REGISTER_USER,
    RENDER,
    REPORT,
    SEND,
)

RACES = 3
_TEXTS = (
    ("sms", "text"),
    ("push", "body"),
    ("inapp", "body"),
    ("email", "text"),
    ("email", "html"),
)


def send(asked: Asked) -> Told:
    """Send by the channel that the source calls a type."""
    body = asked.given(m.SendRequest)
    reply = asked.of(SEND, _notification(body) | {"channels": [body.notification_type]})
    return Told(
        {
            "request_id": reply.data["request_id"],
            "status": "pending",
            "type": body.notification_type,
            "user": body.user_id,
            "result": {"success": True, "routingKey": f"notification.{body.notification_type}"},
        },
        reply,
    )


def push(asked: Asked) -> Told:
    """Push to the user's devices, or to the one whose token is given."""
    body = asked.given(m.PushRequest)
    told = body.metadata or {}
    token = told.get("push_token")
    text = _notification(body) | {"channels": ["push"]}
    text |= {"title": told["title"]} if "title" in told else {}
    to = {"to": {"push_token": token}} if token is not None else {}
    reply = send_to(asked, text, text.pop("user_id"), to)
    return Told({"success": True, "message": "queued"}, reply)


def _notification(body: m.SendRequest | m.PushRequest) -> Json:
    return body.model_dump(exclude_none=True, exclude={"notification_type"})


def report(asked: Asked) -> Told:
    """Report what became of a delivery."""
    body = asked.given(m.StatusReport)
    if body.notificationId not in (None, asked.path["notification_id"]):
        raise bad_field("#/notificationId", "is not that of the path")
    told = {
        "channel": body.channel,
        "status": body.status,
        "message_id": body.messageId,
        "error_message": body.errorMessage,
    }
    reply = asked.of(REPORT, {name: value for name, value in told.items() if value is not None})
    return Told({"success": True, "result": _standing(reply, body.channel)}, reply)


def statuses(asked: Asked) -> Told:
    """Return where the notification stands."""
    reply = asked.of(READ)
    return Told({"success": True, "statuses": _standing(reply, None)}, reply)


def _standing(reply: Reply, channel: str | None) -> Json:
    """Return the delivery that changed last, of the channel when one is named."""
    found = [d for d in reply.data["deliveries"] if channel in (None, d["channel"])]
    latest = max(found, key=lambda delivery: delivery["updated_at"] or "")
    error = latest["error"] or {}
    told = {
        "notificationId": reply.data["notification_id"],
        "channel": latest["channel"],
        "status": "pending" if latest["status"] in OPEN_STATES else latest["status"],
        "messageId": latest["provider_message_id"],
        "errorMessage": error.get("message") or latest["reason"],
        "createdAt": latest["updated_at"] or reply.data["created_at"],
    }
    return {name: value for name, value in told.items() if value is not None}


def sign_up(asked: Asked) -> Told:
    """Register a user, with the channels they want."""
    body = asked.given(m.SignupRequest)
    wanted = body.preferences.model_dump(exclude_none=True) if body.preferences else {}
    given = {"email": body.email, "password": body.password}
    reply = asked.of(
        REGISTER_USER, given | ({"preferences": {"channels": wanted}} if wanted else {})
    )
    data = reply.data
    return Told({"id": data["user_id"], "email": data["email"], "token": data["access"]}, reply)


def gateway_login(asked: Asked) -> Told:
    """Log a user in."""
    reply = asked.of(LOGIN, asked.body.model_dump())
    user = reply.data["user"]
    return Told({"id": user["id"], "email": user["email"], "token": reply.data["access"]}, reply)


def register(asked: Asked) -> Told:
    """Register a user, in the source's envelope."""
    reply = asked.of(REGISTER_USER, asked.body.model_dump())
    return Told(
        {
            "success": True,
            "message": "User registered successfully",
            "data": {"user_id": reply.data["user_id"], "email": reply.data["email"]},
            "error": None,
            "meta": m.SinglePage().model_dump(),
        },
        reply,
    )


def login(asked: Asked) -> Told:
    """Log a user in, with both tokens. Refreshing gives none but the access token."""
    reply = asked.of(LOGIN, asked.body.model_dump() | {"rotate": False})
    user = reply.data["user"]
    told = {
        "refresh": reply.data["refresh"],
        "access": reply.data["access"],
        "user": {**user, "full_name": user["full_name"] or ""},
    }
    return Told(told, reply)


def refresh(asked: Asked) -> Told:
    """Return the next access token."""
    reply = asked.of(REFRESH, asked.body.model_dump())
    return Told({"access": reply.data["access"]}, reply)


def read_user(asked: Asked) -> Told:
    """Return a user."""
    reply = asked.of(READ_USER)
    user = reply.data
    told = {
        "id": user["user_id"],
        "email": user["email"] or "",
        "full_name": user["full_name"] or "",
    }
    return Told(told, reply)


def read_preferences(asked: Asked) -> Told:
    """Return what a user wants."""
    return _preferences(asked.of(READ_PREFERENCES))


def change_preferences(asked: Asked) -> Told:
    """Change what the source knows of, and keep the rest: by version, so that nothing is lost."""
    given = asked.body.model_dump(exclude_none=True)
    for attempt in range(RACES):
        before = asked.of(READ_PREFERENCES)
        channels = before.data["channels"] | {
            name: given[f"{name}_notifications"]
            for name in ("email", "push", "sms")
            if f"{name}_notifications" in given
        }
        changes = {"channels": channels}
        if "categories" in given:
            changes["categories"] = _allowed(given["categories"])
        try:
            headers = {"If-Match": before.headers["ETag"]}
            return _preferences(asked.of(PATCH_PREFERENCES, changes, headers=headers))
        except Refused as refusal:
            if refusal.reply.status != CONFLICT or attempt == RACES - 1:
                raise
    raise AssertionError("unreachable")


def _allowed(names: list[str]) -> Json:
    """Return the source's list as answers of ours: only these, or with none of them all."""
    return {"*": False, **dict.fromkeys(names, True)} if names else {}


def _preferences(reply: Reply) -> Told:
    channels, categories = reply.data["channels"], reply.data["categories"]
    wanted = [name for name, answer in categories.items() if name != "*" and answer]
    told = {f"{name}_notifications": channels.get(name, True) for name in ("email", "push", "sms")}
    only = categories.get("*", True) is False
    return Told({**told, "categories": sorted(wanted) if only else []}, reply)


def add_device(asked: Asked) -> Told:
    """Register a device."""
    reply = asked.of(ADD_DEVICE, asked.body.model_dump(exclude_none=True))
    # The source's ids are UUIDs; it has no route that takes this one.
    made = str(uuid.uuid5(uuid.NAMESPACE_OID, reply.data["id"]))
    names = ("device_id", "fcm_token", "platform", "is_active", "created_at")
    return Told({"id": made, **{name: reply.data[name] for name in names}}, reply)


def create_template(asked: Asked) -> Told:
    """Create a template of one text."""
    return _template(asked.of(CREATE_TEMPLATE, asked.body.model_dump(exclude_none=True)))


def read_template(asked: Asked) -> Told:
    """Return a template."""
    return _template(asked.of(READ_TEMPLATE))


def _template(reply: Reply) -> Told:
    data = reply.data
    told = {"id": data["id"], "code": data["code"], "language": data["language"]}
    return Told(told | {"content": _text(data["locales"][data["language"]])}, reply)


def render(asked: Asked) -> Told:
    """Return what a template says."""
    variables = asked.body.root if asked.body else {}
    reply = asked.of(RENDER, {"variables": variables})
    return Told({"rendered": _text(reply.data["parts"])}, reply)


def _text(parts: Mapping[str, Mapping[str, str]]) -> str:
    """Return the one text of a template; the source's are the same in every channel."""
    found = (parts.get(channel, {}).get(name) for channel, name in _TEXTS)
    return next((text for text in found if text is not None), "")
