"""Acceptance: decide, record once, publish once.

The notification's id is derived from (client, idempotency key), so one conditional put is the
idempotency key and the notification record at once.
"""

import hashlib
import hmac
import json
import secrets
from base64 import b32encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from carillon.errors import Fault, Problem, RenderError, not_found
from carillon.identity import Caller
from carillon.models import (
    OPEN_STATES,
    SCHEMA_VERSION,
    Channel,
    Inline,
    Message,
    NotificationRequest,
    State,
    TemplateRef,
    now,
    timestamp,
)
from carillon.publishing import publish
from carillon.recipients import Recipient, Routing, resolve, route
from carillon.rendering import inline_content, render_part
from carillon.settings import settings
from carillon.tables import Delivery, Notification, Template, create, expiry
from carillon.templates import active, choose_locale, part_of

MAX_KEY_GENERATIONS = 64


@dataclass(frozen=True, slots=True)
class Accepted:
    """A recorded notification, and whether this request was the one that recorded it."""

    record: Notification
    replayed: bool


def accept(
    caller: Caller,
    request: NotificationRequest,
    body: Any,
    key: str | None,
    correlation_id: str,
) -> Accepted:
    """Record and publish ``request``, or replay what the same key recorded before.

    Raises Problem; nothing is stored, published or sent then, unless its code is
    ``publish-failed``.
    """
    digest = canonical_digest(body)
    key = key or request.request_id
    request_id = key or secrets.token_urlsafe(16)
    notification_id = _id(caller, request_id, 0)
    try:
        message, routing = _decide(caller, request, notification_id, correlation_id)
    except Problem:
        # The user or template may have gone since: a repeat still gets its first answer.
        stored = _stored(notification_id) if key else None
        if stored:
            return _replay(stored, digest, request_id)
        raise
    return _record(caller, message, routing, digest, request_id)


def _record(
    caller: Caller, message: Message, routing: Routing, digest: bytes, request_id: str
) -> Accepted:
    moment = now()
    for generation in range(MAX_KEY_GENERATIONS):
        message = message.model_copy(
            update={"notification_id": _id(caller, request_id, generation)}
        )
        body = message.model_dump_json(exclude_none=True, exclude_defaults=True)
        record = Notification(
            message.notification_id,
            digest=digest,
            request_id=request_id,
            message=body,
            withheld={c.value: list(why) for c, why in routing.withheld.items()} or None,
            idempotent_until=int(moment.timestamp()) + settings().idempotency_ttl_seconds,
            expires_at=expiry(moment),
        )
        if create(record):
            if message.targets:
                publish(message, body)
            return Accepted(record, replayed=False)
        stored = _stored(message.notification_id)
        if stored and stored.idempotent_until > moment.timestamp():
            return _replay(stored, digest, request_id)
        _outlive(stored, record)
    raise Problem(409, "key-exhausted", "This idempotency key was used too many times")


def _outlive(stored: Notification | None, successor: Notification) -> None:
    """Keep a lapsed record for as long as its successor's id is derived by stepping over it."""
    if stored is not None:
        stored.update(actions=[Notification.expires_at.set(successor.expires_at)])


def _id(caller: Caller, request_id: str, generation: int) -> str:
    """Id of the ``generation``-th notification under one key (the key may be used anew later)."""
    seed = json.dumps([caller.tenant, caller.client_id, request_id, generation])
    return "ntf_" + b32encode(hashlib.sha256(seed.encode()).digest())[:26].decode().lower()


def _stored(notification_id: str) -> Notification | None:
    try:
        return Notification.get(notification_id, consistent_read=True)
    except Notification.DoesNotExist:
        return None


def _replay(stored: Notification, digest: bytes, request_id: str) -> Accepted:
    if not hmac.compare_digest(bytes(stored.digest), digest):
        raise Problem(
            422,
            "idempotency-key-reused",
            "This idempotency key was used before, with another body",
            faults=[Fault("header:Idempotency-Key", f"{request_id} belongs to another request")],
        )
    message = message_of(stored)
    claimed = {item.target.partition("#")[0] for item in deliveries_of(stored)}
    if not {channel.value for channel in message.targets} <= claimed:
        # The first publish may have been lost; a claim makes a second one harmless.
        publish(message, stored.message)
    return Accepted(stored, replayed=True)


