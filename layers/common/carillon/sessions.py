"""Sessions of users: an access token for minutes, a refresh token that is used once.

Each refresh token is replaced by the next. One that comes a second time was stolen, or its thief's
was used first: the session ends for both (RFC 9700, section 4.14.2). A session may be opened
without this, for clients that know one refresh token only: theirs stays until it expires.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from carillon import logins, tokens, users
from carillon.errors import Fault, Problem
from carillon.identity import Caller, Scope
from carillon.log import logger
from carillon.models import now
from carillon.settings import settings
from carillon.tables import Session, advance_session
from carillon.tokens import Audience, Claims


@dataclass(frozen=True, slots=True)
class Pair:
    """An access token, the seconds it is good for, and what gets the next pair."""

    access: str
    refresh: str
    expires_in: int


def new(tenant: str, user_id: str, *, rotates: bool = True) -> tuple[Session, Pair]:
    """Return a session, for the caller to write, and its first tokens."""
    session = Session(f"session#{secrets.token_urlsafe(16)}")
    return session, _pair(session, tenant, user_id, rotates=rotates)


def begin(tenant: str, user_id: str, *, rotates: bool = True) -> Pair:
    """Open a session and return its first tokens."""
    session, pair = new(tenant, user_id, rotates=rotates)
    session.save()
    return pair


def refresh(token: str) -> Pair:
    """Return the next tokens; raises Problem (401), and ends the session when it was used."""
    claims = _claims(token)
    session = Session(f"session#{claims['sid']}")
    _check_user(claims)
    if claims.get("rotates") == "no":
        return _again(session, claims, token)
    used = _digest(token)
    pair = _pair(session, claims["tenant"], claims["sub"])
    if not advance_session(session, used):
        session.delete()
        logger().warning("refresh token used again", extra={"user_id": claims["sub"]})
        raise _refused()
    return pair


def _again(session: Session, claims: Claims, token: str) -> Pair:
    """Return another access token beside the same refresh token; raises Problem (401)."""
    try:
        session.refresh(consistent_read=True)
    except Session.DoesNotExist:
        raise _refused() from None
    if not hmac.compare_digest(bytes(session.digest), _digest(token)):
        raise _refused()
    access, expires_in = _access(claims["tenant"], claims["sub"])
    return Pair(access, token, expires_in)


def end(token: str) -> None:
    """End the session of a refresh token, if it has not ended; raises Problem (401)."""
    Session(f"session#{_claims(token)['sid']}").delete()


def _access(tenant: str, user_id: str) -> tuple[str, int]:
    return tokens.access(Caller(f"user:{user_id}", tenant, frozenset({Scope.SELF}), user_id))


def _pair(session: Session, tenant: str, user_id: str, *, rotates: bool = True) -> Pair:
    """Sign the next tokens and note them in the session, which is not written yet."""
    access, expires_in = _access(tenant, user_id)
    seconds = settings().refresh_token_seconds
    sid = session.key.removeprefix("session#")
    told = {"tenant": tenant, "sid": sid} | ({} if rotates else {"rotates": "no"})
    following = tokens.signed(Audience.REFRESH, user_id, told, seconds)
    session.digest = _digest(following)
    session.expires_at = int(now().timestamp()) + seconds
    return Pair(access, following, expires_in)


def _claims(token: str) -> Claims:
    claims = tokens.verified(token, Audience.REFRESH)
    if claims is None:
        raise _refused()
    return claims


def _check_user(claims: Claims) -> None:
    """Raise Problem (401) for a user who is gone, also when their id is somebody else's by now."""
    tenant, user_id = claims["tenant"], claims["sub"]
    try:
        users.profile(tenant, user_id)
    except Problem:
        raise _refused() from None
    if not logins.has(tenant, user_id):
        raise _refused()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _refused() -> Problem:
    text = "The refresh token is not valid; log in again"
    return Problem(401, "invalid-refresh-token", text, faults=[Fault("#/refresh", "not valid")])
