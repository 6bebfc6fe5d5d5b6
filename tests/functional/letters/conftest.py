"""Dead letters, as they come."""

import json
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from functional.conftest import ADMIN_CALLER

from carillon.models import State
from carillon.tables import Delivery
from functions.deadletters import handler

Json = dict[str, Any]
Bury = Callable[..., list[Json]]


def as_record(cloud: Any, channel: str, message: Json) -> Json:
    """Return what Lambda makes of a message of a dead-letter queue."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {
            name: {"stringValue": told["StringValue"], "dataType": told["DataType"]}
            for name, told in message.get("MessageAttributes", {}).items()
        },
        "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:{_name(cloud, channel)}",
    }


def _name(cloud: Any, channel: str) -> str:
    return str(cloud.dead_letters[channel].rpartition("/")[2])


@pytest.fixture
def bury(prepared, context) -> Bury:
    """Return the indexer of a channel's dead letters: it returns what came again."""

    def work(channel: str = "email", *more: Json) -> list[Json]:
        records = [as_record(prepared, channel, each) for each in prepared.parked(channel)]
        answer = handler.lambda_handler({"Records": [*records, *more]}, context)
        return list(answer["batchItemFailures"])

    return work


@pytest.fixture
def exhausted(prepared, send) -> Callable[..., Json]:
    """Return a maker of dead letters: SQS gave the message up, as it was."""
    numbers = count()

    def make(_change: Json | None = None, channel: str = "email") -> Json:
        key = {"Idempotency-Key": f"order-{next(numbers)}"}
        assert send({"channels": [channel]} | (_change or {}), headers=key).status == 202
        (message,) = prepared.published(channel)
        record = as_record(prepared, channel, message | {"MessageAttributes": {}})
        return record | {"attributes": {"ApproximateReceiveCount": "100"}}

    return make


@pytest.fixture
def poison(prepared, deliver) -> Callable[..., None]:
    """Return a maker of poison that a worker has parked."""

    def make(body: str, channel: str = "email") -> None:
        prepared.sqs.send_message(QueueUrl=prepared.queues[channel], MessageBody=body)
        deliver(channel)

    return make


def listed(ask: Any, **query: str) -> list[Json]:
    found = ask("GET", "/api/v1/ops/dlq", query=query or None, caller=ADMIN_CALLER)
    assert found.status == 200, found.body
    return list(found.data)


def told_by(capsys: Any, name: str) -> list[float]:
    """Return the values of a metric that were told to CloudWatch."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line]
    return [value for line in lines if name in line for value in line[name]]


def groups(ask: Any, **query: str) -> Json:
    found = ask("GET", "/api/v1/ops/dlq/groups", query=query or None, caller=ADMIN_CALLER)
    assert found.status == 200, found.body
    return dict(found.data)


def delivery(record: Json) -> Delivery:
    sent = json.loads(record["body"])["notification_id"]
    return next(iter(Delivery.query(sent)), Delivery(sent, "email", state=State.QUEUED))


def touch(record: Json, state: State, **told: Any) -> None:
    """Let the delivery be as a worker left it."""
    actions = [getattr(Delivery, name).set(value) for name, value in told.items()]
    Delivery(json.loads(record["body"])["notification_id"], "email").update(
        actions=[Delivery.state.set(state), Delivery.updated_at.set("2026-11-21"), *actions]
    )
