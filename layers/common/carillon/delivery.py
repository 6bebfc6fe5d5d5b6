"""A channel's worker: parse the batch, claim, render, send, record, report what failed.

A handler is ``lambda_handler = consumer(channel, {provider: send})``; a ``send`` returns or raises
ProviderError. The claim is a conditional update with an owner and a lease: of any number of
copies of a message, one makes the call (docs/guarantees.md).
"""

import math
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from carillon import metrics
from carillon.aws import PROVIDER_TIMEOUT, secret, sqs
from carillon.errors import (
    Failure,
    PoisonMessageError,
    ProviderError,
    RenderError,
    SettingMissingError,
)
from carillon.ledger import REPORTED, counted_under, happened, no_error, update
from carillon.log import logger, trace
from carillon.messages import Message, target_of
from carillon.models import Channel, State, now, timestamp
from carillon.rendering import Content, content_hash
from carillon.settings import settings
from carillon.tables import Delivery, expiry, tenant_key
from carillon.templates import content_for

T = TypeVar("T")

SEND_BUDGET = 2 * PROVIDER_TIMEOUT + 10
"""Seconds a claimed send may need: FCM asks for an access token first; then the outcome's write."""
LEASE_MARGIN = 5
"""Seconds a lease outlives the function that holds it."""
BACKOFF_BASE = 2.0
BACKOFF_CAP = 900.0
WORKER = "worker"
NOT_RENDERABLE = "not-renderable"
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
Batch = dict[str, list[dict[str, str]]]


class NotNowError(Exception):
    """The queue message must come again: not before ``floor`` seconds, spread out if ``jitter``."""

    def __init__(self, floor: float = 0.0, *, jitter: bool = False) -> None:
        super().__init__(f"not within {floor:.0f} s")
        self.floor = floor
        self.jitter = jitter

    def longer(self, other: "NotNowError | None") -> "NotNowError":
        """Return the wait that suits both."""
        if other is None:
            return self
        return NotNowError(max(self.floor, other.floor), jitter=self.jitter or other.jitter)


def consumer(
    channel: Channel, providers: Mapping[str, Send]
) -> Callable[[Mapping[str, Any], LambdaContext], Batch]:
    """Return the Lambda handler of ``channel``'s queue, reporting partial batch failures."""

    def lambda_handler(event: Mapping[str, Any], context: LambdaContext) -> Batch:
        send = providers[in_use(channel, providers)[0]]
        again = [
            {"itemIdentifier": record["messageId"]}
            for record in event["Records"]
            if not _consume(channel, send, record, context)
        ]
        logger().info(
            "batch",
            extra={"channel": channel, "size": len(event["Records"]), "again": len(again)},
        )
        metrics.end(flush=_remaining(context) > SEND_BUDGET)
        return {"batchItemFailures": again}

    return lambda_handler


def in_use(channel: Channel, providers: Mapping[str, Send]) -> list[str]:
    """Return the names of the providers to use, best first; raises SettingMissingError."""
    named = getattr(settings(), f"{channel.value}_provider", "") or next(iter(providers))
    chosen = [name.strip() for name in named.split(",")]
    if unknown := set(chosen) - set(providers):
        variable = f"{channel.value.upper()}_PROVIDER"
        raise SettingMissingError(f"{variable}={','.join(sorted(unknown))}: such a provider")
    return chosen


def _consume(
    channel: Channel, send: Send, record: Mapping[str, Any], context: LambdaContext
) -> bool:
    """Process one queue message; True when it is done with and may leave the queue."""
    logger().set_correlation_id(None)
    try:
        return _process(channel, send, record, context)
    except Exception as error:  # noqa: BLE001 - logged, and the message stays
        # Whatever it was, the message stays: nothing accepted is lost to a bug of ours.
        logger().error(
            "delivery crashed", extra={"sqs_message_id": record["messageId"], **trace(error)}
        )
        return False


def _process(
    channel: Channel, send: Send, record: Mapping[str, Any], context: LambdaContext
) -> bool:
    try:
        _deliver_all(channel, send, _parse(record["body"]), context)
    except PoisonMessageError as poison:
        _park(record, str(poison))
    except NotNowError as later:
        _come_again(record, later)
        return False
    return True


def _parse(body: str) -> Message:
    try:
        return Message.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise PoisonMessageError(f"{where}: {first['msg']}" if where else first["msg"]) from None


def _park(record: Mapping[str, Any], reason: str) -> None:
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


def _come_again(record: Mapping[str, Any], later: NotNowError) -> None:
    delay = later.floor
    if later.jitter:
        delay = backoff(int(record["attributes"]["ApproximateReceiveCount"]), later.floor)
    sqs().change_message_visibility(
        QueueUrl=settings().required("queue_url"),
        ReceiptHandle=record["receiptHandle"],
        VisibilityTimeout=min(math.ceil(delay), MAX_VISIBILITY),
    )


