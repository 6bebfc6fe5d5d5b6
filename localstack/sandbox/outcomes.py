"""The agreed addresses: recipients that make the sandbox fail in a known way.

This table is the only place they are written down: the providers obey it, `GET /addresses`
serves it and docs/sandbox.md prints it.
"""

from dataclasses import dataclass
from email.utils import getaddresses
from enum import StrEnum
from typing import Final

SANDBOX_DOMAIN: Final = "sandbox.test"
SIMULATOR_DOMAIN: Final = "simulator.amazonses.com"
SILENCE_SECONDS: Final = 60


class Channel(StrEnum):
    """What a message travels by."""

    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"


class FailureClass(StrEnum):
    """What the sender should conclude from a failed call."""

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
    Reaction.EMPTY_BODY: "Accepted, but the body of the reply is empty",
    Reaction.PROXY_PAGE: "Not accepted: a proxy answers 200 with an HTML page",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as the provider itself would put it."""

    status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Agreed:
    """One agreed address and what sending to it does."""

    channel: Channel
    address: str
    reaction: Reaction
    failure_class: FailureClass | None = None
    fault: Fault | None = None
    note: str = ""

    @property
    def happens(self) -> str:
        """Say in one sentence what sending to this address does."""
        told = self.note or HAPPENS.get(self.reaction, "")
        error = f"{self.fault.status} {self.fault.code}: {self.fault.message}" if self.fault else ""
        return f"{told} ({error})" if told and error else told or error

    def as_json(self) -> dict[str, object]:
        """Describe the row for `GET /addresses`."""
        return {
            "channel": self.channel,
            "address": self.address,
            "happens": self.happens,
            "failure_class": self.failure_class,
            "outcome": self.reaction,
            "status": self.fault.status if self.fault else None,
            "code": self.fault.code if self.fault else None,
        }


def _accepted(address: str, note: str) -> Agreed:
    return Agreed(Channel.EMAIL, f"{address}@{SIMULATOR_DOMAIN}", Reaction.ACCEPTED, note=note)


def _email(name: str, failure: FailureClass, status: int, code: str, message: str) -> Agreed:
    fault = Fault(status, code, message)
    return Agreed(Channel.EMAIL, f"{name}@{SANDBOX_DOMAIN}", Reaction.REFUSED, failure, fault)


def _sms(address: str, failure: FailureClass, status: int, code: str, message: str) -> Agreed:
    return Agreed(Channel.SMS, address, Reaction.REFUSED, failure, Fault(status, code, message))


def _push(name: str, failure: FailureClass, status: int, code: str, message: str) -> Agreed:
    fault = Fault(status, code, message)
    return Agreed(Channel.PUSH, f"sandbox-{name}", Reaction.REFUSED, failure, fault)


def _odd(channel: Channel, address: str, reaction: Reaction, fault: Fault | None = None) -> Agreed:
    return Agreed(channel, address, reaction, FailureClass.UNKNOWN, fault)


UNKNOWN, THROTTLE, PERMANENT, RECIPIENT, CONFIG = FailureClass
NO_REPLY, RESET, EMPTY_BODY = Reaction.NO_REPLY, Reaction.RESET, Reaction.EMPTY_BODY
FLAKY, PROXY_PAGE = Reaction.FLAKY, Reaction.PROXY_PAGE

# fmt: off
# SES answers 400 for a paused account and for an unverified sender alike: only the error's type
# and text tell "this message" from "our side".
EMAIL_ADDRESSES: Final = (
    _accepted("success", "Accepted"),
    _accepted("bounce", "Accepted; SES would report a hard bounce later"),
    _accepted("complaint", "Accepted; SES would report a complaint later"),
    _accepted("suppressionlist", "Accepted; SES would report a bounce later, as suppressed"),
    _email("rejected", PERMANENT, 400, "MessageRejected",
           "The message can't be sent because it contains invalid content."),
    _email("dead", RECIPIENT, 400, "BadRequestException", "Illegal address"),
    _email("throttled", THROTTLE, 429, "TooManyRequestsException",
           "Maximum sending rate exceeded."),
    _email("server-error", UNKNOWN, 500, "InternalServiceErrorException",
           "The request processing has failed because of an unknown error."),
    _email("unavailable", UNKNOWN, 503, "ServiceUnavailable",
           "The request has failed due to a temporary failure of the server."),
    _email("paused", CONFIG, 400, "SendingPausedException",
           "Sending paused for this account. For more information, please check the inbox of the "
           "email address associated with your AWS account."),
    _email("suspended", CONFIG, 400, "AccountSuspendedException",
           "The account's ability to send email has been permanently restricted."),
    _email("unverified", CONFIG, 400, "MessageRejected",
           "Email address is not verified. The following identities failed the check in region "
           "EU-WEST-1: sender@sandbox.test"),
    _email("mail-from", CONFIG, 400, "MailFromDomainNotVerifiedException",
           "The message can't be sent because the sending domain isn't verified."),
    _email("credentials", CONFIG, 403, "UnrecognizedClientException",
           "The security token included in the request is invalid."),
    _odd(Channel.EMAIL, f"silent@{SANDBOX_DOMAIN}", NO_REPLY),
    _odd(Channel.EMAIL, f"reset@{SANDBOX_DOMAIN}", RESET),
    _odd(Channel.EMAIL, f"empty@{SANDBOX_DOMAIN}", EMPTY_BODY),
    _odd(Channel.EMAIL, f"proxy@{SANDBOX_DOMAIN}", PROXY_PAGE),
    _odd(Channel.EMAIL, f"flaky@{SANDBOX_DOMAIN}", FLAKY,
         Fault(503, "ServiceUnavailable",
               "The request has failed due to a temporary failure of the server.")),
)

# The first five are Twilio's own magic numbers; from +15005550020 on they are the sandbox's.
SMS_ADDRESSES: Final = (
    _sms("+15005550001", RECIPIENT, 400, "21211", "Invalid 'To' Phone Number: +1500555XXXX"),
    _sms("+15005550002", PERMANENT, 400, "21612",
         "Message cannot be sent with the current combination of 'To' and/or 'From' parameters"),
    _sms("+15005550003", PERMANENT, 400, "21408",
         "Permission to send an SMS has not been enabled for the region indicated by the 'To' "
         "number: +1500555XXXX"),
    _sms("+15005550004", RECIPIENT, 400, "21610", "Attempt to send to unsubscribed recipient"),
    _sms("+15005550009", RECIPIENT, 400, "21614",
         "To number: +1500555XXXX, is not a mobile number"),
    _sms("+15005550029", THROTTLE, 429, "20429", "Too Many Requests"),
    _sms("+15005550041", CONFIG, 401, "20003", "Authenticate"),
    _sms("+15005550050", UNKNOWN, 500, "20500", "An internal server error has occurred"),
    _sms("+15005550053", UNKNOWN, 503, "20503", "Service is unavailable. Please try again"),
    _odd(Channel.SMS, "+15005550060", NO_REPLY),
    _odd(Channel.SMS, "+15005550061", RESET),
    _odd(Channel.SMS, "+15005550062", EMPTY_BODY),
    _odd(Channel.SMS, "+15005550063", PROXY_PAGE),
    _odd(Channel.SMS, "+15005550070", FLAKY,
         Fault(503, "20503", "Service is unavailable. Please try again")),
)

# A missing project and a dead token are both 404 NOT_FOUND with the same text; FCM marks the
# token with an FcmError detail, and only that one may be deleted.
PUSH_ADDRESSES: Final = (
    _push("rejected", PERMANENT, 400, "INVALID_ARGUMENT",
          "Request contains an invalid argument."),
    _push("unregistered", RECIPIENT, 404, "UNREGISTERED", "Requested entity was not found."),
    _push("throttled", THROTTLE, 429, "QUOTA_EXCEEDED",
          "Sending limit exceeded for the message target."),
    _push("server-error", UNKNOWN, 500, "INTERNAL", "Internal error encountered."),
    _push("unavailable", UNKNOWN, 503, "UNAVAILABLE", "The service is currently unavailable."),
    _push("credentials", CONFIG, 401, "THIRD_PARTY_AUTH_ERROR",
          "Auth error from APNS or Web Push Service"),
    _push("forbidden", CONFIG, 403, "PERMISSION_DENIED",
          "Permission 'cloudmessaging.messages.create' denied on resource "
          "'//cloudresourcemanager.googleapis.com/projects/sandbox' (or it may not exist)."),
    _push("project-missing", CONFIG, 404, "NOT_FOUND", "Requested entity was not found."),
    _odd(Channel.PUSH, "sandbox-silent", NO_REPLY),
    _odd(Channel.PUSH, "sandbox-reset", RESET),
    _odd(Channel.PUSH, "sandbox-empty", EMPTY_BODY),
    _odd(Channel.PUSH, "sandbox-proxy", PROXY_PAGE),
    _odd(Channel.PUSH, "sandbox-flaky", FLAKY,
         Fault(503, "UNAVAILABLE", "The service is currently unavailable.")),
)

# fmt: on
ADDRESSES: Final = EMAIL_ADDRESSES + SMS_ADDRESSES + PUSH_ADDRESSES
_BY_ADDRESS: Final = {(row.channel, row.address): row for row in ADDRESSES}


def find_agreed(channel: Channel, to: str) -> Agreed | None:
    """Find the agreed address that a recipient stands for, if any."""
    match channel:
        case Channel.EMAIL:
            candidates = [_plain_email(address) for _, address in getaddresses([to])]
        case Channel.SMS:
            candidates = [to]
        case Channel.PUSH:
            candidates = _token_prefixes(to)
    rows = (_BY_ADDRESS.get((channel, candidate)) for candidate in candidates)
    return next((row for row in rows if row), None)


def _plain_email(address: str) -> str:
    # Labels (`bounce+anna@`) as in SES's own simulator: one outcome for many recipients.
    local, _, domain = address.lower().rpartition("@")
    if domain.endswith(f".{SANDBOX_DOMAIN}"):
        domain = SANDBOX_DOMAIN
    return f"{local.partition('+')[0]}@{domain}"


def _token_prefixes(token: str) -> list[str]:
    if not token.startswith("sandbox-"):
        return []
    parts = token.split("-")
    return ["-".join(parts[:end]) for end in range(len(parts), 1, -1)]


def as_markdown() -> str:
    """Print the agreed addresses as a Markdown table."""
    lines = ["| channel | address | what happens | failure class |", "|---|---|---|---|"]
    lines += [
        f"| {row.channel} | `{row.address}` | {row.happens} | {row.failure_class or 'none'} |"
        for row in ADDRESSES
    ]
    return "\n".join(lines)
