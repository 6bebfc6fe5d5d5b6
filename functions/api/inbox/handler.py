"""A user's notifications: the inbox, and what the user did with its entries."""

from typing import Annotated, Literal

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query
from pydantic import BaseModel, BeforeValidator

from carillon import http, inbox, users
from carillon.models import Answer, Name, Page, PageMeta, UserId, channel_spelling
from carillon.people import EntryPatch, Flag
from carillon.tables import InboxItem

app = http.api()
User = Annotated[UserId, Path()]
Inbox = Annotated[Literal["inapp"], BeforeValidator(channel_spelling)]


class UserNotification(BaseModel):
    """One notification, as its user sees it."""

    notification_id: str
    category: str
    created_at: str
    title: str
    body: str
    action_url: str | None
    read_at: str | None
    archived_at: str | None


class InboxMeta(PageMeta):
    """``unread`` counts what is neither read nor archived; 1,000 stands for as many or more."""

    unread: int


class InboxPage(Page[UserNotification]):
    """The envelope of a page of the inbox."""

    meta: InboxMeta


@app.get(
    "/api/v1/users/<user_id>/notifications",
    summary="A user's inbox, newest first",
    tags=["Users"],
    responses=http.responses(InboxPage, 400, 401, 403, 404, 503),
)
def read(  # noqa: PLR0913, PLR0917 - one for each query parameter
    user_id: User,
    channel: Annotated[Inbox | None, Query()] = None,  # noqa: ARG001 - the inbox is all there is
    unread: Annotated[Flag | None, Query()] = None,
    archived: Annotated[Flag, Query()] = False,
    category: Annotated[Name | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 25,
    cursor: Annotated[str | None, Query(max_length=512)] = None,
) -> Response[InboxPage]:
    """Return a page of entries, archived ones only when they are asked for.

    A page may be short, and even empty, while ``has_next``: one request looks at 500 entries.
    """
    tenant = http.caller_for(app, user_id).tenant
    users.profile(tenant, user_id)
    found = inbox.page(tenant, user_id, limit, cursor, inbox.Wanted(unread, archived, category))
    return http.page(
        app,
        [_entry(item) for item in found.items],
        "Inbox",
        limit=limit,
        cursor=found.next_cursor,
        unread=inbox.unread_count(tenant, user_id),
    )


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
        title=item.title,
        body=item.body,
        action_url=item.action_url,
        read_at=item.read_at,
        archived_at=item.archived_at,
    )


lambda_handler = http.handler(app)
