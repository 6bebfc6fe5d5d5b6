"""What travels: the API's bodies, the message on the queues, the states of a delivery.

The same models validate a request, document it in OpenAPI and carry it to the workers.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

T = TypeVar("T")

MAX_BODY_BYTES = 65_536
"""Largest request body: one SNS publish is billed, and allowed, per 64 KiB."""


class Channel(StrEnum):
    """A way to reach somebody; its value is the folder name under functions/channels."""

    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"
    INAPP = "inapp"


class State(StrEnum):
    """Where a delivery stands. SENT means accepted by the provider, not delivered.

    DEAD_LETTERED waits for an operator, who redrives or discards it.
    """

    QUEUED = "queued"
    SENDING = "sending"
    RETRYING = "retrying"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SUPPRESSED = "suppressed"
    SKIPPED = "skipped"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    DELIVERED = "delivered"
    DEAD_LETTERED = "dead_lettered"


OPEN_STATES = frozenset({State.QUEUED, State.SENDING, State.RETRYING})
TEST = "test"
"""The provider of what was sent with a test key; it says nothing of how well we send."""


def channel_spelling(value: object) -> object:
    """Return a channel's own name for another spelling of it."""
    return "inapp" if value in ("in_app", "in-app") else value


_PRIORITIES = {"low": 2, "normal": 5, "high": 8, "critical": 10}


def _priority_word(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number from 1 to 10, or low, normal, high, critical")  # noqa: TRY004
    return _PRIORITIES.get(value, value) if isinstance(value, str) else value


def _number_as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _moment(value: object) -> object:
    if not isinstance(value, str) or not re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:", value):
        raise ValueError("a date and time with its zone, as 2026-11-21T09:30:00Z")
    return value


def _day(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        raise ValueError("a date, as 2026-11-21")
    return value


def _hyphens(value: object) -> object:
    return value.replace("_", "-") if isinstance(value, str) else value


ChannelName = Annotated[Channel, BeforeValidator(channel_spelling)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]
Locale = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$"),
    BeforeValidator(_hyphens),
]
UserId = Annotated[
    str,
    # What a path can name without being spelt otherwise, and is more than dots.
    StringConstraints(
        max_length=128, pattern=r"^[\w.~()'!*:@,;=+&$|^-]*\w[\w.~()'!*:@,;=+&$|^-]*$"
    ),
    BeforeValidator(_number_as_text),
]
# RFC 3339; pydantic would take a number of seconds as well.
Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
Day = Annotated[date, BeforeValidator(_day)]
IdempotencyKey = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,255}$")]
VersionNumber = Annotated[int, Field(ge=1, le=99_999)]
Priority = Annotated[
    int,
    BeforeValidator(_priority_word),
    Field(ge=1, le=10),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 10}, {"enum": list(_PRIORITIES)}]},
        mode="validation",
    ),
]
# One line that shows something: no control characters, no line breaks of Unicode's.
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
Line = Annotated[
    str,
    StringConstraints(max_length=255, pattern=rf"^[^{_CONTROL}]*[^\s{_CONTROL}][^{_CONTROL}]*$"),
]


class Shape(BaseModel):
    """JSON that comes or goes. Its validator is made at first use: a route needs few of them."""

    model_config = ConfigDict(defer_build=True)


class Strict(Shape):
    """A body from outside: unknown fields are refused, not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# --- answers --------------------------------------------------------------------------------


class Meta(Shape):
    """What belongs to the answer rather than to its data."""

    correlation_id: str


class PageMeta(Meta):
    """The same of a list: ``next_cursor`` leads to the next page while ``has_next``."""

    limit: int
    next_cursor: str | None
    has_next: bool


class Answer(Shape, Generic[T]):
    """The envelope of every success."""

    success: Literal[True] = True
    data: T
    error: None = None
    message: str
    meta: Meta


class Page(Shape, Generic[T]):
    """The envelope of a page of a list."""

    success: Literal[True] = True
    data: list[T]
    error: None = None
    message: str
    meta: PageMeta


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    """Return ISO 8601 in UTC with milliseconds: sorts as text."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def by_channel(values: Mapping[str, Any]) -> dict[Channel, Any]:
    """Return a stored mapping with its keys as channels again."""
    return {Channel(name): value for name, value in values.items()}
