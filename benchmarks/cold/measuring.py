"""Starts processes and keeps what each of them took."""

import json
import os
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from offline.runtime import INTERPRETER

from .subjects import Subject

PROBE = Path(__file__).parent / "probe.py"
# What Lambda sets; no endpoint, since nothing is to be reached.
_LAMBDA = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "cold",
    "AWS_SECRET_ACCESS_KEY": "cold",
    "AWS_LAMBDA_FUNCTION_NAME": "cold",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
}


@dataclass
class Starts:
    """What the processes of one subject took, in milliseconds."""

    init: list[float] = field(default_factory=list)
    init_cpu: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    first_cpu: list[float] = field(default_factory=list)
    end: str = ""


@dataclass(frozen=True)
class Figure:
    """The median, and the middle half around it."""

    median: float
    low: float
    high: float


def figure(values: list[float]) -> Figure:
    """Return what stands for several measurements."""
    low, _, high = quantiles(values, n=4, method="inclusive")
    return Figure(median(values), low, high)


def measure(subjects: Iterable[Subject], rounds: int) -> dict[str, Starts]:
    """Start each subject once per round, one after the other, so that noise meets all alike."""
    subjects = list(subjects)
    found = {subject.name: Starts() for subject in subjects}
    for subject in subjects:
        _start(subject, Starts())  # what no cold start pays: the disk, and bytecode of the runtime
    for _ in range(rounds):
        for subject in subjects:
            _start(subject, found[subject.name])
    return found


def _start(subject: Subject, starts: Starts) -> None:
    path = [subject.folder, *(layer / "python" for layer in subject.layers)]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        **_LAMBDA,
        **subject.variables,
    }
    began = time.monotonic()
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [INTERPRETER, PROBE, subject.module, subject.event],
        cwd=subject.folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{subject.name} does not start: {done.stderr[-2000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    starts.init.append((told["imported"] - began) * 1000)
    starts.init_cpu.append(told["imported_cpu"] * 1000)
    starts.first.append(told["first"] * 1000)
    starts.first_cpu.append(told["first_cpu"] * 1000)
    starts.end = told["end"]
