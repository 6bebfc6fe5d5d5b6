"""What a notification takes of AWS: quantities by line of the price list, from what a run counted.

What cannot be counted offline is reckoned: how long Lambda bills, what it traces, and how much of a
stream one counting takes, since the embedded cloud waits for no batch to fill.
"""

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .counting import Call, Indexes, item_bytes
from .logs import Logged

Json = dict[str, Any]
Quantities = dict[str, float]

ACCEPTING = frozenset({"Authorizer", "Notifications"})
CLOCKED = frozenset({"Sweep"})
"""What runs by the clock, whatever is sent."""
WORKERS = frozenset({"Email", "Sms", "Push", "Inapp"})
# A Lambda function has one processor's time at this memory, and a share of it below.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
WHOLE_PROCESSOR_MB = 1769
# What a function waits for, warm and in the region; its bill runs meanwhile. Taken, not measured.
WAIT_MS = {"dynamodb": 4.0, "sns": 15.0, "sqs": 8.0, "ssm": 10.0}
PROVIDER_WAIT_MS = 80.0
# Which share of requests X-Ray traces (TracedShare in template.yaml). A worker's batch is a trace
# of its own when one of its messages came of a traced request.
TRACED = 0.01
# Notifications a second; and how many seconds a batch of each stream waits to fill (template.yaml).
RATE, EVENLY = 10.0, 1_000_000 / (30 * 86_400)
WINDOWS = {"Counting": (60.0, 15.0), "Listing": (5.0,)}
RETENTION_MONTHS = 3.0
LOG_MONTHS = 1.0
KEEPING = frozenset({"dynamodb-storage", "dynamodb-backup", "logs-storage"})
# DynamoDB's own for each item and each entry of an index.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
ITEM_OVERHEAD = 100


@dataclass(frozen=True)
class Counted:
    """What a pass of ``count`` notifications took, by function where that is known."""

    count: int
    requests: int
    answered_bytes: int
    calls: Mapping[str, list[Call]]
    cpu_s: Mapping[str, float]
    memory_mb: Mapping[str, int]
    logged: Logged
    provider_calls: int
    stored_accepted: int
    stored_delivered: int

    def functions(self, *, accepting: bool) -> set[str]:
        """Return the functions that accept, or those that deliver and count."""
        known = {*self.calls, *self.logged.invocations}
        return {name for name in known - CLOCKED if (name in ACCEPTING) == accepting}

    def batched(self, function: str, rate: float) -> float:
        """Return which share of its runs is left where batches fill for their whole window."""
        seen = self.logged.invocations[function] / self.count
        wanted = sum(1 / (rate * window) for window in WINDOWS.get(function, ()))
        return min(1.0, wanted / seen) if seen and wanted else 1.0

    def billed_seconds(self, function: str) -> float:
        """Return for how long Lambda bills: its CPU at the share it has, and what it waits for."""
        slower = max(1.0, WHOLE_PROCESSOR_MB / self.memory_mb[function])
        services = (call.operation.partition(".")[0] for call in self.calls.get(function, ()))
        waits = sum(WAIT_MS.get(service, 0.0) for service in services)
        if function in WORKERS:
            every = sum(self.logged.invocations[name] for name in WORKERS) or 1
            share = self.logged.invocations[function] / every
            waits += PROVIDER_WAIT_MS * self.provider_calls * share
        return self.cpu_s.get(function, 0.0) * slower + waits / 1000


def accepted(found: Counted) -> Quantities:
    """Return what accepting one notification takes."""
    own = of_functions(found, found.functions(accepting=True))
    stored = found.stored_accepted / 1e9
    return _each(
        found,
        own
        + Counter(
            {
                "apigateway-rest-request": found.requests,
                "transfer-out": found.answered_bytes / 1e9,
                "xray-trace": TRACED * found.requests,
                "dynamodb-storage": stored * RETENTION_MONTHS,
                "dynamodb-backup": stored * RETENTION_MONTHS,
            }
        ),
    )


def delivered(found: Counted, rate: float = RATE) -> Quantities:
    """Return what delivering and counting one notification takes, all its channels together."""
    own = of_functions(found, found.functions(accepting=False), rate)
    # Of each batch Lambda itself asks the queue once, and deletes it once.
    batches = sum(found.logged.invocations[name] for name in WORKERS)
    stored = found.stored_delivered / 1e9
    return _each(
        found,
        own
        + Counter(
            {
                "sqs-request": 2 * batches,
                "sns-to-sqs": batches,
                "xray-trace": batches * traced_batches(found.requests, batches),
                "dynamodb-storage": stored * RETENTION_MONTHS,
                "dynamodb-backup": stored * RETENTION_MONTHS,
            }
        ),
    )


def traced_batches(requests: int, batches: int) -> float:
    """Return which share of the workers' batches is traced, by the requests they came of."""
    mixed = max(1.0, requests / batches) if batches else 1.0
    return float(1 - (1 - TRACED) ** mixed)


def of_functions(
    found: Counted, functions: Iterable[str], rate: float | None = None
) -> "Counter[str]":
    """Return what functions took altogether; at a ``rate``, those of streams by full batches."""
    total: Counter[str] = Counter()
    for name in functions:
        times = found.batched(name, rate) if rate else 1.0
        calls = found.calls.get(name, [])
        log = _logged_gigabytes(found.logged, name)
        taken = {
            "lambda-request": found.logged.invocations[name],
            "lambda-gb-second-arm64": found.billed_seconds(name) * found.memory_mb[name] / 1024,
            "dynamodb-write-unit": max(
                sum(call.units_by_rule for call in calls),
                sum(call.units_by_cloud for call in calls),
            ),
            "dynamodb-read-unit": sum(call.read_by_rule for call in calls),
            "sns-publish": sum(call.operation.startswith("sns.Publish") for call in calls),
            "sqs-request": sum(call.operation.startswith("sqs.") for call in calls),
            "logs-ingestion": log,
            "logs-storage": log * LOG_MONTHS,
        }
        total += Counter({line: amount * times for line, amount in taken.items()})
    return total


def _logged_gigabytes(logged: Logged, function: str) -> float:
    only = Counter({function: logged.invocations[function]})
    return Logged(only, Counter({function: logged.own_bytes[function]})).gigabytes()


def _each(found: Counted, quantities: "Counter[str]") -> Quantities:
    return {name: float(f"{amount / found.count:.4g}") for name, amount in quantities.items()}


def of_one(found: Counted, rate: float = RATE) -> Quantities:
    """Return what one notification takes from its request to its being counted."""
    return dict(Counter(accepted(found)) + Counter(delivered(found, rate)))


def sending(quantities: Quantities) -> Quantities:
    """Return the part that is not for keeping it."""
    return {line: amount for line, amount in quantities.items() if line not in KEEPING}


def stored_bytes(items: Iterable[Json], table: str, indexes: Indexes) -> int:
    """Return what items take up, their copies in the table's indexes included."""
    size = 0
    for item in items:
        on_the_wire = {name: _encoded(value) for name, value in item.items()}
        size += item_bytes(on_the_wire) + ITEM_OVERHEAD
        for index in indexes.get(table, ()):
            if index.keys <= item.keys():
                kept = {n: value for n, value in on_the_wire.items() if n in index.attributes}
                size += item_bytes(kept) + ITEM_OVERHEAD
    return size


def _encoded(value: Json) -> Json:
    """Return a value as it is in a request: the SDK has decoded what is binary."""
    return {"B": b64encode(value["B"]).decode()} if "B" in value else value
