"""Changes of what is stored, made item by item while everything runs (docs/adr/0020-migrations.md).

One number per deployment tells how far its items have come: items bear none. A migration is a pure
function of what it reads of an item, and is written only where all of that is still so; whoever
runs it again, or at the same time, changes nothing twice.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any

from pynamodb.attributes import Attribute, NumberAttribute, UnicodeAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from carillon.models import now, timestamp
from carillon.storage import Item, TableName
from carillon.tables import InboxItem

PAGE = 100
RESERVE_SECONDS = 5
"""Left of an invocation, for what is to be told."""

Values = Mapping[str, Any]
Change = Callable[[Values], Values | None]


class Layout(Item):
    """How far the stored items have come, and how far the migration has that is being made."""

    class Meta:
        table_name = TableName("controls_table")

    kind = UnicodeAttribute(hash_key=True, default="schema")
    name = UnicodeAttribute(range_key=True, default="items")
    number = NumberAttribute(default=0)
    cursor = UnicodeAttribute(null=True)  # JSON: the last key that was looked at
    changed_at = UnicodeAttribute(null=True)


@dataclass(frozen=True, slots=True)
class Migration:
    """Brings the items of one table to the layout of its number.

    ``change`` gets the attributes named in ``reads`` (None where the item has none) and returns
    those to write, None for one that goes; or None where the item is as it should be. It reads no
    JSON, which may be stored in another order than it would be compared in. Of an item with a
    version it reads the version and adds one to it: who has read it before writes anew.
    """

    number: int
    about: str
    kind: type[Item]
    reads: tuple[str, ...]
    change: Change


def _unread(entry: Values) -> Values | None:
    """Give an entry of before the index of the unread its place there."""
    if entry["unread"] or entry["read_at"] or entry["archived_at"]:
        return None
    return {"unread": entry["position"]}


MIGRATIONS: Sequence[Migration] = (
    Migration(
        number=1,
        about="entries of the inbox from before its index of the unread are in it",
        kind=InboxItem,
        reads=("position", "unread", "read_at", "archived_at"),
        change=_unread,
    ),
)
"""In order; one that has run anywhere is never changed, nor is its number used again."""


@dataclass(slots=True)
class Progress:
    """What one slice of the work did."""

    number: int  # the layout that every item has now
    wanted: int
    about: str = ""
    looked_at: int = 0
    changed: int = 0
    done: bool = False
    cursor: str | None = None


def latest() -> int:
    """Return the layout that this code writes."""
    return max((each.number for each in MIGRATIONS), default=0)


def run(
    time_left: Callable[[], float],
    pace: Callable[[], None],
    *,
    dry_run: bool = False,
    cursor: str | None = None,
) -> Progress:
    """Migrate until it is done, or the time is nearly over; the next call goes on.

    ``time_left``: seconds. ``pace`` is called before each write. A dry run counts, writes nothing
    and looks at the next migration alone; it goes on from ``cursor``, which it returns.
    """
    layout = _layout()
    progress = Progress(int(layout.number), latest())
    for migration in MIGRATIONS:
        if migration.number <= layout.number:
            continue
        progress.about = migration.about
        start = cursor if dry_run else layout.cursor
        progress.cursor = _slice(migration, start, progress, time_left, pace, layout, dry_run)
        if progress.cursor or dry_run:
            progress.done = dry_run and not progress.cursor
            return progress
        if not _advance(layout, migration.number):
            return progress  # Another got there first; the next call sees how far.
        progress.number = migration.number
    progress.done = True
    return progress


def begin_again() -> None:
    """Have all of it looked at once more: what a backup brought back has the layout of its time."""
    Layout().update(actions=[Layout.number.set(0), Layout.cursor.remove()])


def _layout() -> Layout:
    try:
        return Layout.get("schema", "items", consistent_read=True)
    except Layout.DoesNotExist:
        return Layout()


def _slice(  # noqa: PLR0913, PLR0917 - one of each
    migration: Migration,
    cursor: str | None,
    progress: Progress,
    time_left: Callable[[], float],
    pace: Callable[[], None],
    layout: Layout,
    dry_run: bool,
) -> str | None:
    """Work through a table page by page; return where to go on, None at its end.

    An item at least, however little time there is: so it ends.
    """
    while True:
        found = migration.kind.scan(
            limit=PAGE,
            page_size=PAGE,
            last_evaluated_key=json.loads(cursor) if cursor else None,
            attributes_to_get=_wanted(migration),
            consistent_read=True,
        )
        for item in found:
            progress.looked_at += 1
            progress.changed += _migrate(migration, item, pace, dry_run)
            if time_left() <= RESERVE_SECONDS:
                break
        if found.last_evaluated_key is None:
            return None
        cursor = json.dumps(found.last_evaluated_key)
        if not dry_run:
            _note(layout, cursor)
        if time_left() <= RESERVE_SECONDS:
            return cursor


def _wanted(migration: Migration) -> list[str]:
    attributes = migration.kind.get_attributes()
    keys = (name for name, each in attributes.items() if each.is_hash_key or each.is_range_key)
    return list(dict.fromkeys([*keys, *migration.reads]))


def _migrate(migration: Migration, item: Item, pace: Callable[[], None], dry_run: bool) -> bool:
    seen = {name: getattr(item, name) for name in migration.reads}
    change = migration.change(seen)
    if change is None:
        return False
    if dry_run:
        return True
    pace()
    attributes = migration.kind.get_attributes()
    return item.amend(_actions(attributes, change), _as_read(attributes, seen))


def _actions(attributes: Mapping[str, Attribute[Any]], change: Values) -> list[Action]:
    return [
        attributes[name].remove() if value is None else attributes[name].set(value)
        for name, value in change.items()
    ]


def _as_read(attributes: Mapping[str, Attribute[Any]], seen: Values) -> Condition:
    """Return that the item is there, and all that was read of it is still so."""
    conditions = (
        attributes[name].does_not_exist() if value is None else attributes[name] == value
        for name, value in seen.items()
    )
    key = next(each for each in attributes.values() if each.is_hash_key)
    whole: Condition = reduce(and_, conditions, key.exists())
    return whole


def _still(layout: Layout) -> Condition:
    same: Condition = Layout.number.does_not_exist() | (Layout.number == layout.number)
    return same


def _note(layout: Layout, cursor: str) -> None:
    """Note how far it has come, unless another run has finished the migration meanwhile."""
    layout.amend([Layout.cursor.set(cursor)], _still(layout))


def _advance(layout: Layout, number: int) -> bool:
    """Note that a migration is done; False when another run was quicker."""
    told = [
        Layout.number.set(number),
        Layout.cursor.remove(),
        Layout.changed_at.set(timestamp(now())),
    ]
    if not layout.amend(told, _still(layout)):
        return False
    layout.number, layout.cursor = number, None
    return True


def steady(rate: float) -> Callable[[], None]:
    """Return what lets ``rate`` calls a second pass, by waiting."""
    due = time.monotonic()

    def pace() -> None:
        nonlocal due
        due = max(due, time.monotonic() - 1) + 1 / rate
        if (wait := due - time.monotonic()) > 0:
            time.sleep(wait)

    return pace
