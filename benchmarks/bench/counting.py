"""A proxy between the functions and the cloud that counts what each call is and what it costs."""

import asyncio
import json
import re
import threading
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from aiohttp import ClientSession, TCPConnector, web
from multidict import CIMultiDict

HOST = "127.0.0.1"
WRITE_UNIT_BYTES = 1024
READ_UNIT_BYTES = 4096
# What one notification to one channel may cost (docs/adr/0022-pages-from-the-stream.md).
PUBLISH_BUDGET = 1
UNIT_BUDGET = 4
WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem"})
READS = frozenset({"GetItem", "BatchGetItem", "Query", "Scan"})
AUTHORIZER, INTAKE, WORKER, OTHER = "authorizer", "intake", "worker", "other"
ANALYTICS, LISTS = "analytics", "lists"
ROLES = {
    "Authorizer": AUTHORIZER,
    "Notifications": INTAKE,
    "Counting": ANALYTICS,
    "Listing": LISTS,
    **dict.fromkeys(("Email", "Sms", "Push", "Inapp"), WORKER),
}
BODY_BYTES = 10 * 1024 * 1024
_NAMES = re.compile(r"'(\w+)': \?")
_TABLE = re.compile(r'INSERT INTO "([^"]+)"')
_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/([^/]+)/aws4_request")
_ONE_CONNECTION = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})

Json = dict[str, Any]
Indexes = dict[str, list["Index"]]
"""The indexes of each table, by the table's name."""


@dataclass(frozen=True)
class Index:
    """A global secondary index: its keys, and all attributes it holds."""

    keys: frozenset[str]
    attributes: frozenset[str]


@dataclass(frozen=True)
class Call:
    """One AWS call: from which port, what it was, and the write units it consumed."""

    port: int
    operation: str
    status: int
    units_by_rule: int = 0
    units_by_cloud: float = 0.0
    read_by_rule: float = 0.0
    read_by_cloud: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the cloud did what it was asked."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


@dataclass(frozen=True)
class Body:
    """What a call said, word for word, and when (monotonic seconds)."""

    began: float
    port: int
    operation: str
    content: bytes


@dataclass
class Ledger:
    """Every call since it was last cleared; their bodies too while they are recorded."""

    calls: list[Call] = field(default_factory=list)
    indexes: Indexes = field(default_factory=dict)
    records: bool = False
    bodies: list[Body] = field(default_factory=list)

    def by_role(self, functions: Mapping[int, str]) -> dict[str, Counter[str]]:
        """Return how often each role called each operation; `functions` are those by port."""
        found: dict[str, Counter[str]] = {}
        for call in self.calls:
            role = ROLES.get(functions.get(call.port, ""), OTHER)
            found.setdefault(role, Counter())[call.operation] += 1
        return found

    def of(self, role: str, functions: Mapping[int, str]) -> "Ledger":
        """Return the calls of one role."""
        return Ledger([c for c in self.calls if ROLES.get(functions.get(c.port, "")) == role])

    def beside(self, names: Container[str], functions: Mapping[int, str]) -> "Ledger":
        """Return the calls of functions that have none of these names."""
        known = {port for port, name in functions.items() if name not in names}
        return Ledger([call for call in self.calls if call.port in known])

    def without(self, other: "Ledger") -> "Ledger":
        """Return the calls that are not the other's."""
        theirs = set(map(id, other.calls))
        return Ledger([call for call in self.calls if id(call) not in theirs])

    def write_units(self) -> float:
        """Return the DynamoDB write units, by the stricter of the two ways to count them."""
        return max(self.units_by_rule(), self.units_by_cloud())

    def units_by_rule(self) -> int:
        """Return them by the published rule, from the items on the wire."""
        return sum(call.units_by_rule for call in self.calls)

    def units_by_cloud(self) -> float:
        """Return them as the cloud reported them, which knows of indexes."""
        return sum(call.units_by_cloud for call in self.calls)


def operation_of(headers: Mapping[str, str], path: str, body: bytes) -> str:
    """Return `service.Operation` of a signed request, whichever of AWS's protocols it speaks."""
    scope = _SCOPE.search(headers.get("Authorization", ""))
    service = scope[1] if scope else "unsigned"
    target = headers.get("X-Amz-Target", "")
    if target:
        return f"{service}.{target.rpartition('.')[2]}"
    if headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
        actions = parse_qs(body.decode("utf-8", "replace")).get("Action", ["?"])
        return f"{service}.{actions[0]}"
    return f"{service}.{path}"


