"""Steps as they go: spinners and seconds on a terminal, one line per step elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.text import Text


class Seconds(ProgressColumn):
    """How long a step has taken."""

    def render(self, task: Task) -> Text:
        """Return seconds with one decimal."""
        elapsed = task.finished_time if task.finished else task.elapsed
        return Text(f"{elapsed or 0:5.1f} s", style="progress.elapsed")


class Steps:
    """Shows what is going on; several steps may go on at once."""

    def __init__(self, console: Console | None = None) -> None:
        """Show on `console`, or nowhere."""
        self._console = console or Console(quiet=True)
        self._bar = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}"),
            Seconds(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the steps as they stand and show no more."""
        self._bar.stop()

    def begin(self, name: str) -> "Step":
        """Start a step that ends when it is told so."""
        return Step(self, name, self._bar.add_task(name, total=1))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show a step for as long as the block takes."""
        step = self.begin(name)
        yield
        step.done()

    def finished(self, name: str, seconds: float, task: TaskID) -> None:
        """Show a step's end."""
        self.seconds[name] = round(seconds, 1)
        self._bar.update(task, completed=1)
        if not self._console.is_terminal:
            self._console.print(f"{name}: {seconds:.1f} s", highlight=False)


class Step:
    """One step under way."""

    def __init__(self, steps: Steps, name: str, task: TaskID) -> None:
        """Begin now."""
        self._steps = steps
        self._name = name
        self._task = task
        self._began = time.monotonic()

    def done(self) -> None:
        """End now."""
        self._steps.finished(self._name, time.monotonic() - self._began, self._task)
