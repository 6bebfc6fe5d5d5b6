"""`make invoke`: what it makes of a stack's words, of sam's, and of a machine without either."""

import json
import socket
import socketserver
import threading
from pathlib import Path

import pytest

from offline import engine, invoke, relay, samples
from offline.functions import ARCHITECTURE, Configuration, Function
from offline.problems import OfflineError

FUNCTION = Function("F", Path("/built/F"), "handler.lambda_handler", {"Shared": Path("/built/S")})
CONFIGURED = Configuration("arn:aws:lambda:us-east-1:0:function:f", {"TABLE": "t"}, 29, 512, "INFO")


def test_sam_is_told_of_one_function_with_its_variables_resolved() -> None:
    told = engine.template(FUNCTION, CONFIGURED, {"TABLE": "t"})["Resources"]
    assert told.keys() == {"F", "Shared"}
    properties = told["F"]["Properties"]
    assert properties["Environment"] == {"Variables": {"TABLE": "t"}}
    assert (properties["Timeout"], properties["MemorySize"]) == (29, 512)
    assert properties["Layers"] == [{"Ref": "Shared"}]
    assert properties["Architectures"] == [ARCHITECTURE]


@pytest.mark.parametrize(
    ("said", "failed"),
    [
        (b'{"statusCode": 500}', False),
        (b'\nnoise\n{"batchItemFailures": []}\n', False),
        (b"null", False),
        (b'{"errorType": "ValueError", "errorMessage": "no", "stackTrace": []}', True),
    ],
)
def test_sam_s_last_line_is_the_answer_and_tells_of_errors(said, failed) -> None:
    outcome = engine.outcome(0, said)
    assert outcome.failed is failed
    assert outcome.json() == json.loads(said.strip().splitlines()[-1])


@pytest.mark.parametrize(("status", "said"), [(0, b""), (0, b"Killed"), (1, b"{}")])
def test_no_answer_is_a_failure_though_sam_exits_well(status, said) -> None:
    with pytest.raises(OfflineError):
        engine.outcome(status, said)


def test_a_relay_hands_on_what_comes_to_another_address() -> None:
    class Echo(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(self.rfile.readline().upper())

    with socketserver.TCPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        port = server.server_address[1]
        with (
            relay.open_to("127.0.0.2", [port]),
            socket.create_connection(("127.0.0.2", port), timeout=5) as caller,
        ):
            caller.sendall(b"hello\n")
            assert caller.makefile().readline() == "HELLO\n"


def test_a_dead_letter_comes_from_the_stack_s_own_queue(sample) -> None:
    queues = {"email": ["http://c/q", "http://c/urgent", "http://c/000000000000/stack-email-dead"]}
    told = samples.fitted(sample("deadletters-batch"), {"CHANNEL_QUEUES": json.dumps(queues)})
    (record,) = told["Records"]
    assert record["eventSourceARN"].endswith(":stack-email-dead")
    other = sample("notifications-read")
    assert samples.fitted(other, {}) == other


def test_a_cloud_that_was_named_is_not_replaced_by_another() -> None:
    named = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    with pytest.raises(OfflineError, match="does not answer"), invoke.cloud_of(named):
        pass
