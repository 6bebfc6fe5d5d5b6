"""Puts many notifications into a stack's tables, as if they had been sent before."""

import secrets
import string
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

from offline import cloud
from offline.problems import OfflineError
from offline.stack import Stack

TABLES = ("NotificationsTable", "DeliveriesTable")
PATIENCE_SECONDS = 900.0
_POLL_SECONDS = 1.0
_ENTRY = 24
"""Bytes of one notification in a list."""
READING = (
    *("EventSourceArn", "BatchSize", "MaximumBatchingWindowInSeconds"),
    *("FunctionResponseTypes", "FilterCriteria"),
)
"""What is kept of a reader's settings."""
_BATCH = 25
_AT_ONCE = 2
_LETTERS = string.ascii_lowercase + "234567"

Json = dict[str, Any]


@contextmanager
def uncounted(stack: Stack) -> Iterator[None]:
    """Leave what is filled in out of the daily numbers: it was never accepted. Lists have it.

    Who reads the tables' changes is taken away, and put back to read on from then.
    """
    with cloud.client("lambda", stack.cloud) as functions:
        mappings = functions.list_event_source_mappings()["EventSourceMappings"]
        readers = [each for each in mappings if _counts(each)]
        for reader in readers:
            functions.delete_event_source_mapping(UUID=reader["UUID"])
        yield
        for reader in readers:
            functions.create_event_source_mapping(
                FunctionName=reader["FunctionArn"],
                StartingPosition="LATEST",
                **{name: reader[name] for name in READING if reader.get(name) is not None},
            )


def fill(dynamodb: Any, count: int, wanted: Sequence[str] = TABLES) -> None:
    """Put ``count`` more notifications into these tables, all older than those there.

    Ends when their client's list has them.
    """
    tables = dict(_patterns(dynamodb, wanted))
    older = _older(tables, count)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while chunks := [chunk for _ in range(100) if (chunk := list(islice(older, _BATCH)))]:
            list(pool.map(partial(_put, dynamodb), chunks))
    _await_listed(dynamodb, stored(dynamodb))


def _counts(mapping: Json) -> bool:
    reads_stream = "/stream/" in mapping["EventSourceArn"]
    return reads_stream and "CountingFunction" in mapping["FunctionArn"]


def _await_listed(dynamodb: Any, wanted: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (listed := _listed(dynamodb)) < wanted:
        if time.monotonic() > deadline:
            raise OfflineError(f"of {wanted} notifications only {listed} are in a list")
        time.sleep(_POLL_SECONDS)


def _listed(dynamodb: Any) -> int:
    """Return how many entries all lists have (layers/common/carillon/pages.py)."""
    name = _named(dynamodb, "HistoryTable")
    pages = dynamodb.get_paginator("scan").paginate(TableName=name)
    return sum(len(item["entries"]["B"]) // _ENTRY for page in pages for item in page["Items"])


def stored(dynamodb: Any) -> int:
    """Return how many notifications there are."""
    name = _named(dynamodb, TABLES[0])
    pages = dynamodb.get_paginator("scan").paginate(TableName=name, Select="COUNT")
    return sum(page["Count"] for page in pages)


def _patterns(dynamodb: Any, wanted: Sequence[str]) -> Iterator[tuple[str, Json]]:
    for table in wanted:
        name = _named(dynamodb, table)
        yield name, dynamodb.scan(TableName=name, Limit=1)["Items"][0]


def _named(dynamodb: Any, part: str) -> str:
    return next(str(name) for name in dynamodb.list_tables()["TableNames"] if part in name)


def _put(dynamodb: Any, chunk: list[tuple[str, Json]]) -> None:
    requests: dict[str, list[Json]] = {}
    for table, item in chunk:
        requests.setdefault(table, []).append({"PutRequest": {"Item": item}})
    if dynamodb.batch_write_item(RequestItems=requests).get("UnprocessedItems"):
        raise OfflineError("the cloud did not take every notification")


def _older(tables: Mapping[str, Json], count: int) -> Iterator[tuple[str, Json]]:
    """Yield items like those that are there, a second apart."""
    newest = datetime.now(UTC) - timedelta(days=1)
    for number in range(count):
        place = "".join(secrets.choice(_LETTERS) for _ in range(26))
        moment = newest - timedelta(seconds=number)
        accepted = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        changed = {
            "place": {"S": place},
            "notification_id": {"S": f"ntf_{place}aaaaaa"},
            "accepted": {"S": accepted},
            "accepted_at": {"S": accepted},
        }
        for table, item in tables.items():
            # Only what such an item has: an index takes what has its keys.
            yield table, item | {name: value for name, value in changed.items() if name in item}
