"""Notifications: send, ask, search, cancel."""

from collections.abc import Mapping, Sequence
from typing import Any

from carillon_client.calls import Call, Reply, given, one
from carillon_client.models import Accepted, NotificationStatus, To
from carillon_client.transport import Operation


def _send(  # noqa: PLR0913 - a notification has that many fields
    *,
    channels: Sequence[str],
    user_id: str | None = None,
    to: To | None = None,
    template_code: str | None = None,
    variables: Mapping[str, Any] | None = None,
    locale: str | None = None,
    title: str | None = None,
    message: str | None = None,
    category: str | None = None,
    priority: int | str | None = None,
    metadata: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None,
) -> Call[Accepted]:
    """Send one notification, to ``user_id`` or the addresses in ``to``, through ``channels``.

    It says what the template ``template_code`` makes of ``variables``, or ``title`` and
    ``message``. However often it is sent with one ``idempotency_key``, it is one notification.
    """
    body = given(
        channels=list(channels),
        user_id=user_id,
        to=to,
        template_code=template_code,
        variables=variables,
        locale=locale,
        title=title,
        message=message,
        category=category,
        priority=priority,
        metadata=metadata,
    )
    headers = given(**{"Idempotency-Key": idempotency_key})
    return Call("POST", "/notifications", _accepted, body=body, headers=headers)


def _accepted(reply: Reply) -> Accepted:
    return Accepted.of(reply.data, replayed=reply.headers.get("Idempotent-Replayed") == "true")


def _get(notification_id: str) -> Call[NotificationStatus]:
    """Return a notification and where each of its deliveries stands."""
    names = {"notification_id": notification_id}
    return Call("GET", "/notifications/{notification_id}", one(NotificationStatus), names)


class Notifications:
    """What a client does with notifications."""

    send = Operation(_send)
    get = Operation(_get)
