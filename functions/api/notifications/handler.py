"""Notifications: accept, look up, list, report, cancel."""

import hashlib
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path, Query

from carillon import (
    bulk,
    cursors,
    history,
    http,
    intake,
    ledger,
    limits,
    preview,
    replay,
    signed,
    snapshots,
    status,
    trial,
)
from carillon.errors import Fault, Problem, bad_field
from carillon.identity import Scope
from carillon.messages import (
    BatchRequest,
    CancelRequest,
    NotificationRequest,
    ReplayRequest,
    StatusRequest,
    channel_of,
)
from carillon.models import (
    Answer,
    Channel,
    ChannelName,
    IdempotencyKey,
    Moment,
    Name,
    Page,
    State,
    UserId,
)
from carillon.tables import Notification
from carillon.template_models import TestSendRequest

app = http.api()
Id = Annotated[str, Path()]
Key = Annotated[IdempotencyKey | None, Header(alias="Idempotency-Key")]
Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[str | None, Query(max_length=512)]
AsOf = Annotated[Moment | None, Query()]

READ_REFUSALS = (400, 401, 403, 404, 503)
WRITE_REFUSALS = (400, 401, 403, 404, 409, 413, 415, 422, 503)


@app.post(
    "/api/v1/notifications",
    status_code=202,
    summary="Accept one notification",
    tags=["Notifications"],
    responses=http.responses(
        Answer[status.Accepted], 400, 401, 402, 403, 404, 413, 415, 422, 502, 503, status=202
    )
    | http.responses(Answer[preview.DryRun]),
)
def send(
    request: Annotated[NotificationRequest, Body()], idempotency_key: Key = None
) -> Response[Answer[status.Accepted | preview.DryRun]]:
    """Record the notification and queue one delivery per channel; a dry run only tells of it."""
    caller = http.caller(app, Scope.SEND)
    if request.dry_run:
        told = preview.dry_run(caller, request)
        return http.answer(app, told, "Nothing was sent: this is a dry run")
    if idempotency_key and request.request_id and idempotency_key != request.request_id:
        text = "differs from the Idempotency-Key header"
        raise Problem(400, "two-keys", f"request_id {text}", faults=[Fault("#/request_id", text)])
    accepted = intake.accept(
        caller, request, http.canonical_body(app), idempotency_key, http.correlation_id(app)
    )
    return _accepted(accepted, "Notification accepted")


@app.post(
    "/api/v1/templates/<code>/test-send",
    status_code=202,
    summary="Send a template once, to see it where it will be seen",
    tags=["Templates"],
    responses=http.responses(
        Answer[status.Accepted], 400, 401, 402, 403, 404, 413, 415, 422, 502, 503, status=202
    ),
)
def send_test(
    code: Annotated[Name, Path()],
    request: Annotated[TestSendRequest, Body()],
    idempotency_key: Key = None,
) -> Response[Answer[status.Accepted]]:
    """Accept a notification like any other; its metadata say that it is a test."""
    http.caller(app, Scope.TEMPLATES)
    caller = http.caller(app, Scope.SEND)
    # With the code: the same key for another template is another request.
    body = code.encode() + http.canonical_body(app)
    with trial.own_places():
        accepted = intake.accept(
            caller,
            trial.notification(code, request),
            body,
            idempotency_key,
            http.correlation_id(app),
        )
    return _accepted(accepted, "Test accepted")


@app.post(
    "/api/v1/notifications/batch",
    status_code=202,
    summary="Accept up to a hundred notifications",
    tags=["Notifications"],
    responses=http.responses(Answer[bulk.BatchOut], 400, 401, 403, 413, 415, 422, 503, status=202),
)
def send_batch(
    request: Annotated[BatchRequest, Body()], idempotency_key: Key = None
) -> Response[Answer[bulk.BatchOut]]:
    """Accept each item by itself, and say of each what came of it; 400 when none is valid.

    Each item is a request of the caller's minute.
    """
    caller = http.caller(app, Scope.SEND)
    limits.take(caller, len(request.items) - 1)  # the request itself was one
    done = bulk.accept_all(caller, request.items, idempotency_key, http.correlation_id(app))
    return http.answer(app, done, f"{done.accepted} of {len(done.items)} accepted", status=202)


