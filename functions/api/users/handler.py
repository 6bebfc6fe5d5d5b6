"""Users: profile, preferences, devices; their export and their end."""

from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path
from pydantic import JsonValue

from carillon import devices, erasure, exports, http, jobs, users
from carillon.models import Answer, Channel, Shape, UserId
from carillon.people import (
    PreferencesPatch,
    PreferencesRequest,
    PushTokenRequest,
    QuietHours,
    UserPatch,
    UserRequest,
)
from carillon.tables import Preferences, Profile, PushDevice

app = http.api()
User = Annotated[UserId, Path()]


class UserOut(Shape):
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


class PreferencesOut(Shape):
    """What the user wants; a channel or category not named is wanted.

    The category ``*`` stands for every one not named. Quiet hours are kept but not obeyed yet.
    """

    channels: dict[Channel, bool]
    categories: dict[str, bool | dict[Channel, bool]]
    quiet_hours: QuietHours | None
    timezone: str | None
    locale: str | None


class PushTokenOut(Shape):
    """A registered device."""

    id: str
    fcm_token: str
    platform: str
    device_id: str | None
    is_active: bool
    created_at: str


class ErasureOut(Shape):
    """The job that erases a user."""

    job_id: str
    status: jobs.JobState


class ExportOut(Shape):
    """An export under way or ready; ``link`` is good for 15 minutes, ask again for another."""

    job_id: str
    status: jobs.JobState
    link: str | None


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


@app.delete(
    "/api/v1/users/<user_id>",
    status_code=202,
    summary="Erase a user",
    tags=["Users"],
    responses=http.responses(Answer[ErasureOut], 400, 401, 403, 404, 409, 412, 503, status=202),
)
def erase(user_id: User) -> Response[Answer[ErasureOut]]:
    """Put the user out of reach at once and erase the rest; the same again is the same job."""
    tenant = http.caller_for(app, user_id).tenant
    job = erasure.request(tenant, user_id, http.expected_versions(app))
    out = ErasureOut(job_id=job.job_id, status=jobs.JobState(job.state))
    return http.answer(app, out, "The user is being erased", status=202)


@app.get(
    "/api/v1/users/<user_id>/export",
    status_code=202,
    summary="All that is kept of a user",
    tags=["Users"],
    responses=http.responses(Answer[ExportOut], *READ_REFUSALS, 409, status=202),
)
def export(user_id: User) -> Response[Answer[ExportOut]]:
    """Begin an export, or tell where it stands; a ready one is handed out for an hour."""
    tenant = http.caller_for(app, user_id).tenant
    job = exports.request(tenant, user_id)
    out = ExportOut(
        job_id=job.job_id,
        status=jobs.JobState(job.state),
        link=exports.link(tenant, user_id, job),
    )
    return http.answer(app, out, f"The export is {job.state}", status=202)


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
    summary="Change some of a user's preferences",
    tags=["Users"],
    responses=http.responses(Answer[PreferencesOut], *WRITE_REFUSALS),
)
def patch_preferences(
    user_id: User, request: Annotated[PreferencesPatch, Body()]
) -> Response[Answer[PreferencesOut]]:
    """Replace what is given and keep the rest; null empties what may be empty."""
    return _keep_preferences(user_id, request, "Preferences changed")


@app.get(
    "/api/v1/users/<user_id>/push-tokens",
    summary="A user's devices",
    tags=["Users"],
    responses=http.responses(Answer[list[PushTokenOut]], *READ_REFUSALS),
)
def read_push_tokens(user_id: User) -> Response[Answer[list[PushTokenOut]]]:
    """Return the devices registered for the user."""
    found = devices.devices(http.caller_for(app, user_id).tenant, user_id)
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
    """Register the device; its token leaves the user who had it, and again is the same device."""
    device = devices.add(http.caller_for(app, user_id).tenant, user_id, request)
    return http.answer(app, _push_token(device), "Device registered", status=201)


@app.delete(
    "/api/v1/users/<user_id>/push-tokens/<token_id>",
    summary="Forget a device",
    tags=["Users"],
    responses=http.no_content(*READ_REFUSALS),
)
def remove_push_token(user_id: User, token_id: Annotated[str, Path()]) -> Response[None]:
    """Forget the device: nothing is pushed to it any more."""
    devices.remove(http.caller_for(app, user_id).tenant, user_id, token_id)
    return http.nothing(app)


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
    return PreferencesOut(
        channels=kept.channels,
        categories=kept.categories,
        quiet_hours=kept.quiet_hours,
        timezone=kept.timezone,
        locale=kept.locale,
    )


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
