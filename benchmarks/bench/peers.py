"""`make bench-peers`: ours, the reference peer and the floor, in turns, in one run.

POST accepted -> provider's server reached, one email each, against one sandbox that takes
everything. Rounds go ours by single sends, the peer, ours by batch, the floor, and begin again;
each figure is the median of the rounds.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, TCPConnector
from rich.console import Console
from rich.markup import escape

from offline import parent
from offline.problems import OfflineError
from offline.progress import Steps
from offline.stack import STATE, Stack, free_ports, running
from sandbox.mailroom import NEWEST

from . import (
    broker,
    counting,
    figures,
    floor,
    load,
    peer,
    processes,
    ratios,
    recording,
    results,
    shares,
    tellings,
)
from .workload import ADDRESS, PARTS

FOLDER = STATE / "bench-peers"
INTERRUPTED = 130
PLAIN_WIDTH = 130
WARM_UP = 200
SINKS = 2000
ACCEPTED = HTTPStatus.ACCEPTED

Json = dict[str, Any]


def main() -> int:
    """Measure, report, and keep the figures; 1 when a notification was lost, doubled or refused."""
    options = arguments()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    parent.follow()
    try:
        broker.server()
        found = measure(options, console)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OfflineError as error:
        console.print(f"[red]{escape(str(error))}[/]", soft_wrap=True)
        console.print(escape(error.tail()), soft_wrap=True)
        return 1
    for table in tellings.tables(found):
        console.print(table)
    print(json.dumps(found))
    results.keep(options.output, "peers", found)
    return 0 if found["exact"] else 1


def arguments() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="make bench-peers", description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="notifications of each pass")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--singles", type=int, default=200, help="posts one after the other")
    parser.add_argument("--batch", type=int, default=100, help="notifications of one batch request")
    parser.add_argument("--batches-at-once", type=int, default=4)
    parser.add_argument("--recorded", type=int, default=400, help="notifications the floor replays")
    parser.add_argument("--profiled", type=int, default=300, help="notifications profiled")
    parser.add_argument("--output", type=Path, help="a JSON file that keeps the figures")
    options = parser.parse_args()
    if min(options.count, options.rounds, options.batch) < 1:
        parser.error("amounts are at least 1")
    if options.count + options.singles > NEWEST:
        parser.error(f"the sandbox keeps only the newest {NEWEST}")
    return options


def measure(options: argparse.Namespace, console: Console) -> Json:
    """Return every figure."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    steps, began = Steps(console), time.monotonic()
    with steps:
        with steps.step("fixed CPU loop, before"):
            before = figures.fixed_loop()
        recorded = record(options, steps)
        with running(state=FOLDER, steps=steps) as stack:
            found = compare(stack, recorded, options, steps)
        with steps.step("fixed CPU loop, after"):
            after = figures.fixed_loop()
    noise = {"loop_before_s": before, "loop_after_s": after, "load": os.getloadavg()}
    found |= {"seconds": round(time.monotonic() - began), "noise": noise, **results.place()}
    return found | {"targets": ratios.judge(found)}


@dataclass(frozen=True)
class Recorded:
    """The calls of some notifications, and the tables they were made to."""

    calls: list[Json]
    ids: list[str]
    tables: Json
    failed: dict[str, int]


