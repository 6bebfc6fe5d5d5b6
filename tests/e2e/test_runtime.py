"""Our Runtime API keeps to Lambda's: AWS's own client runs small functions against it."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from offline.functions import Configuration, Function
from offline.runtime import Worker

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("runtime")]

Make = Callable[..., Worker]
ARN = "arn:aws:lambda:us-east-1:000000000000:function:small"
ECHO = """
import os
calls = 0
def lambda_handler(event, context):
    global calls
    calls += 1
    print("called")
    return {
        "event": event, "calls": calls, "arn": context.invoked_function_arn,
        "left": context.get_remaining_time_in_millis(), "request": context.aws_request_id,
        "told": os.environ.get("TOLD"), "home": os.environ.get("HOME"),
        "trace": os.environ["_X_AMZN_TRACE_ID"], "memory": context.memory_limit_in_mb,
    }
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def make(tmp_path: Path, log: Path) -> Iterator[Make]:
    """Return a maker of workers of one small handler."""
    opened = ExitStack()

    def make(source: str, timeout: int = 5, memory: int = 128, layer: str = "") -> Worker:
        (tmp_path / "handler.py").write_text(source)
        (tmp_path / "layer/python").mkdir(parents=True, exist_ok=True)
        (tmp_path / "layer/python/shared.py").write_text(layer)
        function = Function("Small", tmp_path, "handler.lambda_handler", {"L": tmp_path / "layer"})
        configured = Configuration(ARN, {"TOLD": "yes"}, timeout, memory, "INFO")
        told = opened.enter_context(log.open("ab"))
        return opened.enter_context(Worker(function, configured, "http://127.0.0.1:1", told))

    with opened:
        yield make


def test_a_function_gets_its_event_and_what_lambda_tells(make, log) -> None:
    answer = make(ECHO, timeout=7, memory=256).invoke(b'{"a": "\\u00e9"}')
    told = answer.json()
    assert not answer.failed
    assert told["event"] == {"a": "é"}
    assert (told["arn"], told["told"], told["home"]) == (ARN, "yes", None)
    assert 6000 < told["left"] <= 7000
    assert told["memory"] == "256"
    assert told["trace"].startswith("Root=1-")
    said = log.read_text()
    assert f"START RequestId: {told['request']} Version: $LATEST\ncalled\nEND" in said
    assert "Init Duration" in said


def test_a_warm_function_keeps_what_it_has(make, log) -> None:
    worker = make(ECHO)
    assert [worker.invoke(b"{}").json()["calls"] for _ in range(3)] == [1, 2, 3]
    assert log.read_text().count("Init Duration") == 1


def test_a_layer_is_importable(make) -> None:
    source = "import shared\ndef lambda_handler(event, context): return shared.NAME"
    assert make(source, layer="NAME = 'common'").invoke(b"{}").json() == "common"


def test_an_exception_is_a_function_error_and_the_next_call_is_well(make) -> None:
    source = """
def lambda_handler(event, context):
    if event:
        raise ValueError("no")
    return "well"
"""
    worker = make(source)
    failed = worker.invoke(b"[1]")
    told = failed.json()
    assert (failed.failed, told["errorType"], told["errorMessage"]) == (True, "ValueError", "no")
    assert worker.invoke(b"[]").json() == "well"


def test_a_module_that_does_not_load_is_an_error(make) -> None:
    failed = make("import nowhere").invoke(b"{}")
    assert failed.failed
    assert failed.json()["errorType"] == "Runtime.ImportModuleError"


def test_a_function_is_killed_at_its_deadline_and_starts_anew(make, log) -> None:
    source = """
import time
def lambda_handler(event, context):
    time.sleep(event)
    return "in time"
"""
    worker = make(source, timeout=1)
    failed = worker.invoke(b"30")
    assert failed.failed
    assert failed.json()["errorType"] == "Sandbox.Timedout"
    assert "Task timed out after 1.00 seconds" in failed.json()["errorMessage"]
    assert "Task timed out after 1.00 seconds" in log.read_text()
    assert worker.invoke(b"0").json() == "in time"
    assert log.read_text().count("Init Duration") == 2


def test_a_function_that_takes_too_much_memory_is_killed(make) -> None:
    source = """
import time
def lambda_handler(event, context):
    held = b"x" * (200 * 1024 * 1024)
    time.sleep(30)
"""
    failed = make(source, timeout=20, memory=128).invoke(b"{}")
    assert failed.json()["errorType"] == "Runtime.ExitError"
    assert "more than 128 MB used" in failed.json()["errorMessage"]


def test_a_function_that_exits_is_an_error(make) -> None:
    failed = make("import os\ndef lambda_handler(event, context): os._exit(3)").invoke(b"{}")
    assert failed.json()["errorType"] == "Runtime.ExitError"
    assert "exit status 3" in failed.json()["errorMessage"]


def test_a_response_that_lambda_would_refuse_is_refused(make) -> None:
    source = "def lambda_handler(event, context): return 'x' * event"
    worker = make(source)
    assert not worker.invoke(json.dumps(6_000_000).encode()).failed
    failed = worker.invoke(json.dumps(6_291_556).encode())
    assert failed.json()["errorType"] == "Function.ResponseSizeTooLarge"
