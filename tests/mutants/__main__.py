"""Breaks the code in each way of the table and lets its tests look: python -m mutants."""

import argparse
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mutants.table import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".local", ".aws-sam", "__pycache__", ".*_cache", "htmlcov", "node_modules"
)
FAILED_TEST = re.compile(r"^FAILED \S+?([^/\s]+)::(\w+)", re.MULTILINE)
VIOLATED = re.compile(r"^  ([a-z-]+) (?:N\d|poison)", re.MULTILINE)
SECONDS = 240


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a mutant: who noticed it, or what nobody did."""

    mutant: Mutant
    killed_by: tuple[str, ...] = ()
    wrong: str = ""


class Tree:
    """A copy of the tree, to break."""

    def __init__(self, place: Path) -> None:
        self.place = place
        shutil.copytree(ROOT, place, ignore=LEFT_OUT)

    @contextmanager
    def broken(self, mutant: Mutant) -> Iterator[None]:
        """Have the mutant in place of the code."""
        file = self.place / mutant.file
        whole = file.read_text()
        file.write_text(whole.replace(mutant.old, mutant.new))
        try:
            yield
        finally:
            file.write_text(whole)

    def tests(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run tests until the first that fails."""
        told = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist"]
        return self._run("pytest", *told, *arguments)

    def seeds(self, count: int) -> subprocess.CompletedProcess[str]:
        """Run seeds of the simulation until the first that fails."""
        return self._run("simulation", "--seeds", str(count), "--first-failure")

    def _run(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        places = (".", "layers/common", "client", "localstack", "tests")
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(str(self.place / each) for each in places),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.place,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Try every mutant; return the exit status: 1 when one survives or is not there to make."""
    asked = _parser().parse_args(arguments)
    began = time.monotonic()
    chosen = [each for each in MUTANTS if asked.only in each.name]
    fates = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        trees: queue.Queue[Tree] = queue.Queue()
        for number in range(os.cpu_count() or 1):
            trees.put(Tree(Path(folder, str(number))))
        with ThreadPoolExecutor(trees.qsize()) as pool:
            sound = pool.submit(_check, trees, chosen)
            for fate in pool.map(lambda mutant: _try(trees, mutant), chosen):
                fates.append(fate)
                print(f"{fate.mutant.name}: {_told(fate)}", flush=True)
        wrong = sound.result()
    if wrong:
        print(f"the tests fail without any mutant:\n{wrong}")
    line = json.dumps(_result(fates))
    print(line)
    if asked.output:
        Path(asked.output).write_text(line + "\n")
    sys.stderr.write(f"{len(fates)} mutants in {time.monotonic() - began:.0f} s\n")
    return 1 if wrong or any(fate.wrong for fate in fates) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("--only", default="", help="mutants whose name has this in it")
    parser.add_argument("--output", help="a file that gets the JSON line too")
    return parser


def _check(trees: "queue.Queue[Tree]", mutants: Sequence[Mutant]) -> str:
    """Run on the code as it is what is to notice the mutants; return what fails."""
    named = [each.tests for each in mutants if each.tests]
    if not named:
        return ""
    files = dict.fromkeys(file for file, _ in named)
    which = dict.fromkeys(f"({each})" for _, each in named if each != "test")
    tree = trees.get()
    try:
        done = tree.tests(*files, "-k", " or ".join(which) or "test")
        return done.stdout[-2000:] if done.returncode else ""
    finally:
        trees.put(tree)


def _try(trees: "queue.Queue[Tree]", mutant: Mutant) -> Fate:
    found = (ROOT / mutant.file).read_text().count(mutant.old)
    if found != 1:
        return Fate(mutant, wrong=f"{mutant.file} has its text {found} times")
    tree = trees.get()
    try:
        with tree.broken(mutant):
            return _judged(tree, mutant)
    finally:
        trees.put(tree)


def _judged(tree: Tree, mutant: Mutant) -> Fate:
    killers: list[str] = []
    if mutant.tests:
        done = tree.tests(mutant.tests[0], "-k", mutant.tests[1])
        failed = FAILED_TEST.search(done.stdout)
        if done.returncode != 1 or not failed:
            return Fate(mutant, wrong=f"its tests: {done.stdout[-300:]}{done.stderr[-300:]}")
        killers.append(f"{failed[1]}::{failed[2]}")
    if mutant.seeds:
        done = tree.seeds(mutant.seeds)
        violated = VIOLATED.search(done.stdout)
        if done.returncode != 1 or not violated:
            told = f"{done.stdout[-300:]}{done.stderr[-300:]}"
            return Fate(mutant, tuple(killers), wrong=f"{mutant.seeds} simulated seeds: {told}")
        killers.append(f"simulation: {violated[1]}")
    return Fate(mutant, tuple(killers))


def _told(fate: Fate) -> str:
    return f"SURVIVED {fate.wrong}" if fate.wrong else f"killed by {', '.join(fate.killed_by)}"


def _result(fates: Sequence[Fate]) -> dict[str, object]:
    return {
        "mutants": [
            {"name": each.mutant.name, "killed_by": ", ".join(each.killed_by)} for each in fates
        ],
        "survived": [each.mutant.name for each in fates if each.wrong],
    }


if __name__ == "__main__":
    sys.exit(main())
