"""The one publish of a notification: SNS routes it by the ``channel`` attribute."""

import json

from botocore.exceptions import BotoCoreError, ClientError

from carillon.aws import sns
from carillon.errors import Problem
from carillon.models import Message
from carillon.settings import settings


def publish(message: Message, body: str) -> None:
    """Publish ``body`` (``message`` as JSON) once, to each channel it has targets for.

    Raises Problem (503) when SNS does not take it. The notification stays recorded: the same
    request with the same idempotency key publishes it again.
    """
    channels = json.dumps(sorted(message.targets))
    try:
        sns().publish(
            TopicArn=settings().required("topic_arn"),
            Message=body,
            MessageAttributes={
                "channel": {"DataType": "String.Array", "StringValue": channels},
                "correlation_id": {
                    "DataType": "String",
                    "StringValue": message.correlation_id,
                },
            },
        )
    except (BotoCoreError, ClientError) as error:
        raise Problem(
            503,
            "publish-failed",
            "The notification was recorded but not queued; send it again with the same key",
            retry_after=5,
        ) from error