def record(options: argparse.Namespace, steps: Steps) -> Recorded:
    """Run a stack whose calls pass by, and keep what the functions asked of AWS and of SES."""
    ports = free_ports()
    clouds, sandbox = (f"http://{counting.HOST}:{port}" for port in (ports.cloud, ports.sandbox))
    with (
        counting.counting(clouds) as (address, ledger),
        counting.counting(sandbox) as (mails, mailed),
        running(
            ports,
            state=FOLDER,
            steps=steps,
            variables={"AWS_ENDPOINT_URL": address},
            parameters={"SesEndpointUrl": mails},
        ) as stack,
        steps.step(f"record the calls of {options.recorded} notifications"),
    ):
        token = load.register(stack)
        load.run_pass(stack, token, "warm", WARM_UP // 2, options.concurrency)
        load.await_empty_queues(stack)
        tables = floor.tables(stack.cloud)
        ledger.calls.clear()
        ledger.records = mailed.records = True
        passed = load.run_pass(stack, token, "recorded", options.recorded, options.concurrency)
        load.await_empty_queues(stack)
        functions = processes.functions_by_port()
        calls = recording.replayable([*ledger.bodies, *mailed.bodies], functions)
        ids = [post.notification_id for post in passed.posts]
        return Recorded(calls, ids, tables, _failures(ledger, functions))


def _failures(ledger: counting.Ledger, functions: Mapping[int, str]) -> dict[str, int]:
    """Return how often what a function asked was refused, a lost condition say, by operation."""
    return Counter(
        call.operation.rpartition(".")[2]
        for call in ledger.calls
        if not call.ok and functions.get(call.port, "") in counting.ROLES
    )


def compare(stack: Stack, recorded: Recorded, options: argparse.Namespace, steps: Steps) -> Json:
    """Return what the contenders did, round by round, and where our time goes."""
    with steps.step("start the peer: a broker, an API, a worker"):
        address = peer.start(stack.children, stack.sandbox, FOLDER)
    token, client_id = load.register_client(stack)
    contest = Contest(stack, peer.in_place_of(stack, address), token, options)
    with steps.step("how fast the sandbox is by itself"):
        sink = asyncio.run(_sink(stack, options.concurrency))
    with steps.step("prepare and warm up"):
        job = floor.job(stack, recorded.calls, recorded.ids, recorded.tables)
        contest.warm_up()
        floor.run(job)
    rounds: dict[str, list[Json]] = {name: [] for name in ratios.CONTENDERS}
    floors: list[Json] = []
    for number in range(options.rounds):
        for name, turn in contest.turns().items():
            with steps.step(f"round {number + 1}: {ratios.CONTENDERS[name]}"):
                rounds[name].append(turn(number))
        with steps.step(f"round {number + 1}: the floor"):
            floors.append(floor.run(job))
    with steps.step("bare handlers"):
        handlers = floor.handlers()
    with steps.step("where a single send's time goes"):
        inside = shares.measure(stack, client_id, options.profiled)
    every = [each for found in rounds.values() for each in found]
    return {
        "count": options.count,
        "rounds": options.rounds,
        "concurrency": options.concurrency,
        "batch": options.batch,
        "batches_at_once": options.batches_at_once,
        "exact": not any(any(each["outcome"].values()) for each in every),
        "contenders": {
            name: {"title": ratios.CONTENDERS[name], "median": medians(found), "rounds": found}
            for name, found in rounds.items()
        },
        "floor": _floor(floors, handlers, len(recorded.ids)) | {"refused": recorded.failed},
        "sink": sink,
        "inside": inside,
    }


class Contest:
    """The passes of each contender, every one over an empty sandbox."""

    def __init__(self, ours: Stack, theirs: Stack, token: str, options: argparse.Namespace) -> None:
        self._ours, self._theirs, self._token, self._options = ours, theirs, token, options

    def turns(self) -> dict[str, Any]:
        """Return what each contender does in a round, in the order of turns."""
        return {"single": self._single, "peer": self._peer, "batch": self._batch}

    def warm_up(self) -> None:
        """Let every process that will serve be there, and connected."""
        load.empty_sandbox(self._ours)
        for stack, name in ((self._ours, "ours"), (self._theirs, "theirs")):
            load.run_pass(stack, self._token, f"warm-{name}", WARM_UP, self._options.concurrency)
        before = load.arrived(self._ours)
        posts = self._post_batches("warm", WARM_UP * 2)
        load.finish(self._ours, posts, 1, before)
        load.await_empty_queues(self._ours)

    def _single(self, number: int) -> Json:
        return self._one_by_one(self._ours, f"single-{number}", OURS)

    def _peer(self, number: int) -> Json:
        return self._one_by_one(self._theirs, f"peer-{number}", THEIRS)

    def _batch(self, number: int) -> Json:
        load.empty_sandbox(self._ours)
        with processes.watching() as watch:
            posts = self._post_batches(f"batch-{number}", self._options.count)
            crowd = load.finish(self._ours, posts, self._options.batches_at_once, 0)
        return self._told(self._ours, [crowd], watch.result(), OURS)

    def _one_by_one(self, stack: Stack, prefix: str, own: "Own") -> Json:
        options = self._options
        load.empty_sandbox(stack)
        with processes.watching() as watch:
            crowd = load.run_pass(stack, self._token, prefix, options.count, options.concurrency)
        used = watch.result()
        singles = load.run_pass(stack, self._token, f"{prefix}-one", options.singles, 1)
        return self._told(stack, [crowd, singles], used, own)

    def _post_batches(self, prefix: str, count: int) -> list[load.Post]:
        size, at_once = self._options.batch, self._options.batches_at_once
        return asyncio.run(load.post_batches(self._ours, self._token, prefix, count, size, at_once))

    def _told(
        self, stack: Stack, passes: Sequence[load.Pass], used: processes.Usages, own: "Own"
    ) -> Json:
        left = load.await_empty_queues(self._ours) if own.functions else 0
        posts = [post for each in passes for post in each.posts]
        outcome = asdict(load.tally(posts, load.arrivals(stack))) | {"left": left}
        crowd = passes[0]
        return {
            "accepted_per_s": round(crowd.accepted_per_second, 1),
            "delivered_per_s": round(crowd.delivered_per_second, 1),
            "post_ms": {
                str(each.concurrency): figures.in_milliseconds(_by_request(each.posts))
                for each in passes
            },
            "cpu_s_per_1000": own.cpu(used, len(crowd.posts)),
            "elsewhere_s": used.elsewhere_s,
            "born": used.all_functions.born,
            "outcome": outcome,
            "refusals": Counter(str(post.status) for post in posts if post.status != ACCEPTED),
        }


@dataclass(frozen=True)
class Own:
    """Which processes are a contender's own, and which it stands on."""

    functions: bool
    own: tuple[str, ...]
    beneath: tuple[str, ...]

    def cpu(self, used: processes.Usages, count: int) -> Json:
        """Return the CPU seconds per 1,000 notifications, by whose they are."""

        def of(names: Iterable[str]) -> float:
            return sum(used.others[name].cpu_s for name in names if name in used.others)

        path = {
            name: each.cpu_s for name, each in used.functions.items() if processes.on_path(name)
        }
        clocks = used.all_functions.cpu_s - sum(path.values())
        parts = {
            "own": of(self.own) + (sum(path.values()) if self.functions else 0.0),
            **({"clocks": clocks, **path} if self.functions else {}),
            "beneath": of(self.beneath),
            **{name: of([name]) for name in self.beneath},
            "sandbox": of(["the sandbox"]),
            "load": of([processes.LOAD]),
        }
        return {name: round(1000 * seconds / count, 2) for name, seconds in parts.items()}


OURS = Own(True, (), (processes.CLOUD, "the gateway"))
THEIRS = Own(False, (processes.PEER_API, processes.PEER_WORKER), (processes.BROKER,))


def medians(rounds: Sequence[Json]) -> Json:
    """Return the median of every number, in their shape; what a round has not is not counted."""
    found: Json = {}
    for name, value in {name: value for each in rounds for name, value in each.items()}.items():
        values = [each[name] for each in rounds if name in each]
        if isinstance(value, dict):
            found[name] = medians(values)
        elif isinstance(value, (int, float)):
            found[name] = round(statistics.median(values), 2)
    return found


def _by_request(posts: Iterable[load.Post]) -> list[float]:
    """Return the seconds of each request; those of one batch were one."""
    return [seconds for _, seconds in {(post.began, post.seconds) for post in posts}]


def _floor(floors: Sequence[Json], handlers: Json, count: int) -> Json:
    thousand = 1000 / count
    roles = {
        role: statistics.median(each["cpu_s"][role] for each in floors) * thousand
        for role in floors[0]["cpu_s"]
    }
    calls = [sum(each["cpu_s"].values()) * thousand for each in floors]
    bare = handlers["intake"] + handlers["worker"]
    made = {name: round(times / count, 3) for name, times in floors[0]["calls"].items()}
    each_call = 1 / sum(made.values())
    return {
        "notifications": count,
        "calls": made,
        "calls_each": round(sum(made.values()), 3),
        "failed": floors[0]["failed"],
        "cpu_s_per_1000": {
            **{f"calls of {role}": round(seconds, 3) for role, seconds in roles.items()},
            "bare handlers": round(bare, 3),
            "together": round(statistics.median(calls) + bare, 3),
        },
        "rounds": [round(each, 3) for each in calls],
        "cpu_ms_per_call": round(statistics.median(calls) * each_call, 3),
        "wall_ms_per_call": round(
            statistics.median(each["wall_s"] for each in floors) * thousand * each_call, 3
        ),
    }


async def _sink(stack: Stack, concurrency: int) -> Json:
    """Return what the sandbox takes per second when nothing else is between."""
    body = {
        "FromEmailAddress": "peer@example.com",
        "Destination": {"ToAddresses": [ADDRESS]},
        "Content": {
            "Simple": {
                "Subject": {"Data": PARTS["subject"]},
                "Body": {"Html": {"Data": PARTS["html"]}, "Text": {"Data": PARTS["text"]}},
            }
        },
    }
    numbers = iter(range(SINKS))
    headers = {"Authorization": "AWS4-HMAC-SHA256 of nobody"}

    async def one_caller(session: ClientSession) -> None:
        for _ in numbers:
            async with session.post("/v2/email/outbound-emails", json=body) as answer:
                answer.raise_for_status()
                await answer.read()

    with processes.watching() as watch:
        began = time.perf_counter()
        async with ClientSession(
            stack.sandbox, headers=headers, connector=TCPConnector(limit=concurrency)
        ) as session:
            await asyncio.gather(*(one_caller(session) for _ in range(concurrency)))
        seconds = time.perf_counter() - began
    cpu = watch.result().others["the sandbox"].cpu_s
    return {
        "per_s": round(SINKS / seconds),
        "cpu_s_per_1000": round(1000 * cpu / SINKS, 3),
    }


if __name__ == "__main__":
    sys.exit(main())
