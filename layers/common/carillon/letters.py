"""Dead letters as they are stored: queue messages that were given up, and the jobs that clear them.

A letter stands until an operator has it sent again or puts it away. Only what stands is in the two
indexes, so what they hold is what there is to do. The text of a message is kept while it stands.
"""

import zlib
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any

from pynamodb.attributes import (
    BinaryAttribute,
    JSONAttribute,
    NumberAttribute,
    UnicodeAttribute,
)
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection
from pynamodb.pagination import ResultIterator

from carillon.models import timestamp
from carillon.settings import settings
from carillon.storage import Item, TableName

KEPT_DAYS = 14
"""How long a letter is kept at least: as long as SQS would."""
STANDING = "letters"
"""The index's one key: operators' lists are short, or there is worse to do than to split them."""
_LAST = "~"
"""Sorts after any moment and any ``#``."""


class LetterState(StrEnum):
    """What has become of a letter."""

    STANDING = "standing"
    MOVING = "moving"  # a job has it in hand
    REDRIVEN = "redriven"
    DISCARDED = "discarded"


# What a list shows of a letter, copied into its indexes: all but its text.
_LISTED = [
    "state",
    "tenant",
    "channel",
    "code",
    "reason",
    "template_code",
    "notification_id",
    "targets",
    "parked_at",
    "fingerprint",
    "attempts",
    "receives",
    "refused_by",
]


class ByTime(GlobalSecondaryIndex["Letter"]):  # type: ignore[no-untyped-call]
    """What stands, by tenant and time."""

    class Meta:
        index_name = "by_time"
        projection = IncludeProjection(_LISTED)

    standing = UnicodeAttribute(hash_key=True)
    since = UnicodeAttribute(range_key=True)


class ByFingerprint(GlobalSecondaryIndex["Letter"]):  # type: ignore[no-untyped-call]
    """What stands of one kind, by time."""

    class Meta:
        index_name = "by_fingerprint"
        projection = IncludeProjection(_LISTED)

    group = UnicodeAttribute(hash_key=True)
    since = UnicodeAttribute(range_key=True)


class Letter(Item):
    """A message that was given up, at the place of its notification and its SQS message."""

    class Meta:
        table_name = TableName("deadletters_table")

    about = UnicodeAttribute(hash_key=True)  # the notification's id, or "none#<letter id>"
    letter_id = UnicodeAttribute(range_key=True)  # the SQS message's
    by_time = ByTime()
    by_fingerprint = ByFingerprint()
    standing = UnicodeAttribute(null=True)  # STANDING, while it does
    since = UnicodeAttribute(null=True)  # "<tenant>#<parked at>#<letter id>", while it stands
    group = UnicodeAttribute(null=True)  # "<tenant>#<fingerprint>", while it stands
    body = BinaryAttribute(null=True, legacy_encoding=False)  # deflated, while it stands
    state = UnicodeAttribute()
    tenant = UnicodeAttribute()
    channel = UnicodeAttribute()
    code = UnicodeAttribute()
    reason = UnicodeAttribute()
    template_code = UnicodeAttribute(null=True)
    notification_id = UnicodeAttribute(null=True)
    targets = JSONAttribute()  # the names of its deliveries
    parked_at = UnicodeAttribute()
    fingerprint = UnicodeAttribute()
    attempts = NumberAttribute()  # of its delivery that had the most
    receives = NumberAttribute()  # times SQS handed it out
    job_id = UnicodeAttribute(null=True)  # of the job that has, or had, it in hand
    lease_until = NumberAttribute(null=True)  # epoch seconds
    refused_by = UnicodeAttribute(null=True)  # the job that could not send it
    ended_at = UnicodeAttribute(null=True)
    ended_by = UnicodeAttribute(null=True)
    note = UnicodeAttribute(null=True)  # the operator's reason
    expires_at = NumberAttribute()

    @property
    def text(self) -> str:
        """The message, as it was in the queue."""
        return zlib.decompress(bytes(self.body)).decode("utf-8", "surrogatepass")

    @property
    def position(self) -> str:
        """Its place in any list, and what leads there."""
        return f"{self.parked_at}#{self.letter_id}#{self.about}"


