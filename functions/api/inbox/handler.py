"""A user's notifications: the inbox, and what the user did with its entries."""

from collections.abc import Sequence
from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query

from carillon import history, http, inbox, signed, snapshots, users
from carillon.errors import Fault, Problem
from carillon.models import Answer, Channel, ChannelName, Name, Page, PageMeta, Shape, UserId
from carillon.people import EntryPatch, Flag
from carillon.status import Summary
from carillon.tables import InboxItem

app = http.api()
User = Annotated[UserId, Path()]


class UserNotification(Shape):
    """One notification, as its user sees it: what it says is known of the inbox's alone.

    ``status`` is null in the inbox, where an entry has arrived whatever other channels did.
    """

    notification_id: str
    category: str
    created_at: str
    channels: list[Channel]
    status: Summary | None
    title: str | None
    body: str | None
    action_url: str | None
    read_at: str | None
    archived_at: str | None


class InboxMeta(PageMeta):
    """``unread`` counts what is neither read nor archived; 1,000 stands for as many or more."""

    unread: int


class InboxPage(Page[UserNotification]):
    """The envelope of a page of a user's notifications."""

    meta: InboxMeta


@app.get(
    "/api/v1/users/<user_id>/notifications",
    summary="A user's notifications, or the inbox alone; newest first",
    tags=["Users"],
    responses=http.responses(InboxPage, 400, 401, 403, 404, 503),
)
def read(  # noqa: PLR0913, PLR0917 - one for each query parameter
    user_id: User,
    channel: Annotated[ChannelName | None, Query()] = None,
    unread: Annotated[Flag | None, Query()] = None,
    archived: Annotated[Flag | None, Query()] = None,
    category: Annotated[Name | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 25,
    cursor: Annotated[str | None, Query(max_length=512)] = None,
) -> Response[InboxPage]:
    """Return what was sent to the user, or the entries of the inbox.

    The inbox alone is listed with ``channel=inapp``, ``unread`` or ``archived``; archived entries
    only with ``archived=true``. A page may be short, and even empty, while ``has_next``: one
    request looks at 500 entries. A cursor is good for its own list.
    """
    tenant = http.caller_for(app, user_id).tenant
    users.profile(tenant, user_id)
    if channel is Channel.INAPP or unread is not None or archived is not None:
        _check_inbox(channel)
        wanted = inbox.Wanted(unread, bool(archived), category)
        page = inbox.page(tenant, user_id, limit, cursor, wanted)
        listed, following = [_entry(item) for item in page.items], page.next_cursor
    else:
        query = history.Query(category=category, channel=channel)
        sent = history.of_user(tenant, user_id, query, limit, cursor)
        listed, following = _sent(tenant, user_id, sent.entries), sent.next_cursor
    return http.page(
        app,
        listed,
        "Notifications",
        limit=limit,
        cursor=following,
        unread=inbox.unread_count(tenant, user_id),
    )


def _check_inbox(channel: Channel | None) -> None:
    if channel not in (None, Channel.INAPP):
        text = "Only what is in the inbox is read or archived"
        raise Problem(400, "invalid-request", text, faults=[Fault("query:channel", text)])


@app.patch(
    "/api/v1/users/<user_id>/notifications/<notification_id>",
    summary="Mark an inbox entry read or archived",
    tags=["Users"],
    responses=http.responses(Answer[UserNotification], 400, 401, 403, 404, 409, 413, 415, 422, 503),
)
def patch(
    user_id: User, notification_id: Annotated[str, Path()], request: Annotated[EntryPatch, Body()]
) -> Response[Answer[UserNotification]]:
    """Mark the entry, or with false take the mark away again."""
    tenant = http.caller_for(app, user_id).tenant
    users.profile(tenant, user_id)
    item = inbox.patch(tenant, user_id, notification_id, request)
    return http.answer(app, _entry(item), "Notification changed")


@app.post(
    "/api/v1/users/<user_id>/notifications/read-all",
    summary="Mark a user's inbox read",
    tags=["Users"],
    responses=http.no_content(400, 401, 403, 404, 503),
)
def read_all(user_id: User) -> Response[None]:
    """Mark read what is unread now: the newest 1,000; repeat while ``meta.unread`` is not 0."""
    tenant = http.caller_for(app, user_id).tenant
    users.profile(tenant, user_id)
    inbox.read_all(tenant, user_id)
    return http.nothing(app)


def _entry(item: InboxItem) -> UserNotification:
    return UserNotification(
        notification_id=item.notification_id,
        category=item.category,
        created_at=item.created_at,
        channels=[Channel.INAPP],
        status=None,
        title=item.title,
        body=item.body,
        action_url=item.action_url,
        read_at=item.read_at,
        archived_at=item.archived_at,
    )


def _sent(tenant: str, user_id: str, entries: Sequence[history.Entry]) -> list[UserNotification]:
    """Return what was sent, with what the inbox knows of it."""
    ids = [(entry.accepted_at, entry.record.notification_id) for entry in entries]
    known = inbox.find(tenant, user_id, ids)
    return [_one_sent(entry, known.get(entry.record.notification_id)) for entry in entries]


def _one_sent(entry: history.Entry, item: InboxItem | None) -> UserNotification:
    return UserNotification(
        notification_id=entry.record.notification_id,
        category=entry.record.category,
        created_at=entry.accepted_at,
        channels=list(dict.fromkeys(each.channel for each in entry.standings)),
        status=entry.status,
        title=item and item.title,
        body=item and item.body,
        action_url=item and item.action_url,
        read_at=item and item.read_at,
        archived_at=item and item.archived_at,
    )


lambda_handler = http.handler(app)
snapshots.hold_ready(signed.botocore_session)
