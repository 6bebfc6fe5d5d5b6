"""The provider sandbox: stands where the providers are, and keeps what it was sent."""

import sys
from pathlib import Path

from offline.children import Child, Children
from offline.environment import offline_path
from offline.fetch import await_health, fetch

_SMTP = 25


def start(children: Children, port: int, state: Path) -> Child:
    """Start the sandbox on 127.0.0.1."""
    where = ["--host", "127.0.0.1", "--port", str(port), "--smtp-port", "0"]
    command = [sys.executable, "-m", "sandbox", *where]
    return children.start("the sandbox", command, offline_path(), state / "sandbox.log")


def await_ready(child: Child, url: str) -> None:
    """Wait until it answers."""
    await_health(child, f"{url}/health")


def smtp_port(url: str) -> int:
    """Return where it takes mail; of providers that are not our sandbox, SMTP's own port."""
    try:
        return int(fetch("GET", f"{url}/health", seconds=2).json()["smtp_port"])
    except (OSError, LookupError, TypeError, ValueError):
        return _SMTP
