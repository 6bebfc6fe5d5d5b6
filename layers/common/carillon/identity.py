"""Who is calling: API tokens, made once, kept only as hashes."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from carillon.aws import secret
from carillon.settings import settings
from carillon.tables import ApiKey

_TOKEN = re.compile(r"nk_(?:live|test)_([a-z0-9]{12})_[A-Za-z0-9_-]{43}")
Mode = Literal["live", "test"]
"""What is sent with a test key reaches nobody."""


class Scope(StrEnum):
    """What a token may do. ``SELF`` is a user's: their own profile, preferences and inbox."""

    SEND = "send"
    READ = "read"
    CONTENT = "content:read"
    STATUS = "status:write"
    USERS = "users"
    TEMPLATES = "templates"
    OPS = "ops"
    ADMIN = "admin"
    SELF = "self"


APPLICATION = frozenset(Scope) - {Scope.OPS, Scope.ADMIN, Scope.SELF}
"""What an application's key may do unless it is told less."""
ADMINISTRATOR = frozenset({Scope.ADMIN, Scope.OPS, Scope.USERS})

ADMIN_CLIENT = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request this is: an application's, a user's, or the administrator's."""

    client_id: str
    tenant: str
    scopes: frozenset[Scope]
    user_id: str | None = None
    test: bool = False

    def as_context(self) -> dict[str, str]:
        """Return what API Gateway hands from the authorizer to a function: flat text."""
        scope = " ".join(sorted(self.scopes))
        told = {"client_id": self.client_id, "tenant": self.tenant, "scope": scope}
        told |= {"user_id": self.user_id} if self.user_id else {}
        return told | ({"test": "true"} if self.test else {})

    @classmethod
    def from_context(cls, told: Mapping[str, str]) -> "Caller":
        """Return the caller that ``as_context`` told of; raises KeyError, ValueError."""
        scopes = frozenset(map(Scope, told["scope"].split()))
        return cls(
            told["client_id"],
            told["tenant"],
            scopes,
            user_id=told.get("user_id"),
            test=told.get("test") == "true",
        )


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made: shown once; only its hash is kept, under its key id."""

    key_id: str
    token: str
    digest: bytes


def new_token(mode: Mode) -> NewToken:
    """Return a token of 256 random bits, readable in its prefix."""
    key_id = secrets.token_hex(6)
    token = f"nk_{mode}_{key_id}_{secrets.token_urlsafe(32)}"
    return NewToken(key_id, token, _digest(token))


def authenticate(token: str) -> Caller | None:
    """Return whose token this is, or None. Compares hashes, in constant time."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return Caller(ADMIN_CLIENT, "default", ADMINISTRATOR) if _is_admin(token) else None
    try:
        key = ApiKey.get(f"key#{match[1]}", consistent_read=True)
    except ApiKey.DoesNotExist:
        return None
    if not hmac.compare_digest(bytes(key.digest), _digest(token)):
        return None
    scopes = frozenset(map(Scope, key.scopes.split()))
    return Caller(key.client_id, key.tenant, scopes, test=key.mode == "test")


def _is_admin(token: str) -> bool:
    expected = secret(f"{settings().required('secrets_prefix')}/admin-token")
    return hmac.compare_digest(_digest(expected), _digest(token))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
