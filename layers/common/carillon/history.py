"""What was sent: by a client, to a user or to an address; newest first, at a flat cost.

Lists come from two indexes of the notifications, each ordered by time, so that a page costs the
same among a thousand and among a million. Filters that no index serves look at no more than
EVALUATED entries a request: a page may then be short, or empty, and still lead on. An index
follows its table within moments, not at once.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

from carillon import cursors
from carillon.messages import NotificationRequest, channel_of
from carillon.models import Channel, timestamp
from carillon.status import Listed, ListedDelivery, Standing, standings, summary
from carillon.tables import ByRecipient, BySender, Delivery, Notification, tenant_key

EVALUATED = 500
"""Entries that one request looks at, at most."""
_CHUNK = 100
_POSITION = r"[0-9TZ:.-]{24}#[a-z2-7]{26}"


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
    """Return the index key of what a client sent."""
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
        return _page(Notification.by_recipient, key, own, limit, cursor)
    return _page(Notification.by_sender, ours, query, limit, cursor)


def of_user(tenant: str, user_id: str, query: Query, limit: int, cursor: str | None) -> Page:
    """Return a page of what anybody of the tenant sent to a user; raises Problem (400)."""
    key = recipient_user(tenant, user_id)
    return _page(Notification.by_recipient, key, query, limit, cursor)


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


def _page(
    index: BySender | ByRecipient,
    key: str,
    query: Query,
    limit: int,
    cursor: str | None,
) -> Page:
    most, chunk = (EVALUATED, _CHUNK) if query.narrow() else (limit + 1, limit + 1)
    found = index.query(
        key,
        range_key_condition=_period(query),
        scan_index_forward=False,
        limit=most,
        page_size=chunk,
        last_evaluated_key=_start(index, key, cursor) if cursor else None,
    )
    kept: list[Entry] = []
    seen = 0
    last: Notification | None = None
    while len(kept) <= limit and (read := list(islice(found, chunk))):
        seen, last = seen + len(read), read[-1]
        fitting = [each for each in read if query.keeps(each)]
        kept += [each for each in entries(fitting) if query.status in (None, each.status)]
    if len(kept) > limit:
        kept = kept[:limit]
        return Page(kept, _cursor(kept[-1].record))
    return Page(kept, _cursor(last) if last and seen == EVALUATED else None)


def entries(records: Sequence[Notification]) -> list[Entry]:
    """Return the records with their deliveries, all read together."""
    wanted = [(each.notification_id, target) for each in records for target in each.targets]
    made: dict[str, dict[str, Delivery]] = {}
    for delivery in Delivery.batch_get(wanted) if wanted else ():
        made.setdefault(delivery.notification_id, {})[delivery.target] = delivery
    return [Entry(each, standings(each, made.get(each.notification_id, {}))) for each in records]


def _period(query: Query) -> Any:
    accepted = Notification.accepted
    until = timestamp(query.until) if query.until else None
    if query.since and until:
        return accepted.between(timestamp(query.since), until)
    if query.since:
        return accepted >= timestamp(query.since)
    return accepted <= until if until else None


def _cursor(record: Notification) -> str:
    return cursors.make(f"{record.accepted}#{record.place}")


def _start(index: BySender | ByRecipient, key: str, cursor: str) -> dict[str, dict[str, str]]:
    # The cursor holds only a position: it cannot lead into somebody else's list.
    accepted, _, place = cursors.read(cursor, _POSITION).partition("#")
    hash_key = "sender" if isinstance(index, BySender) else "recipient"
    return {
        hash_key: {"S": key},
        "accepted": {"S": accepted},
        "place": {"S": place},
    }
