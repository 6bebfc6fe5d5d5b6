"""Acceptance: decide, record once, publish once.

A notification is recorded at the place of its client and idempotency key, so one conditional put
is the key and the notification at once.
"""

import hashlib
import hmac
import json
import secrets
from base64 import b32encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from carillon import budgets, legs, metrics
from carillon.clients import category_of
from carillon.content import inline_content
from carillon.errors import Fault, Problem, RenderError, bad_field, not_found
from carillon.history import recipient, sender
from carillon.identity import Caller
from carillon.messages import (
    AT_MOST_ONCE,
    GENERAL,
    SCHEMA_VERSION,
    Inline,
    Message,
    NotificationRequest,
    TemplateRef,
    target_of,
)
from carillon.models import Channel, State, now, timestamp
from carillon.publishing import PublishError, as_body
from carillon.recipients import Readers, Recipient, Routing, resolve, route
from carillon.settings import settings
from carillon.status import deliveries_of, message_of, recorded
from carillon.tables import Notification, Template, create_over_lapsed, expiry
from carillon.templates import active, check, choose_locale, find_version, preview

MAX_MESSAGE_BYTES = 200_000
"""Largest message, with every device of the user in it; SNS and SQS take 256 KiB."""
RACES = 3


@dataclass(frozen=True, slots=True)
class Decision:
    """What accepting a request would record; ``recipient`` is its key in the history."""

    message: Message
    routing: Routing
    recipient: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What is about to be recorded, and the message to publish then."""

    record: Notification
    message: Message


@dataclass(frozen=True, slots=True)
class Accepted:
    """A recorded notification, and whether this request was the one that recorded it."""

    record: Notification
    replayed: bool


def accept(
    caller: Caller,
    request: NotificationRequest,
    body: bytes,
    key: str | None,
    correlation_id: str,
) -> Accepted:
    """Record and publish ``request``, or replay what the same key recorded before.

    ``body`` is the request in canonical JSON: what is compared when its key comes again.

    Raises Problem; nothing is stored, published or sent then, unless its code is
    ``publish-failed``.
    """

    def make(notification_id: str) -> Decision:
        return decide(caller, request, notification_id, correlation_id)

    return commit(caller, key or request.request_id, body, make)


def commit(
    owner: Caller, key: str | None, body: bytes, make: Callable[[str], Decision], *space: str
) -> Accepted:
    """Record and publish what ``make`` returns for an id, as ``accept`` does.

    The key is the owner's, but in a ``space`` of its own, if there is one.
    """
    found = draft(owner, key, body, make, *space)
    return found if isinstance(found, Accepted) else record(found)


def draft(
    owner: Caller, key: str | None, body: bytes, make: Callable[[str], Decision], *space: str
) -> Draft | Accepted:
    """Return what is to be recorded, or what the key stands for already; raises Problem."""
    digest = hashlib.sha256(body).digest()
    request_id = key or secrets.token_urlsafe(16)
    place = _place(owner, request_id, *space)
    try:
        decision = make(_id(place))
        return Draft(_record(decision, place, digest, request_id), decision.message)
    except Problem:
        # The user or template may have gone since: a repeat still gets its first answer.
        stored = _live(place) if key else None
        if stored:
            return _replay(stored, digest)
        raise


def record(wanted: Draft) -> Accepted:
    """Record and publish a draft, or replay what its key recorded meanwhile; raises Problem."""
    for _ in range(RACES):
        if create_over_lapsed(wanted.record, int(now().timestamp())):
            _publish(wanted.record, wanted.message, legs.first(wanted.message))
            return Accepted(wanted.record, replayed=False)
        if stored := _live(wanted.record.place):
            return _replay(stored, bytes(wanted.record.digest))
    raise Problem(503, "store-unavailable", "The key is being used; try again", retry_after=1)


def _record(decision: Decision, place: str, digest: bytes, request_id: str) -> Notification:
    message = decision.message
    body = as_body(message)
    if len(body.encode()) > MAX_MESSAGE_BYTES:
        raise Problem(413, "too-large", "The message and the recipient's devices are too large")
    withheld = {c.value: list(why) for c, why in decision.routing.withheld.items()}
    return Notification(
        place,
        notification_id=message.notification_id,
        sender=sender(message.tenant, message.client_id),
        recipient=decision.recipient,
        accepted=message.accepted_at,
        category=message.category,
        template_code=message.template and message.template.code,
        targets=[
            target_of(channel, to) for channel, each in message.targets.items() for to in each
        ],
        digest=digest,
        request_id=request_id,
        message=body,
        withheld=withheld or None,
        fallback=True if message.fallback_after else None,
        idempotent_until=int(now().timestamp()) + settings().idempotency_ttl_seconds,
        expires_at=expiry(now()),
    )


def _place(caller: Caller, request_id: str, *space: str) -> str:
    """Return where the notifications of one key of one client are recorded; tests lie apart."""
    mode = ["test"] if caller.test else []
    seed = json.dumps([caller.tenant, caller.client_id, request_id, *mode, *space])
    return b32encode(hashlib.sha256(seed.encode()).digest())[:26].decode().lower()


def _id(place: str) -> str:
    """Return a new id: the place, and what tells it from others of the same key."""
    return f"ntf_{place}{b32encode(secrets.token_bytes(4))[:6].decode().lower()}"


def _stored(place: str) -> Notification | None:
    try:
        return Notification.get(place, consistent_read=True)
    except Notification.DoesNotExist:
        return None


def _live(place: str) -> Notification | None:
    """Return what the key stands for now; DynamoDB deletes what has lapsed some time after."""
    stored = _stored(place)
    return stored if stored and stored.idempotent_until > now().timestamp() else None


def _replay(stored: Notification, digest: bytes) -> Accepted:
    if not hmac.compare_digest(bytes(stored.digest), digest):
        raise Problem(
            422,
            "idempotency-key-reused",
            "This idempotency key was used before, with another body",
            faults=[Fault("header:Idempotency-Key", "belongs to another request")],
        )
    metrics.count("idempotency_hits_total")
    # The first publish may have been lost; a claim makes a second one harmless.
    go_on(stored)
    return Accepted(stored, replayed=True)


def go_on(record: Notification) -> None:
    """Publish to the channels whose turn it is and that nobody has touched; raises Problem."""
    message = message_of(record)
    states = {target: State(each.state) for target, each in deliveries_of(record).items()}
    _publish(record, message, legs.due(message, states))


def _publish(record: Notification, message: Message, channels: set[Channel]) -> None:
    if not channels:
        return
    try:
        legs.begin(message, channels, record.message)
    except PublishError as error:
        raise not_queued(record) from error


def not_queued(record: Notification) -> Problem:
    """Return the problem of what was recorded and not published."""
    return Problem(
        503,
        "publish-failed",
        "The notification was recorded but not queued;"
        f" send it again with Idempotency-Key: {record.request_id}",
        retry_after=5,
    )


def decide(
    caller: Caller,
    request: NotificationRequest,
    notification_id: str,
    correlation_id: str,
    readers: Readers | None = None,
) -> Decision:
    """Return what accepting ``request`` would record; raises Problem. Nothing is written."""
    if request.expires_at and request.expires_at <= now():
        raise bad_field("#/expires_at", "is in the past")
    template = _template(caller, request)
    category = request.category or (template and template.category) or GENERAL
    kind = category_of(caller, category)
    who = resolve(caller.tenant, request, readers)
    routing = route(request, who, category, mandatory=kind.mandatory)
    routing = budgets.apply(caller, category, routing, mandatory=kind.mandatory)
    message = Message(
        schema_version=SCHEMA_VERSION,
        notification_id=notification_id,
        tenant=caller.tenant,
        client_id=caller.client_id,
        correlation_id=correlation_id,
        accepted_at=timestamp(now()),
        category=category,
        priority=request.priority,
        user_id=request.user_id,
        targets=routing.targets,
        platforms=_platforms(who, routing.targets),
        template=template and _reference(template, request, who, routing.targets),
        inline=_inline(request, routing.targets),
        variables=request.variables,
        metadata=request.metadata,
        expires_at=timestamp(request.expires_at) if request.expires_at else None,
        at_most_once=(request.dedupe or kind.dedupe) == AT_MOST_ONCE,
        mandatory=kind.mandatory,
        fallback_after=request.fallback_after_seconds if request.routing == "fallback" else None,
        test=caller.test,
    )
    return Decision(message, routing, recipient(caller.tenant, request))


def _platforms(who: Recipient, targets: Mapping[Channel, Sequence[str]]) -> dict[str, str]:
    known = ((to, who.platforms.get(to)) for to in targets.get(Channel.PUSH, ()))
    return {target_of(Channel.PUSH, to): on for to, on in known if on and on != "other"}


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


def _template(caller: Caller, request: NotificationRequest) -> Template | None:
    """Return the version asked for, or the one in use; raises Problem (404)."""
    if request.template_code is None:
        return None
    if request.template_version is None:
        return active(caller.tenant, request.template_code)
    places = ("#/template_code", "#/template_version")
    return find_version(caller.tenant, request.template_code, request.template_version, places)


def _reference(
    template: Template, request: NotificationRequest, who: Recipient, channels: Iterable[Channel]
) -> TemplateRef:
    """Return what the message is to say; raises Problem (422) unless each channel can say it."""
    locale = choose_locale(template, request.locale, who.locale)
    check(template, request.variables)
    for channel in channels:
        # Rendering is the one exact check of the variables, and costs 0.01 ms once compiled.
        preview(template, locale, channel, request.variables, request.title)
    return TemplateRef(
        code=template.code, version=int(template.version), locale=locale, title=request.title
    )


def find_of_tenant(tenant: str, notification_id: str) -> Notification:
    """Return anybody's notification of a tenant; raises the same 404."""
    record = recorded(notification_id)
    if record is None or not record.sender.startswith(sender(tenant, "")):
        raise not_found("notification")
    return record


def find(caller: Caller, notification_id: str) -> Notification:
    """Return the caller's notification; raises the same 404 for a foreign and a missing one."""
    record = recorded(notification_id)
    if record is None or record.sender != sender(caller.tenant, caller.client_id):
        raise not_found("notification")
    return record
