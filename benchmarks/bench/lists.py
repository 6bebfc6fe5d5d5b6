"""What a page of the list costs among few notifications and among many."""

import json
import secrets
import statistics
import string
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from itertools import islice
from typing import Any

from offline import cloud
from offline.fetch import fetch
from offline.problems import OfflineError
from offline.stack import Stack

from .counting import Ledger

SIZES = (1_000, 100_000)
PAGE = 25
PAGES = 5
_BATCH = 25
_LETTERS = string.ascii_lowercase + "234567"

Json = dict[str, Any]


def measure(stack: Stack, token: str, ledger: Ledger) -> Json:
    """Return by the table's size what a page of PAGE costs: read units and milliseconds."""
    found: Json = {}
    _stop_counting(stack)
    with cloud.client("dynamodb", stack.cloud) as dynamodb:
        table = next(
            name for name in dynamodb.list_tables()["TableNames"] if "NotificationsTable" in name
        )
        pattern = dynamodb.scan(TableName=table, Limit=1)["Items"][0]
        there = dynamodb.scan(TableName=table, Select="COUNT")["Count"]
        for size in SIZES:
            _fill(dynamodb, table, pattern, size - there)
            there = size
            found[str(size)] = _page(stack, token, ledger)
    return found


def _stop_counting(stack: Stack) -> None:
    """Leave what is filled in out of the daily numbers: it was never accepted."""
    with cloud.client("lambda", stack.cloud) as functions:
        for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
            if "/stream/" in mapping["EventSourceArn"]:
                functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)


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
        reads = [
            call for call in ledger.calls if call.operation.endswith((".Query", "BatchGetItem"))
        ]
        units.append(sum(call.read_by_rule for call in reads))
        by_cloud.append(sum(call.read_by_cloud for call in reads))
        calls.append(len(reads))
    return {
        "read_units": max(units),
        "read_units_by_cloud": max(by_cloud),
        "reads": max(calls),
        "ms": round(statistics.median(seconds) * 1000, 1),
    }


def _fill(dynamodb: Any, table: str, pattern: Json, count: int) -> None:
    """Put ``count`` more notifications like one that is there, a second apart, all before it."""
    older = _older(pattern, count)
    while items := list(islice(older, _BATCH)):
        puts = [{"PutRequest": {"Item": item}} for item in items]
        left = dynamodb.batch_write_item(RequestItems={table: puts}).get("UnprocessedItems")
        if left:
            raise OfflineError("the cloud did not take every notification")


def _older(pattern: Json, count: int) -> Iterator[Json]:
    newest = datetime.now(UTC) - timedelta(days=1)
    for number in range(count):
        place = "".join(secrets.choice(_LETTERS) for _ in range(26))
        moment = newest - timedelta(seconds=number)
        accepted = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        yield pattern | {
            "place": {"S": place},
            "notification_id": {"S": f"ntf_{place}aaaaaa"},
            "accepted": {"S": accepted},
        }
