"""What was sent: by a client, to a user or to an address; newest first, at a flat cost.

What a client sent comes from its pages (carillon/pages.py), what somebody was sent from an index
of the notifications; both are ordered by time, so that a page of a list costs the same among a
thousand and among a million. Filters that neither serves look at no more than EVALUATED entries a
request: a page may then be short, or empty, and still lead on. Index and pages follow the table
within moments, not at once.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from carillon import cursors, pages
from carillon.messages import NotificationRequest, channel_of
from carillon.models import Channel, timestamp
from carillon.status import Listed, ListedDelivery, Standing, standings, summary
from carillon.tables import LISTED, Delivery, Notification, tenant_key

EVALUATED = 500
"""Entries that one request looks at, at most."""
_CHUNK = 100
Found = TypeVar("Found", Notification, pages.Entry)
_POSITION = r"[0-9TZ:.-]{24}#[a-z2-7]{26}"


class _Position(NamedTuple):
    """What a cursor holds: alone it cannot lead into somebody else's list."""

    accepted: str
    place: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A notification in a list, with its deliveries."""

    record: Notification
    standings: list[Standing]

    @property
    def status(self) -> str:
        """The notification's state."""
        states = (each.state for each in self.standings)
        return summary(states, one_is_enough=bool(self.record.fallback))

    @property
    def accepted_at(self) -> str:
        """When it was accepted: ISO 8601 UTC."""
        return str(self.record.accepted)

    @property
    def user_id(self) -> str | None:
        """The user it is for, if it is for one."""
        _, kind, name = self.record.recipient.split("#", 2)
        return name if kind == "user" else None


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, newest first, and where the next page begins."""

    entries: list[Entry]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for. ``since`` and ``until`` are included, to the millisecond."""

    user_id: str | None = None
    to: str | None = None
    template_code: str | None = None
    category: str | None = None
    channel: Channel | None = None
    status: str | None = None
    sender: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def span(self) -> tuple[str | None, str | None]:
        """Return the timestamps of ``since`` and ``until``."""
        since = timestamp(self.since) if self.since else None
        return since, timestamp(self.until) if self.until else None

    def narrow(self) -> bool:
        """Tell whether entries must be looked at one by one."""
        return any((self.template_code, self.category, self.channel, self.status, self.sender))

    def keeps(self, entry: Notification) -> bool:
        """Tell whether an entry is one, but for its status."""
        channels = {*map(channel_of, entry.targets), *map(Channel, entry.withheld or {})}
        return (
            self.template_code in (None, entry.template_code)
            and self.category in (None, entry.category)
            and self.sender in (None, entry.sender)
            and (self.channel is None or self.channel in channels)
        )


def sender(tenant: str, client_id: str) -> str:
    """Return what the pages of a client are kept under."""
    return tenant_key(tenant, client_id)


def recipient(tenant: str, request: NotificationRequest) -> str:
    """Return the index key of whom a request is for: the user, else the first address."""
    if request.user_id is not None:
        return recipient_user(tenant, request.user_id)
    given = request.to.model_dump(exclude_none=True) if request.to else {}
    return recipient_address(tenant, next(iter(given.values())))


def recipient_user(tenant: str, user_id: str) -> str:
    """Return the index key of what was sent to a user."""
    return f"{tenant}#user#{user_id}"


def recipient_address(tenant: str, address: str) -> str:
    """Return the index key of what was sent to an address; indexes hold no address in clear."""
    return f"{tenant}#to#{hashlib.sha256(address.encode()).hexdigest()[:32]}"


def of_client(tenant: str, client_id: str, query: Query, limit: int, cursor: str | None) -> Page:
    """Return a page of what a client sent; raises Problem (400) for a cursor we did not make."""
    ours = sender(tenant, client_id)
    if query.user_id is not None or query.to is not None:
        key = (
            recipient_user(tenant, query.user_id)
            if query.user_id is not None
            else recipient_address(tenant, str(query.to))
        )
        own = replace(query, sender=ours)
        return _to(key, own, limit, cursor)
    return _by(ours, query, limit, cursor)


def of_user(tenant: str, user_id: str, query: Query, limit: int, cursor: str | None) -> Page:
    """Return a page of what anybody of the tenant sent to a user; raises Problem (400)."""
    key = recipient_user(tenant, user_id)
    return _to(key, query, limit, cursor)


