"""The agreed addresses: recipients that make the sandbox fail in a known way.

This table is the only place they are written down: the providers obey it, `GET /addresses`
serves it and docs/sandbox.md prints it.
"""

from email.utils import getaddresses
from typing import Final

from .outcomes import Agreed, Channel, FailureClass, Fault, Provider, Reaction

SANDBOX_DOMAIN: Final = "sandbox.test"
SIMULATOR_DOMAIN: Final = "simulator.amazonses.com"

RETRY, UNKNOWN, THROTTLE, PERMANENT, RECIPIENT, CONFIG = FailureClass
SES, SMTP, SENDGRID, TWILIO, AWS, FCM = Provider
NO_REPLY, RESET, DROPPED = Reaction.NO_REPLY, Reaction.RESET, Reaction.DROPPED
EMPTY_BODY, FLAKY, PROXY_PAGE = Reaction.EMPTY_BODY, Reaction.FLAKY, Reaction.PROXY_PAGE


def _accepted(name: str, note: str) -> Agreed:
    return Agreed(SES, f"{name}@{SIMULATOR_DOMAIN}", Reaction.ACCEPTED, note=note)


def _refused(provider: Provider, address: str, failure: FailureClass, fault: Fault) -> Agreed:
    return Agreed(provider, _address(provider, address), Reaction.REFUSED, failure, fault)


def _ses(name: str, failure: FailureClass, status: int, code: str, message: str) -> Agreed:
    return _refused(SES, name, failure, Fault(status, code, message))


def _sendgrid(name: str, failure: FailureClass, status: int, field: str, message: str) -> Agreed:
    return _refused(SENDGRID, name, failure, Fault(status, field, message))


def _smtp(name: str, failure: FailureClass, status: int, code: str, message: str) -> Agreed:
    return _refused(SMTP, name, failure, Fault(status, code, message, at_once=True))


def _smtp_late(name: str, failure: FailureClass, status: int, code: str, message: str) -> Agreed:
    return _refused(SMTP, name, failure, Fault(status, code, message))


def _twilio(number: str, failure: FailureClass, status: int, code: str, message: str) -> Agreed:
    return _refused(TWILIO, number, failure, Fault(status, code, message))


def _aws(number: str, failure: FailureClass, status: int, code: str, message: str) -> Agreed:
    return _refused(AWS, number, failure, Fault(status, code, message))


def _fcm(name: str, failure: FailureClass, status: int, code: str, message: str) -> Agreed:
    return _refused(FCM, name, failure, Fault(status, code, message))


def _odd(  # noqa: PLR0913, PLR0917 - a row of the table
    provider: Provider,
    address: str,
    reaction: Reaction,
    fault: Fault | None = None,
    failure: FailureClass = UNKNOWN,
    note: str = "",
) -> Agreed:
    return Agreed(provider, _address(provider, address), reaction, failure, fault, note)


def _address(provider: Provider, name: str) -> str:
    match provider.channel:
        case Channel.EMAIL:
            return f"{name}@{SANDBOX_DOMAIN}"
        case Channel.SMS:
            return name
        case Channel.PUSH:
            return f"sandbox-{name}"


# fmt: off
# SES answers 400 for a paused account and for an unverified sender alike: only the error's type
# and text tell "this message" from "our side".
SES_ADDRESSES: Final = (
    _accepted("success", "Accepted"),
    _accepted("bounce", "Accepted; SES would report a hard bounce later"),
    _accepted("complaint", "Accepted; SES would report a complaint later"),
    _accepted("suppressionlist", "Accepted; SES would report a bounce later, as suppressed"),
    _ses("rejected", PERMANENT, 400, "MessageRejected",
         "The message can't be sent because it contains invalid content."),
    _ses("dead", RECIPIENT, 400, "BadRequestException", "Illegal address"),
    _ses("throttled", THROTTLE, 429, "TooManyRequestsException", "Maximum sending rate exceeded."),
    _ses("server-error", UNKNOWN, 500, "InternalServiceErrorException",
         "The request processing has failed because of an unknown error."),
    _ses("unavailable", UNKNOWN, 503, "ServiceUnavailable",
         "The request has failed due to a temporary failure of the server."),
    _ses("paused", CONFIG, 400, "SendingPausedException",
         "Sending paused for this account. For more information, please check the inbox of the "
         "email address associated with your AWS account."),
    _ses("suspended", CONFIG, 400, "AccountSuspendedException",
         "The account's ability to send email has been permanently restricted."),
    _ses("unverified", CONFIG, 400, "MessageRejected",
         "Email address is not verified. The following identities failed the check in region "
         "EU-WEST-1: sender@sandbox.test"),
    _ses("mail-from", CONFIG, 400, "MailFromDomainNotVerifiedException",
         "The message can't be sent because the sending domain isn't verified."),
    _ses("credentials", CONFIG, 403, "UnrecognizedClientException",
         "The security token included in the request is invalid."),
    _odd(SES, "silent", NO_REPLY),
    _odd(SES, "reset", RESET),
    _odd(SES, "empty", EMPTY_BODY),
    _odd(SES, "proxy", PROXY_PAGE),
    _odd(SES, "flaky", FLAKY,
         Fault(503, "ServiceUnavailable",
               "The request has failed due to a temporary failure of the server.")),
)

