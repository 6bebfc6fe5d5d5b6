"""Daily numbers: folded from the tables' streams, once each, and told to whose they are."""

import itertools
import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, get_args

import pytest
from cloudformation import resources
from functional.conftest import APPLICATION_CALLER, Cloud, Reply
from pynamodb.exceptions import CancellationReason, TransactWriteError, VerboseClientError

from benchmarks.bench.counting import item_bytes
from carillon import aggregates, analytics, ledger
from carillon.delivery import Outgoing, Sent, consumer
from carillon.errors import Failure, ProviderError
from carillon.identity import Caller
from carillon.intake import find
from carillon.models import OPEN_STATES, Channel, State
from carillon.settings import settings
from functions.api.analytics import handler
from functions.counting.handler import lambda_handler

Json = dict[str, Any]
SENDER = "default#3f1c2c1e-6a55-4a5e-9d0b-0c6f0a4f2d11"
DAY = "2026-11-21"
NUMBERS = itertools.count(1)


def accepted(targets: list[str], withheld: Json | None = None, **change: str) -> Json:
    """A record of the notifications' stream."""
    number = next(NUMBERS)
    image = {
        "place": f"place{number}",
        "notification_id": f"ntf_{number}",
        "sender": SENDER,
        "recipient": "default#user#ada",
        "accepted": f"{DAY}T09:30:00.000Z",
        "category": "orders",
        "targets": json.dumps(targets),
        "withheld": json.dumps(withheld or {}),
    } | change
    keys = {"place": {"S": image["place"]}}
    return record(number, "INSERT", keys, None, {k: {"S": v} for k, v in image.items()})


def moved(before: str | None, after: str, target: str = "email", **change: str) -> Json:
    """A record of the deliveries' stream."""
    number = next(NUMBERS)
    image = {
        "notification_id": f"ntf_{number}",
        "target": target,
        "sender": SENDER,
        "accepted": f"{DAY}T09:30:00.000Z",
        "updated_at": f"{DAY}T09:30:00.400Z",
        "category": "orders",
        "state": after,
    } | change
    new = {name: {"S": value} for name, value in image.items()}
    old = new | {"state": {"S": before}} if before else None
    keys = {name: new[name] for name in ("notification_id", "target")}
    return record(number, "MODIFY" if before else "INSERT", keys, old, new)


def record(number: int, name: str, keys: Json, old: Json | None, new: Json | None) -> Json:
    images = {"OldImage": old, "NewImage": new}
    change = {kind: image for kind, image in images.items() if image}
    change |= {"Keys": keys, "SequenceNumber": f"{4 * 10**20 + number}"}
    return {"eventID": f"event{number}", "eventName": name, "dynamodb": change}


def count(*records: Json) -> None:
    lambda_handler({"Records": list(records)}, None)


def told(**how: Any) -> analytics.DeliveryReport:
    day = date.fromisoformat(DAY)
    groups = how.pop("group_by", [])
    return analytics.report(
        how.pop("sender", SENDER), how.pop("since", day), how.pop("until", day), groups
    )


def states(**how: Any) -> dict[str, int]:
    return dict(told(**how).totals.states)


def test_g18_an_accepted_notification_counts_each_delivery_queued_or_withheld(cloud) -> None:
    count(accepted(["email", "sms", "push#a", "push#b"], {"inapp": ["suppressed", "opted-out"]}))
    report = told(group_by=[analytics.Dimension.CHANNEL])
    assert {row.channel: row.states for row in report.rows} == {
        "email": {"open": 1},
        "sms": {"open": 1},
        "push": {"open": 2},
        "inapp": {"suppressed": 1},
    }
    assert (report.totals.deliveries, report.totals.success_rate) == (5, None)


def test_g18_a_delivery_that_goes_on_is_moved_and_not_counted_again(cloud) -> None:
    count(accepted(["email"]), moved(None, "sending"))
    assert states() == {"open": 1}
    count(moved("sending", "retrying"), moved("retrying", "sending"), moved("sending", "sent"))
    assert states() == {"sent": 1}
    count(moved("sent", "delivered"))
    assert states() == {"delivered": 1}
    count(moved("delivered", "delivered"))
    assert told().totals.deliveries == 1


def test_g18_a_day_is_that_of_acceptance_whenever_a_delivery_ends(cloud) -> None:
    count(accepted(["email"]))
    count(moved("retrying", "failed", updated_at="2026-11-23T00:00:00.000Z"))
    assert states() == {"failed": 1}
    after = date(2026, 11, 22)
    assert states(since=after, until=after + timedelta(days=1)) == {}


