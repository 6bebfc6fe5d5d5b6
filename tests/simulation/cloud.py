"""AWS as the product's clients see it: every call passes here, and may fail on its way.

A call is two steps, before and after its effect; a process may die or stall in either. What the
SDK would send again after a fault is sent again here, as often as the client's settings say.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError

from simulation.queues import Queue, fits
from simulation.scheduler import Killed, Scheduler
from simulation.stack import Stack
from simulation.store import Store, refusal
from simulation.weather import Weather

JSON = dict[str, Any]
PROVIDERS = frozenset({"sesv2", "pinpoint-sms-voice-v2", "socialmessaging"})
"""Services that send messages: their clients run down to the wire."""
LATENCY = {"dynamodb": 0.004, "sns": 0.02, "sqs": 0.01, "ssm": 0.02, "lambda": 0.02, "s3": 0.03}
THROTTLED = {
    "dynamodb": "ProvisionedThroughputExceededException",
    "sns": "Throttled",
    "sqs": "RequestThrottled",
    "ssm": "ThrottlingException",
}
SPELL_OF = {"dynamodb": "store", "sns": "topic", "ssm": "secrets"}
Effect = Callable[[], JSON]


class Caller(NamedTuple):
    """Who calls: a client of a service, its attempts and the seconds it waits for each."""

    service: str
    attempts: int
    patience: float


class Cloud:
    """The stack's resources, and the one door to them."""

    def __init__(
        self, stack: Stack, store: Store, scheduler: Scheduler, weather: Weather, story: Any
    ) -> None:
        self.stack, self.store, self.scheduler = stack, store, scheduler
        self.weather, self.story = weather, story
        self.calm = True
        self.actor: Any = None
        self.returned: Callable[[Any], None] = lambda _: None
        self.parameters: dict[str, str] = {}
        self.queues: dict[str, Queue] = {}
        self.subscriptions = stack.of("AWS::SNS::Subscription")
        self._ids = 0

    def call(self, client: Caller, operation: str, told: JSON) -> JSON:
        """Answer a client's call; raises what the client would."""
        service = client.service
        if service == "dynamodb" and operation == "TransactWriteItems":
            told = {"ClientRequestToken": self.new_id(), **told}
        effect = self._effect(service, operation, told)
        actor = self.scheduler.current
        if self.calm or actor is None or actor.process is None:
            return effect()
        what = self.story.named(service, operation, told)
        for attempt in range(client.attempts):
            try:
                answer = self._attempt(service, operation, what, effect, client.patience)
            except Retryable as fault:
                if attempt + 1 == client.attempts:
                    raise fault.error from None
                self.step(self.weather.chance.uniform(0.02, 0.4))
            else:
                self.returned(actor.root)
                return answer
        raise AssertionError("a client makes at least one attempt")

    def step(self, seconds: float) -> None:
        """Let time pass in the process that runs; it may die in it, stall or freeze."""
        now, weather = self.scheduler.seconds, self.weather
        if weather.strikes("step-pause", now):
            seconds += weather.chance.choice(
                [weather.chance.uniform(1, 12), weather.chance.uniform(10, 55)]
            )
        if weather.strikes("step-freeze", now):
            # The machine stands still, and who would kill it does too.
            task = self.scheduler.current
            if task is not None and task.deadline is not None and task.root is task:
                seconds += weather.chance.uniform(30, 200)
                task.deadline += round(seconds * 1_000_000)
                self.story.tell("stands still", f"{seconds:.0f} s")
        self.scheduler.wait(seconds)
        if weather.strikes("step-crash", now):
            self.story.tell("dies")
            raise Killed

    def new_id(self) -> str:
        """Return an id of this run."""
        self._ids += 1
        return f"id-{self._ids:06d}"

    def _attempt(
        self, service: str, operation: str, what: str, effect: Effect, patience: float
    ) -> JSON:
        chance, latency = self.weather.chance, LATENCY[service]
        self.step(latency * chance.uniform(0.3, 2))
        fate = self._fate(service)
        if fate != "done":
            self.story.tell(what, fate)
        match fate:
            case "throttled":
                error = refusal(THROTTLED.get(service, "ThrottlingException"), operation)
                raise Retryable(error)
            case "failed":
                raise Retryable(refusal("InternalServerError", operation, status=500))
            case "lost":
                self.step(patience)
                raise Retryable(_unanswered(service, chance.random() < 0.5))
            case "late":
                delay = patience + chance.uniform(0.1, 20)
                self.scheduler.at(delay, self._afterwards(what, effect))
                self.step(patience)
                raise Retryable(_unanswered(service, connected=True))
        self.actor = self.scheduler.current.root
        try:
            answer = effect()
        except ClientError as error:
            self.story.tell(what, str(error.response["Error"]["Code"]))
            raise
        if fate == "unanswered":
            self.step(patience)
            raise Retryable(_unanswered(service, connected=True))
        if fate == "done":
            self.story.tell(what)
        self.step(latency * chance.uniform(0.3, 2))
        return answer

    def _fate(self, service: str) -> str:
        now = self.scheduler.seconds
        spell = SPELL_OF.get(service)
        if spell and now < self.weather.heals_at and self.weather.away(spell, now):
            return "throttled" if self.weather.chance.random() < 0.9 else "lost"
        return self.weather.one_of("call", now) or "done"

    def _afterwards(self, what: str, effect: Effect) -> Callable[[], None]:
        actor = self.scheduler.current.root

        def afterwards() -> None:
            self.actor = actor
            try:
                effect()
            except ClientError:
                self.story.tell(what, "arrives late, and is refused")
            else:
                self.story.tell(what, "arrives late")

        return afterwards

    def _effect(self, service: str, operation: str, told: JSON) -> Effect:
        if service == "dynamodb":
            return lambda: self.store.call(operation, told)
        found = getattr(self, f"_{service}_{operation}", None)
        if found is None:
            raise LookupError(f"the simulated cloud has no {service} {operation}")
        return lambda: found(told)

    # ------------------------------------------------------------------ SNS

    def _sns_Publish(self, told: JSON) -> JSON:  # noqa: N802 - named as the operation
        attributes = told.get("MessageAttributes", {})
        message_id = self.new_id()
        for each in self.subscriptions:
            if each.properties["TopicArn"] == told["TopicArn"] and fits(
                each.properties.get("FilterPolicy", {}), attributes
            ):
                self._deliver(
                    self.queue_of(each.properties["Endpoint"]), told["Message"], attributes
                )
        return {"MessageId": message_id}

    def _sns_PublishBatch(self, told: JSON) -> JSON:  # noqa: N802
        entries = told["PublishBatchRequestEntries"]
        for entry in entries:
            self._sns_Publish({"TopicArn": told["TopicArn"], **entry})
        return {"Successful": [{"Id": entry["Id"]} for entry in entries], "Failed": []}

    def _deliver(self, queue: Queue, body: str, attributes: JSON) -> None:
        chance, now = self.weather.chance, self.scheduler.seconds
        copies = 2 if self.weather.strikes("queue-twice", now) else 1
        if self.weather.strikes("queue-vanish", now):
            self.story.tell(f"{queue.name}", "a message is lost on its way")
            return
        for _ in range(copies):
            delay = chance.uniform(0.01, 0.2)
            if self.weather.strikes("queue-delayed", now):
                delay += chance.uniform(1, 120)
            if self.calm:
                queue.send(body, attributes)
            else:
                self.scheduler.at(delay, lambda: queue.send(body, attributes) and None)

    def _sns_GetTopicAttributes(self, told: JSON) -> JSON:  # noqa: N802
        return {"Attributes": {"TopicArn": told["TopicArn"]}}

    # ------------------------------------------------------------------ SQS

    def queue_of(self, place: str) -> Queue:
        """Return a queue by its ARN or address."""
        return self.queues[place.replace("/", ":").rpartition(":")[2]]

    def _sqs_SendMessage(self, told: JSON) -> JSON:  # noqa: N802
        sent = self.queue_of(told["QueueUrl"]).send(
            told["MessageBody"], told.get("MessageAttributes", {}), told.get("DelaySeconds", 0)
        )
        return {"MessageId": sent.message_id}

    def _sqs_ChangeMessageVisibility(self, told: JSON) -> JSON:  # noqa: N802
        seconds = told["VisibilityTimeout"]
        assert 0 <= seconds <= 43_200, "SQS takes at most twelve hours"
        if not self.queue_of(told["QueueUrl"]).hide(told["ReceiptHandle"], seconds):
            raise refusal("MessageNotInflight", "ChangeMessageVisibility")
        return {}

    def _sqs_DeleteMessage(self, told: JSON) -> JSON:  # noqa: N802
        self.queue_of(told["QueueUrl"]).delete(told["ReceiptHandle"])
        return {}

    def _sqs_ReceiveMessage(self, told: JSON) -> JSON:  # noqa: N802
        queue = self.queue_of(told["QueueUrl"])
        wanted = queue.visible()[: told.get("MaxNumberOfMessages", 1)]
        taken = [
            {
                "MessageId": message.message_id,
                "ReceiptHandle": message.receipt,
                "Body": message.body,
                "Attributes": attributes_of(message),
                "MessageAttributes": message.attributes,
            }
            for message in wanted
            if queue.receive(message)
        ]
        return {"Messages": taken} if taken else {}

    def _sqs_GetQueueAttributes(self, told: JSON) -> JSON:  # noqa: N802
        queue = self.queue_of(told["QueueUrl"])
        visible = len(queue.visible())
        return {
            "Attributes": {
                "ApproximateNumberOfMessages": str(visible),
                "ApproximateNumberOfMessagesNotVisible": str(len(queue.messages) - visible),
                "ApproximateNumberOfMessagesDelayed": "0",
                "QueueArn": queue.resource.arn,
            }
        }

    # ------------------------------------------------------------------ SSM

    def _ssm_GetParameter(self, told: JSON) -> JSON:  # noqa: N802
        if told["Name"] not in self.parameters:
            raise refusal("ParameterNotFound", "GetParameter")
        return {"Parameter": {"Name": told["Name"], "Value": self.parameters[told["Name"]]}}