def indexes_of(dynamodb: Any) -> Indexes:
    """Return the indexes of every table, as the cloud describes them."""
    found: Indexes = {}
    for name in dynamodb.list_tables()["TableNames"]:
        table = dynamodb.describe_table(TableName=name)["Table"]
        own = {key["AttributeName"] for key in table["KeySchema"]}
        for index in table.get("GlobalSecondaryIndexes", []):
            keys = frozenset(key["AttributeName"] for key in index["KeySchema"])
            more = index["Projection"].get("NonKeyAttributes", [])
            found.setdefault(name, []).append(Index(keys, keys | own | frozenset(more)))
    return found


def write_units(
    operation: str, asked: Json, answered: Json, status: int, indexes: Sequence[Index] = ()
) -> int:
    """Return the write units of a DynamoDB request by the published rule.

    An index that takes the item is a write of its own. A unit is a started KB of the item as it
    is afterwards or was before, whichever is larger. A transaction takes two, and a write whose
    condition failed is charged as well. What an update leaves is known only from an answer with
    ALL_NEW, as ours are; otherwise it counts one.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
    """
    if operation in WRITES:
        if status != HTTPStatus.OK and not _is_conflict(answered):
            return 0
        item = asked.get("Item") or answered.get("Attributes") or {}
        return _units(item) + (status == HTTPStatus.OK) * _index_units(item, indexes)
    if operation == "TransactWriteItems":
        parts = [part for item in asked["TransactItems"] for part in item.items()]
        return sum(2 * _units(part.get("Item", {})) for kind, part in parts)
    if operation == "BatchExecuteStatement":
        ended = zip(asked["Statements"], answered.get("Responses", []), strict=False)
        return sum(
            _units(item) + ("Error" not in told) * _index_units(item, indexes)
            for statement, told in ended
            for item in [_inserted(statement)]
        )
    if operation == "BatchWriteItem":
        requests = [each for table in asked["RequestItems"].values() for each in table]
        return sum(_units(each.get("PutRequest", {}).get("Item", {})) for each in requests)
    return 0


def read_units(operation: str, asked: Json, answered: Json) -> float:
    """Return the read units of a DynamoDB request by the published rule.

    A unit is 4 KB read consistently, half of one otherwise; a query adds its items up first, a
    batch rounds each. What is not there costs as much as the smallest item.
    """
    rate = 1.0 if asked.get("ConsistentRead") else 0.5
    if operation == "Query":
        return rate * _read(sum(item_bytes(item) for item in answered.get("Items", [])))
    if operation == "GetItem":
        return rate * _read(item_bytes(answered.get("Item", {})))
    if operation == "BatchGetItem":
        found = [item for items in answered.get("Responses", {}).values() for item in items]
        wanted = sum(len(table["Keys"]) for table in asked["RequestItems"].values())
        return 0.5 * (wanted - len(found) + sum(_read(item_bytes(item)) for item in found))
    return 0.0


