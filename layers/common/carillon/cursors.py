"""Opaque cursors: a position in a list, which alone leads nowhere."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from carillon.errors import Fault, Problem


def make(position: str) -> str:
    """Return the cursor of the page after ``position``."""
    return urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def read(cursor: str, pattern: str) -> str:
    """Return the cursor's position; raises Problem (400) unless it fits ``pattern``."""
    try:
        position = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        position = None
    if not isinstance(position, str) or not re.fullmatch(pattern, position):
        raise Problem(
            400,
            "bad-cursor",
            "This cursor is not one of ours",
            faults=[Fault("query:cursor", "not a cursor")],
        )
    return position
