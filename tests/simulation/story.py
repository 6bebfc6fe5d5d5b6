"""Who did what when: the whole of a run, or what concerns one notification."""

from typing import Any

from simulation.scheduler import Scheduler

JSON = dict[str, Any]


class Story:
    """The lines of a run, in order; notifications are called by their mark where it is known."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.lines: list[tuple[int, str, str, str]] = []
        self.marks: dict[str, str] = {}

    def tell(self, what: str, outcome: str = "") -> None:
        """Add what whoever runs now did."""
        task = self.scheduler.current
        self.lines.append((self.scheduler.now, task.name if task else "world", what, outcome))

    def named(self, service: str, operation: str, told: JSON) -> str:
        """Return a call's name and what it is about."""
        if service == "dynamodb":
            item = told.get("Key") or told.get("Item") or {}
            key = "/".join(str(next(iter(value.values()))) for value in list(item.values())[:2])
            return f"{operation} {told.get('TableName', '')} {key}"
        about = told.get("ReceiptHandle") or told.get("Name") or ""
        return f"{operation} {about}"

    def text(self, only: str | None = None) -> str:
        """Return the story: all of it, or the lines that name ``only`` this mark."""
        lines = (self._line(each) for each in self.lines)
        return "\n".join(line for line in lines if only is None or only in line)

    def _line(self, line: tuple[int, str, str, str]) -> str:
        now, actor, what, outcome = line
        for name, mark in self.marks.items():
            if name in what:
                what = what.replace(name, mark)
            if name in outcome:
                outcome = outcome.replace(name, mark)
        return f"{now / 1e6:12.6f}  {actor:<18} {what}" + (f": {outcome}" if outcome else "")
