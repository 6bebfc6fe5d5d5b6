"""Attempts to log in, counted before a password is looked at, in windows of 15 minutes.

An account has LOGIN_ATTEMPTS failures per window, an address ten times that. Windows end by
themselves, so nobody is locked out for good.
"""

import hashlib
import ipaddress
from dataclasses import dataclass

from carillon.counters import add, forget_counter
from carillon.errors import Problem
from carillon.models import now
from carillon.settings import settings

WINDOW_SECONDS = 900
ADDRESS_FACTOR = 10
_NETWORK_BITS = 64


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: the counters it is in, and when their window ends (epoch seconds)."""

    account: str
    address: str
    ends: int

    @property
    def slot(self) -> str:
        """The window's range key."""
        return str(self.ends)


def count(account: str, address: str) -> Attempt:
    """Count an attempt on ``account`` from an IP address; raises Problem (429) past the limit."""
    at = int(now().timestamp())
    ends = at - at % WINDOW_SECONDS + WINDOW_SECONDS
    attempt = Attempt(_name("account", account), _name("address", _network(address)), ends)
    limit = settings().login_attempts
    # The address first: one that has used up its own cannot use up other people's.
    for name, most in ((attempt.address, limit * ADDRESS_FACTOR), (attempt.account, limit)):
        if add(name, attempt.slot, 1, ends) > most:
            text = "Too many attempts to log in; try again later"
            raise Problem(429, "too-many-attempts", text, retry_after=ends - at)
    return attempt


def succeeded(attempt: Attempt) -> None:
    """Forget the account's failures, and that this attempt was one of the address's."""
    forget_counter(attempt.account, attempt.slot)
    add(attempt.address, attempt.slot, -1, attempt.ends)


def _name(kind: str, of: str) -> str:
    # A hash: neither who logs in nor from where is to be read in the table.
    return f"login#{kind}#{hashlib.sha256(of.encode()).hexdigest()}"


def _network(address: str) -> str:
    """Return who an address belongs to: a subscriber has all of an IPv6 /64 to themselves."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    bits = _NETWORK_BITS if parsed.version == 6 else parsed.max_prefixlen  # noqa: PLR2004
    return str(ipaddress.ip_network((parsed, bits), strict=False))
