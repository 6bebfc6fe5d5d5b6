"""Redrives: clears dead letters by operators' orders, one step of a job at a time."""

from collections.abc import Mapping
from typing import Any, Protocol

from carillon import clearing, dead_letters, metrics
from carillon.aws import sqs
from carillon.clearing import Task
from carillon.log import logger, trace
from carillon.settings import settings

WAIT_SECONDS = 5
MOST_SECONDS = 300

Batch = dict[str, list[dict[str, str]]]


class LambdaContext(Protocol):
    """What a step needs of the Lambda context."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the time left to this invocation."""


def lambda_handler(event: Mapping[str, Any], context: LambdaContext) -> Batch:
    """Do each step; one that failed comes again, and after twenty times is a dead letter itself."""
    again = [
        {"itemIdentifier": record["messageId"]}
        for record in event["Records"]
        if not _done(record, context)
    ]
    logger().info("batch", extra={"size": len(event["Records"]), "again": len(again)})
    if not again:
        dead_letters.tell_standing()
    metrics.end(flush=False)
    return {"batchItemFailures": again}


def _done(record: Mapping[str, Any], context: LambdaContext) -> bool:
    logger().set_correlation_id(None)
    try:
        task = Task.model_validate_json(record["body"])
        logger().set_correlation_id(task.job_id)
        clearing.run(task, lambda: context.get_remaining_time_in_millis() / 1000)
    except Exception as error:  # noqa: BLE001 - logged, and the message stays
        logger().error("step failed", extra={"sqs_message_id": record["messageId"], **trace(error)})
    else:
        return True
    receives = int(record["attributes"]["ApproximateReceiveCount"])
    sqs().change_message_visibility(
        QueueUrl=settings().required("redrives_queue_url"),
        ReceiptHandle=record["receiptHandle"],
        VisibilityTimeout=min(WAIT_SECONDS * receives, MOST_SECONDS),
    )
    return False