class Retryable(Exception):  # noqa: N818 - a fault on the way, not an error of ours
    """A fault after which the SDK asks again."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _unanswered(service: str, connected: bool) -> Exception:
    kind = ReadTimeoutError if connected else ConnectTimeoutError
    return kind(endpoint_url=f"https://{service}.us-east-1.amazonaws.com", error="timed out")


def attributes_of(message: Any) -> dict[str, str]:
    """Return a message's system attributes, as SQS tells them."""
    return {
        "ApproximateReceiveCount": str(message.receives),
        "SentTimestamp": str(round(message.sent_at * 1000)),
        "ApproximateFirstReceiveTimestamp": str(round((message.first_received or 0) * 1000)),
        "SenderId": "simulation",
    }


def record_of(queue: Queue, message: Any) -> JSON:
    """Return a message as Lambda hands it to a function."""
    attributes = {
        name: {
            "stringValue": each.get("StringValue"),
            "dataType": each["DataType"],
            "stringListValues": [],
            "binaryListValues": [],
        }
        for name, each in message.attributes.items()
    }
    return {
        "messageId": message.message_id,
        "receiptHandle": message.receipt,
        "body": message.body,
        "attributes": attributes_of(message),
        "messageAttributes": json.loads(json.dumps(attributes)),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue.resource.arn,
        "awsRegion": "us-east-1",
    }
