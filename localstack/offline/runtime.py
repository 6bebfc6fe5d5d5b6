"""Runs a built function as Lambda does: AWS's own runtime client against a Runtime API of ours.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import os
import queue
import re
import secrets
import signal
import subprocess
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Self

from offline.environment import REGION, VENV
from offline.functions import Configuration, Function
from offline.lock import HOST
from offline.problems import OfflineError

INTERPRETER = VENV / "lambda" / "bin" / "python"
INIT_SECONDS = 10.0
"""Lambda ends an init that takes longer, and does it again within the function's own time."""
LARGEST_RESPONSE = 6_291_556
"""Bytes; Lambda refuses more."""
POLL_SECONDS = 0.02
_PREFIX = "/2018-06-01/runtime"
_ANSWER = re.compile(rf"{_PREFIX}/invocation/([\w-]+)/(response|error)")


@dataclass(frozen=True)
class Outcome:
    """What an invocation gave."""

    payload: bytes
    failed: bool

    def json(self) -> object:
        """Return the parsed payload."""
        return json.loads(self.payload)


@dataclass(frozen=True)
class _Invocation:
    id: str
    event: bytes
    deadline_ms: int


@dataclass(frozen=True)
class _Told:
    """What the runtime said, or what became of its process."""

    what: str
    body: bytes = b""


class Worker:
    """One execution environment: started when it is first needed, and after it was killed."""

    def __init__(
        self, function: Function, configured: Configuration, endpoint: str, log: IO[bytes]
    ) -> None:
        """Start nothing yet; what the function logs goes to ``log``, which has a descriptor."""
        self._function = function
        self._configured = configured
        self._endpoint = endpoint
        self._log = log
        self._process: _Process | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def invoke(self, event: bytes) -> Outcome:
        """Run the function once, for as long and with as much memory as it may take."""
        request, init = str(uuid.uuid4()), 0.0
        if self._process is None:
            began = time.monotonic()
            self._process = _Process(self._function, self._configured, self._endpoint, self._log)
            told = self._await(
                began + INIT_SECONDS + self._configured.timeout, "next", "init-error"
            )
            init = time.monotonic() - began
            if told.what != "next":
                return self._ended(request, told)
        self._say(f"START RequestId: {request} Version: $LATEST")
        began = time.monotonic()
        deadline_ms = int((time.time() + self._configured.timeout) * 1000)
        self._process.api.pending.put(_Invocation(request, event, deadline_ms))
        told = self._await(began + self._configured.timeout, "response", "error")
        took = time.monotonic() - began
        if told.what in ("response", "error"):
            # It is done when it asks for more: what it logs until then is this invocation's.
            self._await(began + self._configured.timeout, "next")
        self._report(request, took, init)
        return self._ended(request, told)

    def _await(self, until: float, *wanted: str) -> _Told:
        """Wait until the runtime says what is wanted, or there is nothing to wait for."""
        process = self._process
        if process is None:
            raise OfflineError("no process to wait for")
        while True:
            with suppress(queue.Empty):
                told = process.api.told.get(timeout=POLL_SECONDS)
                if told.what in wanted:
                    return told
            if process.child.poll() is not None and process.api.told.empty():
                return _Told("exited")
            if process.peak_bytes() > self._configured.memory * 1024**2:
                return _Told("memory")
            if time.monotonic() > until:
                return _Told("late")

    def _ended(self, request: str, told: _Told) -> Outcome:
        """Say how it ended, in Lambda's words."""
        if told.what == "response":
            if len(told.body) <= LARGEST_RESPONSE:
                return Outcome(told.body, failed=False)
            return _error(
                "Function.ResponseSizeTooLarge",
                f"Response payload size exceeded maximum allowed payload size "
                f"({LARGEST_RESPONSE} bytes).",
            )
        if told.what == "error":
            return Outcome(told.body, failed=True)
        status = self._end()
        if told.what == "init-error":
            return Outcome(told.body, failed=True)
        if told.what == "late":
            words = f"Task timed out after {self._configured.timeout:.2f} seconds"
            return self._killed(request, "Sandbox.Timedout", words)
        if told.what == "memory":
            words = f"more than {self._configured.memory} MB used: signal: killed"
        else:
            words = f"Runtime exited without providing a reason: exit status {status}"
        return self._killed(request, "Runtime.ExitError", words)

    def _killed(self, request: str, kind: str, words: str) -> Outcome:
        self._say(f"{request} {words}")
        return _error(kind, f"RequestId: {request} Error: {words}")

    def _end(self) -> int | None:
        process, self._process = self._process, None
        return process.end() if process else None

    def _report(self, request: str, took: float, init: float) -> None:
        used = self._process.peak_bytes() if self._process else 0
        self._say(f"END RequestId: {request}")
        self._say(
            f"REPORT RequestId: {request}\tDuration: {took * 1000:.2f} ms"
            f"\tMemory Size: {self._configured.memory} MB"
            f"\tMax Memory Used: {used // 1024**2} MB"
            + (f"\tInit Duration: {init * 1000:.2f} ms" if init else "")
        )

    def _say(self, line: str) -> None:
        self._log.write(f"{line}\n".encode())
        self._log.flush()


