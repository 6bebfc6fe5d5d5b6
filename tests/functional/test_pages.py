"""The pages that a client's list and the sweep read: written from a stream, in any order, again."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from carillon import pages, sweep
from carillon.models import timestamp
from functions.listing.handler import lambda_handler

Json = dict[str, Any]
START = datetime(2026, 11, 21, 12, tzinfo=UTC)
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
SENDER = "default#shop"


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=False) as clock:
        yield clock


def chosen(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - of tests alone


def record(number: int, after: float, sender: str = SENDER, **change: Any) -> Json:
    """A notification's record in the stream, accepted some seconds after START."""
    chance = chosen(number)
    place = "".join(chance.choices(LETTERS, k=26))
    image = {
        "place": {"S": place},
        "notification_id": {"S": f"ntf_{place}aaaaaa"},
        "sender": {"S": sender},
        "accepted": {"S": timestamp(START + timedelta(seconds=after))},
        "targets": {"S": '["email"]'},
        "expires_at": {"N": "1803029400"},
    } | change
    return {"eventID": f"event{number}", "dynamodb": {"NewImage": image}}


def tell(*records: Json) -> None:
    lambda_handler({"Records": list(records)}, None)


def ids(records: list[Json]) -> list[str]:
    return [each["dynamodb"]["NewImage"]["notification_id"]["S"] for each in records]


def listed(*span: str | None, sender: str = SENDER) -> list[str]:
    return [each.notification_id for each in pages.newest_first(sender, *span)]


def newest_first(records: list[Json]) -> list[str]:
    def at(each: Json) -> tuple[str, str]:
        image = each["dynamodb"]["NewImage"]
        return image["accepted"]["S"], image["notification_id"]["S"]

    return ids(sorted(records, key=at, reverse=True))


@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_batches_the_order_is_of_acceptance(cloud, clock, seed) -> None:
    """Shards tell at their own pace, and a batch comes again cut otherwise."""
    chance = chosen(seed)
    records = [record(number, chance.uniform(0, 40)) for number in range(120)]
    shards = [records[0::2], records[1::2]]
    for shard in shards:
        at = 0
        while at < len(shard):
            size = chance.randint(1, 20)
            tell(*shard[at : at + size])
            at += chance.choice([0, 1, size])
    assert listed() == newest_first(records)


@pytest.mark.parametrize("seed", range(3))
def test_a_span_has_what_was_accepted_in_it(cloud, clock, seed) -> None:
    chance = chosen(seed)
    records = [record(number, number) for number in range(60)]
    chance.shuffle(records)
    tell(*records[:25])
    tell(*records[25:])
    begin, end = (timestamp(START + timedelta(seconds=each)) for each in (17, 42))
    within = [
        each for each in records if begin <= each["dynamodb"]["NewImage"]["accepted"]["S"] <= end
    ]
    assert len(within) == 26
    assert listed(end, begin) == newest_first(within)
    assert listed(begin, end) == []


def test_each_client_has_pages_of_its_own(cloud, clock) -> None:
    ours, theirs = record(1, 0), record(2, 0, sender="default#other")
    tell(ours, theirs)
    assert listed() == ids([ours])
    assert listed(sender="default#other") == ids([theirs])


def test_a_batch_is_one_item_and_writing_it_again_changes_nothing(cloud, clock) -> None:
    batch = [record(number, number / 100) for number in range(pages.MOST)]
    tell(*batch)
    (page,) = cloud.items("HistoryTable")
    tell(*batch)
    assert cloud.items("HistoryTable") == [page]
    assert len(page["entries"]["B"]) == 24 * pages.MOST


def test_a_page_stays_small_however_many_devices_there_are(cloud, clock) -> None:
    devices = [f"push#{number:016x}" for number in range(100)]
    told = {"targets": {"S": str(devices).replace("'", '"')}}
    batch = [record(number, number / 100, **told) for number in range(120)]
    tell(*batch)
    assert [len(each["entries"]["B"]) // 24 for each in cloud.items("HistoryTable")] == [20, 50, 50]
    (first, *_) = pages.newest_first(SENDER)
    assert first.targets == devices


def test_a_change_of_a_notification_is_no_new_one(cloud, clock) -> None:
    changed, gone = record(1, 0), record(2, 0)
    changed["dynamodb"]["OldImage"] = changed["dynamodb"]["NewImage"]
    gone["dynamodb"]["OldImage"] = gone["dynamodb"].pop("NewImage")
    tell(changed, gone)
    assert not cloud.items("HistoryTable")


def test_a_lapsed_key_s_next_notification_is_a_new_one(cloud, clock) -> None:
    again = record(1, 0)
    image = again["dynamodb"]["NewImage"]
    lapsed = image | {"notification_id": {"S": image["notification_id"]["S"][:-6] + "bbbbbb"}}
    again["dynamodb"]["OldImage"] = lapsed
    tell(again)
    assert listed() == ids([again])


def test_what_comes_late_is_noted_for_the_sweep_and_what_was_restored_is_not(cloud, clock) -> None:
    assert sweep.AGES[0] > pages.LATE_AFTER
    early, late = record(1, 30), record(2, -1)
    restored = record(3, -2, restored={"BOOL": True})
    clock.shift(pages.LATE_AFTER)
    tell(early, late, restored)
    assert listed() == ids([early, late, restored])
    (noted,) = pages.late()
    assert [each.notification_id for each in pages.unpack(noted)] == ids([late])


def test_a_page_that_took_long_to_write_is_late(cloud, clock, monkeypatch) -> None:
    """The process stood still between its reading the clock and its writing."""
    write = pages._write

    def slowly(*told: Any, **how: Any) -> None:
        clock.shift(pages.LATE_AFTER * 2)
        write(*told, **how)

    monkeypatch.setattr(pages, "_write", slowly)
    tell(record(1, 0))
    assert len(list(pages.late())) == 1
