"""What survives on the real stack: the lane of what is urgent, a row of channels, the sweep."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from served import Api, until

from offline import cloud
from offline.stack import Stack

pytestmark = pytest.mark.e2e

Json = dict[str, Any]
BULK = 5_000


@pytest.fixture
def sqs(stack: Stack) -> Iterator[Any]:
    with cloud.client("sqs", stack.cloud) as client:
        yield client


def queue(sqs: Any, part: str) -> str:
    """Return the address of a channel's queue: ``EmailChannel-...-UrgentQueue``, say."""
    channel, _, name = part.partition("/")
    urls = sqs.list_queues()["QueueUrls"]
    (url,) = [u for u in urls if f"{channel}Channel" in u and f"-{name}-" in u]
    return str(url)


@pytest.fixture
def asleep(stack: Stack, sqs) -> Iterator[Callable[[], None]]:
    """Stop the polling of the email channel's normal lane; called, it begins again."""
    arn = sqs.get_queue_attributes(QueueUrl=queue(sqs, "Email/Queue"), AttributeNames=["QueueArn"])[
        "Attributes"
    ]["QueueArn"]
    with cloud.client("lambda", stack.cloud) as functions:
        (mapping,) = functions.list_event_source_mappings(EventSourceArn=arn)["EventSourceMappings"]

        def poll(enabled: bool) -> None:
            functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=enabled)

        poll(enabled=False)
        yield lambda: poll(enabled=True)
        poll(enabled=True)


def test_e16_what_is_urgent_does_not_wait_behind_five_thousand(api: Api, sqs, asleep) -> None:
    """They wait before it comes, and it arrives while nearly all of them still wait."""
    url = queue(sqs, "Email/Queue")
    body = {"to": {"email": "bulk@example.com"}, "channels": ["email"], "message": "Bulk"}
    assert api.send(body).status_code == 202
    (one,) = until(lambda: sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)["Messages"])
    message = json.loads(one["Body"])
    for start in range(0, BULK, 10):
        bodies = (message | {"notification_id": f"ntf_bulk{n}"} for n in range(start, start + 10))
        entries = [{"Id": str(n), "MessageBody": json.dumps(b)} for n, b in enumerate(bodies)]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)
    asleep()
    until(
        lambda: requests.get(
            f"{api.sandbox}/messages", {"to": "bulk@example.com"}, timeout=9
        ).json()
    )
    reply = api.send(body | {"to": {"email": "urgent@example.com"}, "priority": "critical"})
    urgent = reply.json()["data"]["notification_id"]
    began = time.monotonic()
    until(lambda: api.arrived(urgent))
    took = time.monotonic() - began
    bulk = requests.get(f"{api.sandbox}/messages", {"to": "bulk@example.com"}, timeout=30).json()
    sqs.purge_queue(QueueUrl=url)
    assert len(bulk) < BULK / 2, f"{len(bulk)} went first, in {took:.1f} s"


def test_e12_the_next_channel_takes_its_turn_when_one_fails(api: Api) -> None:
    body = {
        "to": {"phone": "+15005550001", "email": "ada@example.com"},
        "channels": ["sms", "email", "push"],
        "routing": "fallback",
        "message": "Hello",
    }
    body["to"] |= {"push_token": "device"}
    reply = api.send(body)
    assert reply.status_code == 202, reply.text
    path = f"/api/v1/notifications/{reply.json()['data']['notification_id']}"
    done = until(lambda: _completed(api.call("GET", path).json()["data"]))
    assert {each["channel"]: each["status"] for each in done["deliveries"]} == {
        "sms": "failed",
        "email": "sent",
        "push": "skipped",
    }


def _completed(found: Json) -> Json | None:
    return found if found["status"] == "completed" else None


def test_f11_the_clock_begins_a_sweep_every_minute(stack: Stack) -> None:
    with cloud.client("events", stack.cloud) as events:
        (rule,) = [r for r in events.list_rules()["Rules"] if "Sweep" in r["Name"]]
        assert (rule["ScheduleExpression"], rule["State"]) == ("rate(1 minute)", "ENABLED")
    with cloud.client("dynamodb", stack.cloud) as dynamodb:
        (table,) = [t for t in dynamodb.list_tables()["TableNames"] if "ControlsTable" in t]
        key = {"kind": {"S": "sweep"}, "name": {"S": "0:02:00"}}
        until(lambda: dynamodb.get_item(TableName=table, Key=key).get("Item"))


@pytest.mark.parametrize("channel", [None, "fax"])
def test_what_no_channel_takes_is_seen_a_q12(stack: Stack, sqs, channel) -> None:
    (url,) = [u for u in sqs.list_queues()["QueueUrls"] if "UnroutedQueue" in u]
    told = {"correlation_id": {"DataType": "String", "StringValue": "x"}}
    if channel:
        told["channel"] = {"DataType": "String.Array", "StringValue": json.dumps([channel])}
    with cloud.client("sns", stack.cloud) as sns:
        (topic,) = [t["TopicArn"] for t in sns.list_topics()["Topics"] if "Notif" in t["TopicArn"]]
        sns.publish(TopicArn=topic, Message="{}", MessageAttributes=told)
    (message,) = until(lambda: sqs.receive_message(QueueUrl=url).get("Messages"))
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


@pytest.fixture
def weather(stack: Stack) -> Iterator[Callable[..., None]]:
    """Take a provider down, or let it come back; clear at the end."""

    def change(provider: str, failing: float, as_if_to: str) -> None:
        told = {"failing": failing, "as_if_to": [as_if_to]}
        reply = requests.put(f"{stack.sandbox}/weather/{provider}", json=told, timeout=9)
        assert reply.status_code == 204, reply.text
        changed[provider] = as_if_to

    changed: dict[str, str] = {}
    yield change
    for provider, as_if_to in list(changed.items()):
        change(provider, 0, as_if_to)


@pytest.mark.parametrize(
    ("first", "second", "fault", "to"),
    [
        ("ses", "smtp", "unavailable@sandbox.test", {"email": "ada@example.com"}),
        ("twilio", "aws", "+15005550053", {"phone": "+14155552671"}),
    ],
)
def test_e11_another_provider_stands_in_while_one_is_down(
    api: Api, weather, first, second, fault, to
) -> None:
    channel = "email" if "email" in to else "sms"
    weather(first, 1, fault)
    body = {"to": to, "channels": [channel], "message": "Hello"}
    path = "/api/v1/notifications/"

    def post() -> str:
        return str(api.send(body).json()["data"]["notification_id"])

    def read(each: str) -> Any:
        return _completed(api.call("GET", path + each).json()["data"])

    # These open the breaker; one that fails in vain too often until then may end as unknown.
    unlucky = [post() for _ in range(8)]
    until(lambda: any(read(each) for each in unlucky))
    posted = [post() for _ in range(8)]
    done = [until(lambda each=each: read(each), 150) for each in posted]
    assert {each["deliveries"][0]["provider"] for each in done} == {second}
    weather(first, 0, fault)

    def back() -> bool:
        sent = post()
        told = until(lambda: read(sent))
        return bool(told["deliveries"][0]["provider"] == first)

    until(back)
