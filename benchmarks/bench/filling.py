"""Puts many notifications into a stack's tables, as if they had been sent before."""

import secrets
import string
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
_BATCH = 25
_AT_ONCE = 2
_LETTERS = string.ascii_lowercase + "234567"

Json = dict[str, Any]


@contextmanager
def uncounted(stack: Stack) -> Iterator[None]:
    """Leave what is filled in out of the daily numbers: it was never accepted.

    What the block put in is not counted later either: a stream that is read again is read from now
    on.
    """
    with cloud.client("lambda", stack.cloud) as functions:
        mappings = functions.list_event_source_mappings()["EventSourceMappings"]
        streams = [each["UUID"] for each in mappings if "/stream/" in each["EventSourceArn"]]
        for stream in streams:
            functions.update_event_source_mapping(UUID=stream, Enabled=False)
        yield
        for stream in streams:
            functions.update_event_source_mapping(UUID=stream, Enabled=True)


def fill(dynamodb: Any, count: int, wanted: Sequence[str] = TABLES) -> None:
    """Put ``count`` more notifications into these tables, all older than those there."""
    tables = dict(_patterns(dynamodb, wanted))
    older = _older(tables, count)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while chunks := [chunk for _ in range(100) if (chunk := list(islice(older, _BATCH)))]:
            list(pool.map(partial(_put, dynamodb), chunks))


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
