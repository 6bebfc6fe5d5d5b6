"""`sam build`, for the interpreter that runs the functions here, when there is anything new."""

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from offline import cloud
from offline.children import Child, Children, Command
from offline.environment import ROOT, VENV, tool_environment
from offline.problems import OfflineError

SAM = VENV / "tools" / "bin" / "sam"
FOLDER = ROOT / ".local"
SOURCES = ("template.yaml", "infra", "functions", "layers")
TEMPLATE = FOLDER / "build" / "template.yaml"
_NOTE = FOLDER / "build.digest"
# SAM's own --cached builds what has a makefile anew every time, and that is what takes long.
_TOOLS = (VENV / "tools" / ".ready", VENV / "cloud" / ".ready")


@dataclass(frozen=True)
class Build:
    """A build under way, or one that was already there."""

    child: Child | None
    digest: str

    def finish(self, children: Children) -> None:
        """Await its end."""
        if self.child:
            children.finish(self.child)
            _NOTE.write_text(self.digest)


@contextmanager
def alone() -> Iterator[None]:
    """Keep other stacks from building anew what this one is about to deploy: all share a build."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def start(children: Children, state: Path) -> Build:
    """Start the build; the wheels are those of the cloud's interpreter instead of Lambda's."""
    digest = fingerprint(ROOT)
    if _NOTE.exists() and _NOTE.read_text() == digest:
        return Build(None, digest)
    _NOTE.unlink(missing_ok=True)
    command: Command = [
        *(SAM, "build"),
        *("--template-file", ROOT / "template.yaml"),
        *("--build-dir", TEMPLATE.parent),
    ]
    env = tool_environment() | {"BUILD_PYTHON": str(cloud.INTERPRETER)}
    child = children.start("sam build", command, env, state / "build.log", serves=False)
    return Build(child, digest)


def fingerprint(root: Path) -> str:
    """Return a digest of all that a build is made of."""
    missing = [path.parent.name for path in _TOOLS if not path.exists()]
    if missing:
        raise OfflineError(f"no .venv/{missing[0]}: make run installs it")
    digest = hashlib.sha256()
    for path in (*_TOOLS, *sources(root)):
        content = f"{path.stat().st_mtime_ns}".encode() if path in _TOOLS else path.read_bytes()
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def sources(root: Path) -> Iterator[Path]:
    """Yield the files that go into a build, in a fixed order."""
    for name in SOURCES:
        found = root / name
        yield from (
            path
            for path in ([found] if found.is_file() else sorted(found.rglob("*")))
            if path.is_file() and path.parent.name != "__pycache__"
        )
