"""Request bodies: what is JSON here, and its one canonical form."""

import json
from base64 import b64decode
from typing import Any

from carillon.errors import Fault, Problem
from carillon.messages import canonical_json
from carillon.models import MAX_BODY_BYTES

MAX_DEPTH = 32


def read_body(event: dict[str, Any]) -> bytes:
    """Return the request's JSON the same for any order of keys and any spacing (RFC 8785's aim).

    Raises Problem for what no schema would describe. Stricter than ``json.loads``: no NaN, no lone
    surrogates, no endless numbers or nesting. Empty when there is no body.
    """
    text = event.get("body")
    if not text:
        return b""
    if event.get("isBase64Encoded"):
        text = _decoded(text)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BODY_BYTES:
        limit = f"The body may have {MAX_BODY_BYTES} bytes"
        raise Problem(413, "too-large", limit, faults=[Fault("#", limit)])
    try:
        body = json.loads(text, parse_constant=_no_constant)
        _check_depth(body, MAX_DEPTH)
        canonical = canonical_json(body)
    except (ValueError, RecursionError) as error:
        reason = _why_not_json(error)
        raise Problem(
            400, "malformed-json", f"The body is not JSON: {reason}", faults=[Fault("#", reason)]
        ) from None
    if not isinstance(body, dict):
        raise Problem(
            400,
            "malformed-json",
            "The body is not a JSON object",
            faults=[Fault("#", "must be an object, in braces")],
        )
    return canonical


def check_content_type(event: dict[str, Any]) -> None:
    """Raise Problem (415) for a body that is not said to be JSON; said nothing, it is taken so."""
    headers = event.get("headers") or {}
    name = next((name for name in headers if name.lower() == "content-type"), None)
    kind = headers[name].partition(";")[0].strip().lower() if name else ""
    if event.get("body") and kind not in ("", "application/json"):
        text = "Send application/json"
        raise Problem(
            415, "unsupported-media-type", text, faults=[Fault("header:Content-Type", text)]
        )
    if name:
        headers[name] = "application/json"  # the resolver compares it as it is spelt


def _decoded(text: str) -> str:
    try:
        return b64decode(text, validate=True).decode()
    except ValueError:
        raise Problem(400, "malformed-json", "The body is not base64 of UTF-8") from None


def _why_not_json(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    if isinstance(error, UnicodeEncodeError):
        return "a lone surrogate is no character"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error).partition(";")[0]


def _check_depth(value: Any, left: int) -> None:
    """Raise ValueError for JSON so deep that its next reader might refuse it."""
    if not left:
        raise ValueError("nested too deeply")
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            _check_depth(each, left - 1)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