def test_g18_an_end_that_is_counted_before_its_acceptance_shows_no_negative(cloud) -> None:
    count(moved(None, "sent"))
    assert states() == {"sent": 1}
    count(accepted(["email"]))
    assert states() == {"sent": 1}


def test_g18_a_batch_that_comes_again_counts_nothing(cloud) -> None:
    batch = [accepted(["email", "sms"]), accepted(["email"])]
    for _ in range(3):
        count(*batch)
    assert told().totals.deliveries == 3


def test_g18_a_batch_that_comes_again_longer_or_shorter_counts_what_is_new(cloud) -> None:
    batch = [accepted(["email"]) for _ in range(5)]
    count(*batch[:3])
    count(*batch[:2])
    assert told().totals.deliveries == 3
    count(*batch)
    assert told().totals.deliveries == 5
    count(*batch)
    assert told().totals.deliveries == 5


def test_g18_a_batch_too_large_for_a_transaction_is_counted_once_all_the_same(
    cloud, monkeypatch
) -> None:
    batch = [accepted(["email"], category=f"c{n}") for n in range(250)]
    written: list[int] = []
    real = aggregates.count_once

    def dies_in_the_second(batch: Any, counts: Any, *more: Any) -> bool:
        written.append(len(counts))
        if len(written) == 2:
            raise ConnectionError
        return real(batch, counts, *more)

    monkeypatch.setattr(aggregates, "count_once", dies_in_the_second)
    with pytest.raises(ConnectionError):
        count(*batch)
    # Two of a transaction's items are the period's, of all clients.
    assert told().totals.deliveries == 97
    count(*batch)
    assert told().totals.deliveries == 250
    assert max(written) <= aggregates.MAX_SERIES


def test_g18_a_transaction_that_meets_another_is_tried_again(cloud, monkeypatch) -> None:
    meets = iter([True, True, False])
    real = aggregates.count_once
    monkeypatch.setattr(aggregates.time, "sleep", lambda _: None)

    def once(*args: Any) -> bool:
        if next(meets):
            raise _cancelled("None", aggregates.MET_ANOTHER)
        return real(*args)

    monkeypatch.setattr(aggregates, "count_once", once)
    count(accepted(["email"]))
    assert told().totals.deliveries == 1


def test_g18_a_transaction_that_fails_otherwise_makes_the_batch_come_again(
    cloud, monkeypatch
) -> None:
    def throttled(*_: Any) -> bool:
        raise _cancelled("ThrottlingError")

    monkeypatch.setattr(aggregates, "count_once", throttled)
    with pytest.raises(TransactWriteError):
        count(accepted(["email"]))


def _cancelled(*codes: str) -> TransactWriteError:
    """What pynamodb makes of a cancelled transaction."""
    reasons = [None if code == "None" else CancellationReason(code) for code in codes]
    error: Any = {"Error": {"Code": "TransactionCanceledException"}}
    cause = VerboseClientError(error, "TransactWriteItems", cancellation_reasons=reasons)
    return TransactWriteError("cancelled", cause)


def test_g18_what_expires_leaves_its_day_as_it_was(cloud) -> None:
    count(accepted(["email"]), moved("sending", "sent"))
    gone = moved("sent", "sent")
    gone["eventName"], gone["dynamodb"]["OldImage"] = "REMOVE", gone["dynamodb"].pop("NewImage")
    count(gone)
    assert states() == {"sent": 1}


def test_g18_a_notification_that_only_changes_is_not_accepted_again(cloud) -> None:
    first = accepted(["email"])
    again = json.loads(json.dumps(first)) | {"eventID": "another", "eventName": "MODIFY"}
    again["dynamodb"]["OldImage"] = first["dynamodb"]["NewImage"]
    again["dynamodb"]["NewImage"]["erased"] = {"BOOL": True}
    count(first)
    count(again)
    assert told().totals.deliveries == 1


def test_g18_a_lapsed_key_s_new_notification_is_counted_too(cloud) -> None:
    first, second = accepted(["email"]), accepted(["sms"])
    second["eventName"] = "MODIFY"
    second["dynamodb"]["OldImage"] = first["dynamodb"]["NewImage"]
    count(first)
    count(second)
    assert told().totals.deliveries == 2


def test_g18_a_delivery_from_before_counting_is_left_out(cloud, caplog) -> None:
    old = moved("sending", "sent")
    del old["dynamodb"]["NewImage"]["sender"]
    count(old, accepted(["email"]))
    assert states() == {"open": 1}
    assert "not counted" in caplog.messages


