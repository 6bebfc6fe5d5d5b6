"""What can go wrong offline, said in one line."""

from pathlib import Path

TAIL_LINES = 25


class OfflineError(Exception):
    """A step failed; `log`, where there is one, is the file that tells why."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log

    def tail(self) -> str:
        """Return the last lines of the log, which usually name the cause."""
        if self.log is None or not self.log.exists():
            return ""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])
