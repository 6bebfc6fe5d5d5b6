"""The floor as a contender: the recorded calls again, by a program with no product in it."""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from offline import cloud
from offline.environment import REGION, ROOT, VENV, tool_environment
from offline.samples import event
from offline.stack import Stack

from .workload import request_body

CALLS = ROOT / "benchmarks/floor/calls.py"
HANDLER = ROOT / "benchmarks/floor/handler.py"
PREFIX = "floor-"
HANDLED = 5000
BATCH = 10

Json = dict[str, Any]


def job(stack: Stack, calls: Sequence[Json], ids: Sequence[str], items: Json) -> Json:
    """Return what the floor's program is given, with copies of the tables that it writes.

    Args:
        stack: Where it runs.
        calls: What was recorded.
        ids: The notifications whose calls these are.
        items: What was in each recorded table.
    """
    with cloud.client("sns", stack.cloud) as sns:
        topic = sns.create_topic(Name=f"{PREFIX}notifications")["TopicArn"]
    arns = {each["arguments"].get("TopicArn") for each in calls} - {None}
    with cloud.client("dynamodb", stack.cloud) as dynamodb:
        for name, (schema, content) in items.items():
            dynamodb.create_table(TableName=PREFIX + name, **schema)
            for item in content:
                dynamodb.put_item(TableName=PREFIX + name, Item=item)
    return {
        "region": REGION,
        "cloud": stack.cloud,
        "sandbox": stack.sandbox,
        "calls": list(calls),
        "places": [each.removeprefix("ntf_")[:26] for each in ids],
        "renamed": {name: PREFIX + name for name in items} | dict.fromkeys(arns, topic),
    }


def tables(endpoint: str) -> Json:
    """Return by table its schema and its items, for a copy."""
    found: Json = {}
    with cloud.client("dynamodb", endpoint) as dynamodb:
        for name in dynamodb.list_tables()["TableNames"]:
            table = dynamodb.describe_table(TableName=name)["Table"]
            pages = dynamodb.get_paginator("scan").paginate(TableName=name)
            items = [item for page in pages for item in page["Items"]]
            found[name] = (_schema(table), items)
    return found


def _schema(table: Json) -> Json:
    schema = {
        "KeySchema": table["KeySchema"],
        "AttributeDefinitions": table["AttributeDefinitions"],
        "BillingMode": "PAY_PER_REQUEST",
    }
    indexes = [
        {part: index[part] for part in ("IndexName", "KeySchema", "Projection")}
        for index in table.get("GlobalSecondaryIndexes", [])
    ]
    return schema | ({"GlobalSecondaryIndexes": indexes} if indexes else {})


def run(told: Json) -> Json:
    """Make the calls once more; returns CPU and wall seconds, calls and failures."""
    # The functions' own interpreter and SDK.
    return _program([cloud.INTERPRETER, CALLS], told)


def handlers() -> Json:
    """Return the CPU seconds per 1,000 of the bare intake and the bare worker."""
    intake, worker = event("notifications-send"), event("email-batch")
    intake["body"] = json.dumps(request_body(1))
    worker["Records"] *= BATCH
    events = {"intake": json.dumps(intake), "worker": json.dumps(worker)}
    return _program([VENV / "dev/bin/python", HANDLER], events, str(HANDLED))


def _program(command: Sequence[Path], told: Json, *more: str) -> Json:
    with tempfile.TemporaryDirectory(prefix="carillon-floor-") as folder:
        file = Path(folder, "job.json")
        file.write_text(json.dumps(told))
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [*command, file, *more],
            env=tool_environment(),
            stdout=subprocess.PIPE,
            check=True,
        )
    return dict(json.loads(done.stdout))
