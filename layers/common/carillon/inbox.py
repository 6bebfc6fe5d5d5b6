"""The in-app inbox: one conditional put per notification, read newest first."""

from dataclasses import dataclass

from carillon import cursors
from carillon.messages import Message
from carillon.models import now
from carillon.rendering import Content
from carillon.tables import InboxItem, create, expiry, tenant_key

_POSITION = r"[0-9TZ:.-]{24}#[a-z0-9_]{1,64}"


@dataclass(frozen=True, slots=True)
class Page:
    """Items, newest first, and where the next page begins."""

    items: list[InboxItem]
    next_cursor: str | None


def put(message: Message, user_id: str, content: Content) -> None:
    """Put the notification into the inbox, exactly once however often this is called."""
    create(
        InboxItem(
            tenant_key(message.tenant, user_id),
            f"{message.accepted_at}#{message.notification_id}",
            notification_id=message.notification_id,
            category=message.category,
            title=content["title"],
            body=content["body"],
            action_url=content.get("action_url"),
            created_at=message.accepted_at,
            expires_at=expiry(now()),
        )
    )


def page(tenant: str, user_id: str, limit: int, cursor: str | None) -> Page:
    """Return up to ``limit`` items; raises Problem (400) for a cursor we did not make."""
    user = tenant_key(tenant, user_id)
    found = InboxItem.query(
        user,
        scan_index_forward=False,
        limit=limit + 1,
        page_size=limit + 1,
        last_evaluated_key=_start(user, cursor) if cursor else None,
    )
    items = list(found)  # one more than asked for tells whether there is a next page
    following = len(items) > limit
    items = items[:limit]
    return Page(items, cursors.make(items[-1].position) if following else None)


def _start(user: str, cursor: str) -> dict[str, dict[str, str]]:
    # The cursor holds only a position: it cannot lead into somebody else's inbox.
    position = cursors.read(cursor, _POSITION)
    return {"user": {"S": user}, "position": {"S": position}}
