"""What can become of a message, in words that suit every provider."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SILENCE_SECONDS: Final = 60


class Channel(StrEnum):
    """What a message travels by."""

    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"


class Provider(StrEnum):
    """Who takes a message, by the name that a sender is configured with."""

    SES = "ses"
    SMTP = "smtp"
    SENDGRID = "sendgrid"
    TWILIO = "twilio"
    AWS = "aws"
    FCM = "fcm"

    @property
    def channel(self) -> Channel:
        """Return the channel that it serves."""
        return CHANNELS[self]


CHANNELS: Final = {
    Provider.SES: Channel.EMAIL,
    Provider.SMTP: Channel.EMAIL,
    Provider.SENDGRID: Channel.EMAIL,
    Provider.TWILIO: Channel.SMS,
    Provider.AWS: Channel.SMS,
    Provider.FCM: Channel.PUSH,
}


class FailureClass(StrEnum):
    """What the sender should conclude from a failed call."""

    RETRY = "RETRY"
    UNKNOWN = "UNKNOWN"
    THROTTLE = "THROTTLE"
    PERMANENT = "PERMANENT"
    RECIPIENT = "RECIPIENT"
    CONFIG = "CONFIG"


class Reaction(StrEnum):
    """How the sandbox answers a well-formed request."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    FLAKY = "flaky"
    NO_REPLY = "no_reply"
    RESET = "reset"
    DROPPED = "dropped"
    EMPTY_BODY = "empty_body"
    PROXY_PAGE = "proxy_page"


KEPT: Final = frozenset(
    {Reaction.ACCEPTED, Reaction.NO_REPLY, Reaction.RESET, Reaction.EMPTY_BODY},
)

HAPPENS: Final = {
    Reaction.FLAKY: "Fails the first time for each notification_id, then accepts",
    Reaction.NO_REPLY: (
        f"Accepted, but the reply never comes: the connection hangs for {SILENCE_SECONDS} s"
    ),
    Reaction.RESET: "Accepted, but the connection is reset before a reply",
    Reaction.DROPPED: "Not accepted: the connection is reset before the message is sent",
    Reaction.EMPTY_BODY: "Accepted, but the reply is empty",
    Reaction.PROXY_PAGE: "Not accepted: a proxy answers 200 with an HTML page",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as the provider itself would put it.

    ``code`` is empty where the provider has none beside the status. ``at_once``: SMTP names it
    when it is told the recipient, before it has the message.
    """

    status: int
    code: str
    message: str
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Agreed:
    """One agreed address and what sending to it does."""

    provider: Provider
    address: str
    reaction: Reaction
    failure_class: FailureClass | None = None
    fault: Fault | None = None
    note: str = ""

    @property
    def channel(self) -> Channel:
        """Return the channel of its provider."""
        return self.provider.channel

    @property
    def happens(self) -> str:
        """Say in one sentence what sending to this address does."""
        told = self.note or HAPPENS.get(self.reaction, "")
        error = f"{self._code}: {self.fault.message}" if self.fault else ""
        return f"{told} ({error})" if told and error else told or error

    @property
    def _code(self) -> str:
        fault = self.fault
        return f"{fault.status} {fault.code}".strip() if fault else ""

    def as_json(self) -> dict[str, object]:
        """Describe the row for `GET /addresses`."""
        return {
            "channel": self.channel,
            "provider": self.provider,
            "address": self.address,
            "happens": self.happens,
            "failure_class": self.failure_class,
            "outcome": self.reaction,
            "status": self.fault.status if self.fault else None,
            "code": self.fault.code if self.fault else None,
        }
