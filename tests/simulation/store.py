"""DynamoDB in memory: tables as template.yaml has them, each call atomic.

An index follows its table with a delay, and a read that does not ask for consistency may show what
was there a moment before.
"""

import base64
import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from partiql import inserted

from simulation.expressions import Given, Item, Value, condition, plain, update
from simulation.stack import Resource

JSON = dict[str, Any]
Key = tuple[Any, Any]
MISSING = "ConditionalCheckFailedException"
STALE_SECONDS = 1.0


def refusal(
    code: str, operation: str, message: str = "", status: int = 400, **more: Any
) -> ClientError:
    """Return an error as AWS words it."""
    told = {
        "Error": {"Code": code, "Message": message or code},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}, "RetryAttempts": 0},
        **more,
    }
    return ClientError(told, operation)  # type: ignore[arg-type]


@dataclass
class Index:
    """A table's items as an index shows them by now."""

    keys: tuple[str, str | None]
    kept: frozenset[str] | None  # None keeps every attribute
    items: dict[Key, Item] = field(default_factory=dict)
    by_partition: dict[Any, dict[Key, Item]] = field(default_factory=dict)
    coming: deque[tuple[int, Key, Item | None]] = field(default_factory=deque)

    def follow(self, now: int) -> None:
        """Take what the table wrote until now."""
        while self.coming and self.coming[0][0] <= now:
            _, key, item = self.coming.popleft()
            before = self.items.pop(key, None)
            if before is not None:
                self.by_partition[_bare(before[self.keys[0]])].pop(key)
            if item is None or any(name and name not in item for name in self.keys):
                continue
            shown = item
            if self.kept is not None:
                shown = {name: value for name, value in item.items() if name in self.kept}
            self.items[key] = shown
            self.by_partition.setdefault(_bare(item[self.keys[0]]), {})[key] = shown

    def partition(self, key: Any) -> list[Item]:
        """Return what it shows of one partition, in order."""
        part = self.keys[1]
        found = self.by_partition.get(key, {})
        return [
            item
            for _, item in sorted(
                found.items(),
                key=lambda each: (plain(each[1][part]) if part else 0, str(each[0])),
            )
        ]


class Table:
    """One table."""

    def __init__(self, resource: Resource) -> None:
        self.name = resource.name
        told = resource.properties
        self.keys = _keys(told["KeySchema"])
        self.items: dict[Key, Item] = {}
        self.by_partition: dict[Any, dict[Key, None]] = {}
        self.before: dict[Key, tuple[int, Item | None]] = {}
        self.indexes: dict[str, Index] = {}
        for each in told.get("GlobalSecondaryIndexes", []):
            keys, projection = _keys(each["KeySchema"]), each["Projection"]
            always = {name for name in (*self.keys, *keys) if name}
            kept = {
                "ALL": None,
                "KEYS_ONLY": frozenset(always),
                "INCLUDE": frozenset(always | set(projection.get("NonKeyAttributes", []))),
            }[projection["ProjectionType"]]
            self.indexes[each["IndexName"]] = Index(keys, kept)

    def key(self, item: Mapping[str, Value]) -> Key:
        """Return the key of an item, or of what names one."""
        name, part = self.keys
        return _bare(item[name]), _bare(item[part]) if part else None

    def partition(self, key: Any) -> list[Item]:
        """Return the items of one partition, in order."""
        if self.keys[1] is None:
            return [self.items[key, None]] if (key, None) in self.items else []
        part = self.keys[1]
        found = (self.items[each] for each in self.by_partition.get(key, ()))
        return sorted(found, key=lambda item: plain(item[part]))

    def put(self, key: Key, item: Item | None, now: int, delay: int) -> None:
        """Write or delete an item."""
        self.before[key] = (now, self.items.get(key))
        if item is None:
            self.items.pop(key, None)
            self.by_partition.get(key[0], {}).pop(key, None)
        else:
            self.items[key] = item
            self.by_partition.setdefault(key[0], {})[key] = None
        for index in self.indexes.values():
            at = max(now + delay, index.coming[-1][0] if index.coming else 0)
            index.coming.append((at, key, item))


def _keys(schema: list[Mapping[str, str]]) -> tuple[str, str | None]:
    named = {each["KeyType"]: each["AttributeName"] for each in schema}
    return named["HASH"], named.get("RANGE")


def _bare(value: Value) -> Any:
    ((kind, told),) = value.items()
    assert kind in ("S", "N", "B"), f"{value} is no key"
    assert told != "", "a key is empty"
    return plain(value)


Listener = Callable[[str, Item | None, Item | None], None]


