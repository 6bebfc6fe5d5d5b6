"""Every command of docs/runbook.md, typed as it stands into one shell, does what it should."""

import os
import re
import shlex
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from served import Api

from offline import cloud, deploy
from offline import stack as offline

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parent.parent.parent
RUNBOOK = (ROOT / "docs/runbook.md").read_text()
AWS = ROOT / ".venv/aws/bin"
MARK = "<<typed>>"


def _typed() -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```", RUNBOOK, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    return [line.removeprefix("$ ") for line in lines]


@pytest.fixture
def operator(stack: offline.Stack) -> Api:
    """A client with a key that may look and operate, and a notification to look at."""
    admin = Api(stack.api, stack.admin_token, stack.sandbox)
    made = admin.call("POST", "/api/v1/clients", {"service_name": f"ops-{uuid.uuid4().hex[:8]}"})
    keys = f"/api/v1/clients/{made.json()['data']['client_id']}/keys"
    key = admin.call(
        "POST", keys, {"label": "operator", "scopes": ["ops", "read", "send"], "mode": "live"}
    )
    operator = Api(stack.api, key.json()["data"]["api_token"], stack.sandbox)
    body = {"channels": ["email"], "to": {"email": "ada@example.com"}, "message": "Hello"}
    operator.ended(operator.send(body).json()["data"]["notification_id"])
    return operator


def test_h13_every_command_of_the_runbook_was_typed(
    stack: offline.Stack, operator: Api, tmp_path: Path
) -> None:
    _sweep(stack)
    commands = _typed()
    assert len(commands) > 50
    assert (AWS / "aws").exists(), "make test installs it"
    steps = [f"{command}\nprintf '%s\\n' '{MARK}'" for command in commands]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(steps)],
        cwd=tmp_path,
        input="y\n" * 9,  # to what is asked of letters that other tests left
        env=_environment(stack, operator, tmp_path),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    printed = done.stdout.split(MARK)
    reached = commands[min(len(printed), len(commands)) - 1]
    assert done.returncode == 0, f"{reached}: {done.stderr[-2000:]}"
    told = dict(zip(commands, printed, strict=False))
    # What the log is asked for is really in it.
    assert '"state":"sent"' in told["said EmailFunction delivery"]
    assert '"message":"swept"' in told["said SweepFunction swept"]
    assert '"message":"counted"' in told["said CountingFunction counted"]
    assert '"route":"/api/v1/notifications"' in told["said NotificationsFunction request"]
    queues = [text for command, text in told.items() if command.startswith("queue ")]
    assert queues
    for text in queues:
        assert re.fullmatch(r"\d+\s+\d+", text.strip()), text
    assert "deliveries that arrive" in told["carillon slo"]


def _sweep(stack: offline.Stack) -> None:
    """Run the sweep, which the clock may not have done yet."""
    with cloud.client("lambda", stack.cloud) as functions:
        (name,) = (
            each["FunctionName"]
            for each in functions.list_functions()["Functions"]
            if "SweepFunction" in each["FunctionName"]
        )
        functions.invoke(FunctionName=name, Payload=b"{}")


def _environment(stack: offline.Stack, operator: Api, tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "bin"
    home.mkdir()
    client = shlex.quote(str(ROOT / "client"))
    for name, command in (
        ("carillon", f"env PYTHONPATH={client} {sys.executable} -m carillon_client.cli"),
        # For SQS the first AWS CLI has an address of its own, which only the option overrides.
        ("aws", f"{AWS / 'aws'} --endpoint-url {stack.cloud}"),
    ):
        shim = home / name
        shim.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        shim.chmod(0o755)
    return {
        "PATH": f"{home}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "NO_PROXY": "127.0.0.1",
        "COLUMNS": "120",
        "STACK": deploy.STACK,
        "CARILLON_URL": stack.api,
        "CARILLON_TOKEN": operator.token,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
