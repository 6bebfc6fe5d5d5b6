"""The in-app inbox: one conditional put per notification, read newest first.

What is neither read nor archived is also in a sparse index, so that counting and marking it never
reads the rest. The index follows the table within a second or so.
"""

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice

from pynamodb.attributes import UnicodeAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from carillon import cursors
from carillon.content import Content
from carillon.errors import not_found, too_many_writers
from carillon.messages import Message
from carillon.models import Channel, now, timestamp
from carillon.people import EntryPatch
from carillon.storage import create
from carillon.tables import Delivery, InboxItem, UnreadIndex, expiry, tenant_key

_NOTIFICATION_ID = re.compile(r"ntf_[a-z2-7]{32}")
_POSITION = r"[0-9TZ:.-]{24}#[a-z0-9_]{1,64}"
MAX_UNREAD = 1_000
"""How far unread entries are counted, and how many one request marks read."""
MAX_EXAMINED = 500
"""How many entries one request looks at to fill a page."""
READ_AT_ONCE = 100
"""Keys DynamoDB takes in one batch of reads."""
MARK_AT_ONCE = 8
"""Updates under way side by side; the connection pool has ten places."""
WRITE_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Page:
    """Items, newest first, and where the next page begins."""

    items: list[InboxItem]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries to list; None asks for either kind."""

    unread: bool | None = None
    archived: bool = False
    category: str | None = None

    def fits(self, item: InboxItem) -> bool:
        """Tell whether the entry is one of them."""
        return (
            self.unread in (None, item.read_at is None)
            and self.archived is (item.archived_at is not None)
            and self.category in (None, item.category)
        )


def put(message: Message, user_id: str, content: Content) -> None:
    """Put the notification into the inbox, exactly once however often this is called."""
    position = f"{message.accepted_at}#{message.notification_id}"
    create(
        InboxItem(
            tenant_key(message.tenant, user_id),
            position,
            notification_id=message.notification_id,
            category=message.category,
            title=content["title"],
            body=content["body"],
            action_url=content.get("action_url"),
            created_at=message.accepted_at,
            unread=position,
            expires_at=expiry(now()),
        )
    )


def page(tenant: str, user_id: str, limit: int, cursor: str | None, wanted: Wanted) -> Page:
    """Return up to ``limit`` of the wanted entries; raises Problem (400) for a foreign cursor.

    Fewer, with a cursor all the same, when MAX_EXAMINED entries held no more of them.
    """
    user = tenant_key(tenant, user_id)
    start = cursors.read(cursor, _POSITION) if cursor else None
    source = _unread if wanted.unread and not wanted.archived else _all
    found: list[InboxItem] = []
    for seen, item in enumerate(source(user, start, limit + 1), 1):
        if wanted.fits(item):
            if len(found) == limit:  # one more than asked for tells that there is a next page
                return Page(found, cursors.make(found[-1].position))
            found.append(item)
        if seen == MAX_EXAMINED:
            return Page(found, cursors.make(item.position))
    return Page(found, None)


def unread_count(tenant: str, user_id: str) -> int:
    """Return how many entries are neither read nor archived; MAX_UNREAD stands for more."""
    user = tenant_key(tenant, user_id)
    return min(InboxItem.unread_index.count(user, limit=MAX_UNREAD), MAX_UNREAD)


def patch(tenant: str, user_id: str, notification_id: str, request: EntryPatch) -> InboxItem:
    """Mark an entry read or archived, or neither again; raises Problem (404, 409).

    What was read or archived before keeps its time.
    """
    for _ in range(WRITE_ATTEMPTS):
        item = _entry(tenant_key(tenant, user_id), notification_id)
        before = _same(InboxItem.read_at, item.read_at) & _same(
            InboxItem.archived_at, item.archived_at
        )
        read_at = _moment(item.read_at, request.read)
        archived_at = _moment(item.archived_at, request.archived)
        changes = [
            _setting(InboxItem.read_at, read_at),
            _setting(InboxItem.archived_at, archived_at),
            _setting(InboxItem.unread, None if read_at or archived_at else item.position),
        ]
        if item.amend(changes, InboxItem.position.exists() & before):
            item.read_at, item.archived_at = read_at, archived_at
            return item
    raise too_many_writers()


def read_all(tenant: str, user_id: str) -> None:
    """Mark what is unread and was accepted by now, the newest MAX_UNREAD of it."""
    moment = timestamp(now())
    found = InboxItem.unread_index.query(
        tenant_key(tenant, user_id),
        UnreadIndex.unread < f"{moment}~",  # after any id of that moment
        scan_index_forward=False,
        limit=MAX_UNREAD,
        page_size=MAX_UNREAD,
    )
    with ThreadPoolExecutor(MARK_AT_ONCE) as pool:
        list(pool.map(partial(_mark_read, moment), found))


def _mark_read(moment: str, item: InboxItem) -> None:
    # What was read, archived or deleted since the index was read stays as it is.
    changes = [_setting(InboxItem.read_at, moment), _setting(InboxItem.unread, None)]
    item.amend(changes, InboxItem.unread.exists())


def _entry(user: str, notification_id: str) -> InboxItem:
    """Return a notification's entry: its delivery tells when it was accepted, and so where."""
    missing = not_found("notification", "path:notification_id")
    if not _NOTIFICATION_ID.fullmatch(notification_id):
        raise missing
    try:
        delivery = Delivery.get(notification_id, Channel.INAPP.value, consistent_read=True)
        position = f"{delivery.accepted_at}#{notification_id}"
        return InboxItem.get(user, position, consistent_read=True)
    except (Delivery.DoesNotExist, InboxItem.DoesNotExist):
        raise missing from None


