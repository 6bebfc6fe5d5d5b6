"""Users: profile, preferences, devices, inbox."""

from collections.abc import Mapping
from typing import Any

from carillon_client.calls import (
    Call,
    Slice,
    given,
    many,
    matching,
    nothing,
    one,
    page,
    tagged,
)
from carillon_client.models import (
    Erasure,
    Export,
    InboxEntry,
    Json,
    Preferences,
    PushToken,
    User,
)
from carillon_client.transport import Listing, Operation

USER = "/users/{user_id}"
PREFERENCES = f"{USER}/preferences"
PUSH_TOKENS = f"{USER}/push-tokens"
INBOX = f"{USER}/notifications"

Wanted = Mapping[str, bool | Mapping[str, bool]]


def _get_user(user_id: str) -> Call[User]:
    """Return a user's profile."""
    return Call("GET", USER, tagged(User), {"user_id": user_id})


def _put_user(  # noqa: PLR0913 - a profile has that many fields
    user_id: str,
    *,
    email: str | None = None,
    phone: str | None = None,
    full_name: str | None = None,
    locale: str | None = None,
    timezone: str | None = None,
    attributes: Mapping[str, Any] | None = None,
    if_match: str | None = None,
) -> Call[User]:
    """Create a user, or replace the whole profile."""
    body = given(
        email=email,
        phone=phone,
        full_name=full_name,
        locale=locale,
        timezone=timezone,
        attributes=attributes,
    )
    return _write_user("PUT", user_id, body, if_match)


def _patch_user(
    user_id: str, changes: Mapping[str, Any], *, if_match: str | None = None
) -> Call[User]:
    """Change the fields named, None empties one; the others stay."""
    return _write_user("PATCH", user_id, dict(changes), if_match)


def _write_user(method: str, user_id: str, body: Json, etag: str | None) -> Call[User]:
    names = {"user_id": user_id}
    return Call(method, USER, tagged(User), names, body=body, headers=matching(etag))


def _erase_user(user_id: str, *, if_match: str | None = None) -> Call[Erasure]:
    """Erase a user: out of reach at once, the rest soon after."""
    return Call("DELETE", USER, one(Erasure), {"user_id": user_id}, headers=matching(if_match))


def _export_user(user_id: str) -> Call[Export]:
    """Begin an export of all that is kept of a user; ask again until its ``link`` is there."""
    return Call("GET", f"{USER}/export", one(Export), {"user_id": user_id})


def _get_preferences(user_id: str) -> Call[Preferences]:
    """Return what a user wants."""
    return Call("GET", PREFERENCES, tagged(Preferences), {"user_id": user_id})


def _put_preferences(  # noqa: PLR0913 - what can be wanted
    user_id: str,
    *,
    channels: Mapping[str, bool] | None = None,
    categories: Wanted | None = None,
    quiet_hours: Mapping[str, Any] | None = None,
    timezone: str | None = None,
    locale: str | None = None,
    if_match: str | None = None,
) -> Call[Preferences]:
    """Replace what a user wants; a channel or category not named is wanted."""
    body = given(
        channels=channels,
        categories=categories,
        quiet_hours=quiet_hours,
        timezone=timezone,
        locale=locale,
    )
    return _write_preferences("PUT", user_id, body, if_match)


def _patch_preferences(
    user_id: str, changes: Mapping[str, Any], *, if_match: str | None = None
) -> Call[Preferences]:
    """Replace what is named, None empties it; the rest stays."""
    return _write_preferences("PATCH", user_id, dict(changes), if_match)


def _write_preferences(
    method: str, user_id: str, body: Json, etag: str | None
) -> Call[Preferences]:
    names = {"user_id": user_id}
    return Call(method, PREFERENCES, tagged(Preferences), names, body=body, headers=matching(etag))


def _push_tokens(user_id: str) -> Call[list[PushToken]]:
    """Return a user's devices."""
    return Call("GET", PUSH_TOKENS, many(PushToken), {"user_id": user_id})


def _add_push_token(
    user_id: str, fcm_token: str, platform: str, *, device_id: str | None = None
) -> Call[PushToken]:
    """Register a device: ``platform`` is android, ios, web or other."""
    body = given(fcm_token=fcm_token, platform=platform, device_id=device_id)
    return Call("POST", PUSH_TOKENS, one(PushToken), {"user_id": user_id}, body=body)


def _remove_push_token(user_id: str, token_id: str) -> Call[None]:
    """Forget a device, by the ``id`` it was registered under."""
    names = {"user_id": user_id, "token_id": token_id}
    return Call("DELETE", f"{PUSH_TOKENS}/{{token_id}}", nothing, names)


def _inbox(
    user_id: str,
    *,
    unread: bool | None = None,
    archived: bool | None = None,
    category: str | None = None,
    limit: int | None = None,
) -> Call[Slice[InboxEntry]]:
    """Iterate over a user's in-app notifications, newest first; ``limit`` is a page's size."""
    query = given(channel="inapp", unread=unread, archived=archived, category=category, limit=limit)
    return Call("GET", INBOX, page(InboxEntry), {"user_id": user_id}, query)


def _unread_count(user_id: str) -> Call[int]:
    """Return how many are neither read nor archived; 1,000 stands for as many or more."""
    names = {"user_id": user_id}
    return Call("GET", INBOX, lambda reply: int(reply.meta["unread"]), names, {"limit": 1})


def _mark_read(user_id: str, notification_id: str, *, read: bool = True) -> Call[InboxEntry]:
    """Mark an entry read, or unread again."""
    return _mark(user_id, notification_id, {"read": read})


def _archive(user_id: str, notification_id: str, *, archived: bool = True) -> Call[InboxEntry]:
    """Archive an entry, or take it back."""
    return _mark(user_id, notification_id, {"archived": archived})


def _mark(user_id: str, notification_id: str, body: Json) -> Call[InboxEntry]:
    names = {"user_id": user_id, "notification_id": notification_id}
    return Call("PATCH", f"{INBOX}/{{notification_id}}", one(InboxEntry), names, body=body)


def _read_all(user_id: str) -> Call[None]:
    """Mark read what is unread now: the newest 1,000."""
    return Call("POST", f"{INBOX}/read-all", nothing, {"user_id": user_id})


class Users:
    """What a client does with users."""

    get_user = Operation(_get_user)
    put_user = Operation(_put_user)
    patch_user = Operation(_patch_user)
    erase_user = Operation(_erase_user)
    export_user = Operation(_export_user)
    get_preferences = Operation(_get_preferences)
    put_preferences = Operation(_put_preferences)
    patch_preferences = Operation(_patch_preferences)
    push_tokens = Operation(_push_tokens)
    add_push_token = Operation(_add_push_token)
    remove_push_token = Operation(_remove_push_token)
    inbox = Listing(_inbox)
    unread_count = Operation(_unread_count)
    mark_read = Operation(_mark_read)
    archive = Operation(_archive)
    read_all = Operation(_read_all)
