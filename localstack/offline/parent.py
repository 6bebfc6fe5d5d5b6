"""Follows make, which does not hand on what it is sent."""

import os
import re
import signal
import threading
from pathlib import Path

POLL_SECONDS = 0.5
_INTERRUPT_BIT = 1 << (signal.SIGINT - 1)


def follow() -> None:
    """End with make: killed, or sent the SIGINT that it keeps to itself while it waits for us.

    Ctrl-C in a terminal reaches both; `kill -INT` of make alone, and kill -9, reach only make.
    """
    if "MAKELEVEL" not in os.environ:
        return
    maker = os.getppid()
    threading.Thread(target=_watch, args=(maker, catches(maker)), daemon=True).start()


def catches(process: int) -> bool:
    """Tell whether a process still catches SIGINT; make stops doing so at the first one."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)", status, re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) & _INTERRUPT_BIT)


def _watch(maker: int, caught: bool) -> None:
    # Neither event can be awaited by a child.
    while os.getppid() == maker and catches(maker) == caught:
        threading.Event().wait(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGINT)
