"""What each client sent, by time: pages of entries, written from the notifications' stream.

A page takes what a batch of stream records tells of one client, SPAN at most from its newest to
its oldest, and is known by its newest. Pages overlap where the stream has several shards, and a
batch that comes again may be cut otherwise: who reads puts the entries in order, and takes each
once. A page says nothing personal, and is never changed; what an entry leads to may be gone.

The sweep looks at what it finds when its age has come. What is paged later than LATE_AFTER, the
stream having stood still, is noted once more under LATE, where the sweep finds it whatever its
age: it may have passed by. That is judged after the page is written, so that no process can be
slow enough to write a late page unnoticed.
"""

import hashlib
import struct
from base64 import b32decode, b32encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain, groupby
from operator import attrgetter
from typing import Any, NamedTuple

from pynamodb.attributes import BinaryAttribute, JSONAttribute, NumberAttribute, UnicodeAttribute

from carillon.models import now, timestamp
from carillon.storage import Item, TableName
from carillon.tables import Notification, of_image

SPAN = timedelta(seconds=5)
"""Between the newest and the oldest of a page, at most; a list may read as much beyond its end."""
MOST = 500
"""Entries of a page, and a tenth of their deliveries: a page stays far below an item's 400 KB."""
LATE = "late"
LATE_AFTER = timedelta(minutes=1)
"""Less than the sweep's first age by more than clocks differ."""
_ENTRY = struct.Struct(">HH20s")  # milliseconds before the newest, which targets, the id
_READ = ("sender", "accepted", "notification_id", "targets", "expires_at")
_PREFIX = "ntf_"
_MILLISECOND = timedelta(milliseconds=1)
_FIRST, _MORE = 8, 32
"""Pages of one read: a page may have one entry or hundreds."""


class HistoryPage(Item):
    """Entries of what one client sent, or of what came late to its page."""

    class Meta:
        table_name = TableName("history_table")

    sender = UnicodeAttribute(hash_key=True)  # "<tenant>#<client id>", or LATE
    position = UnicodeAttribute(range_key=True)  # "<its newest acceptance>#<digest of entries>"
    entries = BinaryAttribute(legacy_encoding=False)  # packed, newest first
    targets = JSONAttribute()  # each list of targets that an entry has, once
    expires_at = NumberAttribute()  # epoch seconds


class Entry(NamedTuple):
    """A notification in a page."""

    accepted: str  # ISO 8601 UTC
    notification_id: str
    targets: Sequence[str]

    @property
    def place(self) -> str:
        """Where the notification is recorded, unless its key has lapsed and stands for another."""
        return self.notification_id[4:30]


class _Told(NamedTuple):
    """What a stream record tells."""

    sender: str
    entry: Entry
    moment: datetime
    expires_at: int
    restored: bool


def keep(records: Iterable[Mapping[str, Any]]) -> None:
    """Write the pages of a batch of stream records; harmless to repeat. Raises PutError."""
    told = [_told(each) for each in records if _is_accepted(each["dynamodb"])]
    _write(told)
    late = now() - LATE_AFTER
    _write((each for each in told if each.moment < late and not each.restored), under=LATE)


def newest_first(
    sender: str, until: str | None = None, since: str | None = None, *, consistent: bool = False
) -> Iterator[Entry]:
    """Yield what a client sent, each once; ``until`` and ``since`` are included."""
    waiting: list[Entry] = []
    last: Entry | None = None
    for page in chain(_read(sender, until, since, consistent=consistent), [None]):
        # What the pages still to come may have is no newer than the newest of this one.
        newest = page.position.partition("#")[0] if page else ""
        while waiting and waiting[-1].accepted > newest:
            entry = waiting.pop()
            if entry != last:
                yield entry
            last = entry
        if page:
            found = unpack(page)
            waiting += [e for e in found if (since or "") <= e.accepted <= (until or "~")]
            waiting.sort(key=attrgetter("accepted", "notification_id"))


def late() -> Iterator[HistoryPage]:
    """Yield the pages of what came late; who has looked at one deletes it."""
    return HistoryPage.query(LATE, consistent_read=True)


def unpack(page: HistoryPage) -> Iterator[Entry]:
    """Yield the entries of a page, newest first."""
    newest = datetime.fromisoformat(page.position.partition("#")[0])
    for before, which, raw in _ENTRY.iter_unpack(bytes(page.entries)):
        accepted = timestamp(newest - before * _MILLISECOND)
        yield Entry(accepted, _PREFIX + b32encode(raw).decode().lower(), page.targets[which])


def _is_accepted(change: Mapping[str, Any]) -> bool:
    """Tell whether a notification is new, and not only changed or deleted."""
    old, new = change.get("OldImage"), change.get("NewImage")
    return new is not None and (
        old is None or old["notification_id"]["S"] != new["notification_id"]["S"]
    )


def _told(record: Mapping[str, Any]) -> _Told:
    image = record["dynamodb"]["NewImage"]
    accepted = of_image(Notification, {name: image[name] for name in _READ})
    return _Told(
        accepted.sender,
        Entry(accepted.accepted, accepted.notification_id, accepted.targets),
        datetime.fromisoformat(accepted.accepted),
        int(accepted.expires_at),
        "restored" in image,
    )


def _write(told: Iterable[_Told], under: str | None = None) -> None:
    with HistoryPage.batch_write() as batch:
        for page in _cut(sorted(told, key=attrgetter("sender", "entry.accepted"), reverse=True)):
            batch.save(_packed(page, under or page[0].sender))


def _cut(told: Iterable[_Told]) -> Iterator[list[_Told]]:
    for _, of_one in groupby(told, key=attrgetter("sender")):
        page: list[_Told] = []
        for each in of_one:
            if page and not _fits(page, each):
                yield page
                page = []
            page.append(each)
        yield page


def _fits(page: Sequence[_Told], more: _Told) -> bool:
    deliveries = sum(len(each.entry.targets) for each in page)
    return (
        len(page) < MOST
        and deliveries + len(more.entry.targets) <= 10 * MOST
        and page[0].moment - more.moment <= SPAN
    )


def _packed(page: Sequence[_Told], under: str) -> HistoryPage:
    newest = page[0]
    known: dict[tuple[str, ...], int] = {}
    packed = b"".join(
        _ENTRY.pack(
            (newest.moment - each.moment) // _MILLISECOND,
            known.setdefault(tuple(each.entry.targets), len(known)),
            b32decode(each.entry.notification_id.removeprefix(_PREFIX).upper()),
        )
        for each in page
    )
    return HistoryPage(
        under,
        # The same again is the same item; another cut never takes a page's place.
        f"{newest.entry.accepted}#{hashlib.sha256(packed).hexdigest()[:16]}",
        entries=packed,
        targets=[list(each) for each in known],
        expires_at=max(each.expires_at for each in page),
    )


def _read(
    sender: str, until: str | None, since: str | None, *, consistent: bool
) -> Iterator[HistoryPage]:
    """Yield the pages that may have entries of a span of time, by their newest, backwards."""
    begin = since or "0"
    end = f"{timestamp(datetime.fromisoformat(until) + SPAN)}~" if until else "~"
    start, size = None, _FIRST
    while begin <= end:
        found = HistoryPage.query(
            sender,
            HistoryPage.position.between(begin, end),
            consistent_read=consistent,
            scan_index_forward=False,
            limit=size,
            page_size=size,
            last_evaluated_key=start,
        )
        yield from found
        start, size = found.last_evaluated_key, _MORE
        if start is None:
            return
