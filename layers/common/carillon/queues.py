"""The channels' queues, for those who are no channel's worker."""

import json
from dataclasses import dataclass
from functools import cache

from carillon.aws import sqs
from carillon.messages import Message
from carillon.models import Channel
from carillon.settings import settings


@dataclass(frozen=True, slots=True)
class Queues:
    """Addresses of a channel's two lanes and of its dead letters."""

    normal: str
    urgent: str
    dead: str

    def of(self, message: Message) -> str:
        """Return the lane that a message takes."""
        return self.urgent if message.lane == "urgent" else self.normal


def of(channel: Channel) -> Queues:
    """Return the channel's queues; raises SettingMissingError in a function not told of them."""
    return _all(settings().required("channel_queues"))[channel]


@cache
def _all(told: str) -> dict[Channel, Queues]:
    return {Channel(name): Queues(*urls) for name, urls in json.loads(told).items()}


def waiting(channel: Channel) -> int:
    """Return about how many messages of the channel wait to be received."""
    queues = of(channel)
    told = (
        sqs().get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        for url in (queues.normal, queues.urgent)
    )
    return sum(int(each["Attributes"]["ApproximateNumberOfMessages"]) for each in told)
