"""Where the time of a single send goes: ours, that of making calls, the cloud's.

The handlers run in processes of their own without Lambda around them, with real events, against the
stack's own cloud. The queue's own polling is off meanwhile: what intake published is read from the
queue and given to the worker, ten to a batch.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from offline import cloud, functions, samples
from offline.build import TEMPLATE
from offline.environment import ROOT, VENV
from offline.problems import OfflineError
from offline.runtime import environment
from offline.stack import Stack

from .workload import request_body

INTAKE, WORKER = "NotificationsFunction", "EmailFunction"
WARM = 20
BATCH = 10
PROGRAM = Path(__file__).with_name("inside.py")
CALLING = frozenset({"boto3", "botocore", "carillon.signed", "pynamodb", "urllib3"})
OURS = frozenset({"carillon", "functions"})
WAITING = "(waiting)"

Json = dict[str, Any]


def measure(stack: Stack, client_id: str, count: int) -> Json:
    """Return by function what `count` notifications took, half of them clocked, half sampled."""
    wanted = WARM + 2 * count
    events = [_post(client_id, number) for number in range(wanted)]
    with unread(stack) as queues:
        intake = _run(stack, INTAKE, _parts(events, 1, count))
        refused = [
            each for each in intake.pop("answers") if each["statusCode"] != HTTPStatus.ACCEPTED
        ]
        if refused:
            raise OfflineError(f"a handler by itself answered {refused[0]}")
        worker = _run(stack, WORKER, _parts(_batches(stack, queues, wanted), BATCH, count))
        failed = [each for each in worker.pop("answers") if each["batchItemFailures"]]
    return {
        "notifications": count,
        "failed_batches": len(failed),
        "functions": {
            "intake": _told(intake, count),
            "worker": _told(worker, count // BATCH * BATCH),
        },
    }


def _told(found: Json, count: int) -> Json:
    """Return milliseconds per notification, by whose they are."""
    whole, inner = found["whole"], found["calls"]
    ms = 1000 / count
    sampled = found["sampled"]
    known = sum(seconds for name, seconds in sampled.items() if name != "the bench")
    by_library = {
        name: round(100 * seconds / known, 1)
        for name, seconds in sorted(sampled.items(), key=lambda each: -each[1])
        if name != "the bench" and seconds > known / 200
    }
    return {
        "wall_ms": round(whole["wall_s"] * ms, 2),
        "cpu_ms": round(whole["cpu_s"] * ms, 2),
        "calls_cpu_ms": round(inner["cpu_s"] * ms, 2),
        "own_cpu_ms": round((whole["cpu_s"] - inner["cpu_s"]) * ms, 2),
        "waiting_ms": round((whole["wall_s"] - whole["cpu_s"]) * ms, 2),
        "calls": round(inner["calls"] / count, 2),
        "percent_by_library": by_library,
        "percent": _grouped(by_library),
    }


def _grouped(percent: Mapping[str, float]) -> Json:
    groups = {"ours": 0.0, "calling AWS": 0.0, "waiting for the cloud": 0.0, "other libraries": 0.0}
    for name, share in percent.items():
        key = (
            "ours"
            if name in OURS
            else "calling AWS"
            if name in CALLING
            else "waiting for the cloud"
            if name == WAITING
            else "other libraries"
        )
        groups[key] += share
    return {name: round(share, 1) for name, share in groups.items()}


def _parts(events: Sequence[Json], size: int, count: int) -> list[list[Json]]:
    """Divide events of so many notifications each: to warm up, to clock, to sample."""
    warm, each = -(-WARM // size), count // size
    chosen = list(events)
    return [chosen[:warm], chosen[warm : warm + each], chosen[warm + each : warm + 2 * each]]


def _post(client_id: str, number: int) -> Json:
    """Return API Gateway's event of one request, as the sample has it."""
    event = samples.event("notifications-send")
    key = f"inside-{number}"
    event["headers"]["Idempotency-Key"] = key
    event["multiValueHeaders"]["Idempotency-Key"] = [key]
    event["body"] = json.dumps(request_body(number))
    told = event["requestContext"]["authorizer"]
    event["requestContext"]["authorizer"] = told | {"client_id": client_id}
    return event


@contextmanager
def unread(stack: Stack) -> Iterator[list[str]]:
    """Yield the ARNs of the email worker's queues while nothing reads them."""
    with cloud.client("lambda", stack.cloud) as lambdas:
        mappings = lambdas.list_event_source_mappings()["EventSourceMappings"]
        readers = [each for each in mappings if WORKER in each["FunctionArn"]]
        for each in readers:
            lambdas.update_event_source_mapping(UUID=each["UUID"], Enabled=False)
        try:
            yield [each["EventSourceArn"] for each in readers]
        finally:
            for each in readers:
                lambdas.update_event_source_mapping(UUID=each["UUID"], Enabled=True)


def _batches(stack: Stack, queues: Sequence[str], count: int) -> list[Json]:
    """Take so many messages from the queues, as Lambda would hand them over."""
    taken: list[Json] = []
    with cloud.client("sqs", stack.cloud) as sqs:
        for arn in queues:
            url = sqs.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]
            while len(taken) < count and (got := _received(sqs, url)):
                taken += [_record(each, arn) for each in got]
    if len(taken) < count:
        raise OfflineError(f"{len(taken)} of {count} messages came to the queues")
    return [{"Records": taken[at : at + BATCH]} for at in range(0, len(taken), BATCH)]


def _received(sqs: Any, url: str) -> list[Json]:
    """Take up to a batch of messages from a queue for good."""
    got: list[Json] = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=BATCH,
        WaitTimeSeconds=1,
        AttributeNames=["All"],
        MessageAttributeNames=["All"],
    ).get("Messages", [])
    if got:
        entries = [
            {"Id": str(place), "ReceiptHandle": each["ReceiptHandle"]}
            for place, each in enumerate(got)
        ]
        sqs.delete_message_batch(QueueUrl=url, Entries=entries)
    return got


def _record(message: Json, arn: str) -> Json:
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {
            name: {"stringValue": each.get("StringValue"), "dataType": each["DataType"]}
            for name, each in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": "us-east-1",
    }


def _run(stack: Stack, name: str, parts: list[list[Json]]) -> Json:
    function = functions.built(TEMPLATE.parent)[name]
    configured = functions.configured(stack.cloud, name)
    told = environment(function, configured, stack.cloud, "127.0.0.1:0")
    told["PYTHONPATH"] = os.pathsep.join([str(function.folder), told["PYTHONPATH"]])
    packages = next((VENV / "bench").glob("lib/python*/site-packages"))
    with tempfile.TemporaryDirectory(prefix="carillon-inside-") as folder:
        job, output = Path(folder, "job.json"), Path(folder, "found.json")
        job.write_text(
            json.dumps(
                {
                    "handler": function.handler,
                    "parts": parts,
                    "output": str(output),
                    "pyinstrument": str(packages),
                }
            )
        )
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [cloud.INTERPRETER, PROGRAM, job], cwd=ROOT, env=told, capture_output=True, check=False
        )
        if done.returncode:
            raise OfflineError(f"{name} by itself failed: {done.stderr.decode()[-2000:]}")
        return dict(json.loads(output.read_text()))
