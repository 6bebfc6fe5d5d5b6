"""`make crash`: workers are killed in the middle of their work, and what became of it is counted.

One stack, three channels at once, each with as many notifications as `--count`:

- email: nothing else is wrong;
- sms: every fifth request fails, in turn refused (503), asked to slow down, taken with its reply
  lost, taken with an empty reply;
- push: the provider is down for `--down` seconds.

While they are posted, every process that serves one of these channels is killed (SIGKILL) three
times. What arrived is counted at the sandbox, what is said of it is read from the API.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psutil
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from rich.console import Console
from rich.table import Table

from offline import cloud, parent
from offline.fetch import fetch
from offline.problems import OfflineError
from offline.progress import Steps
from offline.stack import STATE, Stack, running

from . import load, processes

FOLDER = STATE / "crash"
CONCURRENCY = 16
KILLS = 3
PLAIN_WIDTH = 140
PATIENCE_SECONDS = 900.0
"""A message whose worker died comes again after six minutes, its queue's visibility timeout."""
CHANNELS: Mapping[str, Mapping[str, Any]] = {
    "email": {"to": {"email": "reader@example.com"}},
    "sms": {"to": {"phone": "+14155552671"}},
    "push": {"to": {"push_token": "device-of-reader"}},
}
# The sandbox's agreed numbers for 503, 429, a reset after it was taken, and an empty reply.
STORM = ["+15005550053", "+15005550029", "+15005550061", "+15005550062"]
DOWN = ["sandbox-unavailable"]
PROVIDERS = {"email": "ses", "sms": "twilio", "push": "fcm"}
OPEN = frozenset({"queued", "sending", "retrying"})

Json = dict[str, Any]


@dataclass
class Found:
    """What became of one channel's notifications."""

    what: str
    accepted: int
    arrived: int = 0
    lost: int = 0  # said to be sent, or still open, and not there
    twice: int = 0  # arrived more than once
    unexplained: int = 0  # of those: the status does not say possible_duplicate
    killed: int = 0  # worker processes
    by_state: dict[str, int] = field(default_factory=dict)


def main() -> int:
    """Run it; 1 when anything was lost, or came twice without being told."""
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--count", type=int, default=3000, help="notifications of each channel")
    parser.add_argument("--down", type=int, default=30, help="seconds that push's provider is down")
    parser.add_argument("--output", type=Path, help="a file for the JSON line")
    options = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    parent.follow()
    try:
        told = measure(options.count, options.down, console)
    except OfflineError as error:
        console.print(str(error), error.tail(), soft_wrap=True)
        return 1
    console.print(table(told["channels"]))
    line = json.dumps(told)
    print(line)
    if options.output:
        options.output.write_text(line + "\n")
    return 0 if told["ok"] else 1


def measure(count: int, down: int, console: Console) -> Json:
    """Post, kill, wait, count."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    steps = Steps(console)
    began = time.monotonic()
    with steps, running(state=FOLDER, steps=steps) as stack:
        token = load.register(stack)
        with steps.step(f"post {count} to each of {len(CHANNELS)} channels, and kill"):
            posted, killed = asyncio.run(_storm(stack, token, count, down))
        with steps.step("wait until every delivery has ended"), _deliveries(stack) as read:
            states = _await_end(posted, read)
        channels = [
            _count(stack, token, channel, ids, states, killed[channel])
            for channel, ids in posted.items()
        ]
    ok = not any(each.lost or each.unexplained for each in channels)
    return {
        "ok": ok,
        "seconds": round(time.monotonic() - began),
        "kills": KILLS,
        "down_seconds": down,
        "channels": [asdict(each) for each in channels],
    }


async def _storm(
    stack: Stack, token: str, count: int, down: int
) -> tuple[dict[str, list[str]], Counter[str]]:
    """Post to every channel, and kill while that goes on; return the ids and the dead."""
    _weather(stack, "sms", 0.2, STORM)
    killed: Counter[str] = Counter()
    posted: dict[str, list[str]] = {channel: [] for channel in CHANNELS}
    jobs = iter([(number, channel) for number in range(count) for channel in CHANNELS])
    marks = {part * count * len(CHANNELS) // (KILLS + 1) for part in range(1, KILLS + 1)}
    begun = asyncio.Event()
    url = f"{stack.api}/api/v1/notifications"
    session = ClientSession(
        headers={"Authorization": f"Bearer {token}"},
        connector=TCPConnector(limit=CONCURRENCY),
        timeout=ClientTimeout(total=60),
    )

    async def caller() -> None:
        for number, channel in jobs:
            body = {**CHANNELS[channel], "channels": [channel], "message": f"Number {number}"}
            headers = {"Idempotency-Key": f"{channel}-{number}"}
            # Like any client's, a request that fails is made again with its key.
            while not (accepted := await _accepted(session, url, body, headers)):
                pass
            posted[channel].append(accepted)
            if number > count // 10:
                begun.set()
            if sum(map(len, posted.values())) in marks:
                killed.update(_kill())

    async def outage() -> None:
        await begun.wait()
        _weather(stack, "push", 1.0, DOWN)
        await asyncio.sleep(down)
        _weather(stack, "push", 0.0, DOWN)

    async with session:
        await asyncio.gather(*(caller() for _ in range(CONCURRENCY)), outage())
    return posted, killed


async def _accepted(
    session: ClientSession, url: str, body: Json, headers: Mapping[str, str]
) -> str | None:
    """Return the notification's id, or nothing when it was not answered with 202."""
    with suppress(ClientError, TimeoutError):
        async with session.post(url, json=body, headers=headers) as answer:
            if answer.status == HTTPStatus.ACCEPTED:
                return str((await answer.json())["data"]["notification_id"])
    return None


