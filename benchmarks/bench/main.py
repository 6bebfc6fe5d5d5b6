"""The measurement from its beginning to its one line of JSON."""

import argparse
import asyncio
import json
import os
import platform
import signal
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from offline import cloud, parent
from offline.problems import OfflineError
from offline.progress import Steps
from offline.stack import STATE, Stack, free_ports, running
from sandbox.mailroom import NEWEST

from . import clone, counting, figures, lists, load, polling, processes, report, targets

FOLDER = STATE / "bench"
WARM_UP = 100
PLAIN_WIDTH = 120
STRANGERS = 30
INTERRUPTED = 130

Json = dict[str, Any]


def main() -> int:
    """Measure and report; 1 when a notification was lost, doubled or refused."""
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
    for table in report.tables(found):
        console.print(table)
    print(json.dumps(found))
    return 0 if found["ok"] else 1


def arguments() -> argparse.Namespace:
    """Return the options; the sandbox keeps only so many messages, so there may be no more."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="notifications of the timed pass")
    parser.add_argument("--singles", type=int, default=200, help="posts one after the other")
    parser.add_argument("--counted", type=int, default=100, help="notifications whose calls count")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--no-clone", action="store_true", help="leave the fresh clone out")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="logs and build of its stack")
    options = parser.parse_args()
    amounts = (options.count, options.singles, options.counted, options.concurrency)
    if min(amounts) < 1 or options.count + options.singles + WARM_UP > NEWEST:
        parser.error(f"amounts are at least 1, and all together at most {NEWEST}")
    return options


def measure(options: argparse.Namespace, console: Console) -> Json:
    """Return every figure."""
    options.folder.mkdir(parents=True, exist_ok=True)
    steps, commit = Steps(console), clone.commit()
    with steps:
        with steps.step("fixed CPU loop, before"):
            before = figures.fixed_loop()
        first_run = None
        if not options.no_clone:
            with steps.step("a fresh clone's make run ONCE=1"):
                first_run = clone.measure()
        with running(state=options.folder, steps=steps) as stack:
            timed = measure_speed(stack, options, steps)
        cost = measure_cost(options, steps)
        with steps.step("fixed CPU loop, after"):
            after = figures.fixed_loop()
    outcomes = [timed["outcome"], cost["outcome"]]
    return {
        "ok": all_well(outcomes) and (first_run is None or first_run.exit_code == 0),
        "within_budget": cost["within_budget"],
        "commit": commit,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        **timed,
        "cost": cost,
        "clone": asdict(first_run) if first_run else None,
        "noise": {"loop_before_s": before, "loop_after_s": after, "load": os.getloadavg()},
    }


def all_well(outcomes: Iterable[Mapping[str, int]]) -> bool:
    """Tell whether nothing was refused, lost or doubled, and nothing is left to come."""
    return not any(count for outcome in outcomes for count in outcome.values())


def measure_speed(stack: Stack, options: argparse.Namespace, steps: Steps) -> Json:
    """Return rates, latencies, CPU and memory of the stack as it is, nothing in between."""
    with steps.step("prepare and warm up"):
        token = load.register(stack)
        warm = load.run_pass(stack, token, "warm", WARM_UP, options.concurrency)
    with steps.step(f"{options.singles} posts, one after the other"):
        singles = load.run_pass(stack, token, "single", options.singles, 1)
    with steps.step(f"{options.count} notifications, {options.concurrency} at once"):
        with processes.watching() as watch:
            crowd = load.run_pass(stack, token, "crowd", options.count, options.concurrency)
        used = watch.result()
    with steps.step("the same again, one after the other"):
        again = asyncio.run(load.post_all(stack, token, "single", options.singles, 1))
    with steps.step("new tokens, one after the other"):
        first, second = load.strangers(stack, STRANGERS)
    with steps.step("nothing comes twice"):
        outcome, left, calls = exactness(stack, [warm, singles, crowd])
    found = {
        "notifications": options.count,
        "posts": sum(len(each.posts) for each in (warm, singles, crowd)),
        "accepted_per_s": round(crowd.accepted_per_second, 1),
        "delivered_per_s": round(crowd.delivered_per_second, 1),
        "post_ms": {
            str(each.concurrency): figures.in_milliseconds([post.seconds for post in each.posts])
            for each in (singles, crowd)
        },
        "replay_ms": figures.in_milliseconds([post.seconds for post in again]),
        "list_ms": {
            "new token": figures.in_milliseconds(first),
            "known token": figures.in_milliseconds(second),
        },
        "end_to_end_ms": {
            str(each.concurrency): figures.in_milliseconds(each.end_to_end)
            for each in (singles, crowd)
        },
        "outcome": asdict(outcome) | {"left_in_queues": left},
        "provider_calls_beyond_one": calls - sum(len(p.posts) for p in (warm, singles, crowd)),
        "usage": asdict(used),
        "function_cpu_s_per_1000": round(used.all_functions.cpu_s * 1000 / options.count, 2),
    }
    return found | {"targets": targets.judge(found)}


def measure_cost(options: argparse.Namespace, steps: Steps) -> Json:
    """Return AWS calls and write units per notification, on a stack whose calls are counted."""
    ports = free_ports()
    target = f"http://{counting.HOST}:{ports.cloud}"
    with (
        counting.counting(target) as (address, ledger),
        running(
            ports, state=options.folder, steps=steps, variables={"AWS_ENDPOINT_URL": address}
        ) as stack,
        steps.step(f"count the calls of {options.counted} notifications"),
    ):
        return _counted(stack, ledger, options)


def _counted(stack: Stack, ledger: counting.Ledger, options: argparse.Namespace) -> Json:
    token = load.register(stack)
    with cloud.client("dynamodb", stack.cloud) as dynamodb:
        ledger.indexes = counting.indexes_of(dynamodb)
    warm = load.run_pass(stack, token, "warm", options.concurrency * 2, options.concurrency)
    load.await_empty_queues(stack)
    ledger.calls.clear()
    batches = polling.batches(stack.cloud)
    counted = load.run_pass(stack, token, "counted", options.counted, options.concurrency)
    outcome, left, provider_calls = exactness(stack, [warm, counted])
    batches = polling.batches(stack.cloud) - batches
    found = cost(ledger, processes.functions_by_port(), options.counted, batches)
    return found | {
        "provider_calls": (provider_calls - len(warm.posts)) / options.counted,
        "outcome": asdict(outcome) | {"left_in_queues": left},
        "lists": lists.measure(stack, token, ledger),
    }


def cost(ledger: counting.Ledger, functions: Mapping[int, str], count: int, batches: int) -> Json:
    """Return what one of `count` notifications cost, and whether that is within the budget."""
    calls = {
        role: {name: round(times / count, 3) for name, times in sorted(found.items())}
        for role, found in sorted(ledger.by_role(functions).items())
    }
    polled = round(batches / count, 3)
    calls["polling"] = {"sqs.ReceiveMessage": polled, "sqs.DeleteMessageBatch": polled}
    # Daily numbers and lists are written beside the path, in batches that the embedded cloud does
    # not gather: not part of what one may cost.
    beside = {
        f"write_units_of_{role}": ledger.of(role, functions)
        for role in (counting.ANALYTICS, counting.LISTS)
    }
    for part in beside.values():
        ledger = ledger.without(part)
    publishes = sum(call.operation == "sns.Publish" for call in ledger.calls) / count
    units = ledger.write_units() / count
    return {
        "notifications": count,
        "calls": calls,
        "calls_of_functions": round(len(ledger.calls) / count, 3),
        **{name: round(part.write_units() / count, 3) for name, part in beside.items()},
        "failed_calls": sum(not call.ok for call in ledger.calls),
        "publishes": round(publishes, 3),
        "write_units": round(units, 3),
        "write_units_by_rule": round(ledger.units_by_rule() / count, 3),
        "write_units_by_cloud": round(ledger.units_by_cloud() / count, 3),
        "within_budget": publishes <= counting.PUBLISH_BUDGET and units <= counting.UNIT_BUDGET,
    }


def exactness(stack: Stack, passes: list[load.Pass]) -> tuple[load.Outcome, int, int]:
    """Return what became of all passes once nothing can come any more."""
    left = load.await_empty_queues(stack)
    posts = [post for each in passes for post in each.posts]
    return load.tally(posts, load.arrivals(stack)), left, load.provider_calls(stack)
