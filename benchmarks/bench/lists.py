"""What a page of the list costs among few notifications and among many."""

import json
import statistics
import time
from http import HTTPStatus
from typing import Any

from offline import cloud
from offline.fetch import fetch
from offline.problems import OfflineError
from offline.stack import Stack

from . import filling, processes
from .counting import INTAKE, Ledger

SIZES = (1_000, 100_000)
PAGE = 25
PAGES = 5

Json = dict[str, Any]


def measure(stack: Stack, token: str, ledger: Ledger) -> Json:
    """Return by the table's size what a page of PAGE costs: read units and milliseconds."""
    found: Json = {}
    with filling.uncounted(stack), cloud.client("dynamodb", stack.cloud) as dynamodb:
        there = filling.stored(dynamodb)
        for size in SIZES:
            filling.fill(dynamodb, max(0, size - there), filling.TABLES[:1])
            there = size
            found[str(size)] = _page(stack, token, ledger)
    return found


def _page(stack: Stack, token: str, ledger: Ledger) -> Json:
    seconds, units, by_cloud, calls = [], [], [], []
    for _ in range(PAGES):
        ledger.calls.clear()
        began = time.perf_counter()
        answer = fetch(
            "GET",
            f"{stack.api}/api/v1/notifications?limit={PAGE}",
            headers={"Authorization": f"Bearer {token}"},
        )
        seconds.append(time.perf_counter() - began)
        if answer.status != HTTPStatus.OK or len(json.loads(answer.body)["data"]) != PAGE:
            raise OfflineError(f"the list was answered {answer.status}")
        # The sweep may look around at the same time.
        asked = ledger.of(INTAKE, processes.functions_by_port()).calls
        reads = [call for call in asked if call.operation.endswith((".Query", "BatchGetItem"))]
        units.append(sum(call.read_by_rule for call in reads))
        by_cloud.append(sum(call.read_by_cloud for call in reads))
        calls.append(len(reads))
    return {
        "read_units": max(units),
        "read_units_by_cloud": max(by_cloud),
        "reads": max(calls),
        "ms": round(statistics.median(seconds) * 1000, 1),
    }