def _moment(before: str | None, wanted: bool | None) -> str | None:
    if wanted is None:
        return before
    return (before or timestamp(now())) if wanted else None


def _setting(attribute: UnicodeAttribute, value: str | None) -> Action:
    return attribute.remove() if value is None else attribute.set(value)


def _same(attribute: UnicodeAttribute, value: str | None) -> Condition:
    return attribute.does_not_exist() if value is None else attribute == value


def _all(user: str, start: str | None, page_size: int) -> Iterator[InboxItem]:
    return InboxItem.query(
        user,
        scan_index_forward=False,
        page_size=page_size,
        last_evaluated_key=_key(user, start) if start else None,
    )


def _unread(user: str, start: str | None, page_size: int) -> Iterator[InboxItem]:
    keys = InboxItem.unread_index.query(
        user,
        scan_index_forward=False,
        page_size=page_size,
        last_evaluated_key={**_key(user, start), "unread": {"S": start}} if start else None,
    )
    while some := [(item.user, item.position) for item in islice(keys, READ_AT_ONCE)]:
        found = InboxItem.batch_get(some)
        yield from sorted(found, key=lambda item: item.position, reverse=True)


def _key(user: str, position: str) -> dict[str, dict[str, str]]:
    return {"user": {"S": user}, "position": {"S": position}}


def entries(tenant: str, user_id: str) -> Iterator[InboxItem]:
    """Yield every entry, newest first."""
    return _all(tenant_key(tenant, user_id), None, READ_AT_ONCE)


def find(tenant: str, user_id: str, sent: Iterable[tuple[str, str]]) -> dict[str, InboxItem]:
    """Return the entries of notifications, told by when they were accepted and their ids."""
    user = tenant_key(tenant, user_id)
    keys = [(user, f"{accepted_at}#{name}") for accepted_at, name in sent]
    return {item.notification_id: item for item in InboxItem.batch_get(keys)} if keys else {}


def erase(tenant: str, user_id: str, until: str | None = None) -> None:
    """Delete the entries of a user, those accepted by ``until`` alone when it is given."""
    found = InboxItem.query(
        tenant_key(tenant, user_id),
        InboxItem.position < f"{until}~" if until else None,
        attributes_to_get=["user", "position"],
        consistent_read=True,
    )
    with InboxItem.batch_write() as batch:
        for item in found:
            batch.delete(item)
