"""What operators ask the logs is in the logs; and one id leads from the API to the sweep."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from cloudformation import resources
from functional.conftest import ADMIN_CALLER

from carillon import breaker, clients, controls
from carillon.client_models import ClientRequest
from carillon.errors import Failure, Problem, ProviderError
from carillon.log import logger
from carillon.models import now
from functions.channels.inapp import handler as inapp
from functions.scheduled.sweep import handler as sweep

Json = dict[str, Any]
QUERIES = resources("AWS::Logs::QueryDefinition", "infra/queries.yaml")
WORDS = re.compile(
    r"^(?:fields|filter|stats|sort|limit|by|as|and|or|in|like|not|asc|desc|bin|pct|avg|max|count"
    r"|latest|ispresent|[\d.]+h?)$"
)


def fields(query: str) -> set[str]:
    """Return the fields a query names, without what it makes itself."""
    text = re.sub(r'"[^"]*"|/\^[^/]*/', " ", query)
    made = set(re.findall(r"\bas (\w+)", text))
    names = set(re.findall(r"[@\w][\w.@]*", text))
    return {name for name in names if not WORDS.match(name)} - made


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Json]]:
    """Return a reader of all that was logged."""
    stream = StringIO()
    monkeypatch.setattr(logger().registered_handler, "stream", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def batch(message: Json) -> Json:
    record = {
        "messageId": "m",
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {"ApproximateReceiveCount": "1"},
    }
    return {"Records": [record]}


@pytest.fixture
def everything(send, prepared, deliver, ask, logged, monkeypatch) -> list[Json]:
    """The lines of a day on which everything happened."""

    def refuses(_: object) -> None:
        raise ProviderError(Failure.PERMANENT, "no-such-thing", "no")

    send({"channels": ["email"]})
    deliver("email", refuses)
    with monkeypatch.context() as patched:
        patched.setattr("carillon.limits.take", _spent)
        assert send().status == 429
    with monkeypatch.context() as patched:
        patched.setattr("carillon.users.put", _bug)
        assert ask("PUT", "/api/v1/users/ada", {"timezone": "Europe/London"}).status == 500
    breaker.way("ses").failed(ProviderError(Failure.CONFIG, "credentials", "no"))
    with time_machine.travel(now() + timedelta(minutes=10)):
        controls.forget()
        breaker.way("ses").succeeded()
    put = ask("PUT", "/api/v1/ops/switches/channel:sms", {"reason": "x"}, caller=ADMIN_CALLER)
    assert put.status == 200
    assert ask("DELETE", "/api/v1/ops/switches/channel:sms").status == 403
    return logged()


def _spent(*_: object) -> None:
    raise Problem(429, "rate-limited", "too many")


def _bug(*_: object) -> None:
    raise RuntimeError


# https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
PLATFORM = {"type", "record.metrics.initDurationMs"}
BY_AWS = {"@timestamp", "@log"}


def test_g13_each_field_of_a_saved_query_is_in_the_lines_it_asks_for(everything) -> None:
    for name, query in QUERIES.items():
        text = query["QueryString"]
        wanted = fields(text) - BY_AWS - PLATFORM
        messages = set(re.findall(r'"([^"]+)"', _of_messages(text)))
        lines = [each for each in everything if not messages or each["message"] in messages]
        present = {field for line in lines for field in line}
        assert wanted <= present, (name, wanted - present)


def _of_messages(text: str) -> str:
    found = re.search(r'message (?:= "[^"]+"|in \[[^\]]+\])', text)
    return found[0] if found else ""


def test_g13_a_query_s_words_are_known_to_this_test() -> None:
    assert fields(
        'fields a, b.c | filter a = "x" and b.c > 100 | stats pct(a, 50) as p by bin(1h)'
    ) == {
        "a",
        "b.c",
    }


def test_g13_a_failed_delivery_s_line_has_its_code_and_class(everything) -> None:
    (line,) = (each for each in everything if each.get("state") == "failed")
    assert (line["code"], line["failure"]) == ("no-such-thing", "permanent")


def test_g13_a_request_s_line_has_its_caller_and_its_time(everything) -> None:
    line = next(each for each in everything if each["message"] == "request")
    assert line["client_id"] == "3f1c2c1e-6a55-4a5e-9d0b-0c6f0a4f2d11"
    assert line["ms"] > 0


def test_g12_one_id_leads_from_the_api_through_the_worker_to_the_sweep(
    ask, prepared, context, logged
) -> None:
    client = clients.register(ClientRequest(service_name="shop"))
    caller = {"client_id": client.client_id, "tenant": "default", "scope": "send"}
    body = {"user_id": "ada", "channels": ["inapp", "sms"], "message": "Hello"}
    headers = {"X-Correlation-ID": "end-to-end.1"}
    ask("POST", "/api/v1/notifications", body, headers=headers, caller=caller)
    (message,) = prepared.published("inapp")
    inapp.lambda_handler(batch(message), context)
    prepared.published("sms")  # and is lost
    with time_machine.travel(now() + timedelta(minutes=3)):
        sweep.lambda_handler({}, context)
    with_it = {line["message"] for line in logged() if line.get("correlation_id") == "end-to-end.1"}
    assert {"request", "delivery", "published anew"} <= with_it
    (swept,) = (line for line in logged() if line["message"] == "swept")
    assert swept.get("correlation_id") is None


def test_g12_a_traced_request_s_lines_name_the_trace(send, logged, monkeypatch) -> None:
    root = "1-5759e988-bd862e3fe1be46a994272793"
    monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root={root};Parent=53995c3f42cd8ad8;Sampled=1")
    send(headers={"X-Correlation-ID": "end-to-end.2"})
    (line,) = (each for each in logged() if each["message"] == "request")
    assert (line["correlation_id"], line["xray_trace_id"]) == ("end-to-end.2", root)