def _deliver_all(channel: Channel, send: Send, message: Message, context: LambdaContext) -> None:
    """Deliver to each address of the channel; raises the longest NotNowError of them."""
    logger().set_correlation_id(message.correlation_id)
    addresses = message.targets.get(channel)
    if not addresses:
        raise PoisonMessageError(f"the message names no target for {channel.value}")
    later: NotNowError | None = None
    for address in addresses:
        try:
            _deliver(channel, send, message, address, context)
        except NotNowError as error:
            later = error.longer(later)
    if later:
        raise later


def _deliver(
    channel: Channel, send: Send, message: Message, address: str, context: LambdaContext
) -> None:
    # Rendered before it is claimed: a store that does not answer then holds no claim back.
    content, fault = _render(message, channel)
    remaining = _remaining(context)
    if remaining < SEND_BUDGET:
        raise NotNowError
    claim = _claim(message, target_of(channel, address), content, remaining)
    if claim is None:
        return
    if message.expires_at and message.expires_at <= timestamp(now()):
        claim.expire()
        return
    if fault:
        claim.end(State.FAILED, _error(Failure.PERMANENT, NOT_RENDERABLE, fault), NOT_RENDERABLE)
        return
    if _remaining(context) < SEND_BUDGET:
        claim.fail(ProviderError(Failure.THROTTLE, "no-time-left", "the claim took too long"))
        return
    try:
        with metrics.timed("delivery_attempt_duration_seconds", channel=channel.value):
            platform = message.platforms.get(claim.delivery.target)
            sent = _send_once(send, Outgoing(message, address, content, platform))
    except ProviderError as error:
        claim.fail(error)
    else:
        claim.sent(sent)


def _remaining(context: LambdaContext) -> float:
    return context.get_remaining_time_in_millis() / 1000


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
    if outgoing.message.test:
        return Sent("test", f"test_{outgoing.message.notification_id}")
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


def _claim(message: Message, target: str, content: Content, remaining: float) -> "_Claim | None":
    """Take the delivery, or return None when it has ended; raises NotNowError when it is held.

    One conditional update; a second one only to take over a lapsed lease, whose holder may have
    sent.
    """
    delivery = Delivery(message.notification_id, target)
    owner = secrets.token_hex(8)
    lease = int(time.time() + remaining) + LEASE_MARGIN
    actions = [
        Delivery.state.set(State.SENDING),
        Delivery.owner.set(owner),
        Delivery.lease_until.set(lease),
        Delivery.attempts.set((Delivery.attempts | 0) + 1),
        *([Delivery.content_hash.set(content_hash(content))] if content else []),
        Delivery.accepted_at.set(message.accepted_at),
        Delivery.updated_at.set(timestamp(now())),
        Delivery.expires_at.set(expiry(now())),
        *counted_under(
            tenant_key(message.tenant, message.client_id),
            message.accepted_at,
            message.category,
            message.template.code if message.template else None,
        ),
    ]
    free = Delivery.state.does_not_exist() | (Delivery.state == State.RETRYING)
    if update(delivery, actions, free):
        return _Claim(delivery, owner, message.at_most_once)
    delivery.refresh(consistent_read=True)
    if delivery.owner == owner and delivery.state == State.SENDING:
        # The first update was made, only its answer was lost.
        return _Claim(delivery, owner, message.at_most_once)
    if delivery.state != State.SENDING:
        return None
    return _take_over(message, delivery, actions, owner)


def _take_over(
    message: Message, delivery: Delivery, actions: Sequence[Action], owner: str
) -> "_Claim | None":
    """Take a delivery whose holder's lease has lapsed.

    Give it up when its attempts are spent, or when it may have gone and must not go twice.
    """
    lapsed_at = delivery.lease_until or 0
    if lapsed_at > time.time():
        raise NotNowError(lapsed_at - time.time() + 1)
    still_held = (Delivery.lease_until == lapsed_at) & (Delivery.state == State.SENDING)
    spent = message.at_most_once or delivery.attempts > settings().max_retries
    attempt = {"attempt": int(delivery.attempts), "code": "no-outcome"}
    if spent:
        taken = [
            Delivery.state.set(State.UNKNOWN),
            Delivery.updated_at.set(timestamp(now())),
            *_error(Failure.UNKNOWN, "no-outcome", "no attempt lived to tell its outcome"),
            happened(State.SENDING, State.UNKNOWN, WORKER, attempt),
        ]
    else:
        taken = [*actions, happened(State.SENDING, State.SENDING, WORKER, attempt)]
    if not update(delivery, [*taken, Delivery.maybe_sent.set(True)], still_held):
        # Its holder, or another, was quicker; this copy of the message may be the one they need.
        raise NotNowError(LEASE_MARGIN)
    if spent:
        _count(delivery, State.UNKNOWN)
    return None if spent else _Claim(delivery, owner, message.at_most_once)


