"""A channel's worker: parse the batch, claim, render, send, record, report what failed.

A handler is ``lambda_handler = consumer(channel, {provider: send})``; a ``send`` returns or raises
ProviderError. What a claim is, and what becomes of a delivery, is in claims.py.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from carillon import breaker, budgets, controls, legs, messages, metrics, spending
from carillon.aws import secret, sqs
from carillon.breaker import Way
from carillon.claims import Claim, NotNowError, abandon, claim, pause
from carillon.content import Content
from carillon.errors import (
    Failure,
    PoisonMessageError,
    ProviderError,
    RenderError,
    SettingMissingError,
)
from carillon.failures import SEND_TIMEOUT
from carillon.log import logger, trace
from carillon.messages import Message, target_of
from carillon.models import TEST, Channel, State, now, timestamp
from carillon.settings import settings
from carillon.suppressions import deactivate
from carillon.templates import content_for
from carillon.tracing import traced
from carillon.wishes import Wishes

T = TypeVar("T")

SEND_BUDGET = SEND_TIMEOUT + 10
"""Seconds a claimed send may need, and then the outcome's write."""
NOT_RENDERABLE = "not-renderable"
SWITCHED_OFF_SECONDS = 30.0
MAX_VISIBILITY = 39_600
"""Seconds: SQS's limit of twelve hours counts from the receive, so an hour less."""


class LambdaContext(Protocol):
    """What the worker needs of the Lambda context."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the time left to this invocation."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One rendered message to one address, as a channel's ``send`` gets it.

    ``platform`` is "ios", "android" or "web" where a device is known to be one.
    """

    message: Message
    address: str
    content: Content
    platform: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider's word that it took the message: who, and under which id."""

    provider: str
    provider_message_id: str


Send = Callable[[Outgoing], Sent]
Record = Mapping[str, Any]
Batch = dict[str, list[dict[str, str]]]


@dataclass(frozen=True, slots=True)
class _Worker:
    """A channel's worker during one invocation."""

    channel: Channel
    providers: Mapping[str, Send]
    context: LambdaContext
    wishes: Wishes

    def has_time(self) -> bool:
        """Tell whether a call that is begun now can be finished and recorded."""
        return self.remaining() >= SEND_BUDGET

    def remaining(self) -> float:
        """Return the seconds this invocation has left."""
        return self.context.get_remaining_time_in_millis() / 1000


def consumer(
    channel: Channel, providers: Mapping[str, Send]
) -> Callable[[Mapping[str, Any], LambdaContext], Batch]:
    """Return the Lambda handler of ``channel``'s queues, reporting partial batch failures."""

    def lambda_handler(event: Mapping[str, Any], context: LambdaContext) -> Batch:
        parsed = [(record, _parsed(record)) for record in event["Records"]]
        batch = [message for _, message in parsed if isinstance(message, Message)]
        worker = _Worker(channel, providers, context, Wishes(channel, batch))
        again = [
            {"itemIdentifier": record["messageId"]}
            for record, message in parsed
            if not _consume(worker, record, message)
        ]
        logger().info(
            "batch",
            extra={"channel": channel, "size": len(event["Records"]), "again": len(again)},
        )
        metrics.end(flush=worker.has_time())
        return {"batchItemFailures": again}

    return lambda_handler


def _parsed(record: Record) -> Message | Exception:
    try:
        return messages.read(record["body"])
    except Exception as error:  # noqa: BLE001 - raised again in its turn
        return error


def _consume(worker: _Worker, record: Record, message: Message | Exception) -> bool:
    """Process one queue message; True when it is done with and may leave the queue."""
    logger().set_correlation_id(None)
    try:
        return _process(worker, record, message)
    except Exception as error:  # noqa: BLE001 - logged, and the message stays
        # Whatever it was, the message stays: nothing accepted is lost to a bug of ours.
        logger().error(
            "delivery crashed", extra={"sqs_message_id": record["messageId"], **trace(error)}
        )
        return False