def listed(entry: Entry) -> Listed:
    """Return what a list says of an entry."""
    return Listed(
        notification_id=entry.record.notification_id,
        status=entry.status,
        user_id=entry.user_id,
        category=entry.record.category,
        template_code=entry.record.template_code,
        created_at=entry.accepted_at,
        deliveries=[
            ListedDelivery(
                channel=each.channel, target=each.target, status=each.state, reason=each.reason
            )
            for each in entry.standings
        ],
    )


def all_of_user(tenant: str, user_id: str) -> Iterator[Notification]:
    """Yield every notification to a user, as the index has it: no message, no metadata."""
    return Notification.by_recipient.query(recipient_user(tenant, user_id))


def _to(key: str, query: Query, limit: int, cursor: str | None) -> Page:
    """Return a page of what somebody was sent."""
    start = None
    if cursor:
        accepted, place = _position(cursor)
        start = {"recipient": {"S": key}, "accepted": {"S": accepted}, "place": {"S": place}}
    since, until = query.span
    if since and until and since > until:
        return Page([], None)  # DynamoDB refuses such a span
    found = Notification.by_recipient.query(
        key,
        range_key_condition=_period(since, until),
        scan_index_forward=False,
        limit=EVALUATED if query.narrow() else limit + 1,
        page_size=_chunk(query, limit),
        last_evaluated_key=start,
    )
    return _page(found, list, query, limit)


def _by(sender: str, query: Query, limit: int, cursor: str | None) -> Page:
    """Return a page of what a client sent."""
    since, until = query.span
    if not cursor:
        return _page(pages.newest_first(sender, until, since), _records, query, limit)
    position = _position(cursor)
    upto = min(position.accepted, until or position.accepted)
    found = (
        each
        for each in pages.newest_first(sender, upto, since)
        if (each.accepted, each.place) < position
    )
    return _page(found, _records, query, limit)


def _records(found: Sequence[pages.Entry]) -> list[Notification]:
    """Return what a list shows of the notifications that are still there, in their order."""
    places = list(dict.fromkeys(each.place for each in found))
    read = Notification.batch_get(places, attributes_to_get=list(LISTED)) if places else ()
    there = {record.notification_id: record for record in read}
    return [there[each.notification_id] for each in found if each.notification_id in there]


def _page(
    found: Iterator[Found],
    load: Callable[[Sequence[Found]], list[Notification]],
    query: Query,
    limit: int,
) -> Page:
    kept: list[Entry] = []
    seen, chunk = 0, _chunk(query, limit)
    last: Found | None = None
    while len(kept) <= limit and (read := list(islice(found, min(chunk, EVALUATED - seen)))):
        seen, last = seen + len(read), read[-1]
        fitting = [each for each in load(read) if query.keeps(each)]
        kept += [each for each in entries(fitting) if query.status in (None, each.status)]
    if len(kept) > limit:
        kept = kept[:limit]
        return Page(kept, _cursor(kept[-1].record))
    return Page(kept, _cursor(last) if last and seen == EVALUATED else None)


def _chunk(query: Query, limit: int) -> int:
    return _CHUNK if query.narrow() else limit + 1


def entries(records: Sequence[Notification]) -> list[Entry]:
    """Return the records with their deliveries, all read together."""
    wanted = [(each.notification_id, target) for each in records for target in each.targets]
    made: dict[str, dict[str, Delivery]] = {}
    for delivery in Delivery.batch_get(wanted) if wanted else ():
        made.setdefault(delivery.notification_id, {})[delivery.target] = delivery
    return [Entry(each, standings(each, made.get(each.notification_id, {}))) for each in records]


def _period(since: str | None, until: str | None) -> Any:
    accepted = Notification.accepted
    if since and until:
        return accepted.between(since, until)
    if since:
        return accepted >= since
    return accepted <= until if until else None


def _cursor(at: Notification | pages.Entry) -> str:
    return cursors.make(f"{at.accepted}#{at.place}")


def _position(cursor: str) -> _Position:
    accepted, _, place = cursors.read(cursor, _POSITION).partition("#")
    return _Position(accepted, place)
