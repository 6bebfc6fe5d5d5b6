"""What `make bill` makes of what it counted."""

import json
import re
from collections import Counter
from datetime import date
from typing import Any

import pytest
from cloudformation import ROOT, resources

from benchmarks.bench import billing, hosted, logs, usage
from benchmarks.bench.counting import Call, Index
from benchmarks.bench.usage import Counted

WRITE = Call(port=1, operation="dynamodb.PutItem", status=200, units_by_rule=2)
PUBLISH = Call(port=1, operation="sns.Publish", status=200)


def counted(**change: Any) -> Counted:
    """A pass of ten notifications."""
    told: dict[str, Any] = {
        "count": 10,
        "requests": 10,
        "answered_bytes": 5_000,
        "calls": {"Notifications": [WRITE, PUBLISH] * 10, "Email": [WRITE] * 10},
        "cpu_s": {"Notifications": 0.1, "Email": 0.1},
        "memory_mb": {"Notifications": 1769, "Email": 884.5, "Counting": 512, "Sweep": 512},
        "logged": logs.Logged(
            Counter({"Notifications": 10, "Email": 10, "Sweep": 1}),
            Counter({"Notifications": 10_000}),
        ),
        "provider_calls": 10,
        "stored_accepted": 20_000,
        "stored_delivered": 10_000,
    }
    return Counted(**(told | change))


def test_each_notification_has_its_share_of_what_was_counted() -> None:
    accepted, delivered = usage.accepted(counted()), usage.delivered(counted())
    assert accepted["apigateway-rest-request"] == accepted["sns-publish"] == 1
    assert (accepted["dynamodb-write-unit"], delivered["dynamodb-write-unit"]) == (2, 2)
    # A batch of one: Lambda receives it and deletes it.
    assert delivered["sqs-request"] == 2
    assert accepted["logs-ingestion"] == pytest.approx(
        (1000 + logs.platform_bytes()) / 1e9, rel=1e-3
    )
    assert accepted["dynamodb-storage"] == pytest.approx(2000 / 1e9 * usage.RETENTION_MONTHS)


def test_lambda_bills_the_cpu_at_its_share_and_the_waits() -> None:
    found = counted()
    waits = 10 * (usage.WAIT_MS["dynamodb"] + usage.WAIT_MS["sns"]) / 1000
    assert found.billed_seconds("Notifications") == pytest.approx(0.1 + waits)
    waits = 10 * (usage.WAIT_MS["dynamodb"] + usage.PROVIDER_WAIT_MS) / 1000
    assert found.billed_seconds("Email") == pytest.approx(0.2 + waits)


def test_a_stream_s_batches_fill_for_their_window() -> None:
    seen = logs.Logged(Counter({"Counting": 20}), Counter())
    assert counted(logged=seen).batched("Counting", 10.0) == pytest.approx((1 / 600 + 1 / 150) / 2)
    # Where so few come that each is a batch of its own, nothing is shared.
    assert counted(logged=seen).batched("Counting", 0.01) == 1
    assert counted(logged=seen).batched("Email", 10.0) == 1
    assert counted().batched("Counting", 10.0) == 1


def test_the_windows_are_those_of_the_template() -> None:
    for name, windows in usage.WINDOWS.items():
        events = resources("AWS::Serverless::Function")[f"{name}Function"]["Events"].values()
        told = [each["Properties"]["MaximumBatchingWindowInSeconds"] for each in events]
        assert tuple(told) == windows


def test_what_runs_by_the_clock_is_of_no_notification() -> None:
    assert counted().functions(accepting=False) == {"Email"}


def test_what_is_stored_has_its_copies_in_indexes() -> None:
    item = {"id": {"S": "1234"}, "digest": {"B": b"12345678"}, "to": {"S": "ada"}}
    alone = usage.stored_bytes([item], "T", {})
    assert alone == (2 + 4) + (6 + 8) + (2 + 3) + usage.ITEM_OVERHEAD
    index = Index(frozenset({"to"}), frozenset({"to", "id"}))
    copy = (2 + 4) + (2 + 3) + usage.ITEM_OVERHEAD
    assert usage.stored_bytes([item], "T", {"T": [index]}) == alone + copy
    other = Index(frozenset({"unread"}), frozenset({"unread"}))
    assert usage.stored_bytes([item], "T", {"T": [other]}) == alone


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("/aws/lambda/carillon-EmailFunction", "Email"),
        ("carillon-NotificationsFunction-0A1B2C", "Notifications"),
        ("/aws/apigateway/carillon", ""),
    ],
)
def test_a_log_group_is_a_function_s(name, function) -> None:
    assert logs.function_of(name) == function


def test_metrics_are_told_apart_by_name_and_dimensions() -> None:
    directive = {"Namespace": "Carillon", "Dimensions": [["channel"]], "Metrics": [{"Name": "n"}]}
    line = json.dumps({"_aws": {"CloudWatchMetrics": [directive]}, "channel": "sms", "n": 1})
    found = logs.Logged()
    for message in (line, line, '{"message": "sent"}', "REPORT RequestId: 1", "no json"):
        logs._add(found, "Sms", message)
    assert found.metrics == {"n#channel=sms"}
    assert found.metric_bytes["Sms"] == 2 * (len(line) + logs.EVENT_BYTES)
    assert found.invocations["Sms"] == 1


def test_g15_the_bill_says_whether_its_targets_are_met() -> None:
    scenarios = [*map(billing.alone, billing.CHANNELS), billing.FOUR, billing.IN_BATCHES]
    told = billing.report(dict.fromkeys(scenarios, counted()), metrics=30, count=10)
    single, batch, units, *others = told["rows"]
    assert single["met"] is (single["value"] <= 8)
    assert batch["met"] is (batch["value"] <= 4)
    assert (units["value"], units["met"]) == (4, True)
    assert {each["met"] for each in others} == {None}
    for table in told["tables"]:
        assert {len(row) for row in table["rows"]} == {len(table["columns"])}


def test_g15_the_shares_are_of_every_channel() -> None:
    scenarios = map(billing.alone, billing.CHANNELS)
    told = billing.shares(dict.fromkeys(scenarios, counted()))
    assert tuple(told["delivered"]) == billing.CHANNELS
    assert told["accepted"]["dynamodb-write-unit"] == 2


@pytest.mark.parametrize("price", hosted.services(), ids=lambda price: price["plan"])
def test_g15_a_hosted_price_has_its_date_and_source(price) -> None:
    assert date.fromisoformat(price["as_of"])
    assert re.match(r"https://", price["source"])
    assert bool(price["read_at"]) == price["confirmed"]


def test_a_million_at_a_hosted_service_is_its_month_and_what_is_beyond() -> None:
    assert hosted.per_million({"monthly": 250, "included": 50_000, "each": 0.005}) == 5000
    assert hosted.per_million({"monthly": 9, "included": 2_000_000, "each": 0.005}) == 9


def test_the_bill_that_is_kept_is_of_lines_that_have_a_price() -> None:
    from carillon import bill  # noqa: PLC0415

    kept = json.loads((ROOT / "docs/proof/bill.json").read_text())
    (lines,) = [each for each in kept["tables"] if each["title"] == "The bill by line"]
    names = {row[0] for row in lines["rows"]} - {"total", "without keeping it"}
    assert names <= bill.price_list().lines.keys()
