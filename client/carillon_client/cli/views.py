"""What people read: tables that fold rather than cut, states in colours."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Group
from rich.table import Table
from rich.text import Text

from carillon_client.models import (
    ARRIVED_STATES,
    UNDELIVERED_STATES,
    DeliveryStatus,
    NotificationStatus,
)

WHOLE = ("id", "client", "key", "state")
LONGEST_ADDRESS = 64
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
Cell = str | Text | None


def safe(text: str, style: str = "") -> Text:
    """Return what somebody else wrote, with nothing in it that a terminal would obey."""
    return Text(_CONTROL.sub("\ufffd", text), style)


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Table:
    """Return a table without lines; nothing in it is cut off."""
    drawn = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        # What is to be copied stays in one piece; the others make room.
        drawn.add_column(column, overflow="fold", no_wrap=column in WHOLE)
    for row in rows:
        drawn.add_row(*[cell if isinstance(cell, Text) else safe(cell or "") for cell in row])
    return drawn


def pairs(values: Iterable[tuple[str, Cell]]) -> Table:
    """Return names and values, one per line; those without a value are left out."""
    drawn = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    drawn.add_column(style="dim", no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, value in values:
        if value:
            drawn.add_row(name, value if isinstance(value, Text) else safe(value))
    return drawn


def moment(when: datetime | None) -> str:
    """Return a time in UTC, to the second."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if when else ""


def minute(when: datetime | None) -> str:
    """Return a time in UTC, to the minute, for lists that need the room."""
    return moment(when)[:16]


def state(name: str) -> Text:
    """Return a state in its colour."""
    good = ARRIVED_STATES | {"completed"}
    bad = UNDELIVERED_STATES | {"partially_failed"}
    return Text(name, style="green" if name in good else "red" if name in bad else "yellow")


def notification(status: NotificationStatus) -> Group:
    """Return where a notification and each of its deliveries stands."""
    columns = ("channel", "to", "state", "tries", "provider", "why")
    return Group(
        Text.assemble(status.notification_id, "  ", state(status.status)),
        table(columns, map(_delivery, status.deliveries)),
    )


def sheets(texts: Iterable[tuple[str, str]]) -> Iterator[Text]:
    """Yield each text under its name."""
    for name, text in texts:
        yield safe(f"--- {name}", "dim")
        yield safe(text.removesuffix("\n"))


def _shortened(address: str | None) -> str | None:
    """Return an address whole, but for the length of a device's token."""
    if address is None or len(address) <= LONGEST_ADDRESS:
        return address
    return f"{address[:12]}\N{HORIZONTAL ELLIPSIS}{address[-8:]}"


def _delivery(one: DeliveryStatus) -> Sequence[Cell]:
    why = one.reason or (f"{one.error.code} {one.error.message}" if one.error else "")
    if one.possible_duplicate:
        why = f"{why} (may have been sent twice)".lstrip()
    tries = str(one.attempts) if one.attempts else ""
    return one.channel, _shortened(one.to), state(one.status), tries, one.provider, why
