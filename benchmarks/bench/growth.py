"""`make bench-growth`: what one notification costs among few and among many.

With 1,000 and 100,000 notifications stored, deliveries included, the same number is sent and every
AWS call, unit and CPU second of our functions counted. Among the few the email queue is left alone
besides until as many wait as `--queued` says: what accepting costs on top of that, and what each
costs when the queue is read again.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from offline import cloud, parent
from offline.problems import OfflineError
from offline.progress import Steps
from offline.stack import STATE, Stack, free_ports, running
from sandbox.mailroom import NEWEST

from . import counting, filling, load, processes, results
from .report import table_of
from .shares import unread

FOLDER = STATE / "bench-growth"
INTERRUPTED = 130
PLAIN_WIDTH = 130
WARM_UP = 200
FLAT = 1.1
"""What costs at most so many times as much is flat: the machine's noise is in it."""

Json = dict[str, Any]


def main() -> int:
    """Measure, report, keep; 1 when something was lost, doubled or refused."""
    options = arguments()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    parent.follow()
    try:
        found = measure(options, console)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OfflineError as error:
        console.print(f"[red]{escape(str(error))}[/]", soft_wrap=True)
        console.print(escape(error.tail()), soft_wrap=True)
        return 1
    console.print(_table(found))
    print(json.dumps(found))
    results.keep(options.output, "growth", found)
    return 0 if found["exact"] else 1


def arguments() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="make bench-growth", description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="notifications counted at each size")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--queued", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--output", type=Path, help="a JSON file that keeps the figures")
    options = parser.parse_args()
    if options.queued > NEWEST or options.count < 1:
        parser.error(f"the sandbox keeps only the newest {NEWEST}")
    return options


