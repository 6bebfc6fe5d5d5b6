"""What an operator sees: health, correlation ids, structured logs."""

import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest

from carillon import signed
from carillon.log import logger
from carillon.settings import settings
from functions.api.docs import handler as docs
from functions.api.health import handler as health
from functions.api.users import handler as users
from functions.channels.inapp import handler as inapp

Json = dict[str, Any]


def test_g11_health_asks_every_dependency(cloud, call, sample) -> None:
    assert call(health, sample("health-alive")).body == {"status": "ok"}
    well = call(health, sample("health-dependencies"))
    assert (well.status, set(well.data["dependencies"].values())) == (200, {"ok"})


@pytest.mark.parametrize(
    ("variable", "dependency"),
    [
        ("NOTIFICATIONS_TABLE", "dynamodb"),
        ("TOPIC_ARN", "sns"),
        ("HEALTH_QUEUE_URLS", "sqs"),
    ],
)
def test_g11_health_says_which_dependency_is_down(
    cloud, call, sample, monkeypatch, variable, dependency
) -> None:
    monkeypatch.setenv(variable, "arn:aws:sns:us-east-1:123456789012:gone")
    settings.cache_clear()
    reply = call(health, sample("health-dependencies"))
    assert reply.status == 503
    assert [k for k, v in reply.data["dependencies"].items() if v == "down"] == [dependency]


def _inapp_batch(message: Json) -> Json:
    return {
        "Records": [
            {
                "messageId": "sqs-1",
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": {"ApproximateReceiveCount": "1"},
            }
        ]
    }


@pytest.fixture
def logged(monkeypatch) -> Callable[[], list[Json]]:
    """Return a reader of what was logged since it was last read."""
    stream = StringIO()
    monkeypatch.setattr(logger().registered_handler, "stream", stream)

    def read() -> list[Json]:
        lines = [json.loads(line) for line in stream.getvalue().splitlines()]
        stream.truncate(0)
        stream.seek(0)
        return lines

    return read


def test_g12_the_correlation_id_goes_from_the_request_to_the_worker_s_log(
    send, prepared, context, logged
) -> None:
    logged()
    reply = send({"channels": ["inapp"]}, headers={"X-Correlation-ID": "trace-me.1"})
    assert reply.headers["X-Correlation-ID"] == "trace-me.1"
    assert reply.body["meta"]["correlation_id"] == "trace-me.1"
    (message,) = prepared.published("inapp")
    assert json.loads(message["Body"])["correlation_id"] == "trace-me.1"
    inapp.lambda_handler(_inapp_batch(message), context)
    said = {line["message"]: line["correlation_id"] for line in logged()}
    assert said["request"] == said["delivery"] == "trace-me.1"


def test_g12_the_published_message_bears_it_as_an_attribute(send, prepared, monkeypatch) -> None:
    asked: list[Json] = []
    call = signed.Client.call

    def recorded(client: signed.Client, operation: str, told: Json) -> Json:
        asked.extend([told] if operation == "Publish" else [])
        return call(client, operation, told)

    monkeypatch.setattr(signed.Client, "call", recorded)
    send(headers={"X-Correlation-ID": "trace-me.2"})
    attribute = asked[0]["MessageAttributes"]["correlation_id"]
    assert attribute == {"DataType": "String", "StringValue": "trace-me.2"}


@pytest.mark.parametrize("given", ["", "x" * 129, "two words", "a\r\nSet-Cookie: b", "ümlaut"])
def test_g12_what_is_no_correlation_id_is_replaced_by_the_request_s(send, sample, given) -> None:
    reply = send(headers={"X-Correlation-ID": given})
    request_id = sample("notifications-send")["requestContext"]["requestId"]
    assert reply.headers["X-Correlation-ID"] == request_id


@pytest.mark.parametrize("event", ["docs-openapi", "docs-page", "health-alive"])
def test_g12_every_answer_bears_it(cloud, sample, context, event) -> None:
    handler = docs if event.startswith("docs") else health
    event = sample(event)
    event["headers"]["X-Correlation-ID"] = "trace-me.3"
    answer = handler.lambda_handler(event, context)
    assert answer["multiValueHeaders"]["X-Correlation-ID"] == ["trace-me.3"]


def test_g12_so_does_the_answer_that_nothing_has_changed(prepared, call, sample) -> None:
    event = sample("users-put") | {"httpMethod": "GET", "body": None}
    told = {"If-None-Match": call(users, event).headers["ETag"], "X-Correlation-ID": "trace-me.4"}
    reply = call(users, event, headers=told)
    assert (reply.status, reply.headers["X-Correlation-ID"]) == (304, "trace-me.4")


def test_g13_a_request_is_one_line_of_json_with_what_one_searches_by(send, logged) -> None:
    logged()
    send()
    (line,) = (line for line in logged() if line["message"] == "request")
    assert {name: line[name] for name in ("level", "service", "method", "route", "status")} == {
        "level": "INFO",
        "service": "carillon",
        "method": "POST",
        "route": "/api/v1/notifications",
        "status": 202,
    }
    assert line["correlation_id"] == "order-A-1042"
    assert line["timestamp"].endswith("+0000")


def test_g13_no_line_holds_an_address_a_token_or_a_body(send, logged) -> None:
    logged()
    send(headers={"Authorization": "Bearer nk_live_secret"})
    send({"to": {"email": "nobody"}})
    said = json.dumps(logged())
    for secret in ("ada@example.com", "+14155552671", "fcm-device-of-ada", "nk_live_", "nobody"):
        assert secret not in said


def test_g13_a_bug_is_logged_with_its_place_and_not_its_words(
    prepared, call, sample, monkeypatch, logged
) -> None:
    def bug(*_: Any) -> None:
        raise RuntimeError("of ada@example.com")

    monkeypatch.setattr("carillon.users.put", bug)
    logged()
    reply = call(users, sample("users-put"))
    assert (reply.status, reply.body["code"]) == (500, "internal-error")
    (line,) = (line for line in logged() if line["message"] == "unhandled")
    assert (line["kind"], line["level"]) == ("RuntimeError", "ERROR")
    assert any("handler.py" in step for step in line["trace"])
    assert "ada@example.com" not in json.dumps(line) + json.dumps(reply.body)
