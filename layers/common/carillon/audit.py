"""Who did what, when, to what, from where, and what came of it (docs/adr/0019-audit.md).

An entry is written before the call does anything: where it cannot be, the call is refused. Its
outcome is added afterwards; an entry without one is of a call whose end nobody saw.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

from carillon import cursors
from carillon.identity import Caller, Scope
from carillon.log import logger, trace
from carillon.models import Shape, now, timestamp
from carillon.settings import settings
from carillon.trail import Entry, entries

SCOPES = frozenset({Scope.OPS, Scope.ADMIN, Scope.USERS, Scope.TEMPLATES})
READS = {"GET", "HEAD", "OPTIONS"}
HARMLESS = {("POST", "/api/v1/templates/{code}/render")}
"""Changes nothing."""
TELLING = {("GET", "/api/v1/users/{user_id}/export")}
"""Changes nothing, and hands out all that is kept of somebody."""
EVALUATED = 500
"""Entries that one request looks at."""
_ADDRESS = re.compile(r".*@.*|\+\d{6,}")
_POSITION = r"[0-9TZ:.-]{20,30}#[0-9a-f]{16}"
_EARLIEST, _LATEST = "0", "9"


class AuditOut(Shape):
    """A call that changed something, or was to.

    ``subject`` are the path's parameters; an address is told by its hash. ``status`` is null where
    the call's end was never seen: it may have been done.
    """

    at: str
    actor: str
    scope: str
    method: str
    route: str
    subject: dict[str, str]
    source: str | None
    correlation_id: str
    status: int | None
    code: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are asked for; None is any."""

    actor: str | None = None
    route: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def keeps(self, entry: Entry) -> bool:
        """Tell whether an entry is one of them."""
        return (
            self.actor in (None, entry.actor)
            and self.route in (None, entry.route)
            and (self.subject is None or masked(self.subject) in entry.subject.values())
        )


def concerns(method: str, route: str, scope: Scope) -> bool:
    """Tell whether a call is one that the trail is of."""
    call = (method, route)
    changes = method not in READS and call not in HARMLESS
    return scope in SCOPES and (changes or call in TELLING)


def entry_of(who: Caller, scope: Scope, event: Mapping[str, Any], correlation_id: str) -> Entry:
    """Return what is known of a call before it is made; nothing is written."""
    at = now()
    kept = timedelta(days=settings().audit_retention_days)
    context = event.get("requestContext") or {}
    given = event.get("pathParameters") or {}
    return Entry(
        who.tenant,
        f"{timestamp(at)}#{secrets.token_hex(8)}",
        actor=who.client_id,
        scope=scope.value,
        method=event["httpMethod"],
        route=event["resource"],
        subject={name: masked(value, name) for name, value in given.items()},
        source=(context.get("identity") or {}).get("sourceIp"),
        correlation_id=correlation_id,
        expires_at=int((at + kept).timestamp()),
    )


def begin(entry: Entry) -> None:
    """Write it, before anything is done; raises PynamoDBException, and nothing is done then."""
    entry.save()


def end(entry: Entry, status: int, code: str | None) -> None:
    """Add what was answered. The call is made by now: what cannot be written is logged."""
    entry.status, entry.code = status, code
    told = {
        name: getattr(entry, name)
        for name in ("actor", "scope", "method", "route", "subject", "source", "status", "code")
    }
    logger().info("audit", extra={name: value for name, value in told.items() if value is not None})
    try:
        entry.save()
    except (PynamoDBException, BotoCoreError, ClientError) as error:
        logger().error("audit outcome lost", extra=trace(error))


def masked(value: str, name: str = "") -> str:
    """Return a path's parameter; of an address its hash, by which it can be asked for."""
    if name != "address" and not _ADDRESS.fullmatch(value):
        return value
    return f"sha256:{hashlib.sha256(value.encode()).hexdigest()[:16]}"


def page(
    tenant: str, wanted: Wanted, limit: int, cursor: str | None
) -> tuple[list[AuditOut], str | None]:
    """Return a page, newest first, and the next one's cursor; raises Problem (400) for a bad one.

    A page may be short and still lead on: no more than EVALUATED entries are looked at.
    """
    since = timestamp(wanted.since) if wanted.since else _EARLIEST
    until = timestamp(wanted.until) if wanted.until else _LATEST
    position = cursors.read(cursor, _POSITION) if cursor else None
    newest = min(until, position or until)
    if since > newest:  # which DynamoDB would refuse
        return [], None
    found = entries(tenant, since, newest, limit=EVALUATED + 1)
    looked_at = [each for each in found if each.slot != position][:EVALUATED]
    kept = [each for each in looked_at if wanted.keeps(each)]
    if len(kept) > limit:
        kept = kept[:limit]
        return [_out(each) for each in kept], cursors.make(kept[-1].slot)
    more = len(looked_at) == EVALUATED
    return [_out(each) for each in kept], cursors.make(looked_at[-1].slot) if more else None


def _out(entry: Entry) -> AuditOut:
    told = {
        name: getattr(entry, name)
        for name in (
            *("at", "actor", "scope", "method", "route", "subject"),
            *("source", "correlation_id", "status", "code"),
        )
    }
    return AuditOut.model_validate(told)
