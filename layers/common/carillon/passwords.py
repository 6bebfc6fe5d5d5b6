"""Passwords: argon2id, with parameters of OWASP's Password Storage Cheat Sheet."""

import unicodedata
from base64 import b64encode
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MEMORY_KIB = 19 * 1024
PASSES = 2
LANES = 1


def hashed(password: str) -> str:
    """Return the password's hash in argon2's own notation, parameters and salt included."""
    return _hasher().hash(_normal(password))


def is_right(password: str, kept: str | None) -> bool:
    """Tell whether ``kept`` is the password's hash; for None, that of nobody, it takes as long."""
    from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415 - 3.5 ms

    try:
        return _hasher().verify(kept or _nobody(), _normal(password))
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(kept: str) -> bool:
    """Tell whether a hash was made with other parameters than today's."""
    return _hasher().check_needs_rehash(kept)


@cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher  # noqa: PLC0415 - 3.5 ms to load, for one function

    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)


@cache
def _nobody() -> str:
    """Return a hash of today's parameters that no password has; making one would take time."""
    salt, digest = (b64encode(bytes(size)).decode().rstrip("=") for size in (16, 32))
    return f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${digest}"


def _normal(password: str) -> str:
    # Keyboards differ in how they compose a letter (NIST SP 800-63B, section 5.1.1.2).
    return unicodedata.normalize("NFKC", password)
