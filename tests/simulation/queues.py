"""SQS and SNS in memory. Standard queues: in no order, and now and then a message twice."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from simulation.stack import Resource, queue_url

JSON = dict[str, Any]


@dataclass
class Message:
    """A message in a queue. ``visible_at`` is when the next receive may take it, in seconds."""

    message_id: str
    body: str
    attributes: JSON
    sent_at: float
    visible_at: float
    receives: int = 0
    receipt: str = ""
    first_received: float | None = None


@dataclass
class Queue:
    """One queue; ``heard`` is told when something happens to a message."""

    resource: Resource
    clock: Callable[[], float]
    new_id: Callable[[], str]
    heard: Callable[[str, "Queue", Message], None]
    waiting: Callable[["Queue", float], None]
    dead_letters: "Queue | None" = None
    messages: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        told = self.resource.properties
        self.name = self.resource.name
        self.url = queue_url(self.name)
        self.visibility = float(told.get("VisibilityTimeout", 30))
        self.retention = float(told.get("MessageRetentionPeriod", 345_600))
        self.most_receives = (told.get("RedrivePolicy") or {}).get("maxReceiveCount")

    def send(
        self,
        body: str,
        attributes: Mapping[str, Any],
        delay: float = 0.0,
        sent_at: float | None = None,
    ) -> Message:
        """Put a message in."""
        now = self.clock()
        message = Message(
            self.new_id(), body, dict(attributes), now if sent_at is None else sent_at, now + delay
        )
        self.messages.append(message)
        self.heard("sent", self, message)
        self.waiting(self, delay)
        return message

    def visible(self) -> list[Message]:
        """Return what a receive may take now."""
        now = self.clock()
        return [each for each in self.messages if each.visible_at <= now]

    def receive(self, message: Message, stays: bool = False) -> bool:
        """Take a message for a while; False when it goes to the dead letters instead."""
        now = self.clock()
        if now - message.sent_at > self.retention:
            self.messages.remove(message)
            self.heard("lapsed", self, message)
            return False
        if self.most_receives is not None and message.receives >= self.most_receives:
            self.messages.remove(message)
            assert self.dead_letters is not None
            moved = self.dead_letters.send(
                message.body, message.attributes, sent_at=message.sent_at
            )
            self.heard("given up", self, moved)
            return False
        message.receives += 1
        message.first_received = message.first_received or now
        message.receipt = f"{message.message_id}#{message.receives}"
        if not stays:
            message.visible_at = now + self.visibility
            self.waiting(self, self.visibility)
        return True

    def find(self, receipt: str) -> Message | None:
        """Return the message of a receipt handle; an older handle finds it too, as in SQS."""
        wanted = receipt.partition("#")[0]
        return next((each for each in self.messages if each.message_id == wanted), None)

    def delete(self, receipt: str) -> None:
        """Delete a message: by its latest receipt, since an older one may fail to."""
        found = self.find(receipt)
        if found and found.receipt == receipt:
            self.messages.remove(found)
            self.heard("deleted", self, found)

    def hide(self, receipt: str, seconds: float) -> bool:
        """Let a message be taken again in ``seconds``; False when it is not in flight."""
        found = self.find(receipt)
        if found is None or found.receipt != receipt or found.visible_at <= self.clock():
            return False
        found.visible_at = self.clock() + seconds
        self.waiting(self, seconds)
        return True


def fits(policy: Mapping[str, Any], attributes: Mapping[str, Any]) -> bool:
    """Tell whether a filter policy lets a message's attributes through.

    https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html
    """
    return all(_fits_one(wanted, attributes.get(name)) for name, wanted in policy.items())


def _fits_one(wanted: list[Any], attribute: Mapping[str, str] | None) -> bool:
    if attribute is None:
        return any(isinstance(each, dict) and each.get("exists") is False for each in wanted)
    text = attribute["StringValue"]
    is_list = attribute["DataType"] == "String.Array"
    values = json.loads(text) if is_list else [text]
    return any(_matches(each, value) for each in wanted for value in values)


def _matches(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, dict):
        return bool(wanted == value)
    ((kind, told),) = wanted.items()
    if kind == "exists":
        return bool(told)
    if kind == "anything-but":
        return value not in (told if isinstance(told, list) else [told])
    if kind == "prefix":
        return str(value).startswith(told)
    if kind == "numeric":
        sign, bound = told
        number = float(value)
        return {
            ">=": number >= bound,
            "<": number < bound,
            ">": number > bound,
            "<=": number <= bound,
            "=": number == bound,
        }[sign]
    raise LookupError(f"the simulated cloud knows no filter {kind}")