def test_g18_time_to_sent_is_read_off_a_histogram(cloud) -> None:
    for second in ("00.100", "00.200", "00.300", "01.900", "59.000"):
        count(moved("sending", "sent", updated_at=f"{DAY}T09:30:{second}Z"))
    latency = told().totals.seconds_to_sent
    assert latency is not None
    assert 0.25 < latency.p50 <= 0.5
    assert 30 < latency.p95 <= 60
    count(*(moved("sending", "sent", updated_at="2026-11-22T09:30:00.000Z") for _ in range(95)))
    late = told().totals.seconds_to_sent
    assert late is not None
    assert late.p95 == 3600  # the last bound: as much as it tells


def test_g18_the_success_rate_is_of_what_was_tried_to_the_end(cloud) -> None:
    ends = ["sent", "sent", "delivered", "failed", "unknown", "suppressed", "cancelled", "expired"]
    count(*(moved("sending", state) for state in ends), moved(None, "sending"))
    assert told().totals.success_rate == 0.6


def test_g18_every_state_has_its_name_in_the_answer() -> None:
    ended = {state.value for state in set(State) - OPEN_STATES}
    assert set(get_args(analytics.Stage)) == ended | {aggregates.OPEN}


def test_g18_what_the_streams_leave_out_is_open_before_and_after() -> None:
    events = resources("AWS::Serverless::Function")["CountingFunction"]["Events"]
    assert "FilterCriteria" not in events["Accepted"]["Properties"]
    (pattern,) = events["Ended"]["Properties"]["FilterCriteria"]["Filters"]
    (rule,) = json.loads(pattern["Pattern"])["dynamodb"]["NewImage"]["state"]["S"]
    assert {State(state) for state in rule["anything-but"]} <= OPEN_STATES
    for table in ("NotificationsTable", "DeliveriesTable"):
        stream = resources("AWS::DynamoDB::Table")[table]["StreamSpecification"]
        assert stream == {"StreamViewType": "NEW_AND_OLD_IMAGES"}


@dataclass
class Streams:
    """What the streams tell, made of the difference between the tables then and now."""

    cloud: Cloud
    known: dict[str, Json] = field(default_factory=dict)

    def tell(self) -> None:
        count(*self._records())

    def _records(self) -> Iterator[Json]:
        for table in ("NotificationsTable", "DeliveriesTable"):
            for found in self.cloud.items(table):
                # Lambda hands binary values over as base64.
                item = json.loads(json.dumps(found, default=lambda raw: b64encode(raw).decode()))
                keys = {name: item[name] for name in self.cloud.tables[table]}
                old, self.known[str(keys)] = self.known.get(str(keys)), item
                if old != item:
                    yield record(next(NUMBERS), "MODIFY" if old else "INSERT", keys, old, item)


@pytest.fixture
def streams(prepared) -> Streams:
    return Streams(prepared)


@pytest.fixture
def work(prepared, context, monkeypatch) -> Callable[..., None]:
    """Return what a channel's worker does with its queue, its provider doing as told."""

    def work(channel: Channel, does: Callable[[Outgoing], Sent]) -> None:
        monkeypatch.setenv("QUEUE_URL", prepared.queues[channel])
        settings.cache_clear()
        records = [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": {"ApproximateReceiveCount": "1"},
            }
            for message in prepared.published(channel)
        ]
        assert records
        consumer(channel, {"fake": does})({"Records": records}, context)

    return work


def _refused(_: Outgoing) -> Sent:
    raise ProviderError(Failure.PERMANENT, "no", "no")


@pytest.fixture
def read(sample, call) -> Callable[..., Reply]:
    def read(caller: Json | None = None, **query: str | list[str]) -> Reply:
        event = sample("analytics-deliveries")
        many = {n.rstrip("_"): [v] if isinstance(v, str) else v for n, v in query.items() if v}
        event["multiValueQueryStringParameters"] = many
        event["queryStringParameters"] = {name: values[-1] for name, values in many.items()}
        return call(handler, event, caller=caller or APPLICATION_CALLER)

    return read


def test_g18_what_the_product_writes_adds_up_from_acceptance_to_the_end(
    send, streams, work, read
) -> None:
    send({"channels": ["email", "sms", "push", "inapp"]})
    streams.tell()
    assert read().data["totals"]["states"] == {"open": 4}
    work(Channel.EMAIL, lambda _: Sent("fake", "id"))
    streams.tell()
    work(Channel.SMS, _refused)
    streams.tell()
    totals = read().data["totals"]
    assert totals["states"] == {"failed": 1, "open": 2, "sent": 1}
    assert (totals["deliveries"], totals["success_rate"]) == (4, 0.5)
    assert totals["seconds_to_sent"]["p95"] > 0
    (row,) = read(group_by=["category", "template"]).data["rows"]
    assert (row["category"], row["template"], row["deliveries"]) == ("orders", "order-shipped", 4)


