"""Threads that the product starts itself: they are tasks too, and wait in the simulated time."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from simulation.scheduler import Scheduler, Task

FOR_EVER = 1e7
_start, _wait, _notify = (
    threading.Thread.start,
    threading.Condition.wait,
    threading.Condition.notify,
)


@contextmanager
def taken_over(scheduler: Scheduler) -> Iterator[None]:
    """Let a thread begun, waited for or notified by the product be the scheduler's business."""
    waiting: dict[int, list[Task]] = {}

    def start(thread: threading.Thread) -> None:
        if not scheduler.is_ours():
            _start(thread)
            return
        assert scheduler.current is not None
        scheduler.fork(f"{scheduler.current.name}/{thread.name}", thread.run)

    def wait(condition: Any, timeout: float | None = None) -> bool:
        if not scheduler.is_ours():
            return _wait(condition, timeout)
        me = scheduler.current
        assert me is not None
        held = condition._release_save()
        among = waiting.setdefault(id(condition), [])
        among.append(me)
        try:
            scheduler.wait(FOR_EVER if timeout is None else timeout)
        finally:
            notified = me not in among
            if not notified:
                among.remove(me)
            condition._acquire_restore(held)
        return notified

    def notify(condition: Any, n: int = 1) -> None:
        among = waiting.get(id(condition), [])
        for task in among[:n]:
            among.remove(task)
            scheduler.wake(task)
        _notify(condition, n)

    def notify_all(condition: Any) -> None:
        notify(condition, len(waiting.get(id(condition), [])) + len(condition._waiters))

    with ExitStack() as patches:
        for kind, name, ours in (
            (threading.Thread, "start", start),
            (threading.Condition, "wait", wait),
            (threading.Condition, "notify", notify),
            (threading.Condition, "notify_all", notify_all),
        ):
            patches.enter_context(patch.object(kind, name, ours))
        yield
