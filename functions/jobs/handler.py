"""Jobs: what a request about a user began and does not wait for."""

from collections.abc import Mapping
from typing import Any

from carillon import erasure, exports, jobs
from carillon.aws import sqs
from carillon.jobs import JobState, Kind, Task
from carillon.log import logger, trace
from carillon.settings import settings

RUN = {Kind.ERASE: erasure.run, Kind.EXPORT: exports.run}
EXPORT_TRIES = 3
"""Receives after which an export has failed; an erasure is never given up, but parked."""
WAIT_SECONDS = 20
MOST_SECONDS = 900

Batch = dict[str, list[dict[str, str]]]


def lambda_handler(event: Mapping[str, Any], _context: object) -> Batch:
    """Do each task; what was not done comes again, and after twenty times is a dead letter."""
    again = [
        {"itemIdentifier": record["messageId"]} for record in event["Records"] if not _done(record)
    ]
    logger().info("batch", extra={"size": len(event["Records"]), "again": len(again)})
    return {"batchItemFailures": again}


def _done(record: Mapping[str, Any]) -> bool:
    receives = int(record["attributes"]["ApproximateReceiveCount"])
    try:
        task = Task.model_validate_json(record["body"])
        return _run(task, receives)
    except Exception as error:  # noqa: BLE001 - logged, and the message stays
        logger().error("job failed", extra={"sqs_message_id": record["messageId"], **trace(error)})
    _come_again(record, receives)
    return False


def _run(task: Task, receives: int) -> bool:
    """Do a task; an export that keeps failing ends as failed, which whoever asked is told."""
    logger().set_correlation_id(task.job_id)
    try:
        RUN[task.kind](task)
    except Exception as error:
        if task.kind is not Kind.EXPORT or receives < EXPORT_TRIES:
            raise
        logger().error("export given up", extra=trace(error))
        jobs.end(task, JobState.FAILED)
    else:
        logger().info("job done", extra={"kind": task.kind, "look": task.look})
    return True


def _come_again(record: Mapping[str, Any], receives: int) -> None:
    sqs().change_message_visibility(
        QueueUrl=settings().required("jobs_queue_url"),
        ReceiptHandle=record["receiptHandle"],
        VisibilityTimeout=min(WAIT_SECONDS * receives, MOST_SECONDS),
    )