class _Process:
    """One process of the runtime client, and the API it asks."""

    def __init__(
        self, function: Function, configured: Configuration, endpoint: str, log: IO[bytes]
    ) -> None:
        if not INTERPRETER.exists():
            raise OfflineError("no .venv/lambda: make invoke installs it, and needs python3.13")
        self.api = _Api(configured.arn)
        threading.Thread(target=self.api.serve_forever, args=(POLL_SECONDS,), daemon=True).start()
        self.child = subprocess.Popen(  # noqa: S603 - our own interpreter
            [INTERPRETER, "-m", "awslambdaric", function.handler],
            cwd=function.folder,
            env=environment(function, configured, endpoint, self.api.address),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._peak = 0

    def peak_bytes(self) -> int:
        """Return the most memory it ever had."""
        with suppress(OSError):
            status = Path(f"/proc/{self.child.pid}/status").read_text()
            if found := re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE):
                self._peak = int(found[1]) * 1024
        return self._peak

    def end(self) -> int:
        """Leave nothing behind, and return how it ended."""
        with suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.api.shutdown()
        self.api.server_close()
        return self.child.wait()


class _Api(ThreadingHTTPServer):
    """The Runtime API of one process."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, arn: str) -> None:
        super().__init__((HOST, 0), _Request)
        self.arn = arn
        self.pending: queue.SimpleQueue[_Invocation] = queue.SimpleQueue()
        self.told: queue.SimpleQueue[_Told] = queue.SimpleQueue()
        self.current = ""

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{HOST}:{self.server_port}"


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Api

    def do_GET(self) -> None:
        """Hand over the next event, when there is one."""
        if self.path != f"{_PREFIX}/invocation/next":
            self._answer(HTTPStatus.NOT_FOUND, b"{}")
            return
        self.server.told.put(_Told("next"))
        invocation = self.server.pending.get()
        self.server.current = invocation.id
        trace = f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}"
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.id,
            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": self.server.arn,
            "Lambda-Runtime-Trace-Id": f"{trace};Parent={secrets.token_hex(8)};Sampled=0",
        }
        self._answer(HTTPStatus.OK, invocation.event, headers)

    def do_POST(self) -> None:
        """Take an answer, or the reason why there is none."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == f"{_PREFIX}/init/error":
            self._accept(_Told("init-error", body))
        elif (match := _ANSWER.fullmatch(self.path)) is None:
            self._answer(HTTPStatus.NOT_FOUND, b"{}")
        elif match[1] != self.server.current:
            self._answer(HTTPStatus.BAD_REQUEST, b'{"errorType": "InvalidRequestID"}')
        else:
            self._accept(_Told(match[2], body))

    def _accept(self, told: _Told) -> None:
        self._answer(HTTPStatus.ACCEPTED, b'{"status": "OK"}')
        self.server.told.put(told)

    def _answer(
        self, status: HTTPStatus, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the function's log is what people read."""


def environment(
    function: Function, configured: Configuration, endpoint: str, api: str
) -> dict[str, str]:
    """Return what the process is told: what Lambda tells, the template's variables, the cloud.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    name = configured.arn.rpartition(":")[2]
    stream = f"{time.strftime('%Y/%m/%d')}/[$LATEST]{secrets.token_hex(16)}"
    return {
        **configured.variables,
        "_HANDLER": function.handler,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configured.memory),
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_LEVEL": configured.log_level,
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": stream,
        "AWS_LAMBDA_RUNTIME_API": api,
        "LAMBDA_TASK_ROOT": str(function.folder),
        "LANG": "en_US.UTF-8",
        "PATH": os.defpath,
        # Ours come before what the runtime has, as /opt/python does.
        "PYTHONPATH": os.pathsep.join(str(at / "python") for at in function.layers.values()),
        "TZ": ":UTC",
    }


def _error(kind: str, message: str) -> Outcome:
    told = {"errorType": kind, "errorMessage": message}
    return Outcome(json.dumps(told).encode(), failed=True)