def measure(options: argparse.Namespace, console: Console) -> Json:
    """Return the cost of one notification at each size."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    steps, began = Steps(console), time.monotonic()
    ports = free_ports()
    with (
        steps,
        counting.counting(f"http://{counting.HOST}:{ports.cloud}") as (address, ledger),
        running(ports, state=FOLDER, steps=steps, variables={"AWS_ENDPOINT_URL": address}) as stack,
    ):
        growing = Growing(stack, ledger, options)
        with steps.step("prepare and warm up"):
            growing.warm_up()
        rows: list[Json] = []
        waiting: list[Json] = []
        for size in options.sizes:
            with steps.step(f"store {size:,}"):
                growing.store(size)
            with steps.step(f"send {options.count} among {size:,}"):
                rows.append(growing.sent(size))
            # While little is stored: what the emulator takes with much is not the queue's doing.
            waiting = waiting or growing.queued(steps)
        rows += waiting
    return {
        "count": options.count,
        "seconds": round(time.monotonic() - began),
        "exact": not any(any(row["outcome"].values()) for row in rows),
        "rows": rows,
        "targets": judge(rows),
        **results.place(),
    }


def judge(rows: list[Json]) -> list[Json]:
    """Return how each figure of the last size stands to that of the first, and whether it is flat.

    What only a part of the path did, with the queue closed, is compared with nothing.
    """
    whole = [row for row in rows if row["whole"]]
    first, told = whole[0], []
    for name, unit in FIGURES.items():
        worst = max(whole[1:], key=lambda row: float(row[name]), default=first)
        ratio = round(worst[name] / first[name], 3) if first[name] else None
        met = ratio is None or ratio <= FLAT
        told.append(
            {
                "name": f"{unit}: {worst['name']} against {first['name']}",
                "ours": worst[name],
                "against": first[name],
                "unit": "",
                "ratio": ratio,
                "target": f"at most {FLAT:g} times",
                "met": met,
            }
        )
    return told


FIGURES = {
    "calls": "AWS calls",
    "write_units": "write units",
    "read_units": "read units",
    "cpu_ms": "ms of our functions' CPU",
}


@dataclass
class Growing:
    """A stack that is filled, and whose functions' calls pass by."""

    stack: Stack
    ledger: counting.Ledger
    options: argparse.Namespace
    token: str = ""
    stored: int = 0

    def warm_up(self) -> None:
        """Let every function be there."""
        self.token = load.register(self.stack)
        with cloud.client("dynamodb", self.stack.cloud) as dynamodb:
            self.ledger.indexes = counting.indexes_of(dynamodb)
        load.run_pass(self.stack, self.token, "warm", WARM_UP, self.options.concurrency)
        load.await_empty_queues(self.stack)
        self.stored = WARM_UP

    def store(self, size: int) -> None:
        """Put in what is missing to so many, straight into the tables."""
        # What is put in was never accepted: the daily numbers do not look at it.
        with filling.uncounted(self.stack), cloud.client("dynamodb", self.stack.cloud) as dynamodb:
            filling.fill(dynamodb, max(0, size - self.stored))
        self.stored = max(size, self.stored)

    def sent(self, size: int) -> Json:
        """Send among so many, wait, and return what one of them cost."""
        options = self.options
        load.empty_sandbox(self.stack)
        self.ledger.calls.clear()
        with processes.watching() as watch:
            passed = load.run_pass(
                self.stack, self.token, f"among-{size}", options.count, options.concurrency
            )
            left = load.await_empty_queues(self.stack)
        self.stored += options.count
        return self._row(f"{size:,} stored", passed.posts, watch.result(), left)

    def queued(self, steps: Steps) -> list[Json]:
        """Close the queue, send into it, open it again; return the cost of either half."""
        options, count = self.options, self.options.queued
        load.empty_sandbox(self.stack)
        with steps.step(f"queue {count:,}"), unread(self.stack):
            first = self._posted("queue", count - options.count)
            self.ledger.calls.clear()
            with processes.watching() as watch:
                last = self._posted("queue-last", options.count)
            used = watch.result()
            accepted = self._row(f"{count:,} queued: accepting", last, used, 0, arrive=False)
        self.ledger.calls.clear()
        with steps.step(f"deliver {count:,}"), processes.watching() as watch:
            load.await_arrivals(self.stack, {post.notification_id for post in [*first, *last]})
            left = load.await_empty_queues(self.stack)
        delivered = self._row(
            f"{count:,} queued: delivering", [*first, *last], watch.result(), left
        )
        return [accepted, delivered | {"whole": False}]

    def _posted(self, prefix: str, count: int) -> list[load.Post]:
        return asyncio.run(
            load.post_all(self.stack, self.token, prefix, count, self.options.concurrency)
        )

    def _row(
        self,
        name: str,
        posts: list[load.Post],
        used: processes.Usages,
        left: int,
        *,
        arrive: bool = True,
    ) -> Json:
        count = len(posts)
        if arrive:
            outcome = asdict(load.tally(posts, load.arrivals(self.stack))) | {"left": left}
        else:
            outcome = {"refused": _refused(posts)}
        # Functions on a schedule work beside it, whatever is sent.
        beside = self.ledger.beside(counting.ROLES, processes.functions_by_port())
        path = self.ledger.without(beside)
        reads = sum(call.read_by_rule for call in path.calls)
        return {
            "name": name,
            "whole": arrive,
            "notifications": count,
            "calls": round(len(path.calls) / count, 3),
            "write_units": round(path.write_units() / count, 3),
            "read_units": round(reads / count, 3),
            "cpu_ms": round(1000 * processes.path_cpu(used) / count, 2),
            "failed_calls": sum(not call.ok for call in path.calls),
            "calls_beside": len(beside.calls),
            "outcome": outcome,
        }


def _refused(posts: Iterable[load.Post]) -> int:
    return sum(post.status != HTTPStatus.ACCEPTED for post in posts)


def _table(found: Json) -> Table:
    heading = f"One of {found['count']} notifications, email, calls and CPU of our functions"
    table = table_of(heading, "", *FIGURES.values(), "wrong")
    for row in found["rows"]:
        wrong = sum(row["outcome"].values())
        table.add_row(row["name"], *(f"{row[name]:g}" for name in FIGURES), f"{wrong}")
    return table


if __name__ == "__main__":
    sys.exit(main())
