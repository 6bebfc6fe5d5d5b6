"""POST /notifications and GET /notifications/{id}."""

from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path
from pydantic import BaseModel

from carillon import delivery, http, intake
from carillon.errors import Fault, Problem
from carillon.identity import Scope
from carillon.models import (
    Answer,
    Channel,
    IdempotencyKey,
    NotificationRequest,
    State,
)
from carillon.tables import Delivery, Notification

app = http.api()


class AcceptedDelivery(BaseModel):
    """What was decided for one channel."""

    channel: Channel
    status: State
    reason: str | None = None


class Accepted(BaseModel):
    """The answer to an accepted notification; a repeat gets the same one."""

    notification_id: str
    request_id: str
    status: str
    deliveries: list[AcceptedDelivery]
    links: dict[str, str]


class DeliveryError(BaseModel):
    """Why the latest attempt failed; ``failure`` is its class."""

    code: str
    message: str
    failure: str


class DeliveryStatus(BaseModel):
    """Where one delivery stands. Push has one per device."""

    channel: Channel
    target: str
    to: str | None
    status: State
    reason: str | None = None
    attempts: int = 0
    provider: str | None = None
    provider_message_id: str | None = None
    possible_duplicate: bool = False
    error: DeliveryError | None = None
    updated_at: str | None = None


class NotificationStatus(BaseModel):
    """A notification and all of its deliveries."""

    notification_id: str
    request_id: str
    status: str
    user_id: str | None
    category: str
    priority: int
    template_code: str | None
    template_version: int | None
    locale: str | None
    metadata: dict[str, Any]
    created_at: str
    deliveries: list[DeliveryStatus]


@app.post(
    "/api/v1/notifications",
    status_code=202,
    summary="Accept one notification",
    tags=["Notifications"],
    responses=http.responses(Answer[Accepted], 400, 401, 403, 404, 413, 415, 422, 503, status=202),
)
def send(
    request: Annotated[NotificationRequest, Body()],
    idempotency_key: Annotated[IdempotencyKey | None, Header(alias="Idempotency-Key")] = None,
) -> Response[Answer[Accepted]]:
    """Record the notification and queue one delivery per channel."""
    if idempotency_key and request.request_id and idempotency_key != request.request_id:
        text = "differs from the Idempotency-Key header"
        raise Problem(400, "two-keys", f"request_id {text}", faults=[Fault("#/request_id", text)])
    accepted = intake.accept(
        http.caller(app, Scope.SEND),
        request,
        http.canonical_body(app),
        idempotency_key,
        http.correlation_id(app),
    )
    path = f"/api/v1/notifications/{accepted.record.notification_id}"
    return http.answer(
        app,
        _accepted(accepted.record, path),
        "Notification accepted",
        status=202,
        headers={"Location": http.location(app, path)}
        | ({"Idempotent-Replayed": "true"} if accepted.replayed else {}),
    )


@app.get(
    "/api/v1/notifications/<notification_id>",
    summary="The state of a notification and of each delivery",
    tags=["Notifications"],
    responses=http.responses(Answer[NotificationStatus], 401, 403, 404, 503),
)
def read(notification_id: Annotated[str, Path()]) -> Response[Answer[NotificationStatus]]:
    """Return what became of a notification."""
    record = intake.find(http.caller(app, Scope.READ), notification_id)
    return http.answer(app, _status(record), "Notification found")


def _accepted(record: Notification, path: str) -> Accepted:
    """The first answer, from the record alone: a replay is the same to the letter."""
    decided = [
        AcceptedDelivery(channel=channel, status=State.QUEUED)
        for channel in intake.message_of(record).targets
    ] + [
        AcceptedDelivery(channel=Channel(name), status=State(state), reason=reason)
        for name, (state, reason) in (record.withheld or {}).items()
    ]
    return Accepted(
        notification_id=record.notification_id,
        request_id=record.request_id,
        status=intake.summary(item.status for item in decided),
        deliveries=decided,
        links={"self": path},
    )


def _status(record: Notification) -> NotificationStatus:
    message = intake.message_of(record)
    made = {item.target: item for item in intake.deliveries_of(record)}
    deliveries = [
        _delivery(channel, address, made.get(delivery.target_of(channel, address)))
        for channel, addresses in message.targets.items()
        for address in addresses
    ] + _withheld(record)
    return NotificationStatus(
        notification_id=record.notification_id,
        request_id=record.request_id,
        status=intake.summary(item.status for item in deliveries),
        user_id=message.user_id,
        category=message.category,
        priority=message.priority,
        template_code=message.template and message.template.code,
        template_version=message.template and message.template.version,
        locale=message.template and message.template.locale,
        metadata=message.metadata,
        created_at=message.accepted_at,
        deliveries=deliveries,
    )


def _delivery(channel: Channel, address: str, item: Delivery | None) -> DeliveryStatus:
    target = delivery.target_of(channel, address)
    if item is None:
        return DeliveryStatus(channel=channel, target=target, to=address, status=State.QUEUED)
    return DeliveryStatus(
        channel=channel,
        target=target,
        to=address,
        status=State(item.state),
        attempts=int(item.attempts),
        provider=item.provider,
        provider_message_id=item.provider_message_id,
        possible_duplicate=bool(item.maybe_sent) and int(item.attempts) > 1,
        error=_error(item),
        updated_at=item.updated_at,
    )


def _error(item: Delivery) -> DeliveryError | None:
    if item.failure is None:
        return None
    return DeliveryError(
        code=item.error_code or "", message=item.error_message or "", failure=item.failure
    )


def _withheld(record: Notification) -> list[DeliveryStatus]:
    return [
        DeliveryStatus(
            channel=Channel(name), target=name, to=None, status=State(state), reason=reason
        )
        for name, (state, reason) in (record.withheld or {}).items()
    ]


lambda_handler = http.handler(app)
