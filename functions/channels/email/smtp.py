"""Email through a mail server, by SMTP.

Replies: RFC 5321, 4.2 (basic codes), RFC 3463 with its registry (enhanced codes,
https://www.iana.org/assignments/smtp-enhanced-status-codes) and RFC 4954 (authentication). A reply
of 4xx or 5xx at any point means that the server has not taken the message; it has it only once it
was sent the final dot, so a connection that breaks before is surely nothing sent.
"""

import re
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import cache
from typing import Any, Literal

from pydantic import ConfigDict, Field

from carillon.aws import PROVIDER_TIMEOUT, secret
from carillon.delivery import Outgoing, Sent, configured
from carillon.errors import Failure, ProviderError
from carillon.failures import attempt
from carillon.models import Shape, now
from carillon.settings import settings
from functions.channels.email.sender import Sender, sender

PROVIDER = "smtp"
ENHANCED = {
    "1.1": Failure.RECIPIENT,  # no such mailbox
    "1.2": Failure.RECIPIENT,  # no such domain
    "1.3": Failure.RECIPIENT,  # no such syntax
    "1.6": Failure.RECIPIENT,  # moved, nobody knows where
    "1.10": Failure.RECIPIENT,  # the domain takes no mail (RFC 7505)
    "2.1": Failure.RECIPIENT,  # mailbox disabled
    "1.7": Failure.CONFIG,  # the sender's address
    "1.8": Failure.CONFIG,
    "7.3": Failure.CONFIG,  # authentication ...
    "7.8": Failure.CONFIG,
    "7.9": Failure.CONFIG,
    "7.11": Failure.CONFIG,
    "7.12": Failure.CONFIG,
    "7.14": Failure.CONFIG,
}
"""Of 5.x.y: what says more than its basic code."""
BASIC = {
    421: Failure.THROTTLE,
    450: Failure.RETRY,
    451: Failure.THROTTLE,
    452: Failure.THROTTLE,
    454: Failure.RETRY,  # no authentication, no TLS just now
    455: Failure.RETRY,
    500: Failure.CONFIG,  # what we say is not understood
    501: Failure.PERMANENT,
    502: Failure.CONFIG,
    503: Failure.CONFIG,
    504: Failure.CONFIG,
    521: Failure.CONFIG,  # no mail here (RFC 7504)
    530: Failure.CONFIG,  # authentication, or TLS first
    534: Failure.CONFIG,
    535: Failure.CONFIG,
    538: Failure.CONFIG,
    550: Failure.PERMANENT,
    551: Failure.PERMANENT,
    552: Failure.PERMANENT,
    553: Failure.PERMANENT,
    554: Failure.PERMANENT,
    555: Failure.PERMANENT,
    556: Failure.RECIPIENT,  # the domain takes no mail (RFC 7504)
}
# One code for the recipient, for the message and for our own right to send: the words tell.
BY_TEXT = (
    (re.compile("(?i)relay(ing)? (access )?(denied|not (allowed|permitted))"), Failure.CONFIG),
    (re.compile("(?i)sender address rejected|sender (is )?not allowed"), Failure.CONFIG),
    # SES's SMTP:
    (re.compile("(?i)email address is not verified|sending (is )?paused"), Failure.CONFIG),
    (
        re.compile(
            "(?i)(user|mailbox|recipient|address) (is )?(unknown|not found|does(n.t| not) exist)"
            "|(no such|unknown|invalid) (user|mailbox|recipient)"
        ),
        Failure.RECIPIENT,
    ),
)
_ENHANCED = re.compile(r"([245])\.(\d{1,3}\.\d{1,3})\b")
# Postfix and Exim name their queue's id; SES's is the only word after Ok.
_QUEUED = re.compile(r"\bqueued as ([\w.-]+)|\bid=([\w.-]+)|^Ok ([\w-]{16,})$", re.IGNORECASE)
SIZE_EXCEEDED = 552
POLICY = SMTP.clone(cte_type="7bit")
"""Lines end in CRLF, none is longer than 78, all is ASCII: every server takes that."""


ABOUT_US = frozenset({"greeting", "login", "sender"})
"""Steps before the recipient is named: a refusal there is of us, whatever its code."""


