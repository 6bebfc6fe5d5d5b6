"""The one publish of a notification: SNS routes it by the ``channel`` attribute."""

import json
from collections.abc import Iterable

from botocore.exceptions import BotoCoreError, ClientError

from carillon import metrics
from carillon.aws import sns
from carillon.errors import CarillonError
from carillon.models import Channel
from carillon.settings import settings


class PublishError(CarillonError):
    """SNS did not take it, or did not say that it did."""


def publish(body: str, channels: Iterable[Channel], correlation_id: str) -> None:
    """Publish a message, as JSON, once, to the queues of ``channels``; raises PublishError."""
    named = json.dumps(sorted(channels))
    try:
        sns().publish(
            TopicArn=settings().required("topic_arn"),
            Message=body,
            MessageAttributes={
                "channel": {"DataType": "String.Array", "StringValue": named},
                "correlation_id": {"DataType": "String", "StringValue": correlation_id},
            },
        )
    except (BotoCoreError, ClientError) as error:
        raise PublishError(type(error).__name__) from error
    metrics.count("published_messages_total")
