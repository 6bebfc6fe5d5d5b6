"""What one message says in one channel: its fields, and what every one of them must keep to.

Apart from rendering.py, so that who only looks at contents does without Jinja.
"""

import hashlib
import json
import re
from html import unescape
from html.parser import HTMLParser

from carillon.errors import RenderError
from carillon.messages import Inline, canonical_json
from carillon.models import Channel

MAX_SMS = 1_600
"""Characters in a text message (Twilio error 21617)."""
MAX_PUSH = 4_096
"""Bytes in a push, with its data (FCM, "payload size")."""
PUSH_OVERHEAD = 192
"""Bytes of what every push carries beside its texts: id, category, and their names."""
HEADINGS = frozenset({"subject", "title", "action_url"})
"""Parts that become header fields or one-line texts: no control characters, no line breaks."""
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

LINKS = frozenset(["href", "src", "action", "formaction", "background", "poster", "xlink:href"])
SCRIPTS = ("javascript:", "vbscript:", "data:")

Content = dict[str, str]
"""A channel's rendered part: its fields by name."""


def content_hash(content: Content) -> bytes:
    """Return the SHA-256 of a part's canonical JSON: the same for the same words."""
    return hashlib.sha256(canonical_json(content)).digest()


def titled(content: Content, title: str | None) -> Content:
    """Return the content with ``title``, when there is one, for its heading."""
    if title is None:
        return content
    own = [field for field in ("subject", "title") if field in content]
    return content | dict.fromkeys(own, title)


def check_text(field: str, text: str) -> None:
    """Raise RenderError for a text that its field cannot have."""
    # boto3 lets CR and LF through into header fields.
    if field in HEADINGS and CONTROL.search(text):
        raise RenderError(f"{field} would have a line break or another control character")
    if not text.strip():
        raise RenderError(f"{field} would be empty")
    if field == "html":
        _check_links(text)
    if field == "action_url" and _runs(text):
        raise RenderError("action_url would run a script")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RenderError(f"{field} would have a lone surrogate") from None


class _Links(HTMLParser):
    """Finds links that run when they are followed; what a variable holds may be anybody's."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in LINKS and _runs(value or ""):
                raise RenderError(f"html would have a {tag} whose {name} runs a script")


def _check_links(html: str) -> None:
    if _runs_somewhere(html):
        links = _Links()
        links.feed(html)
        links.close()


def _squeezed(text: str) -> str:
    """Return the text as a browser reads an address: without blanks and control characters."""
    return re.sub(r"[\x00-\x20]+", "", text).lower()


def _runs(address: str) -> bool:
    return _squeezed(address).startswith(SCRIPTS)


def _runs_somewhere(html: str) -> bool:
    """Tell quickly whether it is worth parsing at all; hardly any mail is."""
    squeezed = _squeezed(unescape(html))
    return any(scheme in squeezed for scheme in SCRIPTS)


def check_fits(channel: Channel, content: Content) -> Content:
    """Return the content; raises RenderError when the channel's provider would refuse its size."""
    if channel is Channel.SMS and len(content["text"]) > MAX_SMS:
        raise RenderError(f"text would have more than {MAX_SMS} characters")
    if channel is Channel.PUSH and push_size(content) > MAX_PUSH:
        raise RenderError(f"the push would have {push_size(content)} bytes of {MAX_PUSH}")
    return content


def push_size(content: Content) -> int:
    """Return the bytes of a push with this content."""
    return len(json.dumps(content, ensure_ascii=False).encode()) + PUSH_OVERHEAD


def inline_content(inline: Inline, channel: Channel) -> Content:
    """Return content given in a request, as the channel's part; raises RenderError."""
    title = inline.title or next(iter(inline.message.strip().splitlines()), "")[:78]
    fields = {
        Channel.EMAIL: {"subject": title, "text": inline.message},
        Channel.SMS: {"text": inline.message},
        Channel.PUSH: {"title": title, "body": inline.message},
        Channel.INAPP: {"title": title, "body": inline.message},
    }[channel]
    for field, text in fields.items():
        check_text(field, text)
    return check_fits(channel, fields)
