"""What a stage keeps: docs/backup.md typed as it stands, and items brought to a new layout."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cloudformation import ROOT, resources
from served import DEADLINE, Api

from offline import cloud, deploy
from offline import stack as offline

pytestmark = pytest.mark.e2e

GUIDE = (ROOT / "docs/backup.md").read_text()
LOST = ("UsersTable", "NotificationsTable", "DeliveriesTable", "InboxTable")
Json = dict[str, Any]


def typed() -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


@pytest.fixture
def shell(stack: offline.Stack, tmp_path: Path) -> Callable[[str], str]:
    """Type a command as an operator of the stack, with the administrator's token."""
    home = tmp_path / "bin"
    home.mkdir()
    shim = home / "carillon"
    client = f"env PYTHONPATH='{ROOT / 'client'}' {sys.executable} -m carillon_client.cli"
    shim.write_text(f'#!/bin/sh\nexec {client} "$@"\n')
    shim.chmod(0o755)
    stage = deploy.STACK.removeprefix("carillon-")
    (tmp_path / "samconfig.toml").write_text(
        f'version = 0.1\n[{stage}.global.parameters]\nstack_name = "{deploy.STACK}"\n'
    )
    told = {
        "PATH": f"{home}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "NO_PROXY": "127.0.0.1",
        "COLUMNS": "160",
        "STAGE": stage,
        "CARILLON_URL": stack.api,
        "CARILLON_TOKEN": stack.admin_token,
        "AWS_ENDPOINT_URL": stack.cloud,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def say(command: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=tmp_path,
            env=told,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    return say


def physical(formation: Any, table: str) -> str:
    found = formation.describe_stack_resource(StackName=deploy.STACK, LogicalResourceId=table)
    return str(found["StackResourceDetail"]["PhysicalResourceId"])


def lose(stack: offline.Stack) -> int:
    """Delete every item of the tables; return how many there were."""
    tables = resources("AWS::DynamoDB::Table")
    count = 0
    with (
        cloud.client("dynamodb", stack.cloud) as dynamodb,
        cloud.client("cloudformation", stack.cloud) as formation,
    ):
        for table in LOST:
            name = physical(formation, table)
            keys = [key["AttributeName"] for key in tables[table]["KeySchema"]]
            for page in dynamodb.get_paginator("scan").paginate(TableName=name):
                for item in page["Items"]:
                    key = {part: item[part] for part in keys}
                    dynamodb.delete_item(TableName=name, Key=key)
                    count += 1
    return count


def seen(api: Api, notification_id: str) -> list[Any]:
    """What an application may ask for of it all."""
    paths = (
        *("/users/ada", "/users/ada/push-tokens", "/users/ada/notifications"),
        *(f"/notifications/{notification_id}", f"/notifications/{notification_id}/events"),
        "/notifications",
    )
    answers = [api.call("GET", f"/api/v1{path}") for path in paths]
    return [(answer.url, answer.status_code, answer.json().get("data")) for answer in answers]


def counted(api: Api) -> Json:
    found = api.call("GET", "/api/v1/analytics/deliveries")
    assert found.status_code == 200, found.text
    return dict(found.json()["data"]["totals"]["states"])


def until_counted(api: Api, states: Json) -> None:
    deadline = time.monotonic() + DEADLINE
    while (now := counted(api)) != states:
        assert time.monotonic() < deadline, f"{now} instead of {states}"
        time.sleep(0.1)


def test_h11_every_command_of_the_guide_was_typed_and_what_was_lost_is_back(
    stack: offline.Stack, api: Api, shell: Callable[[str], str]
) -> None:
    body = {"user_id": "ada", "channels": ["email", "inapp"], "message": "Hello"}
    sent = api.send(body).json()["data"]["notification_id"]
    assert {each["status"] for each in api.ended(sent).values()} == {"sent"}
    until_counted(api, {"sent": 2})
    before = seen(api, sent)
    assert {status for _, status, _ in before} == {200}
    said: dict[str, str] = {}
    for command in typed():
        if command.startswith("for c in") and " on " in command:
            lost = lose(stack)
            assert seen(api, sent) != before
        said[command] = shell(command)

    assert "12 tables" in said['carillon stage backup --stage "$STAGE" --name before-4711']
    assert seen(api, sent) == before
    assert len(api.arrived(sent)) == 1
    whole = said['carillon stage restore --stage "$STAGE" --backup before-4711']
    dry = said['carillon stage restore --stage "$STAGE" --backup before-4711 --dry-run']
    assert 0 < sum(int(count) for count in re.findall(r"(\d+) to write", dry)) <= lost
    assert re.search(r"NotificationsTable: \d+ looked at, [1-9]\d* written", whole)

    # What comes through the streams after the copies is counted after them.
    more = api.send(body).json()["data"]["notification_id"]
    api.ended(more)
    until_counted(api, {"sent": 4})
    assert json.loads(shell("carillon switch list --json")) == []


def test_h12_the_command_brings_old_entries_into_the_index_of_the_unread(
    stack: offline.Stack, api: Api, shell: Callable[[str], str]
) -> None:
    body = {"user_id": "ada", "channels": ["inapp"], "message": "Hello"}
    api.ended(api.send(body).json()["data"]["notification_id"])
    unread = "/api/v1/users/ada/notifications?unread=true"
    before = api.call("GET", unread).json()["data"]
    assert before
    with (
        cloud.client("dynamodb", stack.cloud) as dynamodb,
        cloud.client("cloudformation", stack.cloud) as formation,
    ):
        controls = physical(formation, "ControlsTable")  # another test may have migrated
        dynamodb.delete_item(
            TableName=controls, Key={"kind": {"S": "schema"}, "name": {"S": "items"}}
        )
        name = physical(formation, "InboxTable")
        for item in dynamodb.scan(TableName=name)["Items"]:  # as they were before there was one
            dynamodb.update_item(
                TableName=name,
                Key={"user": item["user"], "position": item["position"]},
                UpdateExpression="REMOVE unread",
            )
    assert api.call("GET", unread).json()["data"] == []
    migrate = 'carillon stage migrate --stage "$STAGE"'
    said = shell(f"{migrate} --dry-run")
    assert re.search(r"layout 0 of 1: \d+ looked at, [1-9]\d* to change", said)
    assert api.call("GET", unread).json()["data"] == []
    assert re.search(r"layout 1 of 1: \d+ looked at, [1-9]\d* changed", shell(migrate))
    assert api.call("GET", unread).json()["data"] == before
    assert "layout 1 of 1: 0 looked at, 0 changed" in shell(migrate)
