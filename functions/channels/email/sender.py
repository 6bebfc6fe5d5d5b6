"""Whom emails come from."""

import re
from dataclasses import dataclass
from email.utils import parseaddr

from carillon.settings import settings

# RFC 5321's Mailbox without its quoted strings and address literals.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_MAILBOX = re.compile(rf"{_ATOM}(\.{_ATOM})*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender as the setting has it, and its parts."""

    header: str
    name: str
    address: str

    @property
    def domain(self) -> str:
        """Return what follows the @."""
        return self.address.rpartition("@")[2]


def sender() -> Sender:
    """Return the sender; raises ValueError or SettingMissingError.

    Checked here, so that what a provider says of a bad address is about the recipient's.
    """
    header = settings().required("sender_email")
    name, address = parseaddr(header)
    if not _MAILBOX.fullmatch(address):
        raise ValueError("SENDER_EMAIL is not an email address")
    return Sender(header, name, address)