@app.get(
    "/api/v1/notifications",
    summary="What was sent, newest first",
    tags=["Notifications"],
    responses=http.responses(Page[status.Listed], 400, 401, 403, 503),
)
def search(  # noqa: PLR0913, PLR0917 - one for each query parameter
    user_id: Annotated[UserId | None, Query()] = None,
    to: Annotated[str | None, Query(max_length=2048)] = None,
    template_code: Annotated[Name | None, Query()] = None,
    category: Annotated[Name | None, Query()] = None,
    channel: Annotated[ChannelName | None, Query()] = None,
    state: Annotated[status.Summary | None, Query(alias="status")] = None,
    since: Annotated[Moment | None, Query(alias="from")] = None,
    until: Annotated[Moment | None, Query(alias="to_time")] = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Response[Page[status.Listed]]:
    """Return a page of the caller's notifications.

    ``to`` finds what was sent to an address of no user. A page may be short and still lead on:
    one request looks at no more than 500 notifications.
    """
    caller = http.caller(app, Scope.READ)
    query = history.Query(
        user_id=user_id,
        to=to,
        template_code=template_code,
        category=category,
        channel=channel,
        status=state,
        since=since,
        until=until,
    )
    found = history.of_client(caller.tenant, caller.client_id, query, limit, cursor)
    listed = [history.listed(entry) for entry in found.entries]
    return http.page(app, listed, "Notifications found", limit=limit, cursor=found.next_cursor)


@app.get(
    "/api/v1/notifications/<notification_id>",
    summary="The state of a notification and of each delivery",
    tags=["Notifications"],
    responses=http.responses(Answer[status.NotificationStatus], *READ_REFUSALS),
)
def read(notification_id: Id, as_of: AsOf = None) -> Response[Answer[status.NotificationStatus]]:
    """Return what became of a notification, by now or by ``as_of``.

    Between two events it stood as after the first; that a worker has it in hand is no event.
    """
    told = status.full(_own(notification_id), as_of)
    tag = hashlib.sha256(told.model_dump_json().encode()).hexdigest()[:16]
    headers = http.unless_same(app, f'"{tag}"')
    return http.answer(app, told, "Notification found", headers=headers)


@app.get(
    "/api/v1/notifications/<notification_id>/events",
    summary="What happened to a notification, oldest first",
    tags=["Notifications"],
    responses=http.responses(Page[status.Event], *READ_REFUSALS),
)
def read_events(
    notification_id: Id, as_of: AsOf = None, limit: Limit = 100, cursor: Cursor = None
) -> Response[Page[status.Event]]:
    """Return its acceptance and each change of a delivery, with who made it and why."""
    happened = status.events(_own(notification_id), as_of)
    start = int(cursors.read(cursor, r"\d{1,9}")) if cursor else 0
    shown = happened[start : start + limit]
    more = start + limit < len(happened)
    following = cursors.make(str(start + limit)) if more else None
    return http.page(app, shown, "Events found", limit=limit, cursor=following)


@app.get(
    "/api/v1/notifications/<notification_id>/content",
    summary="What a notification says",
    tags=["Notifications"],
    responses=http.responses(Answer[preview.ContentOut], *READ_REFUSALS, 410),
)
def read_content(
    notification_id: Id, channel: Annotated[ChannelName | None, Query()] = None
) -> Response[Answer[preview.ContentOut]]:
    """Return what each channel was sent, rendered by the template version of that time."""
    record = intake.find(http.caller(app, Scope.CONTENT), notification_id)
    return http.answer(app, preview.content(record, channel), "Content found")


@app.patch(
    "/api/v1/notifications/<notification_id>/status",
    summary="Report what became of a delivery",
    tags=["Notifications"],
    responses=http.responses(Answer[status.NotificationStatus], *WRITE_REFUSALS),
)
def report(
    notification_id: Id, request: Annotated[StatusRequest, Body()]
) -> Response[Answer[status.NotificationStatus]]:
    """Record it where it follows from the state so far; 409 where it would lead back."""
    caller = http.caller(app, Scope.STATUS)
    record = intake.find(caller, notification_id)
    heard = ledger.Report(
        State(request.status), caller.client_id, request.message_id, request.error_message
    )
    for target in _reported(record, request.channel, request.target):
        if not ledger.report(record, target, heard):
            text = f"{target} is in a state that {request.status} does not follow"
            raise Problem(409, "illegal-transition", text, faults=[Fault("#/status", text)])
    if record.fallback and heard.state is State.FAILED:
        intake.go_on(record)
    return http.answer(app, status.full(record), "Status recorded")


@app.post(
    "/api/v1/notifications/<notification_id>/cancel",
    status_code=202,
    summary="Stop what has not left",
    tags=["Notifications"],
    responses=http.responses(Answer[status.NotificationStatus], *WRITE_REFUSALS, status=202),
)
def cancel(
    notification_id: Id, request: Annotated[CancelRequest | None, Body()] = None
) -> Response[Answer[status.NotificationStatus]]:
    """Cancel each delivery no worker holds; 409 when there is nothing left to stop."""
    caller = http.caller(app, Scope.SEND)
    record = intake.find(caller, notification_id)
    why = ledger.Stop(caller.client_id, request.reason if request else None)
    stopped = {ledger.stop(record, target, why) for target in record.targets}
    if State.CANCELLED not in stopped:
        text = "Nothing of it can be stopped any more"
        raise Problem(409, "nothing-to-cancel", text)
    return http.answer(app, status.full(record), "Cancelled what had not left", status=202)


@app.post(
    "/api/v1/notifications/<notification_id>/replay",
    status_code=202,
    summary="Send a notification again",
    tags=["Notifications"],
    responses=http.responses(Answer[status.Repeated], *WRITE_REFUSALS, 410, 502, status=202),
)
def send_again(
    notification_id: Id,
    request: Annotated[ReplayRequest, Body()],
    idempotency_key: Key = None,
) -> Response[Answer[status.Repeated]]:
    """Accept a new notification of the same client, to the addresses of then.

    Without ``channels`` it goes where the first one ended failed, unknown, expired or as a dead
    letter. Its user's wishes are asked anew.
    """
    caller = http.caller(app, Scope.OPS)
    order = replay.Order(caller, request, http.correlation_id(app))
    made = replay.replay(order, notification_id, http.canonical_body(app), idempotency_key)
    return _accepted(made, "Sent again", status.repeated(made.record))


def _own(notification_id: str) -> Notification:
    return intake.find(http.caller(app, Scope.READ), notification_id)


def _reported(record: Notification, channel: Channel | None, target: str | None) -> list[str]:
    """Return the deliveries a report is about; raises Problem (422) when it names none."""
    named = [
        each
        for each in record.targets
        if channel in (None, channel_of(each)) and target in (None, each)
    ]
    if not named:
        raise bad_field("#/channel", "names no delivery of this notification")
    if channel is None and len({channel_of(each) for each in named}) > 1:
        raise bad_field("#/channel", "say which of the channels", code="channel-missing")
    return named


def _accepted(
    accepted: intake.Accepted, message: str, told: status.Accepted | None = None
) -> Response[Any]:
    path = status.path(accepted.record.notification_id)
    return http.answer(
        app,
        told or status.accepted(accepted.record),
        message,
        status=202,
        headers={"Location": http.location(app, path)}
        | ({"Idempotent-Replayed": "true"} if accepted.replayed else {}),
    )


lambda_handler = http.handler(app)
snapshots.hold_ready(signed.botocore_session, NotificationRequest.model_rebuild)
