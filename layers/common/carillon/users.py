"""Users as an application keeps them: profile, preferences, devices."""

import hashlib
from typing import TypeVar

from carillon.errors import not_found
from carillon.models import PreferencesRequest, PushTokenRequest, UserRequest, now, timestamp
from carillon.tables import Preferences, Profile, PushDevice, UserItem, tenant_key

T = TypeVar("T", bound=UserItem)


def profile(tenant: str, user_id: str) -> Profile:
    """Return the user's profile; raises Problem (404)."""
    found = _get(Profile, tenant, user_id, "profile")
    if found is None:
        raise not_found("user", "path:user_id")
    return found


def put(tenant: str, user_id: str, request: UserRequest) -> tuple[Profile, bool]:
    """Keep the whole profile; return it, and whether the user is new."""
    before = _get(Profile, tenant, user_id, "profile")
    moment = timestamp(now())
    kept = Profile(
        tenant_key(tenant, user_id),
        "profile",
        **request.model_dump(),
        created_at=before.created_at if before else moment,
        updated_at=moment,
    )
    kept.save()
    return kept, before is None


def put_preferences(tenant: str, user_id: str, request: PreferencesRequest) -> Preferences:
    """Keep the user's preferences; raises Problem (404) when there is no such user."""
    profile(tenant, user_id)
    kept = Preferences(
        tenant_key(tenant, user_id),
        "preferences",
        **request.model_dump(mode="json"),
        updated_at=timestamp(now()),
    )
    kept.save()
    return kept


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


def _get(kind: type[T], tenant: str, user_id: str, part: str) -> T | None:
    try:
        return kind.get(tenant_key(tenant, user_id), part, consistent_read=True)
    except kind.DoesNotExist:
        return None
