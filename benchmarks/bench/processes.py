"""CPU and memory of a stack's processes, told apart by what they run.

The embedded cloud keeps each instance of a function in a child process of its own, as Lambda
keeps it in a sandbox of its own: those are ours, and the cloud itself is not.
"""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import psutil

from .counting import ROLES

CLOUD = "the cloud"
LOAD = "the load generator"
PEER_API, PEER_WORKER, BROKER = "the peer's API", "the peer's worker", "the broker"
ERLANG = frozenset({"beam.smp", "epmd", "erl_child_setup", "inet_gethost"})
MODULES = {
    "ministack": CLOUD,
    "sandbox": "the sandbox",
    "offline.gateway": "the gateway",
    "offline.guard": "the guard",
    "uvicorn": PEER_API,
    "reference.worker": PEER_WORKER,
}
UNSEEN = "(ended unseen)"
SAMPLE_SECONDS = 0.2
MEGABYTE = 1024 * 1024
# A worker's own folder is ministack-lambda-<function's name>-<random>, and CloudFormation's name
# for a function is <stack>-<logical id>-<hash>.
_FOLDER = "ministack-lambda-"
_LOGICAL_ID = re.compile(r"([A-Z]\w*?)(?:Function)?-[0-9A-F]+$")


@dataclass
class Usage:
    """What one name used between two moments. RSS counts pages that instances share in each."""

    instances: int = 0
    born: int = 0
    cpu_s: float = 0.0
    rss_largest_mb: float = 0.0
    rss_together_mb: float = 0.0


@dataclass
class _Process:
    name: str
    before: float
    now: float
    rss: int = 0
    born: bool = False


@dataclass
class Usages:
    """What each function and each other process of a stack used."""

    functions: dict[str, Usage] = field(default_factory=dict)
    others: dict[str, Usage] = field(default_factory=dict)
    all_functions: Usage = field(default_factory=Usage)
    ended: int = 0
    machine_busy_s: float = 0.0
    elsewhere_s: float = 0.0


def function_of(command: Sequence[str]) -> str:
    """Return the function whose instance this command line is, or an empty string."""
    worker = Path(command[-1]) if command else Path()
    if worker.name != "_worker.py" or not worker.parent.name.startswith(_FOLDER):
        return ""
    name = worker.parent.name.removeprefix(_FOLDER).rpartition("-")[0]
    logical = _LOGICAL_ID.search(name)
    return logical[1] if logical else name


def part_of(command: Sequence[str]) -> str:
    """Return which part of the stack this command line is, or an empty string."""
    if command and Path(command[0]).name in ERLANG:
        return BROKER
    modules = [after for word, after in pairwise(command) if word == "-m"]
    return MODULES.get(modules[0], "") if modules else ""


def on_path(function: str) -> bool:
    """Tell whether a function works for a notification; the others are woken by clocks.

    What nobody saw end may have been one of them, and counts.
    """
    return function in ROLES or function == UNSEEN


def path_cpu(used: Usages) -> float:
    """Return the CPU seconds of the functions that work for notifications."""
    return sum(usage.cpu_s for name, usage in used.functions.items() if on_path(name))


