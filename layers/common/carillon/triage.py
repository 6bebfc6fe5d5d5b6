"""What stands of dead letters, as operators see it: one by one, and by what they have in common."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from carillon import cursors, letters
from carillon.letters import Letter, LetterState
from carillon.models import Channel, ChannelName, Line, Moment, Name, Shape, Strict

EVALUATED = 500
"""Letters that one page looks at, at most."""
MOST_GROUPED = 20_000
"""Letters that the groups are made of, at most: some ten megabytes, and a few seconds."""
_CHUNK = 100
_STANDING = frozenset({LetterState.STANDING, LetterState.MOVING})
_POSITION = r"[0-9TZ:.-]{24}#[A-Za-z0-9-]{1,100}#[ -~]{1,128}"

Code = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,128}$")]
Fingerprint = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
NotificationId = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,64}$")]


class LetterFilter(Strict):
    """Which letters; those that all of it fits. ``since`` and ``until`` are included."""

    channel: ChannelName | None = None
    code: Code | None = None
    template: Name | None = None
    fingerprint: Fingerprint | None = None
    notification_id: NotificationId | None = None
    since: Moment | None = None
    until: Moment | None = None

    def keeps(self, tenant: str, letter: Letter) -> bool:
        """Tell whether a letter stands and is one."""
        since, until = letters.text_of(self.since), letters.text_of(self.until)
        return (
            letter.state in _STANDING
            and letter.tenant == tenant
            and self.channel in (None, letter.channel)
            and self.code in (None, letter.code)
            and self.template in (None, letter.template_code)
            and self.fingerprint in (None, letter.fingerprint)
            and self.notification_id in (None, letter.notification_id)
            and (since is None or letter.parked_at >= since)
            and (until is None or letter.parked_at <= until)
        )

    def narrow(self) -> bool:
        """Tell whether letters must be looked at one by one: no index is for these."""
        return bool(self.channel or self.code or self.template)


class LetterOut(Shape):
    """A message that was given up. ``targets`` names its deliveries."""

    letter_id: str
    channel: Channel
    code: str
    reason: str
    template_code: str | None
    notification_id: str | None
    targets: list[str]
    attempts: int
    receives: int
    fingerprint: str
    parked_at: str


class GroupOut(Shape):
    """Letters given up for the same reason; ``sample`` is the newest."""

    fingerprint: str
    channel: Channel
    code: str
    template_code: str | None
    count: int
    oldest: str
    newest: str
    sample: LetterOut


class GroupsOut(Shape):
    """The groups, the largest first; not ``complete`` when there is more than was counted."""

    letters: int
    complete: bool
    groups: list[GroupOut]


@dataclass(frozen=True, slots=True)
class Page:
    """Letters, newest first, and where the next page begins."""

    letters: list[Letter]
    next_cursor: str | None


def out(letter: Letter) -> LetterOut:
    """Return what is told of a letter: not its text, which is personal."""
    return LetterOut(
        letter_id=letter.letter_id,
        channel=letter.channel,
        code=letter.code,
        reason=letter.reason,
        template_code=letter.template_code,
        notification_id=letter.notification_id,
        targets=letter.targets,
        attempts=int(letter.attempts),
        receives=int(letter.receives),
        fingerprint=letter.fingerprint,
        parked_at=letter.parked_at,
    )


def page(tenant: str, wanted: LetterFilter, limit: int, cursor: str | None) -> Page:
    """Return a page of what stands; raises Problem (400) for a cursor we did not make."""
    after = _position(cursor) if cursor else None
    most = EVALUATED if wanted.narrow() else limit + 1
    found = _standing(tenant, wanted, newest_first=True, after=after, limit=most)
    kept: list[Letter] = []
    seen = 0
    last: Letter | None = None
    while len(kept) <= limit and (read := list(islice(found, _CHUNK))):
        seen, last = seen + len(read), read[-1]
        kept += [each for each in read if wanted.keeps(tenant, each)]
    if len(kept) > limit:
        kept = kept[:limit]
        return Page(kept, cursors.make(kept[-1].position))
    return Page(kept, cursors.make(last.position) if last and seen == most else None)


def standing(tenant: str, wanted: LetterFilter) -> Iterator[Letter]:
    """Yield all that stands, oldest first."""
    found = _standing(tenant, wanted, newest_first=False)
    return (letter for letter in found if wanted.keeps(tenant, letter))


def _position(cursor: str) -> Letter:
    parked_at, letter_id, about = cursors.read(cursor, _POSITION).split("#", 2)
    return Letter(about, letter_id, parked_at=parked_at)


def _standing(
    tenant: str,
    wanted: LetterFilter,
    *,
    newest_first: bool,
    after: Letter | None = None,
    limit: int | None = None,
) -> Iterator[Letter]:
    """Yield what may fit, in order, after a letter, from the index that has least of the rest."""
    if wanted.notification_id is not None:
        return islice(_of_notification(wanted.notification_id, newest_first, after), limit)
    how: dict[str, Any] = {
        "since": letters.text_of(wanted.since),
        "until": letters.text_of(wanted.until),
        "scan_index_forward": not newest_first,
        "limit": limit,
    }
    if wanted.fingerprint is not None:
        if after:
            after.fingerprint = wanted.fingerprint
            how["last_evaluated_key"] = letters.start(Letter.by_fingerprint, after, tenant)
        return letters.by_fingerprint(tenant, wanted.fingerprint, **how)
    if after:
        how["last_evaluated_key"] = letters.start(Letter.by_time, after, tenant)
    return letters.by_time(tenant, **how)


def _of_notification(
    notification_id: str, newest_first: bool, after: Letter | None
) -> Iterator[Letter]:
    found = sorted(
        letters.of_notification(notification_id),
        key=lambda letter: letter.position,
        reverse=newest_first,
    )
    return (each for each in found if after is None or each.position < after.position)


def groups(tenant: str, wanted: LetterFilter) -> GroupsOut:
    """Return what stands, grouped by fingerprint."""
    found: dict[str, list[Letter]] = {}
    counts: dict[str, int] = {}
    counted = 0
    for letter in islice(standing(tenant, wanted), MOST_GROUPED + 1):
        counted += 1
        counts[letter.fingerprint] = counts.get(letter.fingerprint, 0) + 1
        # The first that comes is the oldest, the last the newest.
        found[letter.fingerprint] = [found.get(letter.fingerprint, [letter])[0], letter]
    told = [_group(counts[each], *ends) for each, ends in found.items()]
    told.sort(key=lambda group: (-group.count, group.fingerprint))
    return GroupsOut(letters=counted, complete=counted <= MOST_GROUPED, groups=told)


def _group(count: int, oldest: Letter, newest: Letter) -> GroupOut:
    return GroupOut(
        fingerprint=newest.fingerprint,
        channel=newest.channel,
        code=newest.code,
        template_code=newest.template_code,
        count=count,
        oldest=oldest.parked_at,
        newest=newest.parked_at,
        sample=out(newest),
    )


class _Cleared(Strict):
    """What every order about letters says."""

    filter: LetterFilter
    dry_run: bool = False


class RedriveRequest(_Cleared):
    """POST /ops/dlq/redrive: send what fits anew; an empty filter fits all."""

    rate_per_second: Annotated[int, Field(ge=1, le=100)] = 10


class DiscardRequest(_Cleared):
    """POST /ops/dlq/discard: put away what fits, for good."""

    reason: Line