def _process(worker: _Worker, record: Record, message: Message | Exception) -> bool:
    try:
        if isinstance(message, Exception):
            raise message
        told = {"correlation_id": message.correlation_id, "channel": worker.channel.value}
        with traced("delivery", notification_id=message.notification_id, **told):
            _deliver_all(worker, message, _receives(record))
    except PoisonMessageError as poison:
        _park(record, str(poison))
    except NotNowError as later:
        _come_again(record, later)
        return False
    return True


def _receives(record: Record) -> int:
    return int(record["attributes"]["ApproximateReceiveCount"])


def _park(record: Record, reason: str) -> None:
    """Move a poison message to the dead-letter queue with its reason."""
    sqs().send_message(
        QueueUrl=settings().required("dead_letter_queue_url"),
        MessageBody=record["body"],
        MessageAttributes={
            "reason": {"DataType": "String", "StringValue": reason[:1024]},
            "sqs_message_id": {"DataType": "String", "StringValue": record["messageId"]},
        },
    )
    logger().error("parked", extra={"reason": reason, "sqs_message_id": record["messageId"]})


def _come_again(record: Record, later: NotNowError) -> None:
    sqs().change_message_visibility(
        QueueUrl=_queue_of(record),
        ReceiptHandle=record["receiptHandle"],
        VisibilityTimeout=min(math.ceil(later.delay), MAX_VISIBILITY),
    )


def _queue_of(record: Record) -> str:
    """Return the queue the message came from: a channel has one per lane."""
    name = record.get("eventSourceARN", "").rpartition(":")[2]
    urgent = settings().urgent_queue_url
    return urgent if name and urgent.endswith(f"/{name}") else settings().required("queue_url")


def _deliver_all(worker: _Worker, message: Message, receives: int) -> None:
    """Deliver to each address of the channel; raises the longest NotNowError of them."""
    logger().set_correlation_id(message.correlation_id)
    addresses = message.targets.get(worker.channel)
    if not addresses:
        fault = f"the message names no target for {worker.channel.value}"
        raise PoisonMessageError(fault, "no-target")
    later: NotNowError | None = None
    states: list[State] = []
    for address in addresses:
        try:
            states.append(_deliver(worker, message, address, receives))
        except NotNowError as error:
            later = error if later is None or error.delay > later.delay else later
    if later:
        states = _overdue(worker.channel, message, later)
    if legs.missed(states):
        legs.pass_on(message, worker.channel)


def _overdue(channel: Channel, message: Message, later: NotNowError) -> list[State]:
    """End a turn that has lasted long enough; raises NotNowError while it has not."""
    left = legs.time_left(message, channel)
    if left is None:
        raise later
    if left > 0:
        raise NotNowError(min(later.delay, left + 1))
    targets = legs.targets_of(message, channel)
    return [abandon(message, target, "turn-over") for target in targets]


def _deliver(worker: _Worker, message: Message, address: str, receives: int) -> State:
    """Make one attempt; return the state it ended in, or raise NotNowError."""
    way = _way(worker, message, address, receives)
    # What it needs to know is read before it is claimed: a store that does not answer then holds
    # no claim back.
    content, fault = _render(message, worker.channel)
    unwelcome = budgets.withheld(message, worker.channel)
    unwelcome = unwelcome or worker.wishes.against(message, address)
    if not worker.has_time():
        raise NotNowError
    target = target_of(worker.channel, address)
    held = claim(message, target, content, worker.remaining(), receives)
    if isinstance(held, State):
        return held
    if message.expires_at and message.expires_at <= timestamp(now()):
        return held.expire()
    if unwelcome:
        return held.withhold(unwelcome)
    if fault:
        return held.refuse(Failure.PERMANENT, NOT_RENDERABLE, fault)
    if not worker.has_time():
        held.release(0.0, "no-time-left")
    outgoing = Outgoing(message, address, content, message.platforms.get(target))
    return _attempt(worker, held, way, outgoing)