class Watch:
    """Looks at every process again and again: instances are born and end in between."""

    def __init__(self) -> None:
        """Begin with what each process has used so far."""
        self._me = psutil.Process()
        self._cloud = next(
            (child for child in self._me.children() if part_of(_command(child)) == CLOUD), None
        )
        self._functions: dict[psutil.Process, _Process] = {}
        self._others: dict[psutil.Process, _Process] = {}
        self._result = Usages()
        self._reaped_before = self._reaped()
        self._busy_before = _busy()
        self._look(first=True)

    def look(self) -> None:
        """Take a sample."""
        self._look(first=False)

    def result(self) -> Usages:
        """Return what was used since the beginning."""
        self.look()
        result = self._result
        result.machine_busy_s = round(_busy() - self._busy_before, 2)
        gone = [process for process in self._functions if not process.is_running()]
        result.ended = len(gone)
        for processes, usages in (
            (self._functions, result.functions),
            (self._others, result.others),
        ):
            for each in processes.values():
                usage = usages.setdefault(each.name, Usage())
                usage.instances += 1
                usage.born += each.born
                usage.cpu_s += each.now - each.before
        self._add_unseen(gone)
        result.all_functions.instances = len(self._functions)
        result.all_functions.born = sum(each.born for each in self._functions.values())
        result.all_functions.cpu_s = sum(usage.cpu_s for usage in result.functions.values())
        for usage in (*result.functions.values(), *result.others.values(), result.all_functions):
            usage.cpu_s = round(usage.cpu_s, 2)
        ours = sum(usage.cpu_s for usage in (result.all_functions, *result.others.values()))
        result.elsewhere_s = round(max(0.0, result.machine_busy_s - ours), 2)
        return result

    def _add_unseen(self, gone: Sequence[psutil.Process]) -> None:
        """Count what instances used after they were last seen: the cloud inherits it from them."""
        seen = sum(self._functions[process].now for process in gone)
        unseen = self._reaped() - self._reaped_before - seen
        if gone and unseen > 0:
            self._result.functions[UNSEEN] = Usage(cpu_s=unseen)

    def _look(self, *, first: bool) -> None:
        children = self._me.children()
        # The broker's script starts it as a child of its own.
        scripts = [each for each in children if any(map(_is_broker, _command(each)))]
        inner = [process for each in scripts for process in _below(each)]
        own = [(process, part_of(_command(process))) for process in (*children, *inner)]
        instances = self._cloud.children() if self._cloud else []
        workers = [(process, function_of(_command(process))) for process in instances]
        parts = [(process, name) for process, name in own if name]
        _update(self._others, [*parts, (self._me, LOAD)], first=first)
        _update(self._functions, [(p, name) for p, name in workers if name], first=first)
        _note_memory(self._functions, self._result.functions)
        _note_memory(self._others, self._result.others)
        together = sum(process.rss for process in self._functions.values()) / MEGABYTE
        of_all = self._result.all_functions
        of_all.rss_together_mb = max(of_all.rss_together_mb, round(together, 1))
        largest = max(
            (usage.rss_largest_mb for usage in self._result.functions.values()), default=0
        )
        of_all.rss_largest_mb = largest

    def _reaped(self) -> float:
        """Seconds of CPU of all the children whose end the cloud has seen; Linux only, else 0."""
        if self._cloud is None or not self._cloud.is_running():
            return 0.0
        times = self._cloud.cpu_times()
        return float(times.children_user + times.children_system)


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch this process's stack for as long as the block takes."""
    watch = Watch()
    over = threading.Event()

    def keep_looking() -> None:
        while not over.wait(SAMPLE_SECONDS):
            watch.look()

    looking = threading.Thread(target=keep_looking, daemon=True)
    looking.start()
    try:
        yield watch
    finally:
        over.set()
        looking.join()


def functions_by_port() -> dict[int, str]:
    """Return which function has a connection from each local port. The SDK keeps them open."""
    found: dict[int, str] = {}
    for child in psutil.Process().children(recursive=True):
        name = function_of(_command(child))
        found |= dict.fromkeys(_local_ports(child), name) if name else {}
    return found


def _local_ports(process: psutil.Process) -> list[int]:
    try:
        return [each.laddr[1] for each in process.net_connections("tcp4")]
    except psutil.Error:
        return []


def _is_broker(word: str) -> bool:
    return word.endswith("/rabbitmq-server")


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children()
    except psutil.Error:
        return []


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _update(
    known: dict[psutil.Process, _Process],
    found: Sequence[tuple[psutil.Process, str]],
    *,
    first: bool,
) -> None:
    for each in known.values():
        each.rss = 0
    for process, name in found:
        try:
            with process.oneshot():
                times, rss = process.cpu_times(), process.memory_info().rss
        except psutil.Error:
            continue
        used = times.user + times.system
        # Whatever an instance born in between has used, it used in between.
        each = known.setdefault(
            process, _Process(name, used if first else 0.0, used, born=not first)
        )
        each.now, each.rss = used, rss


def _note_memory(processes: dict[psutil.Process, _Process], usages: dict[str, Usage]) -> None:
    together: dict[str, float] = {}
    for each in processes.values():
        usage = usages.setdefault(each.name, Usage())
        megabytes = round(each.rss / MEGABYTE, 1)
        usage.rss_largest_mb = max(usage.rss_largest_mb, megabytes)
        together[each.name] = together.get(each.name, 0.0) + megabytes
    for name, megabytes in together.items():
        usages[name].rss_together_mb = max(usages[name].rss_together_mb, round(megabytes, 1))


def _busy() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))
