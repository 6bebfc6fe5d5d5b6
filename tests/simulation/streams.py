"""DynamoDB Streams, and the mappings that hand their records to functions.

A shard has the records of some keys in order. A batch whose function failed or died comes again
from its first record on, cut anywhere, and what follows waits for it.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from zlib import crc32

from simulation.store import Item

if TYPE_CHECKING:
    from simulation.lambdas import Function

JSON = dict[str, Any]
SHARDS = 2
APART = "CountingFunction"
"""What it counts nobody's delivery depends on; tests/functional/test_analytics.py has it."""


@dataclass
class Shard:
    """What one mapping still has to read of one shard."""

    function: "Function"
    told: JSON
    kinds: frozenset[str]
    records: list[JSON] = field(default_factory=list)
    busy: bool = False
    awaited: bool = False


class Streams:
    """The streams of a world and who reads them."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.scheduler, self.weather, self.story = world.scheduler, world.weather, world.story
        self.shards: dict[str, list[Shard]] = {}
        for function in world.functions.values():
            for event in function.events.values():
                if event["Type"] == "DynamoDB" and function.name != APART:
                    told = event["Properties"]
                    table = told["Stream"].rpartition(":")[2].removesuffix(".StreamArn")
                    made = [Shard(function, told, _kinds(told)) for _ in range(SHARDS)]
                    self.shards.setdefault(table, []).extend(made)

    def are_empty(self) -> bool:
        """Tell whether every record was read."""
        return not any(shard.records for shards in self.shards.values() for shard in shards)

    def heard(self, table: str, old: Item | None, new: Item | None) -> None:
        """Take note of a write."""
        shards = self.shards.get(table)
        if not shards or self.world.cloud.calm:
            return
        key = self.world.store.tables[table].key(new if new is not None else old)
        shard = shards[crc32(str(key).encode()) % len(shards)]
        record = _record(self.world.cloud.new_id(), old, new)
        if record["eventName"] in shard.kinds:
            shard.records.append(record)
            self._await(shard)

    def _await(self, shard: Shard) -> None:
        if shard.records and not shard.awaited and not shard.busy:
            shard.awaited = True
            window = float(shard.told.get("MaximumBatchingWindowInSeconds", 0))
            self.scheduler.at(
                self.weather.chance.uniform(0.1, 0.5 + window), lambda: self._poll(shard)
            )

    def _poll(self, shard: Shard) -> None:
        shard.awaited = False
        if self.weather.away("stream", self.scheduler.seconds):
            self._await(shard)
            return
        most = min(int(shard.told["BatchSize"]), len(shard.records))
        batch = shard.records[: self.weather.chance.randint(1, most)]
        shard.busy = True
        self.world.invoke(
            shard.function,
            {"Records": batch},
            lambda _: self._advance(shard, len(batch)),
            lambda: self._end(shard),
        )

    def _advance(self, shard: Shard, count: int) -> None:
        self.scheduler.wait(self.weather.chance.uniform(0.001, 0.05))
        if self.weather.strikes("step-crash", self.scheduler.seconds):
            self.story.tell("the mapping dies", "the batch comes again")
        else:
            del shard.records[:count]

    def _end(self, shard: Shard) -> None:
        shard.busy = False
        self._await(shard)


def _kinds(told: JSON) -> frozenset[str]:
    filters = told.get("FilterCriteria", {}).get("Filters", [])
    wanted = [kind for each in filters for kind in json.loads(each["Pattern"])["eventName"]]
    return frozenset(wanted or ("INSERT", "MODIFY", "REMOVE"))


def _record(event_id: str, old: Item | None, new: Item | None) -> JSON:
    """Return a write as Lambda hands it over."""
    images = {"OldImage": old, "NewImage": new}
    name = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
    change = {which: _handed(image) for which, image in images.items() if image is not None}
    return {"eventID": event_id, "eventName": name, "dynamodb": change}


def _handed(image: Mapping[str, Any]) -> JSON:
    return dict(json.loads(json.dumps(image, default=lambda raw: b64encode(raw).decode())))
