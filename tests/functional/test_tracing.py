"""Where a request is traced, X-Ray is told its correlation id, by one datagram."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from functions.channels.inapp import handler as inapp

Json = dict[str, Any]
ROOT = "1-5759e988-bd862e3fe1be46a994272793"


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[Json]]]:
    """Return a reader of what the daemon beside the function was told."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.setblocking(False)
        port = listening.getsockname()[1]
        monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", f"127.0.0.1:{port}")
        monkeypatch.setenv(
            "_X_AMZN_TRACE_ID", f"Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:a:0"
        )

        def read() -> list[Json]:
            found = []
            while True:
                try:
                    header, _, document = listening.recv(65_536).partition(b"\n")
                except BlockingIOError:
                    return found
                assert json.loads(header) == {"format": "json", "version": 1}
                found.append(json.loads(document))

        yield read


def _batch(message: Json) -> Json:
    record = {
        "messageId": "m",
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {"ApproximateReceiveCount": "1"},
    }
    return {"Records": [record]}


def test_s1_8_a_request_and_its_delivery_are_found_by_the_correlation_id(
    send, prepared, context, daemon
) -> None:
    daemon()
    reply = send({"channels": ["inapp"]}, headers={"X-Correlation-ID": "trace-me.5"})
    (message,) = prepared.published("inapp")
    inapp.lambda_handler(_batch(message), context)
    request, delivery = daemon()
    assert request["annotations"] == {"correlation_id": "trace-me.5"}
    assert delivery["annotations"] == {
        "correlation_id": "trace-me.5",
        "channel": "inapp",
        "notification_id": reply.data["notification_id"],
    }
    for told in (request, delivery):
        assert told["type"] == "subsegment"
        assert (told["trace_id"], told["parent_id"]) == (ROOT, "53995c3f42cd8ad8")
        assert len(told["id"]) == 16
        assert told["start_time"] <= told["end_time"]
    assert (request["name"], delivery["name"]) == ("request", "delivery")


def test_a_request_that_fails_is_traced_too(send, daemon) -> None:
    daemon()
    assert send({"channels": []}).status == 422
    assert len(daemon()) == 1


@pytest.mark.parametrize(
    "header",
    ["", f"Root={ROOT};Parent=53995c3f42cd8ad8;Sampled=0", f"Root={ROOT};Sampled=1", "nonsense"],
)
def test_what_is_not_sampled_is_told_to_nobody(send, daemon, monkeypatch, header) -> None:
    daemon()
    monkeypatch.setenv("_X_AMZN_TRACE_ID", header)
    assert send().status == 202
    assert daemon() == []


@pytest.mark.parametrize("address", ["", "127.0.0.1:1", "nowhere", "127.0.0.1:port", ":"])
def test_a_daemon_that_is_away_harms_nobody(send, daemon, monkeypatch, address) -> None:
    monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", address)
    assert send().status == 202


def test_no_address_or_text_goes_into_a_trace(send, prepared, context, daemon) -> None:
    daemon()
    send({"channels": ["inapp"]})
    (message,) = prepared.published("inapp")
    inapp.lambda_handler(_batch(message), context)
    told = json.dumps(daemon())
    for secret in ("ada@example.com", "+14155552671", "A-1042 is on its way", '"ada"'):
        assert secret not in told
