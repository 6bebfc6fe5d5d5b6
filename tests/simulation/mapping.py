"""Event source mappings: what hands the queues' messages to functions, and deletes what is done.

Of a standard queue: in no order, in batches of any size, and now and then a message once more.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simulation.cloud import record_of
from simulation.queues import Message, Queue

if TYPE_CHECKING:
    from simulation.lambdas import Function

JSON = dict[str, Any]
WORKERS = 3
"""Invocations of a function at one time, at most."""


class Mappings:
    """The queues of a world and who consumes them."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.scheduler, self.weather = world.scheduler, world.weather
        self.story, self.cloud = world.story, world.cloud
        for each in world.stack.of("AWS::SQS::Queue"):
            self.cloud.queues[each.name] = Queue(
                each, lambda: self.scheduler.seconds, self.cloud.new_id, self._heard, self._waiting
            )
        for queue in self.cloud.queues.values():
            policy = queue.resource.properties.get("RedrivePolicy")
            if policy:
                queue.dead_letters = self.cloud.queue_of(policy["deadLetterTargetArn"])
                queue.most_receives = self.weather.most_receives or queue.most_receives
        self.consumers: dict[str, tuple[Function, JSON]] = {}
        for function in world.functions.values():
            for told in function.queues:
                self.consumers[self.cloud.queue_of(told["Queue"]).name] = (function, told)

    def are_empty(self) -> bool:
        """Tell whether nothing waits for a function."""
        return not any(self.cloud.queues[name].messages for name in self.consumers)

    def bodies(self) -> dict[str, list[str]]:
        """Return what the queues still hold, by channel."""
        found: dict[str, list[str]] = {}
        for queue in self.cloud.queues.values():
            channel = queue.name.partition("Channel")[0].lower()
            found.setdefault(channel, []).extend(each.body for each in queue.messages)
        return found

    def _heard(self, what: str, queue: Queue, message: Message) -> None:
        if what in ("given up", "lapsed") or (what == "sent" and queue.name not in self.consumers):
            self.story.tell(f"{queue.name} {message.message_id}", what)
            self.world.oracle.counts[f"messages {what}"] += what != "sent"

    def _waiting(self, queue: Queue, delay: float) -> None:
        if queue.name in self.consumers:
            spread = self.weather.chance.uniform(0.001, 0.5)
            self.scheduler.at(delay + spread, lambda: self._poll(queue))

    def _poll(self, queue: Queue) -> None:
        function, told = self.consumers[queue.name]
        chance, now = self.weather.chance, self.scheduler.seconds
        if self.world.running[function.name] >= WORKERS:
            return
        visible = queue.visible()
        if not visible:
            return
        most = min(int(told.get("BatchSize", 10)), len(visible))
        chosen = chance.sample(visible, chance.randint(1, most))
        batch = [
            record_of(queue, each)
            for each in chosen
            if queue.receive(each, stays=self.weather.strikes("queue-twice", now))
        ]
        if batch:
            receipts = {each["messageId"]: each["receiptHandle"] for each in batch}
            task = self.world.invoke(
                function,
                {"Records": batch},
                lambda answer: self._settle(queue, receipts, answer),
                lambda: self._waiting(queue, 0.0),
            )
            self.story.lines.append(
                (self.scheduler.now, task.name, "takes", " ".join(sorted(receipts)))
            )
        if len(visible) > len(chosen):
            self._waiting(queue, 0.0)

    def _settle(self, queue: Queue, receipts: Mapping[str, str], answer: JSON) -> None:
        """Delete what the function is done with, as the event source mapping does."""
        self.scheduler.wait(self.weather.chance.uniform(0.001, 0.05))
        if self.weather.strikes("step-crash", self.scheduler.seconds):
            self.story.tell("the mapping dies", "nothing is deleted")
            return
        failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
        assert failed <= set(receipts), "a failure is reported of a message that was not handed out"
        for message_id, receipt in receipts.items():
            if message_id in failed:
                continue
            found = queue.find(receipt)
            queue.delete(receipt)
            if found and self.weather.strikes("queue-ghost", self.scheduler.seconds):
                self._haunt(queue, found)

    def _haunt(self, queue: Queue, message: Message) -> None:
        """Let a deleted message come again, as standard queues may."""

        def again() -> None:
            self.story.tell(f"{queue.name} {message.message_id}", "comes again though deleted")
            queue.send(message.body, message.attributes, sent_at=message.sent_at)

        self.scheduler.at(self.weather.chance.uniform(0.5, 90), again)
