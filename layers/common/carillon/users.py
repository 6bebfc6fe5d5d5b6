"""Users as an application keeps them: profile, preferences, devices."""

import hashlib
from collections.abc import Mapping
from typing import Any, TypeVar

from pynamodb.exceptions import PutError

from carillon.errors import Problem, not_found, precondition_failed
from carillon.models import (
    PreferencesPatch,
    PreferencesRequest,
    PushTokenRequest,
    UserPatch,
    UserRequest,
    now,
    timestamp,
)
from carillon.tables import (
    Preferences,
    Profile,
    PushDevice,
    is_conflict,
    tenant_key,
    user_items,
)

T = TypeVar("T", Profile, Preferences)

PROFILE = "profile"
PREFERENCES = "preferences"
WRITE_ATTEMPTS = 5
Versions = frozenset[int] | None
"""The versions a caller takes for current (``If-Match``); None asks for nothing."""


def profile(tenant: str, user_id: str) -> Profile:
    """Return the user's profile; raises Problem (404)."""
    found = _get(Profile, tenant, user_id, PROFILE)
    if found is None:
        raise not_found("user", "path:user_id")
    return found


def put(
    tenant: str, user_id: str, request: UserRequest, expected: Versions = None
) -> tuple[Profile, bool]:
    """Keep the whole profile; return it, and whether the user is new; raises Problem (412)."""
    return _write_profile(tenant, user_id, request.model_dump(), expected)


def patch(tenant: str, user_id: str, request: UserPatch, expected: Versions = None) -> Profile:
    """Change the fields given, ``null`` empties one; raises Problem (404, 412)."""
    profile(tenant, user_id)
    changes = request.model_dump(exclude_unset=True)
    return _write_profile(tenant, user_id, changes, expected)[0]


def _write_profile(
    tenant: str, user_id: str, changes: Mapping[str, Any], expected: Versions
) -> tuple[Profile, bool]:
    moment = timestamp(now())
    return _write(
        Profile,
        (tenant, user_id, PROFILE),
        {"created_at": moment},
        {**changes, "updated_at": moment},
        expected,
    )


def preferences(tenant: str, user_id: str) -> Preferences:
    """Return the user's preferences, empty ones when none were ever kept; raises Problem (404)."""
    profile(tenant, user_id)
    found = _get(Preferences, tenant, user_id, PREFERENCES)
    return found or Preferences(channels={}, categories={}, version=0)


def put_preferences(
    tenant: str,
    user_id: str,
    request: PreferencesRequest | PreferencesPatch,
    expected: Versions = None,
) -> Preferences:
    """Keep the preferences; a patch changes only what it names; raises Problem (404, 412)."""
    profile(tenant, user_id)
    partial = isinstance(request, PreferencesPatch)
    changes = request.model_dump(mode="json", exclude_unset=partial)
    written, _ = _write(
        Preferences,
        (tenant, user_id, PREFERENCES),
        {"channels": {}, "categories": {}},
        {**changes, "updated_at": timestamp(now())},
        expected,
    )
    return written


def devices(tenant: str, user_id: str) -> list[PushDevice]:
    """Return the user's devices; raises Problem (404) when there is no such user."""
    items = list(user_items(tenant, user_id))
    if not any(isinstance(item, Profile) for item in items):
        raise not_found("user", "path:user_id")
    return [item for item in items if isinstance(item, PushDevice)]


def add_device(tenant: str, user_id: str, request: PushTokenRequest) -> PushDevice:
    """Register a device, under an id made of its token; raises Problem (404)."""
    profile(tenant, user_id)
    device = PushDevice(
        tenant_key(tenant, user_id),
        "push#" + hashlib.sha256(request.fcm_token.encode()).hexdigest()[:16],
        **request.model_dump(),
        is_active=True,
        created_at=timestamp(now()),
    )
    device.save()
    return device


def remove_device(tenant: str, user_id: str, device_id: str) -> None:
    """Forget a device; raises Problem (404) when there is no such user or device."""
    found = {device.part: device for device in devices(tenant, user_id)}
    device = found.get(f"push#{device_id}")
    if device is None:
        raise not_found("push-token", "path:token_id")
    device.delete()


def _write(
    kind: type[T],
    place: tuple[str, str, str],
    first: Mapping[str, Any],
    changes: Mapping[str, Any],
    expected: Versions,
) -> tuple[T, bool]:
    """Write ``changes`` over the current version; return the item, and whether it is new.

    ``first`` is what a new item starts from. A write that lost a race is made again over the
    winner's version, unless the caller named the version it meant.
    """
    for _ in range(WRITE_ATTEMPTS):
        before = _get(kind, *place)
        if expected is not None and (before.version if before else 0) not in expected:
            raise precondition_failed()
        item = before or kind(tenant_key(*place[:2]), place[2], **first)
        for name, value in changes.items():
            setattr(item, name, value)
        try:
            item.save()
        except PutError as error:
            if not is_conflict(error):
                raise
        else:
            return item, before is None
    raise Problem(409, "too-many-writers", "Others keep changing this; try again", retry_after=1)


def _get(kind: type[T], tenant: str, user_id: str, part: str) -> T | None:
    try:
        return kind.get(tenant_key(tenant, user_id), part, consistent_read=True)
    except kind.DoesNotExist:
        return None
