"""One run per folder, and no port twice."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from offline.problems import OfflineError

HOST = "127.0.0.1"
# A run that was killed holds the lock until its guard has tidied up.
TIDY_SECONDS = 10.0
_POLL_SECONDS = 0.05


@contextmanager
def only_run(state: Path, api: str) -> Iterator[int]:
    """Hold the folder's lock; yields its descriptor, which keeps the lock while it is open."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "run.lock").open("a+") as lock:
        _take(lock)
        lock.truncate(0)
        lock.write(json.dumps({"pid": os.getpid(), "api": api}))
        lock.flush()
        yield lock.fileno()


def check_ports(ports: Mapping[str, int]) -> None:
    """Refuse a port that something else has; the keys are the variables that change them."""
    for name, port in ports.items():
        same = [other for other, number in ports.items() if number == port]
        if len(same) > 1:
            raise OfflineError(f"{' and '.join(same)} are both {port}")
        reason = why_taken(port)
        if reason:
            raise OfflineError(f"port {port} {reason}; choose another: make run {name}={port + 1}")


def why_taken(port: int) -> str:
    """Return why nothing can listen on a port, or an empty string."""
    with socket.socket() as probe:
        # Binding is not enough on macOS, which lets 127.0.0.1 be bound under a wildcard listener.
        if probe.connect_ex((HOST, port)) == 0:
            return "is taken"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return f"cannot be used ({(error.strerror or str(error)).lower()})"
    return ""


def _take(lock: IO[str]) -> None:
    deadline = time.monotonic() + TIDY_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(lock)
            if _alive(holder.get("pid")) or time.monotonic() > deadline:
                raise OfflineError(
                    f"Carillon is already running here: process {holder.get('pid', 'unknown')}, "
                    f"{holder.get('api', 'address unknown')}"
                ) from None
            time.sleep(_POLL_SECONDS)
        else:
            return


def _holder(lock: IO[str]) -> dict[str, object]:
    lock.seek(0)
    try:
        holder = json.loads(lock.read())
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _alive(pid: object) -> bool:
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
