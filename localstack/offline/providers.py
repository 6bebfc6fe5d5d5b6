"""The provider sandbox: stands where SES, Twilio and FCM are, and keeps what it was sent."""

import sys
from pathlib import Path

from offline.children import Child, Children
from offline.environment import offline_path
from offline.fetch import await_health


def start(children: Children, port: int, state: Path) -> Child:
    """Start the sandbox on 127.0.0.1."""
    command = [sys.executable, "-m", "sandbox", "--host", "127.0.0.1", "--port", str(port)]
    return children.start("the sandbox", command, offline_path(), state / "sandbox.log")


def await_ready(child: Child, url: str) -> None:
    """Wait until it answers."""
    await_health(child, f"{url}/health")
