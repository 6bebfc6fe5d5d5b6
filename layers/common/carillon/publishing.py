"""The one publish of a notification: SNS routes it by its channels and its lane."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from carillon import metrics
from carillon.aws import sns
from carillon.errors import CarillonError
from carillon.log import logger, trace
from carillon.messages import Message
from carillon.models import Channel
from carillon.settings import settings

BATCH, BATCH_BYTES = 10, 262_144
"""What SNS takes in one request: messages, and bytes of them all."""
ATTRIBUTES_BYTES = 512
"""More than a message's attributes take."""


class PublishError(CarillonError):
    """SNS did not take it, or did not say that it did."""


def as_body(message: Message) -> str:
    """Return the message as it travels, and is kept."""
    return message.model_dump_json(exclude_none=True, exclude_defaults=True)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message, the channels it goes to now, and its JSON."""

    message: Message
    channels: Collection[Channel]
    body: str


def publish_all(letters: Sequence[Letter]) -> list[bool]:
    """Publish messages, ten a call; tell of each whether SNS took it.

    https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
    """
    taken: list[bool] = []
    for batch in _batches(letters):
        entries = [{"Id": str(place), **_entry(letter)} for place, letter in enumerate(batch)]
        asked = {
            "TopicArn": settings().required("topic_arn"),
            "PublishBatchRequestEntries": entries,
        }
        try:
            good = {each["Id"] for each in sns().call("PublishBatch", asked)["Successful"]}
        except (BotoCoreError, ClientError) as error:
            logger().error("not published", extra=trace(error))
            good = set()
        taken += [entry["Id"] in good for entry in entries]
    for _ in filter(None, taken):
        metrics.count("published_messages_total")
    return taken


def _batches(letters: Sequence[Letter]) -> Iterator[list[Letter]]:
    batch: list[Letter] = []
    size = 0
    for letter in letters:
        more = len(letter.body.encode()) + ATTRIBUTES_BYTES
        if batch and (len(batch) == BATCH or size + more > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(letter)
        size += more
    if batch:
        yield batch


def publish(message: Message, channels: Iterable[Channel], body: str | None = None) -> None:
    """Publish a message once to the queues of ``channels``; raises PublishError.

    ``body`` is the message as JSON, where the caller has it already.
    """
    entry = _entry(Letter(message, set(channels), body or as_body(message)))
    try:
        sns().call("Publish", {"TopicArn": settings().required("topic_arn"), **entry})
    except (BotoCoreError, ClientError) as error:
        raise PublishError(type(error).__name__) from error
    metrics.count("published_messages_total")


def _entry(letter: Letter) -> dict[str, Any]:
    told = {
        "channel": ("String.Array", json.dumps(sorted(letter.channels))),
        "lane": ("String", letter.message.lane),
        "correlation_id": ("String", letter.message.correlation_id),
    }
    return {
        "Message": letter.body,
        "MessageAttributes": {
            name: {"DataType": kind, "StringValue": value} for name, (kind, value) in told.items()
        },
    }
