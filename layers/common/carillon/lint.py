"""What a rendered part amounts to on its channel: segments, bytes, and what may go wrong.

Text messages are counted as 3GPP TS 23.038 (alphabets) and TS 23.040 (concatenation) have it: a
message of the GSM 7-bit alphabet holds 160 septets, or 153 in each of several; any other is UCS-2
and holds 70 units, or 67. A character of two units never stands in two segments.
"""

from typing import Literal

from carillon.content import MAX_PUSH, MAX_SMS, Content, push_size
from carillon.models import Channel, Shape

Encoding = Literal["GSM-7", "UCS-2"]

# TS 23.038, 6.2.1: the default alphabet without its escape, then the extension table.
BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = frozenset("\f^{}\\[~]|€")
CAPACITY: dict[Encoding, tuple[int, int]] = {"GSM-7": (160, 153), "UCS-2": (70, 67)}
"""Units in a message of one segment, and in each segment of a longer one."""
BEYOND_16_BITS = 0x10000

MAX_SUBJECT = 78
"""Characters in a line that any mail program shows whole (RFC 5322, 2.1.1)."""
MAX_HTML = 102_000
"""Bytes of HTML after which Gmail cuts a mail off."""


class SmsLint(Shape):
    """A text message: ``not_gsm7`` are the characters that make it UCS-2."""

    characters: int
    encoding: Encoding
    segments: int
    limit: int = MAX_SMS
    not_gsm7: list[str]


class PushLint(Shape):
    """A push: its size with what every push carries, and what FCM takes."""

    bytes: int
    limit: int = MAX_PUSH


class EmailLint(Shape):
    """An email."""

    subject_characters: int
    html_bytes: int
    text_bytes: int
    warnings: list[str]


class InappLint(Shape):
    """An entry of the inbox, which has no limit of its own."""

    title_characters: int
    body_characters: int


Lint = SmsLint | PushLint | EmailLint | InappLint


def check(channel: Channel, content: Content) -> Lint:
    """Return what ``content`` amounts to on ``channel``."""
    match channel:
        case Channel.SMS:
            return _sms(content["text"])
        case Channel.PUSH:
            return PushLint(bytes=push_size(content))
        case Channel.EMAIL:
            return _email(content)
        case Channel.INAPP:
            return InappLint(
                title_characters=len(content["title"]), body_characters=len(content["body"])
            )


def encoding_of(text: str) -> Encoding:
    """Return the smaller encoding that has every character of the text."""
    return "GSM-7" if set(text) <= BASIC | EXTENSION else "UCS-2"


def units(character: str, encoding: Encoding) -> int:
    """Return what a character takes: septets in GSM-7, 16-bit units in UCS-2."""
    if encoding == "GSM-7":
        return 2 if character in EXTENSION else 1
    return 2 if ord(character) >= BEYOND_16_BITS else 1


def segments(text: str) -> list[str]:
    """Return the text as it is cut into segments; an empty one is a segment too."""
    encoding = encoding_of(text)
    single, several = CAPACITY[encoding]
    if sum(units(character, encoding) for character in text) <= single:
        return [text]
    cut, used = [0], 0
    for place, character in enumerate(text):
        needed = units(character, encoding)
        if used + needed > several:
            cut.append(place)
            used = 0
        used += needed
    return [text[start:end] for start, end in zip(cut, [*cut[1:], len(text)], strict=True)]


def _sms(text: str) -> SmsLint:
    return SmsLint(
        characters=len(text),
        encoding=encoding_of(text),
        segments=len(segments(text)),
        not_gsm7=sorted(set(text) - BASIC - EXTENSION),
    )


def _email(content: Content) -> EmailLint:
    html, text = content.get("html", ""), content.get("text", "")
    size = len(html.encode())
    found = {
        f"The subject has more than {MAX_SUBJECT} characters": len(content["subject"])
        > MAX_SUBJECT,
        "There is no text for those who do not see HTML": not text,
        f"Gmail cuts HTML off after about {MAX_HTML} bytes": size > MAX_HTML,
    }
    return EmailLint(
        subject_characters=len(content["subject"]),
        html_bytes=size,
        text_bytes=len(text.encode()),
        warnings=[warning for warning, applies in found.items() if applies],
    )
