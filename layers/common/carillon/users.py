"""Users as an application keeps them: profile and preferences."""

from collections.abc import Mapping
from typing import Any, TypeVar

from carillon import jobs
from carillon.errors import not_found, precondition_failed, too_many_writers
from carillon.models import now, timestamp
from carillon.people import PreferencesPatch, PreferencesRequest, UserPatch, UserRequest
from carillon.storage import Step, replace, requiring, saving, transact
from carillon.tables import PREFERENCES, PROFILE, Preferences, Profile, UserItem, tenant_key

T = TypeVar("T", Profile, Preferences)

WRITE_ATTEMPTS = 5
Versions = frozenset[int] | None
"""The versions a caller takes for current (``If-Match``); None asks for nothing."""


def profile(tenant: str, user_id: str) -> Profile:
    """Return the user's profile; raises Problem (404)."""
    found = _get(Profile, tenant, user_id, PROFILE)
    if found is None:
        raise not_found("user", "path:user_id")
    return found


def existing(tenant: str, user_id: str) -> Step:
    """Step of a transaction: write nothing of a user who is not there, or no longer."""
    return requiring(Profile.part.exists(), Profile, tenant_key(tenant, user_id), PROFILE)


def put(
    tenant: str, user_id: str, request: UserRequest, expected: Versions = None
) -> tuple[Profile, bool]:
    """Keep the whole profile; return it, and whether the user is new; raises Problem (412)."""
    return _write_profile(tenant, user_id, request.model_dump(), expected)


def new_items(
    tenant: str, user_id: str, request: UserRequest, wanted: PreferencesRequest | None
) -> list[UserItem]:
    """Return what a new user begins with, for the caller to write."""
    key, moment = tenant_key(tenant, user_id), timestamp(now())
    items: list[UserItem] = [
        Profile(key, PROFILE, **request.model_dump(), created_at=moment, updated_at=moment)
    ]
    if wanted is not None:
        kept = wanted.model_dump(mode="json")
        items.append(Preferences(key, PREFERENCES, **kept, updated_at=moment))
    return items


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
    tenant, user_id, _ = place
    for _ in range(WRITE_ATTEMPTS):
        if kind is Preferences:
            profile(tenant, user_id)
        before = _get(kind, *place)
        if expected is not None and (before.version if before else 0) not in expected:
            raise precondition_failed()
        if before is None and kind is Profile:
            jobs.refuse_while_erased(tenant, user_id)
        item = before or kind(tenant_key(tenant, user_id), place[2], **first)
        for name, value in changes.items():
            setattr(item, name, value)
        if _kept(item, tenant, user_id):
            return item, before is None
    raise too_many_writers()


def _kept(item: Profile | Preferences, tenant: str, user_id: str) -> bool:
    """Write the item; not of a user who is being erased, nor of one who has been."""
    if isinstance(item, Preferences):
        return transact(saving(item), existing(tenant, user_id))
    if item.version is None:
        return transact(saving(item), jobs.not_erasing(tenant, user_id))
    return replace(item)


def _get(kind: type[T], tenant: str, user_id: str, part: str) -> T | None:
    try:
        return kind.get(tenant_key(tenant, user_id), part, consistent_read=True)
    except kind.DoesNotExist:
        return None
