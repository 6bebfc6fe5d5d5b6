"""Ends a stack's processes when the runner is gone, in whatever way it went.

The runner writes one line per process group it starts and keeps the pipe open. Its end closes the
pipe, a kill -9 included, and this process, which is in a session of its own, ends what is left.
A pipe works on Linux and macOS alike and reaches grandchildren, which PR_SET_PDEATHSIG does not.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

GRACE_SECONDS = 3.0
# The groups are not this process's children, so there is no event to await.
POLL_SECONDS = 0.02
# Absent on macOS, whose launchd reaps at once; a container's first process may never reap.
PROC = Path("/proc")


def send(group: int, number: int) -> bool:
    """Send a signal to a process group; false when nobody is in it any more."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        # macOS answers EPERM for a group of which only zombies are left.
        return False
    return True


def end(groups: Collection[int], grace: float = GRACE_SECONDS) -> None:
    """Ask every group to end, wait a bounded time for all of them, and kill the rest."""
    left = [group for group in groups if send(group, signal.SIGTERM)]
    deadline = time.monotonic() + grace
    while left and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        left = [group for group in left if runs(group)]
    for group in left:
        send(group, signal.SIGKILL)


def runs(group: int) -> bool:
    """Tell whether anything in a group still runs; what nobody has reaped yet does not."""
    if not send(group, 0):
        return False
    try:
        members = [path.read_text().rpartition(")")[2].split() for path in PROC.glob("[0-9]*/stat")]
    except OSError:
        # A process ended between being listed and being read.
        return True
    # The fields after the name are the state, the parent and the group.
    return not members or any(int(pgrp) == group and state != "Z" for state, _, pgrp, *_ in members)


def remove(paths: Iterable[Path]) -> None:
    """Remove files and folders, whether or not they are there."""
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            path.unlink()


def main() -> None:
    """Collect group numbers from standard input until it closes, then end them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups = {int(line) for line in sys.stdin}
    end(groups)
    remove(Path(path) for path in sys.argv[1:])


if __name__ == "__main__":
    main()