@dataclass(frozen=True, slots=True)
class _Claim:
    """The right to make one provider call, and the duty to record what came of it."""

    delivery: Delivery
    owner: str
    at_most_once: bool

    def sent(self, sent: Sent) -> None:
        """Record SENT: a fact, written even when the lease has passed to somebody else."""
        logger().info("sent", extra={"provider_message_id": sent.provider_message_id})
        actions = [
            Delivery.provider.set(sent.provider),
            Delivery.provider_message_id.set(sent.provider_message_id),
            *no_error(self.delivery),
        ]
        if not self._write(State.SENT, actions, self._held()):
            self._write(State.SENT, actions, _not_beyond_sent())

    def end(self, state: State, actions: list[Action], code: str) -> None:
        """Record a final state; raises NotNowError when the claim has passed to somebody else."""
        if not self._write(state, actions, self._held(), code):
            raise NotNowError(LEASE_MARGIN)

    def expire(self) -> None:
        """End it without a call: too late for its reader."""
        attempts = Delivery.attempts.set(self.delivery.attempts - 1)
        state = State.UNKNOWN if self.delivery.maybe_sent else State.EXPIRED
        self.end(state, [attempts], "expired")

    def _held(self) -> Condition:
        """Condition that the claim is still ours: a late SENT of another ends it too."""
        held: Condition = (Delivery.owner == self.owner) & (Delivery.state == State.SENDING)
        return held

    def fail(self, error: ProviderError) -> None:
        """Record a failed call; raises NotNowError when another attempt is to be made."""
        told = _error(error.failure, error.code, error.message)
        if error.failure in (Failure.PERMANENT, Failure.RECIPIENT):
            self.end(self._failed_state(), told, error.code)
            return
        free = error.failure in (Failure.THROTTLE, Failure.CONFIG)
        if error.failure is Failure.UNKNOWN:
            self.delivery.maybe_sent = True
            told.append(Delivery.maybe_sent.set(True))
        if self._gives_up(error.failure, free=free):
            self.end(self._failed_state(), told, error.code)
            return
        # An outage is one line of the history, however often it is met.
        known = free and self.delivery.error_code == error.code
        if free:
            told.append(Delivery.attempts.set(self.delivery.attempts - 1))
        self._write(State.RETRYING, told, self._held(), None if known else error.code)
        raise NotNowError(error.retry_after or 0.0, jitter=True)

    def _gives_up(self, failure: Failure, *, free: bool) -> bool:
        if failure is Failure.UNKNOWN and self.at_most_once:
            return True
        return not free and self.delivery.attempts > settings().max_retries

    def _failed_state(self) -> State:
        return State.UNKNOWN if self.delivery.maybe_sent else State.FAILED

    def _write(
        self, state: State, actions: list[Action], condition: Condition, code: str | None = ""
    ) -> bool:
        """Write a state; ``code`` is the error's for the history, None leaves no line there."""
        told = {
            "notification_id": self.delivery.notification_id,
            "target": self.delivery.target,
            "state": state,
        }
        logger().info("delivery", extra=told)  # before the write, which may fail
        done: list[Action] = [Delivery.state.set(state), Delivery.updated_at.set(timestamp(now()))]
        if code is not None:
            line = {"attempt": int(self.delivery.attempts)} | ({"code": code} if code else {})
            done.append(happened(State.SENDING, state, WORKER, line))
        written = update(self.delivery, [*done, *actions], condition)
        if written:
            _count(self.delivery, state)
        else:
            logger().warning("not recorded: the claim has passed on", extra=told)
        return written


def _count(delivery: Delivery, state: State) -> None:
    channel = delivery.target.partition("#")[0]
    metrics.count("deliveries_total", channel=channel, state=state.value)


def _not_beyond_sent() -> Condition:
    """Condition that a late success is news: nothing was delivered or bounced meanwhile."""
    ended: Condition = Delivery.state.is_in(State.SENT, State.DELIVERED)
    bounced: Condition = Delivery.error_code == REPORTED
    news: Condition = ~ended & ~bounced
    return news


def _error(failure: Failure, code: str, message: str) -> list[Action]:
    return [
        Delivery.failure.set(failure),
        Delivery.error_code.set(code),
        Delivery.error_message.set(message[:256]),
    ]


def backoff(receives: int, floor: float) -> float:
    """Seconds to wait after the ``receives``-th receive: exponential, full jitter, at least 1.

    A provider's Retry-After is the floor ("Exponential Backoff And Jitter", AWS Architecture
    Blog).
    """
    ceiling = min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(receives, 10))
    return max(1.0, floor, random.uniform(0, ceiling))  # noqa: S311 - jitter
