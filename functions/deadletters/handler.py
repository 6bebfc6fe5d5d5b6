"""Dead letters: made known as they come, and counted every few minutes."""

from collections.abc import Mapping
from typing import Any

from carillon import dead_letters, metrics, queues
from carillon.ledger import HeldError
from carillon.log import logger, trace
from carillon.models import Channel

Batch = dict[str, list[dict[str, str]]]


def lambda_handler(event: Mapping[str, Any], _context: object) -> Batch:
    """Index a batch of a dead-letter queue; what cannot be indexed stays in the queue.

    An event without records is the clock's.
    """
    records = event.get("Records", ())
    outcomes = {record["messageId"]: _indexed(record) for record in records}
    again = [name for name, new in outcomes.items() if new is None]
    if records:
        logger().info("batch", extra={"size": len(records), "again": len(again)})
    if not again:
        # Else the store may be away; the clock tells it soon.
        dead_letters.tell_standing(at_least=sum(map(bool, outcomes.values())))
    metrics.end(flush=not again)
    return {"batchItemFailures": [{"itemIdentifier": name} for name in again]}


def _indexed(record: Mapping[str, Any]) -> bool | None:
    """Tell whether a message is a new letter; None when it must come again."""
    logger().set_correlation_id(None)
    try:
        return dead_letters.index(record, _channel(record["eventSourceARN"]))
    except HeldError:
        logger().info("still held", extra={"sqs_message_id": record["messageId"]})
    except Exception as error:  # noqa: BLE001 - logged, and the message stays
        logger().error("not indexed", extra={"sqs_message_id": record["messageId"], **trace(error)})
    return None


def _channel(source: str) -> Channel:
    name = source.rpartition(":")[2]
    return next(each for each in Channel if queues.of(each).dead.endswith(f"/{name}"))
