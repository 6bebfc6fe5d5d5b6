"""The audit of dependencies: it passes when nothing is known, and only then."""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cloudformation import ROOT

Audit = Callable[[str], subprocess.CompletedProcess[str]]


@contextmanager
def _database(answer: dict[str, object], status: int = 200) -> Iterator[str]:
    """Answer every question as OSV's ``POST /v1/query`` would, always the same."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


@pytest.fixture
def audit() -> Audit:
    """Return a runner of the audit of one lock against a database."""

    def run(url: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "-s", "audit", f"AUDIT_URL={url}", "LOCKS=requirements/uv.txt"]
        kept = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
        return subprocess.run(
            command, cwd=ROOT, env=kept, capture_output=True, text=True, check=False
        )

    return run


FAULT = {
    "vulns": [
        {
            "id": "GHSA-aaaa-bbbb-cccc",
            "summary": "A made-up fault",
            "affected": [
                {
                    "package": {"name": "uv", "ecosystem": "PyPI"},
                    "ranges": [
                        {
                            "type": "ECOSYSTEM",
                            "events": [{"introduced": "0"}, {"fixed": "999.0"}],
                        }
                    ],
                }
            ],
        }
    ]
}


def test_it_passes_when_nothing_is_known(audit) -> None:
    with _database({}) as url:
        done = audit(url)
    assert done.returncode == 0, done.stderr
    assert "No known vulnerabilities found" in done.stderr


def test_it_fails_when_something_is_known(audit) -> None:
    with _database(FAULT) as url:
        done = audit(url)
    assert done.returncode != 0
    assert "GHSA-aaaa-bbbb-cccc" in done.stdout


def test_it_fails_when_nobody_answers_a_o06(audit) -> None:
    with _database({}) as url:
        pass
    assert audit(url).returncode != 0


@pytest.mark.parametrize("status", [404, 500, 503])
def test_it_fails_when_the_database_cannot_answer_a_o06(status, audit) -> None:
    with _database({"error": "away"}, status) as url:
        assert audit(url).returncode != 0
