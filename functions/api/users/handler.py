"""Users: profile, preferences, devices, inbox."""

from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query
from pydantic import BaseModel, JsonValue

from carillon import http, inbox, users
from carillon.models import (
    Answer,
    Channel,
    Page,
    PreferencesRequest,
    PushTokenRequest,
    UserId,
    UserRequest,
)

app = http.api()
User = Annotated[UserId, Path()]


class UserOut(BaseModel):
    """A user's profile."""

    user_id: str
    email: str | None
    phone: str | None
    full_name: str | None
    locale: str | None
    timezone: str | None
    attributes: dict[str, JsonValue]
    created_at: str
    updated_at: str


class PreferencesOut(BaseModel):
    """What the user wants; a channel or category not named is wanted."""

    channels: dict[Channel, bool]
    categories: dict[str, bool | dict[Channel, bool]]


class PushTokenOut(BaseModel):
    """A registered device."""

    id: str
    fcm_token: str
    platform: str
    device_id: str | None
    is_active: bool
    created_at: str


class InboxEntry(BaseModel):
    """One in-app notification."""

    notification_id: str
    title: str
    body: str
    action_url: str | None
    category: str
    created_at: str


WRITE_REFUSALS = (400, 401, 403, 404, 413, 415, 422, 503)


@app.put(
    "/api/v1/users/<user_id>",
    summary="Create or replace a user",
    tags=["Users"],
    responses=http.responses(Answer[UserOut], *WRITE_REFUSALS)
    | http.responses(Answer[UserOut], status=201),
)
def put(user_id: User, request: Annotated[UserRequest, Body()]) -> Response[Answer[UserOut]]:
    """Keep the whole profile; 201 when the user is new."""
    profile, created = users.put(http.caller(app).tenant, user_id, request)
    out = UserOut(
        user_id=user_id,
        email=profile.email,
        phone=profile.phone,
        full_name=profile.full_name,
        locale=profile.locale,
        timezone=profile.timezone,
        attributes=profile.attributes or {},
        created_at=profile.created_at,
        updated_at=profile.updated_at,
    )
    return http.answer(
        app,
        out,
        "User created" if created else "User replaced",
        status=201 if created else 200,
    )


@app.put(
    "/api/v1/users/<user_id>/preferences",
    summary="Replace a user's preferences",
    tags=["Users"],
    responses=http.responses(Answer[PreferencesOut], *WRITE_REFUSALS),
)
def put_preferences(
    user_id: User, request: Annotated[PreferencesRequest, Body()]
) -> Response[Answer[PreferencesOut]]:
    """Keep what the user wants to receive."""
    kept = users.put_preferences(http.caller(app).tenant, user_id, request)
    return http.answer(
        app,
        PreferencesOut(channels=kept.channels, categories=kept.categories),
        "Preferences replaced",
    )


@app.post(
    "/api/v1/users/<user_id>/push-tokens",
    status_code=201,
    summary="Register a device",
    tags=["Users"],
    responses=http.responses(Answer[PushTokenOut], *WRITE_REFUSALS, status=201),
)
def add_push_token(
    user_id: User, request: Annotated[PushTokenRequest, Body()]
) -> Response[Answer[PushTokenOut]]:
    """Register the device; the same token again is the same device."""
    device = users.add_device(http.caller(app).tenant, user_id, request)
    out = PushTokenOut(
        id=device.part.removeprefix("push#"),
        fcm_token=device.fcm_token,
        platform=device.platform,
        device_id=device.device_id,
        is_active=device.is_active,
        created_at=device.created_at,
    )
    return http.answer(app, out, "Device registered", status=201)


@app.get(
    "/api/v1/users/<user_id>/notifications",
    summary="A user's inbox, newest first",
    tags=["Users"],
    responses=http.responses(Page[InboxEntry], 400, 401, 403, 404, 503),
)
def read_inbox(
    user_id: User,
    limit: Annotated[int, Query(ge=1, le=100)] = 25,
    cursor: Annotated[str | None, Query(max_length=512)] = None,
) -> Response[Page[InboxEntry]]:
    """Return a page of in-app notifications and the cursor of the next."""
    tenant = http.caller(app).tenant
    users.profile(tenant, user_id)
    found = inbox.page(tenant, user_id, limit, cursor)
    entries = [
        InboxEntry(
            notification_id=item.notification_id,
            title=item.title,
            body=item.body,
            action_url=item.action_url,
            category=item.category,
            created_at=item.created_at,
        )
        for item in found.items
    ]
    return http.page(app, entries, "Inbox", limit=limit, cursor=found.next_cursor)


lambda_handler = http.handler(app)
