"""What the comparison reckons with its figures, and what the floor says again."""

import json
from typing import Any

import pytest

from benchmarks.bench import growth, inside, peers, processes, ratios, recording, workload
from benchmarks.bench.counting import Body
from benchmarks.floor import calls as floor

Json = dict[str, Any]

PLACE = "abcdefghijklmnopqrstuvwxyz"
PUBLISHED = (
    "Action=Publish&Version=2010-03-31&TopicArn=arn%3Atopic&Message=%7B%22a%22%3A1%7D"
    "&MessageAttributes.entry.2.Name=correlation_id"
    "&MessageAttributes.entry.2.Value.DataType=String"
    "&MessageAttributes.entry.2.Value.StringValue="
    "&MessageAttributes.entry.1.Name=channel"
    "&MessageAttributes.entry.1.Value.DataType=String"
    "&MessageAttributes.entry.1.Value.StringValue=email"
)


def test_a_published_message_is_read_back_as_the_client_was_given_it() -> None:
    assert recording.queried("sns", "Publish", PUBLISHED) == {
        "TopicArn": "arn:topic",
        "Message": '{"a":1}',
        "MessageAttributes": {
            "channel": {"DataType": "String", "StringValue": "email"},
            "correlation_id": {"DataType": "String", "StringValue": ""},
        },
    }


def test_a_batch_of_messages_is_read_back_in_its_order() -> None:
    entries = "".join(
        f"&PublishBatchRequestEntries.member.{n}.Id=id{n}"
        f"&PublishBatchRequestEntries.member.{n}.Message=m{n}"
        for n in (2, 1, 10)
    )
    content = f"Action=PublishBatch&Version=2010-03-31&TopicArn=arn{entries}"
    told = recording.queried("sns", "PublishBatch", content)
    assert [each["Id"] for each in told["PublishBatchRequestEntries"]] == ["id1", "id2", "id10"]


def test_only_what_a_known_function_asked_and_can_be_asked_again_is_replayed() -> None:
    bodies = [
        Body(2.0, 2, recording.SEND_EMAIL, b'{"FromEmailAddress": "a@example.com"}'),
        Body(1.0, 1, "dynamodb.PutItem", b'{"TableName": "t", "ClientRequestToken": "once"}'),
        Body(3.0, 2, "sqs.ChangeMessageVisibility", b"{}"),
        Body(4.0, 9, "dynamodb.PutItem", b"{}"),
    ]
    assert recording.replayable(bodies, {1: "Notifications", 2: "Email", 9: "Sweep"}) == [
        {
            "role": "intake",
            "service": "dynamodb",
            "operation": "PutItem",
            "arguments": {"TableName": "t"},
        },
        {
            "role": "worker",
            "service": "sesv2",
            "operation": "SendEmail",
            "arguments": {"FromEmailAddress": "a@example.com"},
        },
    ]


def test_a_replay_speaks_of_new_notifications_in_copies_of_the_tables() -> None:
    message = json.dumps({"notification_id": f"ntf_{PLACE}aaaaaa"})
    call = {
        "service": "dynamodb",
        "operation": "PutItem",
        "arguments": {
            "TableName": "notifications",
            "Item": {
                "place": {"S": PLACE},
                "message": {"S": message},
                "digest": {"B": "AAE="},
                "other": {"S": "z" * 26},
                "noted": {"SS": ["stream#0a-1", "stream#0a-1"]},
            },
        },
    }
    job = {"calls": [call], "places": [PLACE], "renamed": {"notifications": "floor-notifications"}}
    (made,) = floor.prepared(job)
    item = made["arguments"]["Item"]
    place = item["place"]["S"]
    assert made["arguments"]["TableName"] == "floor-notifications"
    assert len(place) == len(PLACE)
    assert place != PLACE
    assert json.loads(item["message"]["S"])["notification_id"] == f"ntf_{place}aaaaaa"
    assert item["digest"]["B"] == b"\x00\x01"
    assert item["other"]["S"] == "z" * 26
    assert len(set(item["noted"]["SS"])) == 1
    assert "stream#0a-1" not in item["noted"]["SS"]


