"""Bodies about users: profile, preferences, devices, entries of the inbox."""

from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    StrictBool,
    StringConstraints,
    model_validator,
)

from carillon.addresses import EmailAddress, PhoneNumber, PushToken
from carillon.models import ChannelName, Line, Locale, Strict

MAX_WINDOWS = 14
"""Most quiet hours a user may name: two windows on each day of the week."""
EVERY_OTHER = "*"
"""Stands for each category that preferences do not name."""


def _known_timezone(name: str) -> str:
    if name not in _timezones():
        raise ValueError("not a name of the IANA time zone database")
    return name


def _timezones() -> frozenset[str]:
    from zoneinfo import available_timezones  # noqa: PLC0415 - reads the disk

    return frozenset(available_timezones())


def _each_day_once(days: list[str]) -> list[str]:
    if len(set(days)) != len(days):
        raise ValueError("a day is named twice")
    return days


def _flag(value: object) -> object:
    if value not in ("true", "false"):
        raise ValueError("true or false")
    return value == "true"


Timezone = Annotated[str, AfterValidator(_known_timezone)]
Category = Annotated[str, StringConstraints(pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9._:-]{0,63})$")]
Clock = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Answers = StrictBool | dict[ChannelName, StrictBool]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Flag = Annotated[bool, BeforeValidator(_flag)]
"""A query parameter: ``true`` or ``false``, and nothing that could be taken for either."""


class UserRequest(Strict):
    """PUT /users/{id}: the whole profile."""

    email: EmailAddress | None = None
    phone: PhoneNumber | None = None
    full_name: Line | None = None
    locale: Locale | None = None
    timezone: Timezone | None = None
    attributes: dict[str, JsonValue] = Field(default_factory=dict)


class UserPatch(UserRequest):
    """PATCH /users/{id}: the fields to change; null empties one."""


class Window(Strict):
    """Hours of quiet on each day, or on the days named; past midnight when they end earlier.

    ``days`` are those they start on.
    """

    start: Clock
    end: Clock
    days: Annotated[list[Day], Field(min_length=1), AfterValidator(_each_day_once)] | None = None

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.start == self.end:
            raise ValueError("start and end are the same")
        return self


class QuietHours(Strict):
    """When the user wants to be left alone, in their time zone unless another is named."""

    windows: Annotated[list[Window], Field(max_length=MAX_WINDOWS)]
    timezone: Timezone | None = None


class PreferencesRequest(Strict):
    """PUT /users/{id}/preferences: what the user wants; silence means yes.

    ``categories`` maps a category to one answer for all channels or to one per channel; ``*``
    stands for every category not named.
    """

    channels: dict[ChannelName, StrictBool] = Field(default_factory=dict)
    categories: dict[Category, Answers] = Field(default_factory=dict)
    quiet_hours: QuietHours | None = None
    timezone: Timezone | None = None
    locale: Locale | None = None


class PreferencesPatch(PreferencesRequest):
    """PATCH /users/{id}/preferences: what is given is replaced; null empties the last three."""


class PushTokenRequest(Strict):
    """POST /users/{id}/push-tokens: a device."""

    fcm_token: PushToken
    platform: Literal["android", "ios", "web", "other"]
    device_id: Line | None = None


class EntryPatch(Strict):
    """PATCH /users/{id}/notifications/{notification_id}: what became of an inbox entry."""

    read: StrictBool | None = None
    archived: StrictBool | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.read is None and self.archived is None:
            raise ValueError("give read, archived, or both")
        return self