def item_bytes(item: Mapping[str, Json]) -> int:
    """Return an item's size: its attributes' names and values."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def consumed(answered: Json) -> float:
    """Return the write units that the cloud says a write consumed."""
    told = answered.get("ConsumedCapacity") or []
    tables = told if isinstance(told, list) else [told]
    return sum(float(table["CapacityUnits"]) for table in tables)


@contextmanager
def counting(target: str) -> Iterator[tuple[str, Ledger]]:
    """Serve the proxy to `target` in a thread; yields its address and what it counted."""
    ledger = Ledger()
    ready: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    thread = threading.Thread(
        target=lambda: asyncio.run(_serve(target, ledger, ready)), daemon=True
    )
    thread.start()
    address, loop, over = ready.result()
    try:
        yield address, ledger
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()


async def _serve(
    target: str,
    ledger: Ledger,
    ready: "Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]]",
) -> None:
    over = asyncio.Event()
    async with ClientSession(
        connector=TCPConnector(limit=0), auto_decompress=False, skip_auto_headers=("Accept",)
    ) as session:
        proxy = _Proxy(target, session, ledger)
        app = web.Application(client_max_size=BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", proxy.forward)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        ready.set_result(
            (f"http://{HOST}:{runner.addresses[0][1]}", asyncio.get_running_loop(), over)
        )
        await over.wait()
        await runner.cleanup()


class _Proxy:
    """Passes calls on unchanged, but asks DynamoDB to tell what they consumed."""

    def __init__(self, target: str, session: ClientSession, ledger: Ledger) -> None:
        self._target = target
        self._session = session
        self._ledger = ledger

    async def forward(self, request: web.Request) -> web.Response:
        """Pass one call on, its answer back, and note both."""
        body = await request.read()
        operation = operation_of(request.headers, request.path, body)
        service, _, name = operation.partition(".")
        asked = json.loads(body) if service == "dynamodb" else {}
        if self._ledger.records:
            began = time.monotonic()
            self._ledger.bodies.append(Body(began, _port(request), operation, body))
        if asked:
            body = json.dumps(asked | {"ReturnConsumedCapacity": "TOTAL"}).encode()
        async with self._session.request(
            request.method,
            f"{self._target}{request.path_qs}",
            headers=_kept(request.headers),
            data=body,
        ) as answer:
            content = await answer.read()
            headers, status = _kept(answer.headers), answer.status
        answered = json.loads(content or b"{}") if asked else {}
        self._ledger.calls.append(
            Call(
                port=_port(request),
                operation=operation,
                status=status,
                units_by_rule=write_units(
                    name, asked, answered, status, self._ledger.indexes.get(_table(asked), ())
                ),
                units_by_cloud=consumed(answered) if _writes(name) else 0.0,
                read_by_rule=read_units(name, asked, answered),
                read_by_cloud=consumed(answered) if name in READS else 0.0,
            )
        )
        return web.Response(status=status, headers=headers, body=content)


def _port(request: web.Request) -> int:
    """Return the caller's port. Who has it is asked later, while nobody waits for an answer."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return int(peer[1]) if peer else 0


def _kept(headers: Mapping[str, str]) -> CIMultiDict[str]:
    pairs = headers.items()
    return CIMultiDict((name, text) for name, text in pairs if name.lower() not in _ONE_CONNECTION)


def _is_conflict(answered: Json) -> bool:
    return str(answered.get("__type", "")).endswith("ConditionalCheckFailedException")


def _units(item: Mapping[str, Json]) -> int:
    return max(1, -(-item_bytes(item) // WRITE_UNIT_BYTES))


def _index_units(item: Mapping[str, Json], indexes: Sequence[Index]) -> int:
    return sum(
        _units({name: value for name, value in item.items() if name in index.attributes})
        for index in indexes
        if index.keys <= item.keys()
    )


def _read(size: int) -> int:
    return max(1, -(-size // READ_UNIT_BYTES))


def _writes(operation: str) -> bool:
    return "Write" in operation or "Statement" in operation or operation in WRITES


def _inserted(statement: Json) -> Json:
    names = _NAMES.findall(statement["Statement"])
    return dict(zip(names, statement["Parameters"], strict=True))


def _table(asked: Json) -> str:
    if "Statements" in asked:
        found = _TABLE.match(asked["Statements"][0]["Statement"])
        return found[1] if found else ""
    return str(asked.get("TableName", ""))


def _value_bytes(value: Json) -> int:
    ((kind, held),) = value.items()
    if kind in SIZES:
        return SIZES[kind](held)
    return sum(_value_bytes({kind[0]: each}) for each in held)


def _list_bytes(held: list[Json]) -> int:
    return 3 + sum(1 + _value_bytes(each) for each in held)


def _map_bytes(held: Mapping[str, Json]) -> int:
    return 3 + item_bytes(held) + len(held)


def _number_bytes(number: str) -> int:
    """Two significant digits to a byte, and one more; a sign takes one."""
    digits = re.sub(r"[eE].*$", "", number).lstrip("-+").replace(".", "").strip("0")
    return (len(digits) + 1) // 2 + 1 + number.startswith("-")


# What is not here is a set of one of these.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
SIZES: dict[str, Callable[[Any], int]] = {
    "S": lambda held: len(held.encode()),
    "N": _number_bytes,
    "B": lambda held: len(b64decode(held)),
    "BOOL": lambda _: 1,
    "NULL": lambda _: 1,
    "L": _list_bytes,
    "M": _map_bytes,
}
