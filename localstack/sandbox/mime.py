"""Reads an email as its recipient would."""

import email
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage


@dataclass(frozen=True, slots=True)
class Content:
    """The readable part of an email, and the addresses that it carries itself."""

    subject: str | None
    body: str | None
    html: str | None
    sender: str | None = None
    to: str | None = None


def read(raw: bytes) -> Content | None:
    """Return the content of an email, or None of what is none."""
    try:
        parsed = email.message_from_bytes(raw, policy=policy.default)
        text, html = _part(parsed, "plain"), _part(parsed, "html")
        return Content(parsed["Subject"], text, html, parsed["From"], parsed["To"])
    except (LookupError, ValueError):
        return None


def _part(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    content = part.get_content() if part else None
    return content if isinstance(content, str) else None
