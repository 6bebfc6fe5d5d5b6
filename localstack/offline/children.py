"""The processes a stack is made of: started together, watched, and gone when it ends."""

import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from offline import guard
from offline.environment import ROOT, offline_path
from offline.problems import OfflineError

Command = Sequence[str | Path]


@dataclass(frozen=True)
class Child:
    """One process in a group of its own, its output in a log."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    serves: bool = True
    ended: threading.Event = field(default_factory=threading.Event)

    def failed(self, what: str) -> OfflineError:
        """Describe an end that was not expected."""
        return OfflineError(
            f"{what} (exit {self.process.poll()}); the end of {self.log}:", self.log
        )


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C: a child born in that moment would be known to nobody."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    late: list[tuple[int, FrameType | None]] = []
    numbers: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda *signalled: late.append(signalled)) for n in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number, frame in late[:1]:
            handler = before[number]
            if callable(handler):
                handler(number, frame)


class Children:
    """Starts processes that do not outlive this one, and tells when one of them ends."""

    def __init__(self, leftovers: Sequence[Path] = (), keep_open: Sequence[int] = ()) -> None:
        """Begin with none.

        Args:
            leftovers: Files and folders to remove once every process is gone.
            keep_open: Descriptors the guard holds until then, such as that of a lock.
        """
        self._leftovers = leftovers
        self._keep_open = keep_open
        self._children: list[Child] = []
        self._exits: queue.SimpleQueue[Child] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        with uninterrupted():
            self._guard = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "offline.guard", *map(str, self._leftovers)],
                stdin=subprocess.PIPE,
                env=offline_path(),
                pass_fds=self._keep_open,
                start_new_session=True,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with uninterrupted():
            guard.end([child.process.pid for child in self._children])
            for child in self._children:
                child.ended.wait(guard.GRACE_SECONDS)
            # First, so that the guard finds nothing: a folder of many functions takes seconds.
            guard.remove(self._leftovers)
            with suppress(BrokenPipeError):
                self._guard.communicate(timeout=2 * guard.GRACE_SECONDS)

    def start(
        self,
        name: str,
        command: Command,
        env: Mapping[str, str],
        log: Path,
        *,
        serves: bool = True,
    ) -> Child:
        """Start a process in a session of its own, so that the terminal's Ctrl-C passes it by.

        Args:
            name: What it is called in messages.
            command: The program and its arguments.
            env: Its whole environment.
            log: Where its output goes.
            serves: Whether it is meant to run until it is stopped.
        """
        with uninterrupted(), log.open("wb") as output:
            try:
                process = subprocess.Popen(  # noqa: S603 - a fixed list, no shell
                    [str(part) for part in command],
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=env,
                    start_new_session=True,
                )
            except OSError as error:
                raise OfflineError(f"{name} cannot be started: {error}") from error
            self._tell_guard(process.pid)
            child = Child(name, process, log, serves)
            self._children.append(child)
        threading.Thread(target=self._watch, args=(child,), daemon=True).start()
        return child

    def first_exit(self) -> Child:
        """Block until one of the processes that are meant to stay ends."""
        return self._exits.get()

    def finish(self, child: Child) -> None:
        """Await the end of a process that is meant to end by itself."""
        child.ended.wait()
        if child.process.returncode:
            raise child.failed(f"{child.name} failed")

    def _tell_guard(self, group: int) -> None:
        if self._guard.stdin is None:
            raise OfflineError("the guard has no pipe")
        with suppress(BrokenPipeError):
            self._guard.stdin.write(f"{group}\n".encode())
            self._guard.stdin.flush()

    def _watch(self, child: Child) -> None:
        child.process.wait()
        child.ended.set()
        if child.serves:
            self._exits.put(child)