def test_g18_what_is_cancelled_or_reported_before_any_claim_is_counted(send, streams, read) -> None:
    sent = send({"channels": ["email", "sms"]}).data["notification_id"]
    streams.tell()
    caller = Caller.from_context(APPLICATION_CALLER)
    record = find(caller, sent)
    ledger.stop(record, "sms", ledger.Stop(caller.client_id))
    ledger.report(record, "email", ledger.Report(State.DELIVERED, caller.client_id))
    streams.tell()
    assert read().data["totals"]["states"] == {"cancelled": 1, "delivered": 1}


def test_g18_a_delivery_with_its_labels_costs_no_second_write_unit(send, work, prepared) -> None:
    longest = "x" * 64
    send({"channels": ["email"], "category": longest})
    work(Channel.EMAIL, lambda _: Sent("fake", "p" * 60))
    (item,) = prepared.items("DeliveriesTable")
    assert item["category"] == {"S": longest}
    item["content_hash"] = {"B": b64encode(item["content_hash"]["B"]).decode()}  # as on the wire
    assert item_bytes(item) <= 1024


def test_g18_rows_are_grouped_by_what_is_asked(cloud, read) -> None:
    count(
        accepted(["email", "sms"], category="a"),
        accepted(["email"], accepted="2026-11-22T00:00:00.000Z", category="b"),
        moved(None, "sent", category="a"),
    )
    span: Json = {"from_": DAY, "to": "2026-11-22"}

    def rows(*group_by: str) -> list[tuple[Any, ...]]:
        told = read(group_by=list(group_by), **span).data
        assert sum(row["deliveries"] for row in told["rows"]) == told["totals"]["deliveries"] == 3
        return [(*(row[name] for name in group_by), row["deliveries"]) for row in told["rows"]]

    assert rows("day") == [(DAY, 2), ("2026-11-22", 1)]
    assert rows("channel", "day") == [
        ("email", DAY, 1),
        ("email", "2026-11-22", 1),
        ("sms", DAY, 1),
    ]
    assert rows("state") == [("open", 2), ("sent", 1)]
    assert rows("category") == [("a", 2), ("b", 1)]
    assert rows() == [(3,)]


def test_g18_nobody_reads_another_client_s_numbers(cloud, read) -> None:
    count(accepted(["email"]), accepted(["sms"], sender="default#another"))
    span: Json = {"from_": DAY, "to": DAY}
    assert read(**span).data["totals"]["deliveries"] == 1
    other = APPLICATION_CALLER | {"client_id": "another"}
    told = read(other, **span, group_by="channel").data
    assert [(row["channel"], row["deliveries"]) for row in told["rows"]] == [("sms", 1)]
    assert read(APPLICATION_CALLER | {"tenant": "x"}, **span).data["totals"]["deliveries"] == 0


def test_g18_without_days_it_is_the_last_seven(cloud, read) -> None:
    told = read().data
    first, last = (date.fromisoformat(told[name]) for name in ("from", "to"))
    assert (last - first).days == 6
    assert told["rows"] == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"from_": "2026-01-01", "to": "2026-04-02"}, 200),
        ({"from_": "2026-01-01", "to": "2026-04-03"}, 400),
        ({"from_": "2026-01-02", "to": "2026-01-01"}, 400),
        ({"from_": "yesterday"}, 400),
        ({"to": "0"}, 400),
        ({"to": "0001-01-01"}, 200),
        ({"group_by": "recipient"}, 400),
        ({"group_by": ["day", "day"]}, 200),
    ],
)
def test_g18_a_span_is_at_most_92_days_and_every_parameter_is_checked(
    cloud, read, query, status
) -> None:
    assert read(**query).status == status


def test_g18_a_span_with_too_many_counts_is_refused_rather_than_cut(
    cloud, read, monkeypatch
) -> None:
    monkeypatch.setattr(analytics, "MAX_COUNTS", 2)
    count(*(accepted(["email"], category=f"c{n}") for n in range(3)))
    answer = read(from_=DAY, to=DAY)
    assert (answer.status, answer.body["code"]) == (400, "bad-span")


def test_h11_what_was_copied_back_from_a_backup_is_not_counted_again(cloud) -> None:
    count(accepted(["email"]), moved(None, "sending"), moved("sending", "sent"))
    back = accepted(["email"]), moved(None, "sent")
    for each in back:
        each["dynamodb"]["NewImage"]["restored"] = {"BOOL": True}
    count(*back)
    assert states() == {"sent": 1}
    again = moved("sent", "delivered")
    again["dynamodb"]["NewImage"]["restored"] = {"BOOL": True}
    count(again)
    assert states() == {"delivered": 1}
