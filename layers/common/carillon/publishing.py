"""The one publish of a notification: SNS routes it by its channels and its lane."""

import json
from collections.abc import Iterable

from botocore.exceptions import BotoCoreError, ClientError

from carillon import metrics
from carillon.aws import sns
from carillon.errors import CarillonError
from carillon.messages import Message
from carillon.models import Channel
from carillon.settings import settings


class PublishError(CarillonError):
    """SNS did not take it, or did not say that it did."""


def as_body(message: Message) -> str:
    """Return the message as it travels, and is kept."""
    return message.model_dump_json(exclude_none=True, exclude_defaults=True)


def publish(message: Message, channels: Iterable[Channel], body: str | None = None) -> None:
    """Publish a message once to the queues of ``channels``; raises PublishError.

    ``body`` is the message as JSON, where the caller has it already.
    """
    told = {
        "channel": ("String.Array", json.dumps(sorted(channels))),
        "lane": ("String", message.lane),
        "correlation_id": ("String", message.correlation_id),
    }
    try:
        sns().call(
            "Publish",
            {
                "TopicArn": settings().required("topic_arn"),
                "Message": body or as_body(message),
                "MessageAttributes": {
                    name: {"DataType": kind, "StringValue": value}
                    for name, (kind, value) in told.items()
                },
            },
        )
    except (BotoCoreError, ClientError) as error:
        raise PublishError(type(error).__name__) from error
    metrics.count("published_messages_total")
