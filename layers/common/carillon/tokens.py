"""JWTs: signed for a short time, verified without asking a table.

EdDSA over Ed25519 and nothing else (docs/adr/0007-user-tokens.md). The keys are two parameters
under SECRETS_PREFIX, written by `carillon stage`: ``jwt/private`` is ``{kid, pem}``,
``jwt/public`` is ``{keys: [{kid, pem, not_after}]}`` with ``not_after`` in epoch seconds or null.
Only the authorizer and the auth function call this module: they alone ship PyJWT.
"""

import json
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from carillon import identity
from carillon.aws import ssm
from carillon.errors import Fault, Problem
from carillon.identity import ADMIN_CLIENT, Caller, Scope
from carillon.models import now
from carillon.settings import settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Claims = dict[str, Any]

ALGORITHM = "EdDSA"
MAX_TOKEN = 2_000
KEYS_SECONDS = 60
"""How long a process keeps the keys it has read."""
CLOCK_SKEW = 5
"""Seconds by which two hosts' clocks may differ."""
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


class Audience(StrEnum):
    """What a token is for; one is never taken for the other."""

    ACCESS = "carillon:api"
    REFRESH = "carillon:refresh"


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A key that verifies, until ``not_after`` (epoch seconds) when it has been replaced."""

    key: "Ed25519PublicKey"
    not_after: float | None


def authenticate(token: str) -> Caller | None:
    """Return whose token this is, an API token or a JWT for the API; None for any other."""
    if not token.startswith("eyJ"):
        return identity.authenticate(token)
    claims = verified(token, Audience.ACCESS)
    try:
        return None if claims is None else Caller.from_context(claims)
    except (KeyError, ValueError):
        return None


def access(who: Caller) -> tuple[str, int]:
    """Return a token for the API that says who is calling, and the seconds it is good for."""
    seconds = settings().access_token_seconds
    return signed(Audience.ACCESS, who.user_id or who.client_id, who.as_context(), seconds), seconds


def exchange(who: Caller, scopes: Collection[Scope] | None) -> tuple[str, int]:
    """Return the same for an API token's caller, with its scopes or fewer; raises Problem (403)."""
    if who.client_id == ADMIN_CLIENT:
        raise _forbidden("header:Authorization", "The administrator's token is not exchanged")
    wanted = who.scopes if scopes is None else frozenset(scopes)
    if not wanted <= who.scopes:
        raise _forbidden("#/scopes", "The API token does not have all of these scopes")
    return access(replace(who, scopes=wanted))


def signed(audience: Audience, subject: str, claims: Mapping[str, str], seconds: int) -> str:
    """Return a token of these claims, good for so many seconds."""
    import jwt  # noqa: PLC0415 - 50 ms, and only two functions ship it

    at = int(now().timestamp())
    private = _private(at // KEYS_SECONDS)
    registered = {
        "iss": _issuer(),
        "aud": audience.value,
        "sub": subject,
        "iat": at,
        "exp": at + seconds,
        "jti": secrets.token_urlsafe(16),
    }
    return jwt.encode(
        {**claims, **registered},
        private["pem"],
        algorithm=ALGORITHM,
        headers={"kid": private["kid"]},
    )


def verified(token: str, audience: Audience) -> Claims | None:
    """Return the claims of a token that is ours, for this audience and not expired; else None."""
    if len(token) > MAX_TOKEN or not _JWT.fullmatch(token):
        return None
    import jwt  # noqa: PLC0415 - 50 ms, and only two functions ship it

    try:
        key = _key(jwt.get_unverified_header(token).get("kid"), now().timestamp())
        if key is None:
            return None
        return jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=audience.value,
            issuer=_issuer(),
            leeway=CLOCK_SKEW,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )
    except jwt.InvalidTokenError:
        return None


def _key(kid: object, at: float) -> "Ed25519PublicKey | None":
    """Return the published key of that id, looked up by it and by nothing else in the token."""
    if not isinstance(kid, str):
        return None
    minute = at // KEYS_SECONDS
    found = _published(minute).get(kid) or _published_meanwhile(minute).get(kid)
    if found is None or (found.not_after is not None and found.not_after <= at):
        return None
    return found.key


@lru_cache(maxsize=1)
def _published(_minute: float) -> dict[str, PublishedKey]:
    return _read_published()


@lru_cache(maxsize=1)
def _published_meanwhile(_minute: float) -> dict[str, PublishedKey]:
    """Read again, once a minute, for an id that was not there: it may be new, or invented."""
    return _read_published()


def _read_published() -> dict[str, PublishedKey]:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - with jwt
        load_pem_public_key,
    )

    try:
        reply = ssm().call("GetParameter", {"Name": _parameter("public")})
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            raise
        return {}  # no key was ever made: every token is somebody else's
    keys = json.loads(reply["Parameter"]["Value"])["keys"]
    loaded = ((each, load_pem_public_key(each["pem"].encode())) for each in keys)
    return {each["kid"]: PublishedKey(_ed25519(key), each["not_after"]) for each, key in loaded}


def _ed25519(key: object) -> "Ed25519PublicKey":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - with jwt
        Ed25519PublicKey,
    )

    if not isinstance(key, Ed25519PublicKey):
        raise TypeError("a published key is not Ed25519")
    return key


@lru_cache(maxsize=1)
def _private(_minute: float) -> dict[str, str]:
    reply = ssm().call("GetParameter", {"Name": _parameter("private"), "WithDecryption": True})
    return dict(json.loads(reply["Parameter"]["Value"]))


def _parameter(name: str) -> str:
    return f"{settings().required('secrets_prefix')}/jwt/{name}"


def _issuer() -> str:
    """Return this deployment's name, such as ``carillon/dev``: another's token is not ours."""
    return settings().required("secrets_prefix").strip("/")


def _forbidden(pointer: str, text: str) -> Problem:
    return Problem(403, "forbidden", text, faults=[Fault(pointer, text)])
