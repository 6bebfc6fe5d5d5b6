"""Runs seeds and tells what came of them: python -m simulation --seeds 200, or --seed 17."""

import argparse
import json
import logging
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulation.records import INVARIANTS
from simulation.world import run

TOLD = ("deliveries", "requests", "crashes", "lost", "duplicates", "duplicates explained")
SHOWN = 3
"""Failing seeds whose story is printed; the rest are only named."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a seed came to, fit to travel between processes."""

    seed: int
    counts: dict[str, int] = field(default_factory=dict)
    violations: tuple[tuple[str, str, str], ...] = ()
    story: str = ""
    error: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status: 1 when anything is wrong."""
    asked = _parser().parse_args(arguments)
    logging.disable(logging.CRITICAL)
    began = time.monotonic()
    if asked.seed is None:
        seeds = range(asked.first, asked.first + asked.seeds)
        outcomes = _until_failure(map(_one, seeds)) if asked.first_failure else _all(seeds)
    else:
        outcomes = iter([_one(asked.seed, whole=True)])
    told, failing = _tell(outcomes, whole=asked.seed is not None)
    line = json.dumps(told)
    print(line)
    if asked.output:
        Path(asked.output).write_text(line + "\n")
    sys.stderr.write(f"{told['seeds']} seeds in {time.monotonic() - began:.0f} s\n")
    return 1 if failing else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="run this one, and tell its story")
    parser.add_argument("--first-failure", action="store_true", help="stop at a failing seed")
    parser.add_argument("--output", help="a file that gets the JSON line too")
    return parser


def _all(seeds: Sequence[int]) -> Iterator[Outcome]:
    workers = min(os.cpu_count() or 1, len(seeds))
    if workers <= 1:
        yield from map(_one, seeds)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_one, seeds, chunksize=4)


def _until_failure(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        yield outcome
        if outcome.violations or outcome.error:
            return


def _one(seed: int, *, whole: bool = False) -> Outcome:
    try:
        result = run(seed)
    except Exception:  # noqa: BLE001 - a seed that cannot be judged is a failing one
        return Outcome(seed, error=traceback.format_exc())
    wrong = tuple((each.invariant, each.mark, each.what) for each in result.violations)
    assert result.story is not None
    story = ""
    if whole:
        story = result.story.text()
    elif wrong:
        story = result.story.text(only=wrong[0][1])
    return Outcome(seed, result.counts, wrong, story)


def _tell(outcomes: Iterator[Outcome], *, whole: bool) -> tuple[dict[str, Any], list[int]]:
    """Print what is wrong as it comes; return the totals and the failing seeds."""
    counts: Counter[str] = Counter()
    violations = Counter(dict.fromkeys(INVARIANTS, 0))
    seeds, failing = 0, []
    for outcome in outcomes:
        seeds += 1
        counts.update(outcome.counts)
        violations.update(invariant for invariant, _, _ in outcome.violations)
        if whole and outcome.story:
            print(outcome.story)
        if outcome.violations or outcome.error:
            failing.append(outcome.seed)
            _tell_failing(outcome, story=not whole and len(failing) <= SHOWN)
    told = {"seeds": seeds, "notifications": counts["notifications"]}
    told |= {name.replace(" ", "_"): counts[name] for name in TOLD}
    ended = {n.partition(" ")[2]: c for n, c in sorted(counts.items()) if n.startswith("ended ")}
    return told | {"ended": ended, "violations": dict(violations), "failing": failing}, failing


def _tell_failing(outcome: Outcome, *, story: bool) -> None:
    print(f"seed {outcome.seed} FAILED; replay it with: make simulate SEED={outcome.seed}")
    for invariant, mark, what in outcome.violations:
        print(f"  {invariant} {mark}: {what}")
    if outcome.error:
        print(outcome.error)
    if story and outcome.story:
        print(outcome.story)


if __name__ == "__main__":
    sys.exit(main())