def _weather(stack: Stack, channel: str, failing: float, as_if_to: list[str]) -> None:
    path = f"{stack.sandbox}/weather/{PROVIDERS[channel]}"
    told = {"failing": failing, "as_if_to": as_if_to}
    answer = fetch("PUT", path, body=json.dumps(told).encode())
    if not answer.ok:
        raise OfflineError(f"the sandbox's weather was answered {answer.status}")


def _kill() -> list[str]:
    """Kill every process that serves a channel here; return the channel of each."""
    dead = []
    for process in psutil.Process().children(recursive=True):
        try:
            name = processes.function_of(process.cmdline()).lower()
            if name in CHANNELS:
                os.kill(process.pid, signal.SIGKILL)
                dead.append(name)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
    return dead


Read = Callable[[], dict[str, str]]


@contextmanager
def _deliveries(stack: Stack) -> Iterator[Read]:
    """Yield a reader of every delivery's state, by notification."""
    with cloud.client("dynamodb", stack.cloud) as dynamodb:
        (name,) = (t for t in dynamodb.list_tables()["TableNames"] if "DeliveriesTable" in t)
        pages = dynamodb.get_paginator("scan")

        def read() -> dict[str, str]:
            return {
                item["notification_id"]["S"]: item["state"]["S"]
                for page in pages.paginate(TableName=name, ConsistentRead=True)
                for item in page["Items"]
            }

        yield read


def _await_end(posted: Mapping[str, Sequence[str]], read: Read) -> dict[str, str]:
    """Wait until each delivery has ended, or nothing has for longer than any back-off."""
    wanted = {each for ids in posted.values() for each in ids}
    best, moved = -1, time.monotonic()
    while True:
        states = read()
        ended = sum(states.get(each, "queued") not in OPEN for each in wanted)
        if ended > best:
            best, moved = ended, time.monotonic()
        if ended == len(wanted) or time.monotonic() - moved > PATIENCE_SECONDS:
            return states
        time.sleep(2)


def _count(  # noqa: PLR0913, PLR0917 - what a channel's figures are made of
    stack: Stack,
    token: str,
    channel: str,
    ids: Sequence[str],
    states: Mapping[str, str],
    killed: int,
) -> Found:
    arrived = Counter(
        message["notification_id"]
        for message in fetch("GET", f"{stack.sandbox}/messages?channel={channel}").json()
    )
    named = {each: states.get(each, "queued") for each in ids}
    twice = [each for each in ids if arrived[each] > 1]
    missing = [each for each in ids if not arrived[each]]
    return Found(
        WHAT[channel],
        accepted=len(ids),
        arrived=len(ids) - len(missing),
        # What says that it failed, or may not have gone, is not lost: it says so.
        lost=sum(named[each] in {*OPEN, "sent"} for each in missing),
        twice=len(twice),
        unexplained=sum(not _says_so(stack, token, each) for each in twice),
        killed=killed,
        by_state=dict(sorted(Counter(named.values()).items())),
    )


WHAT = {
    "email": "workers killed",
    "sms": "workers killed, every fifth request fails",
    "push": "workers killed, provider down for a while",
}


def _says_so(stack: Stack, token: str, notification_id: str) -> bool:
    """Tell whether the API says that it may have come twice."""
    found = fetch(
        "GET",
        f"{stack.api}/api/v1/notifications/{notification_id}",
        headers={"Authorization": f"Bearer {token}"},
    ).json()
    return any(each["possible_duplicate"] for each in found["data"]["deliveries"])


def table(channels: Sequence[Json]) -> Table:
    """Return the figures as people read them."""
    shown = Table(
        "", "accepted", "arrived", "lost", "twice", "of them unexplained", "killed", "ended"
    )
    for each in channels:
        ended = ", ".join(f"{count} {state}" for state, count in each["by_state"].items())
        names = ("accepted", "arrived", "lost", "twice", "unexplained", "killed")
        shown.add_row(each["what"], *(str(each[name]) for name in names), ended)
    return shown


if __name__ == "__main__":
    sys.exit(main())
