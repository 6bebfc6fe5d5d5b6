"""The bill of a million notifications: a run counted call by call, times AWS's prices.

Writes docs/proof/bill.json; with --write also layers/common/carillon/aws_shares.json, by which
deliveries tell their share.
"""

import argparse
import asyncio
import json
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, TCPConnector
from rich.console import Console

from offline import cloud
from offline.fetch import fetch
from offline.problems import OfflineError
from offline.progress import Steps
from offline.stack import STATE, Stack, free_ports, running

from . import billing, counting, load, logs, processes, usage, workload
from .billing import CHANNELS
from .usage import Counted

ROOT = Path(__file__).parent.parent.parent
OUTPUT = ROOT / "docs/proof/bill.json"
SHARES = ROOT / "layers/common/carillon/aws_shares.json"
TEMPLATE = "bill-order-shipped"
BATCH = 100
QUIET_SECONDS = 3.0
STORED = {"NotificationsTable": True, "DeliveriesTable": False, "InboxTable": False}

Json = dict[str, Any]


@dataclass(frozen=True)
class Scenario:
    """How notifications are sent."""

    name: str
    channels: tuple[str, ...]
    batch: int = 1
    concurrency: int = 4


SCENARIOS = (
    *(Scenario(billing.alone(channel), (channel,)) for channel in CHANNELS),
    Scenario("one channel, one after the other", ("email",), concurrency=1),
    Scenario(billing.FOUR, CHANNELS),
    Scenario(billing.IN_BATCHES, ("email",), batch=BATCH, concurrency=2),
)


def main() -> int:
    """Measure, tell and write; 1 when a notification was not sent."""
    options = _arguments()
    console = Console(highlight=False)
    steps = Steps(console)
    options.folder.mkdir(parents=True, exist_ok=True)
    try:
        with steps:
            found, metrics = measure(options, steps)
    except OfflineError as error:
        console.print(f"[red]{error}[/]")
        return 1
    told = billing.report(found, metrics, options.count)
    for each in told["tables"]:
        console.print(billing.drawn(each))
    OUTPUT.write_text(json.dumps(told) + "\n")
    if options.write:
        SHARES.write_text(json.dumps(billing.shares(found), indent=2) + "\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bill", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="notifications of each kind")
    parser.add_argument("--folder", type=Path, default=STATE / "bill", help="its stack's logs")
    parser.add_argument("--write", action="store_true", help="write the shares deliveries tell")
    return parser.parse_args()


def measure(options: argparse.Namespace, steps: Steps) -> tuple[dict[str, Counted], int]:
    """Return what each scenario took, and how many metrics there are."""
    ports = free_ports()
    target = f"http://{counting.HOST}:{ports.cloud}"
    with (
        counting.counting(target) as (address, ledger),
        running(
            ports, state=options.folder, steps=steps, variables={"AWS_ENDPOINT_URL": address}
        ) as stack,
    ):
        run = _Run(stack, ledger)
        run.prepare()
        with steps.step("warm up"):
            for scenario in SCENARIOS[:4]:
                run.send(scenario, 8)
            run.settle()
        found = {}
        for scenario in SCENARIOS:
            with steps.step(f"{options.count} notifications, {scenario.name}"):
                found[scenario.name] = run.counted(scenario, options.count)
        return found, len(logs.read(stack.cloud).metrics)