class LetterJob(Item):
    """An order to clear the letters that fit a filter, and how far that is."""

    class Meta:
        table_name = TableName("deadletters_table")

    about = UnicodeAttribute(hash_key=True)  # "job#<tenant>#<job id>"
    letter_id = UnicodeAttribute(range_key=True)  # "job"
    job_id = UnicodeAttribute()
    tenant = UnicodeAttribute()
    kind = UnicodeAttribute()
    wanted = JSONAttribute()  # the filter
    rate_per_second = NumberAttribute()
    note = UnicodeAttribute(null=True)  # the operator's reason
    actor = UnicodeAttribute()
    state = UnicodeAttribute()
    total = NumberAttribute()
    done = NumberAttribute(default=0)
    failed = NumberAttribute(default=0)
    requested_at = UnicodeAttribute()
    queued_at = UnicodeAttribute()
    started_at = UnicodeAttribute(null=True)
    ended_at = UnicodeAttribute(null=True)
    expires_at = NumberAttribute()


def deflated(body: str) -> bytes:
    """Return a message's text as it is stored: an item holds 400 KB."""
    return zlib.compress(body.encode("utf-8", "surrogatepass"))


def stands(letter: Letter) -> Letter:
    """Return the letter with what puts it into the indexes."""
    letter.state = LetterState.STANDING
    letter.standing = STANDING
    letter.since = f"{letter.tenant}#{letter.parked_at}#{letter.letter_id}"
    letter.group = f"{letter.tenant}#{letter.fingerprint}"
    return letter


def ended(state: LetterState) -> list[Action]:
    """Return the actions that take a letter out of the indexes, its text with it."""
    return [
        Letter.state.set(state),
        Letter.standing.remove(),
        Letter.since.remove(),
        Letter.group.remove(),
        Letter.body.remove(),
        Letter.lease_until.remove(),
    ]


def expiry(moment: datetime) -> int:
    """Return when a letter of ``moment`` may be deleted, in epoch seconds."""
    return int(moment.timestamp()) + max(settings().retention_days, KEPT_DAYS) * 86_400


def by_time(tenant: str, **how: Any) -> ResultIterator[Letter]:
    """Return what stands of a tenant; ``how`` is the query's, ``since`` and ``until`` texts."""
    return Letter.by_time.query(STANDING, _period(tenant, how), **how)


def by_fingerprint(tenant: str, fingerprint: str, **how: Any) -> ResultIterator[Letter]:
    """Return the same of one kind."""
    return Letter.by_fingerprint.query(f"{tenant}#{fingerprint}", _period(tenant, how), **how)


def _period(tenant: str, how: dict[str, Any]) -> Condition:
    since, until = how.pop("since", None) or "", how.pop("until", None) or ""
    first, last = f"{tenant}#{since}", f"{tenant}#{until}{_LAST}"
    # DynamoDB refuses a period that ends before it begins; this one has nothing in it.
    return Letter.since.between(first, max(first, last))


def of_notification(notification_id: str) -> Iterator[Letter]:
    """Return every letter of a notification, those that stand no more included."""
    return Letter.query(notification_id, consistent_read=True)


def start(index: ByTime | ByFingerprint, letter: Letter, tenant: str) -> dict[str, dict[str, str]]:
    """Return the key from which a query of ``index`` goes on after a letter."""
    place = {"about": letter.about, "letter_id": letter.letter_id}
    place["since"] = f"{tenant}#{letter.parked_at}#{letter.letter_id}"
    if isinstance(index, ByTime):
        place["standing"] = STANDING
    else:
        place["group"] = f"{tenant}#{letter.fingerprint}"
    return {name: {"S": value} for name, value in place.items()}


def standing(most: int) -> int:
    """Return how many letters stand, of all tenants, counted up to ``most``."""
    return int(Letter.by_time.count(STANDING, limit=most))


def erase(notification_id: str) -> None:
    """Delete the letters of a notification."""
    for letter in of_notification(notification_id):
        letter.delete()


def text_of(moment: datetime | None) -> str | None:
    """Return a moment as it sorts in the indexes."""
    return timestamp(moment) if moment else None