def test_a_median_is_taken_of_every_number_in_its_place() -> None:
    rounds = [
        {"rate": 3.0, "cpu": {"own": 1.0, "Email": 0.5}, "name": "x"},
        {"rate": 1.0, "cpu": {"own": 9.0}, "name": "x"},
        {"rate": 2.0, "cpu": {"own": 2.0}, "name": "x"},
    ]
    assert peers.medians(rounds) == {"rate": 2.0, "cpu": {"own": 2.0, "Email": 0.5}}


def compared(**changed: float) -> Json:
    told = {
        "single": 5.0,
        "peer": 5.0,
        "batch": 1.0,
        "rate": 100.0,
        "p99": 50.0,
        "worker": 2.0,
    } | changed

    def contender(cpu: float, rate: float, p99: float) -> Json:
        median = {
            "cpu_s_per_1000": {"own": cpu},
            "delivered_per_s": rate,
            "post_ms": {"16": {"p99": p99}},
        }
        return {"median": median}

    return {
        "concurrency": 16,
        "floor": {
            "cpu_s_per_1000": {
                "calls of intake": 1.5,
                "calls of worker": 1.5,
                "calls of analytics": 0.8,
                "bare handlers": 0.2,
                "together": 4.0,
            }
        },
        "inside": {"functions": {"intake": {"cpu_ms": 2.0}, "worker": {"cpu_ms": told["worker"]}}},
        "contenders": {
            "single": contender(told["single"], 10.0, told["p99"]),
            "peer": contender(told["peer"], 100.0, 50.0),
            "batch": contender(told["batch"], told["rate"], 0.0),
        },
    }


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({}, []),
        ({"single": 5.1}, ["the floor", "the peer"]),
        ({"peer": 6.0, "single": 5.5}, ["the floor"]),
        ({"batch": 1.7}, ["the peer"]),
        ({"rate": 99.0}, ["the peer"]),
        ({"p99": 50.1}, ["the peer"]),
        ({"worker": 2.1}, ["the floor"]),
    ],
)
def test_each_target_is_judged_by_figures_of_the_same_run(
    changed: dict[str, float], missed: list[str]
) -> None:
    judged = ratios.judge(compared(**changed))
    assert [each["name"].partition("against ")[2] for each in judged if not each["met"]] == missed


def test_a_cost_that_grows_with_what_is_stored_is_told() -> None:
    flat = {"whole": True, "calls": 5, "write_units": 4, "read_units": 0, "cpu_ms": 8.0}
    rows = [
        {"name": "few", **flat},
        {"name": "some", **flat, "cpu_ms": 8.7},
        {"name": "many", **flat, "write_units": 5},
        {"name": "a part", **flat, "whole": False, "calls": 50},
    ]
    judged = {each["name"].partition(":")[0]: each for each in growth.judge(rows)}
    assert not judged["write units"]["met"]
    assert judged["write units"]["name"] == "write units: many against few"
    assert [name for name, each in judged.items() if not each["met"]] == ["write units"]


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("/b/layer/python/carillon/intake.py", "carillon"),
        ("/b/layer/python/carillon/signed.py", inside.SIGNED),
        ("/b/NotificationsFunction/functions/api/notifications/handler.py", "functions"),
        ("/b/layer/python/pynamodb/connection/base.py", "pynamodb"),
        ("/v/lib/python3.11/site-packages/botocore/client.py", "botocore"),
        ("/usr/lib/python3.11/json/encoder.py", inside.STANDARD),
        ("/b/layer/python/typing_extensions.py", "typing_extensions"),
        ("/r/benchmarks/bench/inside.py", "the bench"),
    ],
)
def test_time_belongs_to_the_package_whose_file_runs(path: str, package: str) -> None:
    assert inside.library(path) == package


def test_a_function_woken_by_a_clock_is_not_on_a_notification_s_path() -> None:
    assert [
        name for name in ("Notifications", "Email", "Sweep", "Health") if processes.on_path(name)
    ] == [
        "Notifications",
        "Email",
    ]


def test_everybody_measured_is_asked_the_same() -> None:
    first, second = workload.request_body(1), workload.request_body(2)
    assert first["variables"]["order"]["number"] == "B-1"
    assert first.keys() == second.keys()