def _attempt(worker: _Worker, held: Claim, way: Way | None, outgoing: Outgoing) -> State:
    if way is None:
        return held.sent(TEST, f"test_{outgoing.message.notification_id}")
    # Before the call: between its answer and the write of it nothing else is to happen.
    cost = spending.of_delivery(
        outgoing.message, worker.channel, outgoing.address, outgoing.content, way.provider
    )
    if not way.enter():
        held.release(breaker.OPEN_SECONDS, "breaker-open")
    try:
        with metrics.timed("delivery_attempt_duration_seconds", channel=worker.channel.value):
            sent = _send_once(worker.providers[way.provider], outgoing)
    except ProviderError as error:
        told = {"provider": way.provider, "failure": error.failure.value}
        metrics.count("provider_errors_total", **told)
        try:
            return held.fail(error, free=way.probing and error.failure is Failure.RETRY)
        finally:
            way.failed(error)
            if error.failure is Failure.RECIPIENT:
                deactivate(outgoing.message, worker.channel, outgoing.address, error.code)
                worker.wishes.forget()
    state = held.sent(sent.provider, sent.provider_message_id, cost)
    way.succeeded()
    return state


def _way(worker: _Worker, message: Message, address: str, receives: int) -> Way | None:
    """Return which provider to go through, None with a test key; raises NotNowError.

    It is the first of those in use that is not switched off and whose breaker lets it through.
    """
    if scope := controls.paused_by(message, worker.channel):
        logger().info("switched off", extra={"switch": scope})
        raise NotNowError(pause(receives, SWITCHED_OFF_SECONDS))
    if message.test:
        return None
    platform = message.platforms.get(target_of(worker.channel, address))
    names = in_use(worker.channel, worker.providers)
    open_ways = [
        breaker.way(name, platform)
        for name in names
        if not controls.known().is_off(f"provider#{name}")
    ]
    if free := next((way for way in open_ways if way.wait <= 0), None):
        return free
    wait = min((way.wait for way in open_ways), default=SWITCHED_OFF_SECONDS)
    raise NotNowError(pause(receives, wait))


def in_use(channel: Channel, providers: Mapping[str, Send]) -> list[str]:
    """Return the names of the providers to use, best first; raises SettingMissingError."""
    named = getattr(settings(), f"{channel.value}_provider", "") or next(iter(providers))
    chosen = [name.strip() for name in named.split(",")]
    if unknown := set(chosen) - set(providers):
        variable = f"{channel.value.upper()}_PROVIDER"
        raise SettingMissingError(f"{variable}={','.join(sorted(unknown))}: such a provider")
    return chosen


def _render(message: Message, channel: Channel) -> tuple[Content, str]:
    """Return the channel's content, or why there is none."""
    try:
        return content_for(message, channel), ""
    except RenderError as error:
        return {}, str(error)


def configured(make: Callable[[], T]) -> T:
    """Return what a provider needs before any request; raises ProviderError (CONFIG).

    A secret that was no good is read anew the next time.
    """
    try:
        return make()
    except Exception as error:
        secret.cache_clear()
        logger().error("provider not configured", extra=trace(error))
        raise ProviderError(
            Failure.CONFIG, type(error).__name__, "the provider's account is not usable"
        ) from error


def _send_once(send: Send, outgoing: Outgoing) -> Sent:
    """Call ``send``; an exception it has no class for may have come after the request."""
    try:
        sent = send(outgoing)
    except ProviderError:
        raise
    except Exception as error:
        logger().error("unclassified provider error", extra=trace(error))
        raise ProviderError(Failure.UNKNOWN, type(error).__name__, "unclassified") from error
    if not sent.provider_message_id:
        # A 2xx is no proof.
        raise ProviderError(Failure.UNKNOWN, "no-message-id", "the reply names no message")
    return sent