class _Run:
    """A stack whose calls are counted."""

    def __init__(self, stack: Stack, ledger: counting.Ledger) -> None:
        self._stack, self._ledger, self._token = stack, ledger, stack.admin_token

    def prepare(self) -> None:
        """Make a client, the template, and what leads to the reader by every channel."""
        made = self._ask("POST", "clients", {"service_name": "bill"})
        self._token = made["data"]["api_token"]
        parts = {
            "email": {
                "subject": "Your order {{ order.number }} is on its way",
                "html": "<p>Good news, {{ name }}!</p>",
                "text": "Good news, {{ name }}! Your order {{ order.number }} left us today.",
            },
            "sms": {"text": "Your order {{ order.number }} is on its way"},
            "push": {"title": "On its way", "body": "Your order {{ order.number }} left us"},
            "inapp": {"title": "On its way", "body": "Your order {{ order.number }} left us"},
        }
        self._ask("POST", "templates", {"code": TEMPLATE, "language": "en", "parts": parts})
        user = {"email": workload.ADDRESS, "phone": "+14155552671", "locale": "en"}
        self._ask("PUT", f"users/{workload.USER}", user)
        device = {"fcm_token": f"device-{secrets.token_hex(16)}", "platform": "android"}
        self._ask("POST", f"users/{workload.USER}/push-tokens", device)
        with cloud.client("dynamodb", self._stack.cloud) as dynamodb:
            self._ledger.indexes = counting.indexes_of(dynamodb)

    def _ask(self, method: str, path: str, body: Json) -> Json:
        url = f"{self._stack.api}/api/v1/{path}"
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        answer = fetch(method, url, headers=headers, body=json.dumps(body).encode())
        if not answer.ok:
            raise OfflineError(f"preparing was answered {answer.status}: {answer.body[:300]!r}")
        return dict(answer.json())

    def counted(self, scenario: Scenario, count: int) -> Counted:
        """Send ``count`` notifications and return what they took, to the last count of them."""
        before, stored = logs.read(self._stack.cloud), self._stored()
        calls = load.provider_calls(self._stack)
        self._ledger.calls.clear()
        with processes.watching() as watch:
            requests, answered = self.send(scenario, count)
            self.settle()
        after = self._stored()
        return Counted(
            count=count,
            requests=requests,
            answered_bytes=answered,
            calls=self._calls(),
            cpu_s={name: one.cpu_s for name, one in watch.result().functions.items()},
            memory_mb=self._memory(),
            logged=logs.read(self._stack.cloud).since(before),
            provider_calls=load.provider_calls(self._stack) - calls,
            stored_accepted=after[0] - stored[0],
            stored_delivered=after[1] - stored[1],
        )

    def send(self, scenario: Scenario, count: int) -> tuple[int, int]:
        """Post and return how many requests were made, and the bytes of their answers."""
        bodies = [_body(number, scenario.channels) for number in range(count)]
        path = "notifications"
        if scenario.batch > 1:
            path = "notifications/batch"
            bodies = [{"items": list(part)} for part in _parts(bodies, scenario.batch)]
        url = f"{self._stack.api}/api/v1/{path}"
        sizes = asyncio.run(_post_all(url, self._token, bodies, scenario.concurrency))
        return len(sizes), sum(sizes)

    def settle(self) -> None:
        """Wait until nothing is queued and nothing calls any more; raises where it is not sent."""
        if load.await_empty_queues(self._stack):
            raise OfflineError("something stays in the queues")
        calls, since = len(self._ledger.calls), time.monotonic()
        while time.monotonic() - since < QUIET_SECONDS:
            time.sleep(0.2)
            if len(self._ledger.calls) > calls:
                calls, since = len(self._ledger.calls), time.monotonic()

    def _calls(self) -> dict[str, list[counting.Call]]:
        functions = processes.functions_by_port()
        found: dict[str, list[counting.Call]] = {}
        for call in self._ledger.calls:
            if name := functions.get(call.port):
                found.setdefault(name, []).append(call)
        return found

    def _memory(self) -> dict[str, int]:
        with cloud.client("lambda", self._stack.cloud) as functions:
            pages = functions.get_paginator("list_functions").paginate()
            sizes = {
                one["FunctionName"]: one["MemorySize"] for p in pages for one in p["Functions"]
            }
        return {logs.function_of(name): size for name, size in sizes.items()}

    def _stored(self) -> tuple[int, int]:
        """Return the bytes of what accepting keeps, and of what delivering keeps."""
        sizes = {True: 0, False: 0}
        with cloud.client("dynamodb", self._stack.cloud) as dynamodb:
            for name in dynamodb.list_tables()["TableNames"]:
                for part, accepting in STORED.items():
                    if part in name:
                        items = list(_scan(dynamodb, name))
                        _check_sent(items)
                        found = usage.stored_bytes(items, name, self._ledger.indexes)
                        sizes[accepting] += found
        return sizes[True], sizes[False]


def _scan(dynamodb: Any, table: str) -> Iterator[Json]:
    for page in dynamodb.get_paginator("scan").paginate(TableName=table):
        yield from page["Items"]


def _check_sent(items: Sequence[Json]) -> None:
    others = {item["state"]["S"] for item in items if "state" in item} - {"sent"}
    if others:
        raise OfflineError(f"some deliveries ended as {', '.join(sorted(others))}")


def _body(number: int, channels: tuple[str, ...]) -> Json:
    order = {"number": f"B-{number}", "lines": [{"count": 2, "name": "Punched card"}]}
    return {
        "user_id": workload.USER,
        "channels": list(channels),
        "template_code": TEMPLATE,
        "variables": {"name": "Ada", "order": order},
        "category": "orders",
        "metadata": {"order_id": number},
        "request_id": secrets.token_hex(8),
    }


def _parts(bodies: Sequence[Json], size: int) -> Iterator[Sequence[Json]]:
    for start in range(0, len(bodies), size):
        yield bodies[start : start + size]


async def _post_all(url: str, token: str, bodies: Sequence[Json], concurrency: int) -> list[int]:
    waiting = iter(bodies)

    async def caller(session: ClientSession) -> list[int]:
        return [await _post(session, url, body) for body in waiting]

    async with ClientSession(
        headers={"Authorization": f"Bearer {token}"}, connector=TCPConnector(limit=concurrency)
    ) as session:
        callers = [caller(session) for _ in range(concurrency)]
        return [size for sizes in await asyncio.gather(*callers) for size in sizes]


async def _post(session: ClientSession, url: str, body: Json) -> int:
    async with session.post(url, json=body) as answer:
        content = await answer.read()
        if answer.status != HTTPStatus.ACCEPTED or b'"accepted": 0' in content:
            raise OfflineError(f"a notification was answered {answer.status}: {content[:300]!r}")
        return len(content) + sum(len(k) + len(v) + 4 for k, v in answer.headers.items())


if __name__ == "__main__":
    sys.exit(main())
