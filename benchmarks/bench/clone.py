"""How long a stranger waits: from a fresh clone to the first notification delivered."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from offline.children import Child, Children
from offline.environment import ROOT, VENV
from offline.fetch import fetch
from offline.stack import Ports, free_ports

_POLL_SECONDS = 0.1
_STEP = re.compile(r"^(.+): (\d+\.\d) s$", re.MULTILINE)
# What a person's shell does not have, and a program run by make does.
_NOT_FRESH = re.compile(
    r"MAKE.*|MFLAGS|GNUMAKEFLAGS|VIRTUAL_ENV|PYTHONPATH|(SANDBOX_|CLOUD_)?PORT|SANDBOX_URL|ONCE"
)


@dataclass(frozen=True)
class FirstRun:
    """A clone's first `make run ONCE=1`."""

    source: str
    package_cache: str
    clone_s: float
    first_delivered_s: float | None
    finished_s: float
    exit_code: int | None
    steps_s: dict[str, float] = field(default_factory=dict)


def measure() -> FirstRun:
    """Clone, run, and time the first arrival; everything it makes is removed again."""
    cache = package_cache()
    with _temporary() as folder, Children([folder]) as children:
        began = time.time()
        source = take(folder / "carillon")
        cloned = time.time()
        ports = free_ports()
        log = folder / "run.log"
        child = children.start(
            "the clone's make run",
            command(folder / "carillon", ports),
            fresh(os.environ),
            log,
            serves=False,
        )
        arrived = _first_arrival(child, f"http://127.0.0.1:{ports.sandbox}/messages")
        child.ended.wait()
        return FirstRun(
            source=source,
            package_cache=cache,
            clone_s=round(cloned - began, 1),
            first_delivered_s=round(arrived - began, 1) if arrived else None,
            finished_s=round(time.time() - began, 1),
            exit_code=child.process.returncode,
            steps_s=steps(log.read_text(errors="replace")),
        )


def take(folder: Path) -> str:
    """Put a fresh copy of this repository into a folder; returns what it is a copy of."""
    head = _git("rev-parse", "--short", "HEAD").strip()
    if not uncommitted():
        _git("clone", "--quiet", str(ROOT), str(folder))
        return f"git clone of {head}"
    for name in _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        # A file that is deleted but not yet committed is listed all the same.
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return f"copy of the working tree, {head} and uncommitted changes"


def uncommitted() -> bool:
    """Tell whether the working tree is not what HEAD is."""
    return bool(_git("status", "--porcelain").strip())


def commit() -> str:
    """Return HEAD, marked when the working tree differs."""
    return _git("rev-parse", "--short", "HEAD").strip() + ("+" if uncommitted() else "")


def command(folder: Path, ports: Ports) -> list[str | Path]:
    """Return what is typed in the clone, with the interpreter that this bench was given."""
    python = Path(
        sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}"
    )
    chosen = {
        "PYTHON": python,
        "ONCE": 1,
        "PORT": ports.api,
        "SANDBOX_PORT": ports.sandbox,
        "CLOUD_PORT": ports.cloud,
    }
    return ["make", "-C", folder, "run", *(f"{name}={value}" for name, value in chosen.items())]


def fresh(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what this run's make and Python put there."""
    return {name: value for name, value in environment.items() if not _NOT_FRESH.fullmatch(name)}


def package_cache() -> str:
    """Tell whether packages come from uv's cache or from the network."""
    uv = VENV / "uv" / "bin" / "uv"
    where = subprocess.run(  # noqa: S603 - our own uv
        [uv, "cache", "dir"], capture_output=True, text=True, check=False, env=fresh(os.environ)
    )
    found = Path(where.stdout.strip())
    return "warm" if where.stdout.strip() and any(found.glob("archive-v*/*")) else "cold"


def steps(log: str) -> dict[str, float]:
    """Return the seconds of each step that a run printed."""
    return {name: float(seconds) for name, seconds in _STEP.findall(log)}


def _first_arrival(child: Child, url: str) -> float | None:
    while not child.ended.wait(_POLL_SECONDS):
        try:
            messages = fetch("GET", url, seconds=2).json()
        except (OSError, ValueError):
            continue
        if messages:
            return min(datetime.fromisoformat(each["received_at"]).timestamp() for each in messages)
    return None


@contextmanager
def _temporary() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="carillon-clone-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _git(*arguments: str) -> str:
    return subprocess.run(  # noqa: S603 - a fixed program, no shell
        ["git", "-C", ROOT, *arguments],  # noqa: S607 - the reader's own git
        capture_output=True,
        text=True,
        check=True,
    ).stdout
