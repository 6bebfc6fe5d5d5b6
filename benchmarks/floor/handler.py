"""Bare handlers, pydantic and json, on sample events: `python handler.py events times`.

An intake that reads API Gateway's event, checks the body and answers; a worker that reads SQS's
event and checks each record. Prints one JSON line: CPU seconds per 1,000 notifications of each.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Json = dict[str, Any]


class Request(BaseModel):
    """One notification's request."""

    model_config = ConfigDict(extra="forbid")

    user_id: Annotated[str, Field(min_length=1, max_length=128)]
    channels: Annotated[list[str], Field(min_length=1, max_length=4)]
    template_code: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    variables: dict[str, Any]
    category: str
    metadata: dict[str, Any]


class Message(BaseModel):
    """What lies in a queue, whatever it is."""

    model_config = ConfigDict(extra="allow")

    notification_id: str


def intake(event: str) -> str:
    """Check one request and answer 202."""
    request = Request.model_validate(json.loads(json.loads(event)["body"]))
    body = json.dumps({"data": {"notification_id": request.user_id}})
    return json.dumps({"statusCode": 202, "headers": {}, "body": body})


def worker(event: str) -> str:
    """Check every record of a batch, and report no failure."""
    for record in json.loads(event)["Records"]:
        Message.model_validate(json.loads(record["body"]))
    return json.dumps({"batchItemFailures": []})


def measure(handle: Callable[[str], str], event: str, times: int) -> float:
    """Return the CPU seconds of so many invocations."""
    handle(event)
    began = time.process_time()
    for _ in range(times):
        handle(event)
    return time.process_time() - began


def main() -> None:
    """Measure both."""
    events, times = json.loads(Path(sys.argv[1]).read_text()), int(sys.argv[2])
    records = len(json.loads(events["worker"])["Records"])
    found = {
        "intake": measure(intake, events["intake"], times) * 1000 / times,
        "worker": measure(worker, events["worker"], times // records) * 1000 / times,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