def _decide(
    caller: Caller, request: NotificationRequest, notification_id: str, correlation_id: str
) -> tuple[Message, Routing]:
    recipient = resolve(caller.tenant, request)
    routing = route(request, recipient)
    return Message(
        schema_version=SCHEMA_VERSION,
        notification_id=notification_id,
        tenant=caller.tenant,
        client_id=caller.client_id,
        correlation_id=correlation_id,
        accepted_at=timestamp(now()),
        category=request.category,
        priority=request.priority,
        user_id=request.user_id,
        targets=routing.targets,
        template=_template(caller, request, recipient, routing.targets),
        inline=_inline(request, routing.targets),
        variables=request.variables,
        metadata=request.metadata,
    ), routing


def _inline(request: NotificationRequest, channels: Iterable[Channel]) -> Inline | None:
    if request.message is None:
        return None
    inline = Inline(title=request.title, message=request.message)
    try:
        for channel in channels:
            inline_content(inline, channel)
    except RenderError as error:
        pointer = "#/title" if request.title else "#/message"
        raise Problem(
            422, "not-renderable", str(error), faults=[Fault(pointer, str(error))]
        ) from None
    return inline


def _template(
    caller: Caller,
    request: NotificationRequest,
    recipient: Recipient,
    channels: Iterable[Channel],
) -> TemplateRef | None:
    if request.template_code is None:
        return None
    template = active(caller.tenant, request.template_code)
    locale = choose_locale(template, request.locale, recipient.locale)
    for channel in channels:
        _try_render(template, locale, channel, request)
    return TemplateRef(code=template.code, version=int(template.version), locale=locale)


def _try_render(
    template: Template, locale: str, channel: Channel, request: NotificationRequest
) -> None:
    """Rendering is the one exact check of the variables, and costs 0.01 ms once compiled."""
    if channel.value not in template.locales[locale]:
        place = request.channels.index(channel)
        text = f"Template {template.code} has no part for {channel.value}"
        raise Problem(
            422, "template-part-missing", text, faults=[Fault(f"#/channels/{place}", text)]
        )
    try:
        render_part(part_of(template, locale, channel), request.variables)
    except RenderError as error:
        code = "variable-missing" if error.variable else "not-renderable"
        pointer = f"#/variables/{error.variable}" if error.variable else "#/variables"
        raise Problem(
            422, code, f"{channel.value}: {error}", faults=[Fault(pointer, str(error))]
        ) from None


def canonical_digest(body: Any) -> bytes:
    """SHA-256 of a JSON body, the same for any order of keys and any spacing (RFC 8785's aim)."""
    return hashlib.sha256(
        json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    ).digest()


def message_of(record: Notification) -> Message:
    """Return the message that was recorded."""
    return Message.model_validate_json(record.message)


def deliveries_of(record: Notification) -> list[Delivery]:
    """Return the deliveries a worker has claimed so far."""
    return list(Delivery.query(record.notification_id, consistent_read=True))


def find(caller: Caller, notification_id: str) -> Notification:
    """Return the caller's notification; raises the same 404 for a foreign and a missing one."""
    record = _stored(notification_id)
    if record is None or message_of(record).client_id != caller.client_id:
        raise not_found("notification")
    return record


def summary(states: Iterable[State]) -> str:
    """Return the notification's state from those of its deliveries (docs/guarantees.md)."""
    found = set(states)
    if found <= {State.SUPPRESSED, State.SKIPPED}:
        return "suppressed"
    if found & OPEN_STATES:
        return "accepted" if found & OPEN_STATES == found == {State.QUEUED} else "processing"
    ended = found - {State.SUPPRESSED, State.SKIPPED}
    if ended == {State.SENT}:
        return "completed"
    return "partially_failed" if State.SENT in ended else "failed"
