"""The running API does what its description says, whatever it is sent.

Schemathesis sends each operation its examples, the edges of its schema on either side and made-up
requests, and follows the links between operations. The cases are the same in every run.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cloudformation import ROOT
from served import Api

from offline import stack as offline

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

CONFIG = Path(__file__).parent / "schemathesis.toml"
OPENAPI = ROOT / "functions/api/docs/openapi.json"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "ignored_auth",
    "use_after_free",
)


def _run(
    stack: offline.Stack, token: str, folder: Path, *options: str, description: Path = OPENAPI
) -> tuple[int, int, str]:
    """Return how it ended, how many cases it made, and what it said."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", CONFIG, "--no-color"),
            *("run", description, "--url", stack.api, "--checks", ",".join(CHECKS)),
            *(
                # Two threads at once trip over CPython 3.11's count of its own recursion.
                "--workers",
                "1",
                "--header",
                f"Authorization: Bearer {token}",
                "--continue-on-failure",
                *options,
            ),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    said = "\n".join(line[:300] for line in (done.stdout + done.stderr).splitlines())
    made = re.search(r"(\d+) generated", said)
    return done.returncode, int(made[1]) if made else 0, said


def test_a18_a_client_gets_what_is_described(stack, api: Api, tmp_path: Path) -> None:
    code, made, said = _run(stack, api.token, tmp_path, "--max-examples", "2")
    assert code == 0, said
    assert made > 500


def test_a18_the_administrator_gets_what_is_described(stack, tmp_path: Path) -> None:
    tags = ("Clients", "Health", "Operations")
    named = [word for tag in tags for word in ("--include-tag", tag)]
    options = (*named, "--max-examples", "3")
    try:
        code, made, said = _run(stack, stack.admin_token, tmp_path, *options)
    finally:
        _let_go(Api(stack.api, stack.admin_token, stack.sandbox))
    assert code == 0, said
    assert made > 50


def _let_go(admin: Api) -> None:
    """Lift the kill switches that were set: they would hold what the other tests send."""
    switches = admin.call("GET", "/api/v1/ops/switches").json()["data"]
    for switch in switches:
        lifted = admin.call("DELETE", f"/api/v1/ops/switches/{switch['scope']}")
        assert lifted.status_code == 204, lifted.text


def test_a18_an_answer_that_is_not_described_is_found(stack, api: Api, tmp_path: Path) -> None:
    wrong = json.loads(OPENAPI.read_text())
    del wrong["paths"]["/api/v1/users/{user_id}"]["get"]["responses"]["200"]
    description = tmp_path / "wrong.json"
    description.write_text(json.dumps(wrong))
    options = ("--include-path", "/api/v1/users/{user_id}", "--phases", "examples,coverage")
    code, _, said = _run(stack, api.token, tmp_path, *options, description=description)
    assert code == 1
    assert "Undocumented status code" in said
