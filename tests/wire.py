"""A provider's wire with a script: it counts requests and answers each as it is told."""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Connection = socket.socket
Answer = Callable[[Connection], None]
PATIENCE = 10


@dataclass
class Wire:
    """A server on 127.0.0.1. ``requests`` are the bodies it was sent, one per HTTP request."""

    answer: Answer
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def sent(self, path: bytes = b"") -> int:
        """Return how many requests named the path."""
        return sum(path in head.partition(b"\r\n")[0] for head in self.heads)

    def converse(self, connection: Connection) -> None:
        with connection, suppress(OSError):
            connection.settimeout(PATIENCE)
            while head := _read_until(connection, b"\r\n\r\n"):
                self.heads.append(head)
                self.requests.append(_read(connection, _length(head)))
                self.answer(connection)


@contextmanager
def accepting(converse: Callable[[Connection], None]) -> Iterator[int]:
    """Converse with whoever connects for as long as the block takes; yield the port."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=converse, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        # Closing alone does not wake who accepts.
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def listening(answer: Answer) -> Iterator[Wire]:
    """Run a wire for as long as the block takes."""
    wire = Wire(answer)
    with accepting(wire.converse) as wire.port:
        yield wire


def reply(status: int, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with a status and JSON, or with the text given."""
    text = body if isinstance(body, str) else "" if body is None else json.dumps(body)
    kind = "text/html" if isinstance(body, str) else "application/json"
    told = {"Content-Type": kind, "Content-Length": str(len(text.encode()))} | dict(headers or {})
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    whole = f"HTTP/1.1 {status} Told\r\n{lines}\r\n{text}".encode()
    return lambda connection: connection.sendall(whole)


def reset(connection: Connection) -> None:
    """Break the connection after the request, with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hang_up(connection: Connection) -> None:
    """Close the connection without an answer."""
    connection.shutdown(socket.SHUT_RDWR)


def silence(connection: Connection) -> None:
    """Say nothing until the other side leaves."""
    connection.recv(1)


def half(connection: Connection) -> None:
    """Send the first half of an answer and hang up."""
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"MessageId"')
    hang_up(connection)


def trickle(connection: Connection) -> None:
    """Send an answer without end, a byte at a time, until the other side leaves."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    connection.settimeout(0.05)
    while True:
        connection.sendall(b" ")
        with suppress(TimeoutError):
            if not connection.recv(1):
                return


def _read_until(connection: Connection, end: bytes) -> bytes:
    read = b""
    while not read.endswith(end):
        byte = connection.recv(1)
        if not byte:
            return b""
        read += byte
    return read


def _length(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)


def _read(connection: Connection, length: int) -> bytes:
    read = b""
    while len(read) < length:
        read += connection.recv(length - len(read))
    return read
