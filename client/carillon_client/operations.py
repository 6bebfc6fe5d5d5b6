"""What operators do: dead letters sent again or put away; kill switches; objectives."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from carillon_client.calls import (
    Call,
    Slice,
    given,
    instant,
    keyed,
    many,
    nothing,
    one,
    page,
    repeated,
)
from carillon_client.models import (
    Audited,
    DeadLetter,
    DeadLetterGroups,
    DeadLetterJob,
    Objectives,
    Repeated,
    Suppression,
    Switch,
)
from carillon_client.transport import Listing, Operation

LETTERS = "/ops/dlq"
NOTIFICATION = "/notifications/{notification_id}"
SWITCHES = "/ops/switches"
SWITCH = f"{SWITCHES}/{{scope}}"
SUPPRESSION = "/suppressions/{channel}/{address}"


def _dead_letters(  # noqa: PLR0913 - what can be asked for
    *,
    channel: str | None = None,
    code: str | None = None,
    template: str | None = None,
    fingerprint: str | None = None,
    notification_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int | None = None,
) -> Call[Slice[DeadLetter]]:
    """Iterate over the messages that were given up, newest first; ``limit`` is a page's size."""
    query = given(
        channel=channel,
        code=code,
        template=template,
        fingerprint=fingerprint,
        notification_id=notification_id,
        since=instant(since),
        until=instant(until),
        limit=limit,
    )
    return Call("GET", LETTERS, page(DeadLetter), query=query)


def _dead_letter_groups(
    *,
    channel: str | None = None,
    code: str | None = None,
    template: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Call[DeadLetterGroups]:
    """Count what was given up by channel, error and template, the largest group first."""
    query = given(
        channel=channel,
        code=code,
        template=template,
        since=instant(since),
        until=instant(until),
    )
    return Call("GET", f"{LETTERS}/groups", one(DeadLetterGroups), query=query)


def _redrive(
    letters: Mapping[str, Any],
    *,
    rate_per_second: int | None = None,
    dry_run: bool | None = None,
    idempotency_key: str | None = None,
) -> Call[DeadLetterJob]:
    """Send the dead letters that fit a filter again; with ``dry_run`` only count them.

    The filter takes what ``dead_letters`` takes; an empty one fits all.
    """
    body = given(filter=_filter(letters), rate_per_second=rate_per_second, dry_run=dry_run)
    headers = keyed(idempotency_key)
    return Call("POST", f"{LETTERS}/redrive", one(DeadLetterJob), body=body, headers=headers)


def _discard(
    letters: Mapping[str, Any],
    *,
    reason: str,
    dry_run: bool | None = None,
    idempotency_key: str | None = None,
) -> Call[DeadLetterJob]:
    """Put away the dead letters that fit a filter, for good; with ``dry_run`` only count them."""
    body = given(filter=_filter(letters), reason=reason, dry_run=dry_run)
    headers = keyed(idempotency_key)
    return Call("POST", f"{LETTERS}/discard", one(DeadLetterJob), body=body, headers=headers)


def _dead_letter_job(job_id: str) -> Call[DeadLetterJob]:
    """Return how far a redrive or a discard is."""
    return Call("GET", f"{LETTERS}/jobs/{{job_id}}", one(DeadLetterJob), {"job_id": job_id})


def _replay(
    notification_id: str,
    mode: str,
    *,
    channels: Sequence[str] | None = None,
    force: bool | None = None,
    idempotency_key: str | None = None,
) -> Call[Repeated]:
    """Send a notification again: ``exact`` as it was, or as the ``current_template`` has it.

    Without ``channels`` it goes where the first one failed; ``force`` sends what has arrived too.
    """
    body = given(mode=mode, channels=list(channels) if channels else None, force=force)
    route, names = f"{NOTIFICATION}/replay", {"notification_id": notification_id}
    return Call("POST", route, repeated, names, body=body, headers=keyed(idempotency_key))


def _switches() -> Call[list[Switch]]:
    """Return the kill switches that are on."""
    return Call("GET", SWITCHES, many(Switch))


def _get_switch(scope: str) -> Call[Switch]:
    """Return a kill switch, on or off."""
    return Call("GET", SWITCH, one(Switch), {"scope": scope})


def _switch_on(scope: str, *, reason: str) -> Call[Switch]:
    """Stop ``channel:email``, ``provider:ses``, ``template:<code>`` or ``client:<id>``."""
    return Call("PUT", SWITCH, one(Switch), {"scope": scope}, body={"reason": reason})


def _switch_off(scope: str) -> Call[None]:
    """Let what a kill switch stopped go on."""
    return Call("DELETE", SWITCH, nothing, {"scope": scope})


def _get_suppression(channel: str, address: str) -> Call[Suppression]:
    """Return why nothing goes to an email address or a phone number; NotFound when it does."""
    return Call("GET", SUPPRESSION, one(Suppression), _place(channel, address))


def _suppress(channel: str, address: str, *, reason: str | None = None) -> Call[Suppression]:
    """Let nothing go to an email address or a phone number any more."""
    body = given(reason=reason)
    return Call("PUT", SUPPRESSION, one(Suppression), _place(channel, address), body=body)


def _unsuppress(channel: str, address: str) -> Call[None]:
    """Let messages go to an email address or a phone number again."""
    return Call("DELETE", SUPPRESSION, nothing, _place(channel, address))


def _place(channel: str, address: str) -> dict[str, str]:
    return {"channel": channel, "address": address}


def _slo() -> Call[Objectives]:
    """Return whether what was aimed at is met, of the last hour, day and 28 days."""
    return Call("GET", "/ops/slo", one(Objectives))


def _audit(  # noqa: PLR0913 - what can be asked for
    *,
    actor: str | None = None,
    route: str | None = None,
    subject: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int | None = None,
) -> Call[Slice[Audited]]:
    """Iterate over who did what, newest first; ``limit`` is a page's size. Takes ``admin``.

    ``route`` is as the API describes it, ``subject`` any of its parameters.
    """
    query = given(
        actor=actor,
        route=route,
        subject=subject,
        since=instant(since),
        until=instant(until),
        limit=limit,
    )
    return Call("GET", "/ops/audit", page(Audited), query=query)


def _filter(letters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: instant(value) if isinstance(value, datetime) else value
        for name, value in letters.items()
        if value is not None
    }


class Operators:
    """What takes the scope ``ops``."""

    dead_letters = Listing(_dead_letters)
    dead_letter_groups = Operation(_dead_letter_groups)
    redrive = Operation(_redrive)
    discard = Operation(_discard)
    dead_letter_job = Operation(_dead_letter_job)
    replay = Operation(_replay)
    switches = Operation(_switches)
    get_switch = Operation(_get_switch)
    switch_on = Operation(_switch_on)
    switch_off = Operation(_switch_off)
    get_suppression = Operation(_get_suppression)
    suppress = Operation(_suppress)
    unsuppress = Operation(_unsuppress)
    slo = Operation(_slo)
    audit = Listing(_audit)