class Account(Shape):
    """The secret: a server, and who we are there. ``none`` is for a server on this machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65_535)
    username: str = Field("", pattern=r"^[ -~]*$")
    password: str = Field("", pattern=r"^[ -~]*$")
    security: Literal["starttls", "tls", "none"]


@dataclass(slots=True)
class _Progress:
    """How far a conversation has come; ``handed_over`` with the final dot."""

    step: str = "greeting"
    handed_over: bool = False


@attempt(PROVIDER)
def send(outgoing: Outgoing) -> Sent:
    """Send one email in one transaction; raises ProviderError."""
    account, ours = configured(lambda: (_account(), sender()))
    mail = _mail(outgoing, ours)
    progress = _Progress()
    try:
        with _connection(account, ours.domain, progress) as server:
            reply = _transact(server, outgoing, ours.address, mail.as_bytes(), progress)
    except smtplib.SMTPResponseException as error:
        raise _refused(error, progress) from error
    except ssl.SSLCertVerificationError as error:
        raise ProviderError(Failure.CONFIG, "certificate", error.verify_message) from error
    except OSError as error:
        raise _broken(error, progress) from error
    queued = _QUEUED.search(reply)
    name = next(filter(None, queued.groups())) if queued else str(mail["Message-ID"])
    return Sent(PROVIDER, name)


def _mail(outgoing: Outgoing, ours: Sender) -> EmailMessage:
    """Return the email. A repeat has the same Message-ID, so that mailboxes may show it once."""
    mail = EmailMessage(policy=POLICY)
    notification_id = outgoing.message.notification_id
    try:
        mail["From"] = ours.header
        mail["To"] = outgoing.address
        mail["Subject"] = outgoing.content["subject"]
        mail["Date"] = format_datetime(now())
        mail["Message-ID"] = f"<{notification_id}@{ours.domain}>"
        mail["X-Carillon-Notification-Id"] = notification_id
        _set_body(mail, outgoing.content)
    except ValueError as error:
        raise ProviderError(Failure.PERMANENT, "malformed", "it makes no email") from error
    return mail


def _set_body(mail: EmailMessage, content: dict[str, str]) -> None:
    if "text" in content:
        mail.set_content(content["text"])
    if "text" in content and "html" in content:
        mail.add_alternative(content["html"], subtype="html")
    elif "html" in content:
        mail.set_content(content["html"], subtype="html")


@contextmanager
def _connection(account: Account, domain: str, progress: _Progress) -> Iterator[smtplib.SMTP]:
    """Connect, encrypt and log in; leave politely, which changes nothing any more."""
    told: dict[str, Any] = {"local_hostname": domain, "timeout": PROVIDER_TIMEOUT}
    if account.security == "tls":
        context = ssl.create_default_context()
        server: smtplib.SMTP = smtplib.SMTP_SSL(account.host, account.port, context=context, **told)
    else:
        server = smtplib.SMTP(account.host, account.port, **told)
    try:
        server.ehlo_or_helo_if_needed()
        if account.security == "starttls":
            server.starttls(context=ssl.create_default_context())
            server.ehlo()
        if account.username:
            progress.step = "login"
            server.login(account.username, account.password)
        yield server
        with suppress(OSError, smtplib.SMTPException):
            server.quit()
    finally:
        server.close()


def _transact(
    server: smtplib.SMTP, outgoing: Outgoing, ours: str, mail: bytes, progress: _Progress
) -> str:
    """Hand the email over, and return the words of who took it."""
    progress.step = "sender"
    options = [f"SIZE={len(mail)}"] if server.has_extn("size") else []
    if server.has_extn("dsn"):
        # Comes back in a bounce (RFC 3461, "Original-Envelope-Id").
        options.append(f"ENVID={outgoing.message.notification_id}")
    _accepted(server.mail(ours, options))
    progress.step = "recipient"
    _accepted(server.rcpt(outgoing.address))
    progress.step = "content"
    _accepted(server.docmd("DATA"), 3)
    if server.sock is not None:
        server.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server.send(re.sub(rb"(?m)^\.", b"..", mail))
    # Apart, so that an error above is one before it.
    server.send(b".\r\n")
    progress.handed_over = True
    return _accepted(server.getreply())


def _accepted(reply: tuple[int, bytes], kind: int = 2) -> str:
    """Return a reply's words; raises SMTPResponseException unless it is of the kind."""
    code, words = reply
    text = words.decode(errors="replace")
    if code // 100 != kind:
        raise smtplib.SMTPResponseException(code, text)
    return re.sub(r"^\d\.\d{1,3}\.\d{1,3} ", "", text)


def _refused(error: smtplib.SMTPResponseException, progress: _Progress) -> ProviderError:
    code, words = error.smtp_code, error.smtp_error
    text = words.decode(errors="replace") if isinstance(words, bytes) else words
    if code not in range(400, 600) or text == "Line too long.":
        failure = Failure.UNKNOWN if progress.handed_over else Failure.RETRY
        return ProviderError(failure, "unreadable", f"no reply of SMTP at: {progress.step}")
    enhanced = _ENHANCED.search(text)
    failure, listed = _class(code, enhanced[0] if enhanced else "", text)
    ours = progress.step in ABOUT_US and code != SIZE_EXCEEDED
    if ours and failure in (Failure.PERMANENT, Failure.RECIPIENT):
        failure = Failure.CONFIG
    name = f"{code} {enhanced[0]}" if enhanced else str(code)
    return ProviderError(failure, name, text, listed=listed)


def _broken(error: OSError, progress: _Progress) -> ProviderError:
    name = type(error).__name__
    gone = isinstance(error, smtplib.SMTPServerDisconnected)
    if isinstance(error, smtplib.SMTPException) and not gone:
        # No TLS, or no log-in, where the secret says that there is.
        return ProviderError(Failure.CONFIG, name, str(error))
    failure = Failure.UNKNOWN if progress.handed_over else Failure.RETRY
    return ProviderError(failure, name, f"the connection broke at: {progress.step}")


def _class(code: int, enhanced: str, text: str) -> tuple[Failure, bool]:
    """Return what a refusal means, and whether a table lists it."""
    if code < 500:  # noqa: PLR2004 - RFC 5321, 4.2.1: transient
        mailbox = enhanced.startswith(("4.1.", "4.2."))
        return (Failure.RETRY if mailbox else BASIC.get(code, Failure.RETRY)), True
    for words, failure in BY_TEXT:
        if words.search(text) and not (enhanced and failure is Failure.RECIPIENT):
            return failure, True
    listed = ENHANCED.get(enhanced[2:]) or BASIC.get(code)
    return listed or Failure.PERMANENT, listed is not None


@cache
def _account() -> Account:
    return Account.model_validate_json(secret(f"{settings().required('secrets_prefix')}/smtp"))
