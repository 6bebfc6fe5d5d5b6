"""A mail server, as a socket shows it: SMTP (RFC 5321) with SIZE and DSN.

What decides is the final dot: a conversation that breaks before has sent nothing.
"""

import re
import smtplib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from sandbox.outcomes import Fault
from simulation.senders import Smtp
from simulation.wire import Request, Wire

HOST = "mail.example.com"
ACCOUNT = {"host": HOST, "port": 25, "username": "", "password": "", "security": "none"}
PROVIDER = Smtp()
_NOTIFICATION = re.compile(r"ENVID=(\S+)")
_TO = re.compile(r"<([^>]+)>")


class Conversation:
    """One connection, as its client's socket."""

    def __init__(self, wire: Wire, patience: float) -> None:
        self.wire, self.patience = wire, patience
        self.replies = ["220 mail.example.com ESMTP"]
        self.notification = ""
        self.asked: tuple[Request, str, Fault | None] | None = None
        self.reading = False

    # ------------------------------------------------------------------ what smtplib asks of it

    def sendall(self, data: bytes) -> None:
        """Take what the client says."""
        if self.reading:
            if data == b".\r\n":
                self.reading = False
                self._handed_over()
            return
        self.wire.cloud.step(self.wire.weather.chance.uniform(0.001, 0.02))
        line = data.decode().strip()
        verb = line.partition(" ")[0].lower()
        answer: Callable[[str], str] = getattr(self, f"_{verb}")
        self.replies.append(answer(line))

    def makefile(self, _mode: str) -> "Conversation":
        """Return what the client reads from."""
        return self

    def readline(self, _most: int = -1) -> bytes:
        """Return the next line of a reply."""
        if not self.replies:
            self.wire.cloud.step(self.patience)
            raise TimeoutError("timed out")
        told = self.replies.pop(0)
        if told == "reset":
            raise ConnectionResetError(104, "Connection reset by peer")
        first, _, rest = told.partition("\n")
        if rest:
            self.replies.insert(0, rest)
        return f"{first}\r\n".encode() if first else b""

    def setsockopt(self, *_: object) -> None:
        """Take any option."""

    def close(self) -> None:
        """Hang up."""

    # ------------------------------------------------------------------ what it answers

    def _ehlo(self, _: str) -> str:
        return "250-mail.example.com\n250-SIZE 10000000\n250-ENHANCEDSTATUSCODES\n250 DSN"

    def _mail(self, line: str) -> str:
        found = _NOTIFICATION.search(line)
        self.notification = found[1] if found else ""
        return "250 2.1.0 Ok"

    def _rcpt(self, line: str) -> str:
        to = _TO.search(line)
        assert to, line
        mark = self.wire.story.marks.get(self.notification, "?")
        self.asked = self.wire.ask(PROVIDER, to[1], mark)
        _, fate, fault = self.asked
        if fate == "unreachable":
            return "reset"
        return _worded(fault) if fault and fault.at_once else "250 2.1.5 Ok"

    def _data(self, _: str) -> str:
        self.reading = True
        return "354 End data with <CR><LF>.<CR><LF>"

    def _quit(self, _: str) -> str:
        return "221 2.0.0 Bye"

    def _rset(self, _: str) -> str:
        return "250 2.0.0 Ok"

    def _handed_over(self) -> None:
        assert self.asked
        made, fate, fault = self.asked
        self.wire.cloud.step(self.wire.weather.chance.uniform(0.02, 0.5))
        match fate:
            case "accepted":
                self.replies.append(f"250 2.0.0 Ok: queued as {made.message_id}")
            case "refused" if fault:
                self.replies.append(_worded(fault))
            case "refused-500":
                self.replies.append("")
            case "reset":
                self.replies.append("reset")
            case "empty":
                self.replies.append("")
            case "proxy":
                self.replies.append("<html><head><title>Sign in</title></head></html>")


def _worded(fault: Fault) -> str:
    return f"{fault.status} {fault.code} {fault.message}"


@contextmanager
def served(wire: Wire) -> Iterator[None]:
    """Answer every connection of smtplib here."""

    def connect(_: Any, host: str, _port: int, timeout: float) -> Conversation:
        assert host == HOST, host
        chance = wire.weather.chance
        wire.cloud.step(chance.uniform(0.01, 0.1))
        if wire.is_away(PROVIDER):
            wire.story.tell("smtp", "refuses the connection")
            raise ConnectionRefusedError(111, "Connection refused")
        return Conversation(wire, timeout)

    with patch.object(smtplib.SMTP, "_get_socket", connect):
        yield