# Replies as Postfix words them, with the enhanced codes of RFC 3463. A 4xx or 5xx at any point
# means that nothing was taken; only silence after the final dot leaves it open.
SMTP_ADDRESSES: Final = (
    _smtp_late("rejected", PERMANENT, 554, "5.7.1", "Message rejected: invalid content"),
    _smtp("dead", RECIPIENT, 550, "5.1.1", "Recipient address rejected: User unknown"),
    _smtp("full", PERMANENT, 552, "5.2.2", "Mailbox full"),
    _smtp("throttled", THROTTLE, 421, "4.7.0", "Too many messages, slow down"),
    _smtp_late("server-error", THROTTLE, 451, "4.3.0", "Queue file write error"),
    _smtp("unavailable", RETRY, 450, "4.3.2", "System not accepting network messages"),
    _smtp("paused", CONFIG, 554, "5.7.1", "Relay access denied"),
    _smtp("unverified", CONFIG, 553, "5.7.1", "Sender address rejected: not owned by user"),
    _smtp("credentials", CONFIG, 530, "5.7.0", "Authentication required"),
    _odd(SMTP, "dropped", DROPPED, failure=RETRY),
    _odd(SMTP, "silent", NO_REPLY),
    _odd(SMTP, "reset", RESET),
    _odd(SMTP, "empty", EMPTY_BODY),
    _odd(SMTP, "proxy", PROXY_PAGE, note="Not accepted: what answers is not SMTP"),
    _odd(SMTP, "flaky", FLAKY,
         Fault(450, "4.3.2", "System not accepting network messages", at_once=True), RETRY),
)

# SendGrid has no codes: the status, and the field that is wrong.
SENDGRID_ADDRESSES: Final = (
    _sendgrid("rejected", PERMANENT, 400, "content.0.value",
              "The content value must be a string at least one character in length."),
    _sendgrid("dead", RECIPIENT, 400, "personalizations.0.to.0.email",
              "Does not contain a valid address."),
    _sendgrid("throttled", THROTTLE, 429, "", "too many requests"),
    _sendgrid("server-error", UNKNOWN, 500, "", "internal server error"),
    _sendgrid("unavailable", UNKNOWN, 503, "", "service unavailable"),
    _sendgrid("paused", CONFIG, 401, "", "Maximum credits exceeded"),
    _sendgrid("unverified", CONFIG, 403, "from",
              "The from address does not match a verified Sender Identity. Mail cannot be sent "
              "until this error is resolved."),
    _sendgrid("credentials", CONFIG, 401, "",
              "The provided authorization grant is invalid, expired, or revoked"),
    _odd(SENDGRID, "silent", NO_REPLY),
    _odd(SENDGRID, "reset", RESET),
    _odd(SENDGRID, "empty", EMPTY_BODY),
    _odd(SENDGRID, "proxy", PROXY_PAGE),
    _odd(SENDGRID, "flaky", FLAKY, Fault(503, "", "service unavailable")),
)

# The first five are Twilio's own magic numbers; from +15005550020 on they are the sandbox's.
TWILIO_ADDRESSES: Final = (
    _twilio("+15005550001", RECIPIENT, 400, "21211",
            "Invalid 'To' Phone Number: +1500555XXXX"),
    _twilio("+15005550002", PERMANENT, 400, "21612",
            "Message cannot be sent with the current combination of 'To' and/or 'From' "
            "parameters"),
    _twilio("+15005550003", PERMANENT, 400, "21408",
            "Permission to send an SMS has not been enabled for the region indicated by the 'To' "
            "number: +1500555XXXX"),
    _twilio("+15005550004", RECIPIENT, 400, "21610", "Attempt to send to unsubscribed recipient"),
    _twilio("+15005550009", RECIPIENT, 400, "21614",
            "To number: +1500555XXXX, is not a mobile number"),
    _twilio("+15005550029", THROTTLE, 429, "20429", "Too Many Requests"),
    _twilio("+15005550041", CONFIG, 401, "20003", "Authenticate"),
    _twilio("+15005550050", UNKNOWN, 500, "20500", "An internal server error has occurred"),
    _twilio("+15005550053", UNKNOWN, 503, "20503", "Service is unavailable. Please try again"),
    _odd(TWILIO, "+15005550060", NO_REPLY),
    _odd(TWILIO, "+15005550061", RESET),
    _odd(TWILIO, "+15005550062", EMPTY_BODY),
    _odd(TWILIO, "+15005550063", PROXY_PAGE),
    _odd(TWILIO, "+15005550070", FLAKY,
         Fault(503, "20503", "Service is unavailable. Please try again")),
)

