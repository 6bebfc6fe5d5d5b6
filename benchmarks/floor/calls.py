"""The AWS calls of some notifications, made again by a bare boto3 loop: `python calls.py job.json`.

The job has what was recorded of the product: each call's role, service, operation and arguments.
Names of notifications are changed for new ones, names of tables for those of copies, so that every
call does again what it did. Prints one JSON line: the CPU seconds of this process between the first
and the last call, by role, without reading the job, making clients and connecting.
"""

import json
import re
import secrets
import string
import sys
import time
from base64 import b64decode
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

# As the product's clients are (carillon.aws, carillon.storage).
OURS = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 3})
PROVIDER = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 1})
# What lets a client connect, and takes no arguments.
CONNECT = {"dynamodb": "list_tables", "sns": "list_topics", "ssm": "describe_parameters"}
LETTERS = string.ascii_lowercase + "234567"
# A notification's place in its table, and what may follow it in the notification's name.
NAME = r"(?<![a-z2-7])([a-z2-7]{26})([a-z2-7]*)"
# The note that a batch of the tables' changes was counted.
NOTE = r"stream#[\w-]+"

Json = dict[str, Any]


def main() -> None:
    """Prepare all, then do nothing but call."""
    job: Json = json.loads(Path(sys.argv[1]).read_text())
    calls = prepared(job)
    clients = opened(job, {call["service"] for call in calls})
    methods = [
        (
            call["role"],
            getattr(clients[call["service"]], _snake(call["operation"])),
            call["arguments"],
        )
        for call in calls
    ]
    failed: Counter[str] = Counter()
    seconds: defaultdict[str, float] = defaultdict(float)
    wall, cpu = time.perf_counter(), time.process_time()
    for role, method, arguments in methods:
        try:
            method(**arguments)
        except ClientError as error:
            failed[f"{error.operation_name}: {error.response['Error']['Code']}"] += 1
        before, cpu = cpu, time.process_time()
        seconds[role] += cpu - before
    wall = time.perf_counter() - wall
    made = Counter(f"{call['service']}.{call['operation']}" for call in calls)
    print(json.dumps({"cpu_s": seconds, "wall_s": wall, "failed": failed, "calls": made}))


def prepared(job: Json) -> list[Json]:
    """Return the calls with new names in them."""
    text = json.dumps(job["calls"])
    for old, new in job["renamed"].items():
        text = text.replace(json.dumps(old), json.dumps(new))
    fresh = {place: "".join(secrets.choice(LETTERS) for _ in place) for place in job["places"]}
    text = re.sub(NAME, lambda found: fresh.get(found[1], found[1]) + found[2], text)
    notes: dict[str, str] = defaultdict(lambda: f"stream#{secrets.token_hex(16)}")
    text = re.sub(NOTE, lambda found: notes[found[0]], text)
    calls: list[Json] = json.loads(text)
    for call in calls:
        if call["service"] == "dynamodb":
            call["arguments"] = binaries(call["arguments"])
    return calls


def binaries(value: Any) -> Any:
    """Return DynamoDB's arguments with their binary values as bytes."""
    if isinstance(value, list):
        return [binaries(each) for each in value]
    if isinstance(value, dict):
        if value.keys() == {"B"} and isinstance(value["B"], str):
            return {"B": b64decode(value["B"])}
        return {name: binaries(each) for name, each in value.items()}
    return value


def opened(job: Json, services: set[str]) -> Json:
    """Return a connected client of each service."""
    session: Any = boto3.Session(
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - what the embedded cloud takes
        region_name=job["region"],
    )
    clients: Json = {}
    for service in services:
        mails = service == "sesv2"
        clients[service] = session.client(
            service,
            endpoint_url=job["sandbox"] if mails else job["cloud"],
            config=PROVIDER if mails else OURS,
        )
        if service in CONNECT:
            getattr(clients[service], CONNECT[service])()
    return clients


def _snake(operation: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()


if __name__ == "__main__":
    main()