@dataclass
class Store:
    """The tables, and who is told of each write (``heard``: table, before, after)."""

    tables: dict[str, Table]
    clock: Callable[[], int] = lambda: 0
    chance: Callable[[], float] = lambda: 1.0
    heard: Listener = lambda *_: None
    delay: Callable[[], int] = lambda: 0
    stale: float = 0.0
    transactions: dict[str, None] = field(default_factory=dict)

    def copy(self) -> "Store":
        """Return a store with the same items."""
        made = Store({})
        for name, table in self.tables.items():
            twin = made.tables[name] = object.__new__(Table)
            twin.name, twin.keys = table.name, table.keys
            twin.items, twin.before = dict(table.items), {}
            twin.by_partition = {key: dict(each) for key, each in table.by_partition.items()}
            twin.indexes = {}
            for label, index in table.indexes.items():
                index.follow(1 << 62)
                kept = {name: dict(each) for name, each in index.by_partition.items()}
                twin.indexes[label] = Index(index.keys, index.kept, dict(index.items), kept)
        return made

    def call(self, operation: str, told: JSON) -> JSON:
        """Answer one call; raises ClientError."""
        return getattr(self, f"_{operation}")(told)  # type: ignore[no-any-return]

    # ------------------------------------------------------------------ reads

    def _GetItem(self, told: JSON) -> JSON:  # noqa: N802 - named as the operation
        table = self.tables[told["TableName"]]
        item = self._read(table, table.key(told["Key"]), told.get("ConsistentRead", False))
        return {"Item": dict(item)} if item is not None else {}

    def _BatchGetItem(self, told: JSON) -> JSON:  # noqa: N802
        found: dict[str, list[JSON]] = {}
        for name, wanted in told["RequestItems"].items():
            table = self.tables[name]
            consistent = wanted.get("ConsistentRead", False)
            read = (self._read(table, table.key(key), consistent) for key in wanted["Keys"])
            found[name] = [dict(item) for item in read if item is not None]
        return {"Responses": found, "UnprocessedKeys": {}}

    def _read(self, table: Table, key: Key, consistent: bool) -> Item | None:
        if not consistent and key in table.before:
            at, before = table.before[key]
            if self.clock() - at < STALE_SECONDS * 1e6 and self.chance() < self.stale:
                return before
        return table.items.get(key)

    def _Query(self, told: JSON) -> JSON:  # noqa: N802
        table = self.tables[told["TableName"]]
        name = told.get("IndexName")
        wanted = condition(told["KeyConditionExpression"])
        if name:
            index = table.indexes[name]
            index.follow(self.clock())
        keys = index.keys if name else table.keys
        names, values = _given(told)
        equal = re.findall(r"(#?\w+)\s*=\s*(:\w+)", told["KeyConditionExpression"])
        (key,) = (value for each, value in equal if names.get(each, each) == keys[0])
        partition = (index if name else table).partition(_bare(values[key]))
        found = [item for item in partition if wanted(Given(item, names, values))]
        if not told.get("ScanIndexForward", True):
            found.reverse()
        order = [each for each in (*keys, *table.keys) if each]
        return self._page(told, found, order)

    def _Scan(self, told: JSON) -> JSON:  # noqa: N802
        table = self.tables[told["TableName"]]
        items: list[Item] = list(table.items.values())
        if name := told.get("IndexName"):
            table.indexes[name].follow(self.clock())
            items = list(table.indexes[name].items.values())
        return self._page(told, items, [each for each in table.keys if each])

    def _page(self, told: JSON, found: list[Item], order: list[str]) -> JSON:
        start = told.get("ExclusiveStartKey")
        if start:
            places = [
                n for n, item in enumerate(found) if all(item.get(k) == start[k] for k in start)
            ]
            found = found[places[0] + 1 :] if places else found
        limit = told.get("Limit")
        more = limit is not None and len(found) > limit
        page = found[:limit] if limit is not None else found
        names, values = _given(told)
        kept = page
        if told.get("FilterExpression"):
            fits = condition(told["FilterExpression"])
            kept = [item for item in page if fits(Given(item, names, values))]
        answer: JSON = {"Count": len(kept), "ScannedCount": len(page)}
        if told.get("Select") != "COUNT":
            answer["Items"] = [self._projected(item, told, names) for item in kept]
        if more:
            answer["LastEvaluatedKey"] = {name: page[-1][name] for name in order}
        return answer

    def _projected(self, item: Item, told: JSON, names: Mapping[str, str]) -> JSON:
        wanted = told.get("ProjectionExpression")
        if not wanted:
            return dict(item)
        attributes = [names.get(each.strip(), each.strip()) for each in wanted.split(",")]
        return {name: item[name] for name in attributes if name in item}

    # ------------------------------------------------------------------ writes

    def _PutItem(self, told: JSON) -> JSON:  # noqa: N802
        table = self.tables[told["TableName"]]
        self._check("PutItem", table, told, told["Item"])
        self._write(table, table.key(told["Item"]), dict(told["Item"]))
        return {}

    def _UpdateItem(self, told: JSON) -> JSON:  # noqa: N802
        table = self.tables[told["TableName"]]
        self._check("UpdateItem", table, told, told["Key"])
        old = table.items.get(table.key(told["Key"]))
        new = self._updated(table, told)
        self._write(table, table.key(told["Key"]), new)
        wanted = told.get("ReturnValues", "NONE")
        if wanted == "ALL_NEW":
            return {"Attributes": dict(new)}
        if wanted == "ALL_OLD":
            return {"Attributes": dict(old)} if old else {}
        assert wanted == "NONE", wanted
        return {}

    def _DeleteItem(self, told: JSON) -> JSON:  # noqa: N802
        table = self.tables[told["TableName"]]
        self._check("DeleteItem", table, told, told["Key"])
        old = table.items.get(table.key(told["Key"]))
        self._write(table, table.key(told["Key"]), None)
        return {"Attributes": dict(old)} if old and told.get("ReturnValues") == "ALL_OLD" else {}

    def _BatchWriteItem(self, told: JSON) -> JSON:  # noqa: N802
        for name, requests in told["RequestItems"].items():
            table = self.tables[name]
            for request in requests:
                if "PutRequest" in request:
                    item = request["PutRequest"]["Item"]
                    self._write(table, table.key(item), dict(item))
                else:
                    self._write(table, table.key(request["DeleteRequest"]["Key"]), None)
        return {"UnprocessedItems": {}}

    def _BatchExecuteStatement(self, told: JSON) -> JSON:  # noqa: N802
        answers: list[JSON] = []
        for name, item in inserted(told):
            table = self.tables[name]
            if table.key(item) in table.items:
                answers.append({"Error": {"Code": "DuplicateItem"}, "TableName": name})
            else:
                self._write(table, table.key(item), item)
                answers.append({"TableName": name})
        return {"Responses": answers}

    def _TransactWriteItems(self, told: JSON) -> JSON:  # noqa: N802
        token = told.get("ClientRequestToken")
        if token and token in self.transactions:
            return {}
        steps = [next(iter(each.items())) for each in told["TransactItems"]]
        reasons = [self._reason(kind, step) for kind, step in steps]
        if any(reason["Code"] != "None" for reason in reasons):
            codes = ", ".join(reason["Code"] for reason in reasons)
            raise refusal(
                "TransactionCanceledException",
                "TransactWriteItems",
                f"Transaction cancelled, please refer cancellation reasons [{codes}]",
                CancellationReasons=reasons,
            )
        for kind, step in steps:
            table = self.tables[step["TableName"]]
            if kind == "Put":
                self._write(table, table.key(step["Item"]), dict(step["Item"]))
            elif kind == "Update":
                self._write(table, table.key(step["Key"]), self._updated(table, step))
            elif kind == "Delete":
                self._write(table, table.key(step["Key"]), None)
        if token:
            self.transactions[token] = None
        return {}

    def _reason(self, kind: str, step: JSON) -> JSON:
        table = self.tables[step["TableName"]]
        if self._fits(table, step, step["Item"] if kind == "Put" else step["Key"]):
            return {"Code": "None"}
        return {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}

    def _fits(self, table: Table, told: JSON, keyed: Mapping[str, Value]) -> bool:
        wanted = told.get("ConditionExpression")
        if not wanted:
            return True
        names, values = _given(told)
        return condition(wanted)(Given(table.items.get(table.key(keyed), {}), names, values))

    def _check(self, operation: str, table: Table, told: JSON, keyed: Mapping[str, Value]) -> None:
        if self._fits(table, told, keyed):
            return
        more = {}
        if told.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
            old = table.items.get(table.key(keyed))
            more = {"Item": dict(old)} if old else {}
        raise refusal(MISSING, operation, "The conditional request failed", **more)

    def _updated(self, table: Table, told: JSON) -> dict[str, Value]:
        names, values = _given(told)
        old = table.items.get(table.key(told["Key"]), told["Key"])
        text = told.get("UpdateExpression")
        new = update(text)(Given(old, names, values)) if text else dict(old)
        assert table.key(new) == table.key(told["Key"]), "an update cannot change the key"
        return new

    def _write(self, table: Table, key: Key, item: Item | None) -> None:
        old = table.items.get(key)
        table.put(key, item, self.clock(), self.delay())
        self.heard(table.name, old, item)


def _given(told: JSON) -> tuple[Mapping[str, str], Mapping[str, Value]]:
    return told.get("ExpressionAttributeNames") or {}, told.get("ExpressionAttributeValues") or {}


def readable(item: Item) -> JSON:
    """Return an item as plain values, for whoever judges or tells of it."""
    return {name: _readable(value) for name, value in item.items()}


def _readable(value: Value) -> Any:
    ((kind, told),) = value.items()
    if kind == "N":
        return float(told) if "." in told else int(told)
    if kind == "M":
        return readable(told)
    if kind == "L":
        return [_readable(each) for each in told]
    if kind == "NULL":
        return None
    return base64.b64encode(told).decode() if isinstance(told, bytes) else told


def of_json(value: Any) -> Any:
    """Return what a JSONAttribute holds."""
    return json.loads(value) if isinstance(value, str) else value
