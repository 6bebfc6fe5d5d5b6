"""HTTP to the stack's own addresses, with nothing but the standard library."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from typing import Any

from offline.children import Child
from offline.problems import OfflineError

POLL_SECONDS = 0.02

# The reader's HTTP proxy has no way to this machine's loopback address.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Answer:
    """A response, whatever its status."""

    status: int
    headers: Message
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the status is one of success."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    def json(self) -> Any:
        """Return the parsed body."""
        return json.loads(self.body)


def fetch(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    seconds: float = 35,
) -> Answer:
    """Send one request and return its answer."""
    request = urllib.request.Request(  # noqa: S310 - only this stack's own addresses
        url, data=body, headers=dict(headers or {}), method=method
    )
    try:
        with _OPENER.open(request, timeout=seconds) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


def await_health(child: Child, url: str, seconds: float = 30) -> None:
    """Wait until a process answers its health endpoint."""
    deadline = time.monotonic() + seconds
    said = "it does not answer"
    while time.monotonic() < deadline:
        try:
            answer = fetch("GET", url)
        except OSError:
            pass
        else:
            if answer.ok:
                return
            said = f"{answer.status} {answer.body.decode(errors='replace')[:500]}"
        if child.ended.wait(POLL_SECONDS):
            raise child.failed(f"{child.name} ended while starting")
    raise OfflineError(f"{child.name} is not ready after {seconds:.0f} s: {said}", child.log)
