"""Lets a container call what listens on this machine's loopback address alone."""

import socket
import socketserver
import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress

from offline.lock import HOST

BYTES = 65536


class _Relay(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """Carry bytes both ways until either side is done."""
        _, port = self.request.getsockname()
        with socket.create_connection((HOST, port)) as inner:
            back = threading.Thread(target=_pump, args=(inner, self.request), daemon=True)
            back.start()
            _pump(self.request, inner)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(BYTES):
            target.sendall(chunk)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def open_to(address: str, ports: Collection[int]) -> Iterator[None]:
    """Listen on another address of this machine, and hand what comes to the loopback's ports."""
    with ExitStack() as opened:
        for port in ports:
            server = opened.enter_context(_Relay((address, port), _Connection))
            opened.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield
