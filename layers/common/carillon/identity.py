"""Who is calling: API tokens, made once, kept only as hashes."""

import hashlib
import hmac
import re
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from carillon.aws import secret
from carillon.errors import Fault, Problem
from carillon.models import ClientRequest, now, timestamp
from carillon.settings import settings
from carillon.tables import ApiKey, Client, ClientName, create_all, tenant_key

_TOKEN = re.compile(r"nk_live_([a-z0-9]{12})_[A-Za-z0-9_-]{43}")


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


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request this is: an application's, a user's, or the administrator's."""

    client_id: str
    tenant: str
    scopes: frozenset[Scope]
    user_id: str | None = None

    def as_context(self) -> dict[str, str]:
        """Return what API Gateway hands from the authorizer to a function: flat text."""
        scope = " ".join(sorted(self.scopes))
        told = {"client_id": self.client_id, "tenant": self.tenant, "scope": scope}
        return told | ({"user_id": self.user_id} if self.user_id else {})

    @classmethod
    def from_context(cls, told: Mapping[str, str]) -> "Caller":
        """Return the caller that ``as_context`` told of; raises KeyError, ValueError."""
        scopes = frozenset(map(Scope, told["scope"].split()))
        return cls(told["client_id"], told["tenant"], scopes, told.get("user_id"))


@dataclass(frozen=True, slots=True)
class Registration:
    """A new client and its token, which is never to be had again."""

    client_id: str
    api_token: str


def register(request: ClientRequest) -> Registration:
    """Create a client with its first token; raises Problem (409) when its name is taken."""
    client_id, key_id = str(uuid.uuid4()), secrets.token_hex(6)
    token = f"nk_live_{key_id}_{secrets.token_urlsafe(32)}"
    created = create_all(
        Client(
            f"client#{client_id}",
            tenant=request.tenant,
            service_name=request.service_name,
            notification_types=[kind.model_dump() for kind in request.notification_types],
            created_at=timestamp(now()),
        ),
        ClientName(f"name#{tenant_key(request.tenant, request.service_name)}", client_id=client_id),
        ApiKey(
            f"key#{key_id}",
            digest=_digest(token),
            client_id=client_id,
            tenant=request.tenant,
            scopes=" ".join(sorted(APPLICATION)),
        ),
    )
    if not created:
        text = "A client with this service_name exists already"
        raise Problem(409, "client-exists", text, faults=[Fault("#/service_name", text)])
    return Registration(client_id, token)


def authenticate(token: str) -> Caller | None:
    """Return whose token this is, or None. Compares hashes, in constant time."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return Caller("admin", "default", ADMINISTRATOR) if _is_admin(token) else None
    try:
        key = ApiKey.get(f"key#{match[1]}", consistent_read=True)
    except ApiKey.DoesNotExist:
        return None
    if not hmac.compare_digest(bytes(key.digest), _digest(token)):
        return None
    return Caller(key.client_id, key.tenant, frozenset(map(Scope, key.scopes.split())))


def _is_admin(token: str) -> bool:
    expected = secret(f"{settings().required('secrets_prefix')}/admin-token")
    return hmac.compare_digest(_digest(expected), _digest(token))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
