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
    PreferencesPatch,
    PreferencesRequest,
    PushTokenRequest,
    UserId,
    UserPatch,
    UserRequest,
)
from carillon.tables import Preferences, Profile, PushDevice

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


READ_REFUSALS = (400, 401, 403, 404, 503)
WRITE_REFUSALS = (400, 401, 403, 404, 409, 412, 413, 415, 422, 503)


@app.get(
    "/api/v1/users/<user_id>",
    summary="A user",
    tags=["Users"],
    responses=http.responses(Answer[UserOut], *READ_REFUSALS),
)
def read(user_id: User) -> Response[Answer[UserOut]]:
    """Return the profile."""
    profile = users.profile(http.caller_for(app, user_id).tenant, user_id)
    headers = http.unless_current(app, profile.version)
    return http.answer(app, _user(user_id, profile), "User found", headers=headers)


@app.put(
    "/api/v1/users/<user_id>",
    summary="Create or replace a user",
    tags=["Users"],
    responses=http.responses(Answer[UserOut], *WRITE_REFUSALS)
    | http.responses(Answer[UserOut], status=201),
)
def put(user_id: User, request: Annotated[UserRequest, Body()]) -> Response[Answer[UserOut]]:
    """Keep the whole profile; 201 when the user is new."""
    profile, created = users.put(
        http.caller_for(app, user_id).tenant, user_id, request, http.expected_versions(app)
    )
    return http.answer(
        app,
        _user(user_id, profile),
        "User created" if created else "User replaced",
        status=201 if created else 200,
        headers={"ETag": http.etag(profile.version)},
    )


@app.patch(
    "/api/v1/users/<user_id>",
    summary="Change some fields of a user",
    tags=["Users"],
    responses=http.responses(Answer[UserOut], *WRITE_REFUSALS),
)
def patch(user_id: User, request: Annotated[UserPatch, Body()]) -> Response[Answer[UserOut]]:
    """Change the fields given and keep the others."""
    profile = users.patch(
        http.caller_for(app, user_id).tenant, user_id, request, http.expected_versions(app)
    )
    headers = {"ETag": http.etag(profile.version)}
    return http.answer(app, _user(user_id, profile), "User changed", headers=headers)


@app.get(
    "/api/v1/users/<user_id>/preferences",
    summary="A user's preferences",
    tags=["Users"],
    responses=http.responses(Answer[PreferencesOut], *READ_REFUSALS),
)
def read_preferences(user_id: User) -> Response[Answer[PreferencesOut]]:
    """Return what the user wants to receive."""
    kept = users.preferences(http.caller_for(app, user_id).tenant, user_id)
    headers = http.unless_current(app, kept.version)
    return http.answer(app, _preferences(kept), "Preferences found", headers=headers)


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
    return _keep_preferences(user_id, request, "Preferences replaced")


@app.patch(
    "/api/v1/users/<user_id>/preferences",
    summary="Change a user's channels or categories",
    tags=["Users"],
    responses=http.responses(Answer[PreferencesOut], *WRITE_REFUSALS),
)
def patch_preferences(
    user_id: User, request: Annotated[PreferencesPatch, Body()]
) -> Response[Answer[PreferencesOut]]:
    """Replace ``channels`` or ``categories``, whichever is given."""
    return _keep_preferences(user_id, request, "Preferences changed")


@app.get(
    "/api/v1/users/<user_id>/push-tokens",
    summary="A user's devices",
    tags=["Users"],
    responses=http.responses(Answer[list[PushTokenOut]], *READ_REFUSALS),
)
def read_push_tokens(user_id: User) -> Response[Answer[list[PushTokenOut]]]:
    """Return the devices registered for the user."""
    found = users.devices(http.caller_for(app, user_id).tenant, user_id)
    return http.answer(app, [_push_token(device) for device in found], "Devices found")


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
    device = users.add_device(http.caller_for(app, user_id).tenant, user_id, request)
    return http.answer(app, _push_token(device), "Device registered", status=201)


@app.delete(
    "/api/v1/users/<user_id>/push-tokens/<token_id>",
    summary="Forget a device",
    tags=["Users"],
    responses=http.no_content(*READ_REFUSALS),
)
def remove_push_token(user_id: User, token_id: Annotated[str, Path()]) -> Response[None]:
    """Forget the device: nothing is pushed to it any more."""
    users.remove_device(http.caller_for(app, user_id).tenant, user_id, token_id)
    return http.nothing(app)


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
    tenant = http.caller_for(app, user_id).tenant
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


def _user(user_id: str, profile: Profile) -> UserOut:
    return UserOut(
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


def _keep_preferences(
    user_id: str, request: PreferencesRequest | PreferencesPatch, message: str
) -> Response[Answer[PreferencesOut]]:
    tenant = http.caller_for(app, user_id).tenant
    kept = users.put_preferences(tenant, user_id, request, http.expected_versions(app))
    headers = {"ETag": http.etag(kept.version)}
    return http.answer(app, _preferences(kept), message, headers=headers)


def _preferences(kept: Preferences) -> PreferencesOut:
    return PreferencesOut(channels=kept.channels, categories=kept.categories)


def _push_token(device: PushDevice) -> PushTokenOut:
    return PushTokenOut(
        id=device.part.removeprefix("push#"),
        fcm_token=device.fcm_token,
        platform=device.platform,
        device_id=device.device_id,
        is_active=device.is_active,
        created_at=device.created_at,
    )


lambda_handler = http.handler(app)
