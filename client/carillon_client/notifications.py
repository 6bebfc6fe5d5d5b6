"""Notifications: send, ask, search, report, cancel."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ParamSpec

from carillon_client.calls import Call, Slice, accepted, given, instant, keyed, one, page
from carillon_client.models import (
    Accepted,
    Batch,
    Content,
    DryRun,
    Event,
    Listed,
    NotificationStatus,
    To,
)
from carillon_client.transport import Listing, Operation

P = ParamSpec("P")

NOTIFICATIONS = "/notifications"
NOTIFICATION = f"{NOTIFICATIONS}/{{notification_id}}"


def _send(  # noqa: PLR0913 - a notification has that many fields
    *,
    channels: Sequence[str],
    user_id: str | None = None,
    to: To | None = None,
    template_code: str | None = None,
    template_version: int | None = None,
    variables: Mapping[str, Any] | None = None,
    locale: str | None = None,
    title: str | None = None,
    message: str | None = None,
    category: str | None = None,
    priority: int | str | None = None,
    metadata: Mapping[str, Any] | None = None,
    expires_at: datetime | None = None,
    on_opt_out: str | None = None,
    dedupe: str | None = None,
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
        template_version=template_version,
        variables=variables,
        locale=locale,
        title=title,
        message=message,
        category=category,
        priority=priority,
        metadata=metadata,
        expires_at=instant(expires_at),
        on_opt_out=on_opt_out,
        dedupe=dedupe,
    )
    return Call("POST", NOTIFICATIONS, accepted, body=body, headers=keyed(idempotency_key))


def _dry(build: Callable[P, Call[Accepted]]) -> Callable[P, Call[DryRun]]:
    """Return the same of a notification that is not sent."""

    def dry_run(*args: P.args, **told: P.kwargs) -> Call[DryRun]:
        call = build(*args, **told)
        return Call(
            call.method, call.route, one(DryRun), body={**(call.body or {}), "dry_run": True}
        )

    dry_run.__doc__ = (
        "Return what would be sent, to whom and why not; it takes what ``send`` takes."
    )
    signature = inspect.signature(build).replace(return_annotation=Call[DryRun])
    dry_run.__signature__ = signature  # type: ignore[attr-defined]
    return dry_run


def _send_batch(
    items: Sequence[Mapping[str, Any]], *, idempotency_key: str | None = None
) -> Call[Batch]:
    """Send up to 100 notifications, each with the fields of the API; each is accepted by itself."""
    body = {"items": [dict(item) for item in items]}
    headers = keyed(idempotency_key)
    return Call("POST", f"{NOTIFICATIONS}/batch", one(Batch), body=body, headers=headers)


def _get(notification_id: str, *, as_of: datetime | None = None) -> Call[NotificationStatus]:
    """Return a notification and where each of its deliveries stands, or stood."""
    names, query = _names(notification_id), given(as_of=instant(as_of))
    return Call("GET", NOTIFICATION, one(NotificationStatus), names, query)


def _events(
    notification_id: str, *, as_of: datetime | None = None, limit: int | None = None
) -> Call[Slice[Event]]:
    """Iterate over what happened to a notification, oldest first; ``limit`` is a page's size."""
    names, query = _names(notification_id), given(as_of=instant(as_of), limit=limit)
    return Call("GET", f"{NOTIFICATION}/events", page(Event), names, query)


def _content(notification_id: str, *, channel: str | None = None) -> Call[Content]:
    """Return what a notification says on each channel, or on one."""
    names, query = _names(notification_id), given(channel=channel)
    return Call("GET", f"{NOTIFICATION}/content", one(Content), names, query)


def _search(  # noqa: PLR0913 - what can be asked for
    *,
    user_id: str | None = None,
    to: str | None = None,
    template_code: str | None = None,
    category: str | None = None,
    channel: str | None = None,
    status: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int | None = None,
) -> Call[Slice[Listed]]:
    """Iterate over the notifications that fit, newest first; ``limit`` is a page's size."""
    query = given(
        user_id=user_id,
        to=to,
        template_code=template_code,
        category=category,
        channel=channel,
        status=status,
        to_time=instant(until),
        limit=limit,
        **{"from": instant(since)},
    )
    return Call("GET", NOTIFICATIONS, page(Listed), query=query)


def _report_status(  # noqa: PLR0913 - what can be reported
    notification_id: str,
    status: str,
    *,
    channel: str | None = None,
    target: str | None = None,
    message_id: str | None = None,
    error_message: str | None = None,
) -> Call[NotificationStatus]:
    """Report what became of a delivery; raises Conflict where it would lead back."""
    body = given(
        status=status,
        channel=channel,
        target=target,
        message_id=message_id,
        error_message=error_message,
    )
    names = _names(notification_id)
    return Call("PATCH", f"{NOTIFICATION}/status", one(NotificationStatus), names, body=body)


def _cancel(notification_id: str, *, reason: str | None = None) -> Call[NotificationStatus]:
    """Stop what has not left; raises Conflict when there is nothing left to stop."""
    names, body = _names(notification_id), given(reason=reason)
    return Call("POST", f"{NOTIFICATION}/cancel", one(NotificationStatus), names, body=body)


def _names(notification_id: str) -> dict[str, str]:
    return {"notification_id": notification_id}


class Notifications:
    """What a client does with notifications."""

    send = Operation(_send)
    dry_run = Operation(_dry(_send))
    send_batch = Operation(_send_batch)
    get = Operation(_get)
    events = Listing(_events)
    content = Operation(_content)
    search = Listing(_search)
    report_status = Operation(_report_status)
    cancel = Operation(_cancel)
