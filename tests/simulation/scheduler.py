"""Who goes on, and when: tasks of which exactly one runs, over a clock that only waiting moves.

A task is a thread, so that the product's code runs as it is. It goes on until it waits; then the
earliest of all that is due goes on. What is due at the same instant goes in the order in which it
was asked for, so a run depends on its seed alone.
"""

import _thread
import datetime as dt
import heapq
import threading
from collections.abc import Callable
from typing import Any, Self

import time_machine

MICROSECONDS = 1_000_000


class Killed(BaseException):
    """The process ends here, between two instructions; only ``finally`` still runs."""


class Task:
    """Something that waits now and then."""

    def __init__(self, name: str, deadline: int | None = None) -> None:
        self.name = name
        self.deadline = deadline  # when its platform kills it
        self.allowed = deadline  # when it was to
        self.root: Task = self  # the invocation that a thread of the product belongs to
        self.begun = 0
        self.ident = 0
        self.process: Any = None
        self.consumes = False
        self.doomed = False
        self.done = False
        self.failure: BaseException | None = None
        self.turn = threading.Lock()
        self.turn.acquire()
        self.wake_id = 0
        self.waiters: list[Task] = []


class Scheduler:
    """The clock, in microseconds since the run began, and what is to come."""

    def __init__(self, begin: dt.datetime) -> None:
        self.now = 0
        self._due: list[tuple[int, int, Task | Callable[[], None], int]] = []
        self._count = 0
        self._travel = time_machine.travel(begin, tick=False)
        self.epoch = begin.timestamp()
        self._main = Task("main")
        self._main.ident = threading.get_ident()
        self.current: Task | None = self._main
        self._error: BaseException | None = None
        self._running: dict[Task, None] = {}
        self.on_switch: Callable[[Task | None], None] = lambda _: None

    def __enter__(self) -> Self:
        self._clock = self._travel.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._travel.stop()

    @property
    def seconds(self) -> float:
        """Return the seconds since the run began."""
        return self.now / MICROSECONDS

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something ``seconds`` from now; it must not wait."""
        self._push(self.now + round(seconds * MICROSECONDS), action, 0)

    def spawn(
        self,
        name: str,
        work: Callable[[], None],
        *,
        process: Any = None,
        lives: float | None = None,
    ) -> Task:
        """Begin a task now, which is killed when it outlives ``lives`` seconds."""
        deadline = None if lives is None else self.now + round(lives * MICROSECONDS)
        task = Task(name, deadline)
        task.process = process
        task.consumes = process is not None and bool(process.function.queues)
        self._begin(task, work)
        return task

    def fork(self, name: str, work: Callable[[], None]) -> Task:
        """Begin a thread of the invocation that runs; it dies with it."""
        me = self.current
        assert me is not None
        task = Task(name, me.deadline)
        task.allowed, task.root = me.allowed, me.root
        task.process, task.consumes = me.process, me.consumes
        self._begin(task, work)
        return task

    def _begin(self, task: Task, work: Callable[[], None]) -> None:
        task.begun = self.now
        self._running[task] = None
        # Below the threads that the product starts: those are taken over (threads.py).
        _thread.start_new_thread(self._live, (task, work))
        self._push(self.now, task, task.wake_id)

    def is_ours(self) -> bool:
        """Tell whether the thread that asks is the task that runs."""
        return self.current is not None and self.current.ident == threading.get_ident()

    def wake(self, task: Task) -> None:
        """Let a task that waits go on now."""
        task.wake_id += 1
        self._push(self.now, task, task.wake_id)

    def wait(self, seconds: float) -> None:
        """Let the others go on for ``seconds``; raises Killed when the task does not live on."""
        me = self.current
        assert me is not None
        until = self.now + round(seconds * MICROSECONDS)
        if me.deadline is not None and until > me.deadline:
            until, me.doomed = max(me.deadline, self.now), True
        me.wake_id += 1
        self._push(until, me, me.wake_id)
        self._pass_on(me)
        if me.doomed:
            raise Killed

    def join(self, task: Task, seconds: float) -> bool:
        """Wait for a task to end; False when it takes longer than ``seconds``."""
        me = self.current
        assert me is not None
        if not task.done:
            task.waiters.append(me)
            self.wait(seconds)
        return task.done

    def run(self, until: Callable[[], bool], every: float, longest: float) -> bool:
        """Let everything go on until ``until`` holds, asked ``every`` seconds; False at longest."""
        end = self.now + round(longest * MICROSECONDS)
        while self.now < end:
            self.wait(every)
            if until():
                return True
        return False

    def end(self) -> None:
        """Kill every task that still waits."""
        self._due = [each for each in self._due if each[2] is self._main]
        for task in list(self._running):
            task.doomed, task.deadline = True, self.now
            self.wake(task)
        while self._running:
            self.wait(0.000001)

    def _push(self, when: int, action: Task | Callable[[], None], wake_id: int) -> None:
        self._count += 1
        heapq.heappush(self._due, (when, self._count, action, wake_id))

    def _live(self, task: Task, work: Callable[[], None]) -> None:
        task.ident = threading.get_ident()
        task.turn.acquire()
        try:
            if not task.doomed:
                work()
        except Killed:
            self._kill(task)
        except BaseException as error:  # noqa: BLE001 - told by the main task
            self._error = self._error or error
        task.done = True
        self._running.pop(task)
        for waiter in task.waiters:
            self.wake(waiter)
        self._pass_on(None)

    def _kill(self, died: Task) -> None:
        """Kill what belongs to the same invocation as a task that died in the middle of it."""
        for task in list(self._running):
            if task.root is died.root and task is not died and task.process is not None:
                task.doomed = True
                self.wake(task)

    def _pass_on(self, me: Task | None) -> None:
        """Hand over to whoever is due next, which may be the same; return when it is our turn."""
        try:
            following = self._next()
        except BaseException as error:  # noqa: BLE001 - told by the main task
            self._error = self._error or error
            following = self._main
        if following is not me:
            self.current = following
            self.on_switch(following)
            following.turn.release()
            if me is None:
                return
            me.turn.acquire()
        elif self.current is not me:
            self.current = me
            self.on_switch(me)
        if me is self._main and self._error:
            error, self._error = self._error, None
            raise error

    def _next(self) -> Task:
        if self._error:
            return self._main
        while True:
            when, _, action, wake_id = heapq.heappop(self._due)
            if when > self.now:
                self._clock.shift(dt.timedelta(microseconds=when - self.now))
                self.now = when
            if not isinstance(action, Task):
                self.current = None
                action()
            elif wake_id == action.wake_id and not action.done:
                return action