# The same numbers as Twilio's, where they mean something here.
AWS_ADDRESSES: Final = (
    _aws("+15005550001", RECIPIENT, 400, "ValidationException:INVALID_PARAMETER",
         "DestinationPhoneNumber is not a valid phone number"),
    _aws("+15005550002", PERMANENT, 400, "ConflictException:NO_ORIGINATION_IDENTITIES_FOUND",
         "No origination entities available to send"),
    _aws("+15005550003", PERMANENT, 400,
         "ConflictException:DESTINATION_COUNTRY_BLOCKED_BY_PROTECT_CONFIGURATION",
         "Destination country is blocked by a protect configuration"),
    _aws("+15005550004", RECIPIENT, 400,
         "ConflictException:DESTINATION_PHONE_NUMBER_OPTED_OUT",
         "Destination phone number is opted out"),
    _aws("+15005550029", THROTTLE, 400, "ThrottlingException", "Rate exceeded"),
    _aws("+15005550041", CONFIG, 400, "UnrecognizedClientException",
         "The security token included in the request is invalid."),
    _aws("+15005550042", CONFIG, 400,
         "ServiceQuotaExceededException:MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT",
         "Monthly spend limit reached for text messages"),
    _aws("+15005550043", CONFIG, 400, "AccessDeniedException:ACCOUNT_DISABLED",
         "The account is disabled"),
    _aws("+15005550050", UNKNOWN, 500, "InternalServerException",
         "The request processing has failed because of an unknown error."),
    _aws("+15005550053", UNKNOWN, 503, "ServiceUnavailable",
         "The request has failed due to a temporary failure of the server."),
    _odd(AWS, "+15005550060", NO_REPLY),
    _odd(AWS, "+15005550061", RESET),
    _odd(AWS, "+15005550062", EMPTY_BODY),
    _odd(AWS, "+15005550063", PROXY_PAGE),
    _odd(AWS, "+15005550070", FLAKY,
         Fault(503, "ServiceUnavailable",
               "The request has failed due to a temporary failure of the server.")),
)

# A missing project and a dead token are both 404 NOT_FOUND with the same text; FCM marks the
# token with an FcmError detail, and only that one may be deleted.
FCM_ADDRESSES: Final = (
    _fcm("rejected", PERMANENT, 400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    _fcm("unregistered", RECIPIENT, 404, "UNREGISTERED", "Requested entity was not found."),
    _fcm("malformed", RECIPIENT, 400, "INVALID_ARGUMENT",
         "The registration token is not a valid FCM registration token"),
    _fcm("other-sender", PERMANENT, 403, "SENDER_ID_MISMATCH", "SenderId mismatch"),
    _fcm("throttled", THROTTLE, 429, "QUOTA_EXCEEDED",
         "Sending limit exceeded for the message target."),
    _fcm("server-error", UNKNOWN, 500, "INTERNAL", "Internal error encountered."),
    _fcm("unavailable", UNKNOWN, 503, "UNAVAILABLE", "The service is currently unavailable."),
    _fcm("credentials", CONFIG, 401, "THIRD_PARTY_AUTH_ERROR",
         "Auth error from APNS or Web Push Service"),
    _fcm("forbidden", CONFIG, 403, "PERMISSION_DENIED",
         "Permission 'cloudmessaging.messages.create' denied on resource "
         "'//cloudresourcemanager.googleapis.com/projects/sandbox' (or it may not exist)."),
    _fcm("project-missing", CONFIG, 404, "NOT_FOUND", "Requested entity was not found."),
    _odd(FCM, "silent", NO_REPLY),
    _odd(FCM, "reset", RESET),
    _odd(FCM, "empty", EMPTY_BODY),
    _odd(FCM, "proxy", PROXY_PAGE),
    _odd(FCM, "flaky", FLAKY,
         Fault(503, "UNAVAILABLE", "The service is currently unavailable.")),
)
# fmt: on
ADDRESSES: Final = (
    *SES_ADDRESSES,
    *SMTP_ADDRESSES,
    *SENDGRID_ADDRESSES,
    *TWILIO_ADDRESSES,
    *AWS_ADDRESSES,
    *FCM_ADDRESSES,
)
_BY_ADDRESS: Final = {(row.provider, row.address): row for row in ADDRESSES}


def find_agreed(provider: Provider, to: str) -> Agreed | None:
    """Find the agreed address that a recipient stands for, if any."""
    match provider.channel:
        case Channel.EMAIL:
            candidates = [_plain_email(address) for _, address in getaddresses([to])]
        case Channel.SMS:
            candidates = [to]
        case Channel.PUSH:
            candidates = _token_prefixes(to)
    rows = (_BY_ADDRESS.get((provider, candidate)) for candidate in candidates)
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
    head = "| channel | provider | address | what happens | failure class |"
    rows = [
        f"| {row.channel} | {row.provider} | `{row.address}` | {row.happens} |"
        f" {row.failure_class or 'none'} |"
        for row in ADDRESSES
    ]
    return "\n".join([head, "|---|---|---|---|---|", *rows])
