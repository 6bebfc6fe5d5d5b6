"""One function's handler in this process, without Lambda around it: `python inside.py job.json`.

Runs in a function's environment with its packages on the path. The first events warm it up; the
next are clocked where the product calls AWS; the last are sampled by pyinstrument. What is
found is written to the file that the job names: standard output is the function's log.
"""

import importlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

# Samples a millisecond apart: nearer ones would be most of what they measure.
INTERVAL_SECONDS = 0.001
WAITING = frozenset({"connect", "poll", "recv", "recv_into"})
"""What a process does while the cloud works: these are methods of sockets."""
STANDARD = "(standard library)"
CALLS = (
    ("botocore.client", "BaseClient", "_make_api_call"),
    ("carillon.signed", "Client", "call"),
)
"""Where every call to AWS goes through, one or the other: boto3's way and the shorter one."""
SIGNED = "carillon.signed"

Json = dict[str, Any]
Handler = Callable[[Json, Any], Any]


@dataclass
class Clocks:
    """Seconds of the process's CPU and of the wall's clock."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    calls: int = 0


class Context:
    """What Lambda tells a handler of its invocation."""

    function_name = "inside"
    function_version = "$LATEST"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:inside"
    aws_request_id = "00000000-0000-0000-0000-000000000000"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        """Return a whole function's time."""
        return 30_000


def main() -> None:
    """Run the job's events in three parts."""
    job: Json = json.loads(Path(sys.argv[1]).read_text())
    module, _, name = job["handler"].rpartition(".")
    handle: Handler = getattr(importlib.import_module(module), name)
    warm, clocked, sampled = job["parts"]
    answers = [handle(event, Context()) for event in warm]
    whole, inner = clock(handle, clocked, answers)
    found = {
        "events": len(clocked),
        "whole": asdict(whole),
        "calls": asdict(inner),
        "answers": answers,
        "sampled": sample(handle, sampled, answers, job["pyinstrument"]),
    }
    Path(job["output"]).write_text(json.dumps(found))


def clock(handle: Handler, events: list[Json], answers: list[Any]) -> tuple[Clocks, Clocks]:
    """Return what these events took, and what of it was inside calls to AWS."""
    whole, inner = Clocks(), Clocks()
    with ExitStack() as restored:
        for module, owner, method in CALLS:
            restored.enter_context(_clocking(module, owner, method, inner))
        answers += [_clocked(whole, partial(handle, event, Context())) for event in events]
    return whole, inner


@contextmanager
def _clocking(module: str, owner: str, method: str, clocks: Clocks) -> Iterator[None]:
    """Clock a method for as long as the block takes."""
    kind = getattr(importlib.import_module(module), owner)
    original = getattr(kind, method)

    def clocked(client: Any, *arguments: Any) -> Any:
        return _clocked(clocks, partial(original, client, *arguments))

    setattr(kind, method, clocked)
    try:
        yield
    finally:
        setattr(kind, method, original)


def _clocked(clocks: Clocks, call: Callable[[], Any]) -> Any:
    cpu, wall = time.process_time(), time.perf_counter()
    try:
        return call()
    finally:
        clocks.cpu_s += time.process_time() - cpu
        clocks.wall_s += time.perf_counter() - wall
        clocks.calls += 1


def sample(handle: Handler, events: list[Json], answers: list[Any], packages: str) -> Json:
    """Return the seconds each library had, itself, and the waiting for the cloud."""
    sys.path.append(packages)  # last: what the function brings comes first
    from pyinstrument import Profiler  # noqa: PLC0415 - after the path is made

    profiler = Profiler(interval=INTERVAL_SECONDS, async_mode="disabled")
    with profiler:
        answers += [handle(event, Context()) for event in events]
    seconds: dict[str, float] = defaultdict(float)
    root = profiler.last_session.root_frame() if profiler.last_session else None
    if root is not None:
        _add(root, "the bench", seconds)
    return dict(seconds)


def _add(frame: Any, owner: str, seconds: dict[str, float]) -> None:
    """Add a frame's own time to the library whose it is; the standard library serves its caller."""
    found = library(frame.file_path or "")
    owner = owner if found == STANDARD else found
    children = [each for each in frame.children if each.file_path]
    own = frame.time - sum(each.time for each in children)
    name = frame.function.rpartition(".")[2]
    seconds["(waiting)" if name in WAITING else owner] += own
    for child in children:
        _add(child, owner, seconds)


def library(path: str) -> str:
    """Return the package that a file belongs to."""
    parts = Path(path).parts
    ours = {"carillon", "functions"} & set(parts)
    if path.endswith("bench/inside.py"):
        return "the bench"
    if path.endswith("carillon/signed.py"):
        return SIGNED
    for mark in ("site-packages", "python"):
        if mark in parts:
            after = parts[len(parts) - parts[::-1].index(mark) :]
            return Path(after[0]).stem if after else STANDARD
    return ours.pop() if ours else STANDARD


if __name__ == "__main__":
    main()
