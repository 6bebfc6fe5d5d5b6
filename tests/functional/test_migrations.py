"""Stored items are brought to a new layout while everything runs: once, and nothing is lost."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import time_machine
from functional.conftest import ADMIN_CALLER

from carillon import inbox, migrations
from carillon.migrations import MIGRATIONS, Progress
from carillon.storage import Item
from carillon.tables import InboxItem
from functions.migrations import handler

Json = dict[str, Any]
ORDER = {"rate": 1000, "actor": "arn:aws:iam::123456789012:user/ada"}


def entry(cloud: Any, number: int, **more: str) -> str:
    """An entry as it was written before there was an index of the unread."""
    position = f"2026-09-01T09:30:00.{number:03}Z#ntf_{number}"
    texts = {
        "user": "default#ada",
        "position": position,
        "notification_id": f"ntf_{number}",
        "category": "orders",
        "title": "Shipped",
        "body": "Your order is on its way",
        "created_at": position.partition("#")[0],
    } | more
    item: Json = {name: {"S": value} for name, value in texts.items()}
    item["expires_at"] = {"N": "9000000000"}
    cloud.dynamodb.put_item(TableName="InboxTable", Item=item)
    return position


@pytest.fixture
def order(cloud, context) -> Callable[..., Json]:
    return lambda **more: handler.lambda_handler(ORDER | more, context)


def plenty() -> float:
    return 60


def unpaced() -> None:
    return None


def layout(cloud: Any) -> Json:
    (found,) = (each for each in cloud.items("ControlsTable") if each["kind"]["S"] == "schema")
    return dict(found)


def test_h12_entries_from_before_the_index_are_counted_as_unread(cloud, order) -> None:
    for number in range(3):
        entry(cloud, number)
    assert inbox.unread_count("default", "ada") == 0
    told = order()
    assert (told["looked_at"], told["changed"], told["done"]) == (3, 3, True)
    assert (told["number"], told["wanted"]) == (migrations.latest(), migrations.latest())
    assert inbox.unread_count("default", "ada") == 3
    page = inbox.page("default", "ada", 10, None, inbox.Wanted(unread=True))
    assert [item.notification_id for item in page.items] == ["ntf_2", "ntf_1", "ntf_0"]
    assert [item.title for item in page.items] == ["Shipped"] * 3
    assert layout(cloud)["number"] == {"N": "1"}


def test_h12_what_is_as_it_should_be_is_left_alone(cloud, order) -> None:
    entry(cloud, 1, read_at="2026-09-02T00:00:00.000Z")
    entry(cloud, 2, archived_at="2026-09-02T00:00:00.000Z")
    position = entry(cloud, 3)
    InboxItem("default#ada", position).update(actions=[InboxItem.unread.set(position)])
    before = cloud.items("InboxTable")
    assert order()["changed"] == 0
    assert cloud.items("InboxTable") == before


def test_h12_a_second_run_does_nothing(cloud, order) -> None:
    entry(cloud, 1)
    order()
    entry(cloud, 2)  # nobody writes so any more; and nobody looks
    again = order()
    assert (again["looked_at"], again["changed"], again["done"]) == (0, 0, True)


def test_h12_what_a_restore_brought_back_is_migrated_again(cloud, order) -> None:
    order()
    entry(cloud, 1)
    told = order(again=True)
    assert (told["changed"], told["number"], told["done"]) == (1, 1, True)


def test_h12_a_dry_run_counts_and_writes_nothing(cloud, order) -> None:
    entry(cloud, 1)
    before = cloud.items("InboxTable")
    told = order(dry_run=True)
    assert (told["changed"], told["done"], told["number"]) == (1, True, 0)
    assert cloud.items("InboxTable") == before
    assert cloud.items("ControlsTable") == []
    assert cloud.items("AuditTable") == []


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(("left", "each_call"), [(60, 5), (1, 1)])
def test_h12_what_the_time_did_not_allow_is_done_by_the_next_call(
    cloud, monkeypatch, dry_run, left, each_call
) -> None:
    monkeypatch.setattr(migrations, "PAGE", 2)
    for number in range(5):
        entry(cloud, number)
    calls: list[Progress] = []
    while not (calls and calls[-1].done):
        cursor = calls[-1].cursor if calls else None
        calls.append(migrations.run(lambda: left, unpaced, dry_run=dry_run, cursor=cursor))
    assert {each.looked_at for each in calls} <= {each_call, 0}
    assert sum(each.looked_at for each in calls) == sum(each.changed for each in calls) == 5
    assert inbox.unread_count("default", "ada") == (0 if dry_run else 5)
    assert dry_run or "cursor" not in layout(cloud)


def test_h12_a_migration_that_begins_in_the_last_second_is_not_taken_for_done(
    cloud, monkeypatch
) -> None:
    second = replace(MIGRATIONS[0], number=2)
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, second))
    for number in range(3):
        entry(cloud, number)
    times = itertools.chain([60, 60, 60], itertools.repeat(1))
    first = migrations.run(times.__next__, unpaced)
    assert (first.number, first.done, first.cursor is None) == (1, False, False)
    assert [migrations.run(lambda: 60, unpaced).number for _ in range(2)] == [2, 2]


def test_h12_what_was_read_meanwhile_stays_read(cloud, monkeypatch) -> None:
    position = entry(cloud, 1)
    whole = migrations._migrate

    def late(migration: Any, item: Item, *rest: Any) -> bool:
        read = InboxItem.read_at.set("2026-11-21T00:00:00.000Z")
        InboxItem("default#ada", position).update(actions=[read])
        return whole(migration, item, *rest)

    monkeypatch.setattr(migrations, "_migrate", late)
    assert migrations.run(plenty, unpaced).changed == 0
    assert inbox.unread_count("default", "ada") == 0


def test_h12_what_was_deleted_meanwhile_stays_deleted(cloud, monkeypatch) -> None:
    position = entry(cloud, 1)
    whole = migrations._migrate

    def late(migration: Any, item: Item, *rest: Any) -> bool:
        InboxItem("default#ada", position).delete()
        return whole(migration, item, *rest)

    monkeypatch.setattr(migrations, "_migrate", late)
    assert migrations.run(plenty, unpaced).changed == 0
    assert cloud.items("InboxTable") == []


def test_h12_a_run_that_another_overtook_sets_nothing_back(cloud, monkeypatch) -> None:
    monkeypatch.setattr(migrations, "PAGE", 1)
    entry(cloud, 1)
    entry(cloud, 2)
    whole = migrations._migrate
    once = iter([True])

    def overtaken(*told: Any) -> bool:
        if next(once, False):
            assert migrations.run(plenty, unpaced).done
        return whole(*told)

    monkeypatch.setattr(migrations, "_migrate", overtaken)
    slow = migrations.run(plenty, unpaced)
    assert (slow.changed, slow.done) == (0, False)
    assert (layout(cloud)["number"], layout(cloud).get("cursor")) == ({"N": "1"}, None)
    assert migrations.run(plenty, unpaced).done


def test_h12_the_pace_is_kept(cloud, monkeypatch) -> None:
    for number in range(5):
        entry(cloud, number)
    with time_machine.travel("2026-11-21T12:00:00Z", tick=False) as clock:
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            clock.shift(seconds)

        monkeypatch.setattr(migrations.time, "sleep", sleep)
        monkeypatch.setattr(migrations.time, "monotonic", migrations.time.time)
        migrations.run(plenty, migrations.steady(2))
    assert sum(slept) == pytest.approx(2.5)


def test_h12_who_migrated_is_in_the_audit_trail(cloud, order, ask) -> None:
    order()
    found = ask("GET", "/api/v1/ops/audit", caller=ADMIN_CALLER).data
    mine = [each for each in found if each["route"] == "carillon stage migrate"]
    assert [(each["actor"], each["status"]) for each in mine] == [(ORDER["actor"], 200)]


def test_h12_an_order_without_a_name_is_refused(cloud, context) -> None:
    with pytest.raises(ValueError, match="actor"):
        handler.lambda_handler({"rate": 50}, context)


def test_h12_migrations_are_numbered_in_order_and_read_what_there_is() -> None:
    assert [each.number for each in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))
    for each in MIGRATIONS:
        assert set(each.reads) <= each.kind.get_attributes().keys()
