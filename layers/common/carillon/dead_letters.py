"""What was given up, made known: each dead letter becomes an item that lists find.

Poison was parked by a worker, with its reason; anything else was received a hundred times, or the
topic could not put it into its queue. The item and the end of its open deliveries are written
together, once, however often the message comes: a letter that was sent again since is left alone.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from carillon import letters, messages, metrics
from carillon.errors import PoisonMessageError, too_many_writers
from carillon.ledger import Counted, lay_aside, state_of
from carillon.letters import Letter
from carillon.log import logger
from carillon.messages import Message, channel_of, target_of
from carillon.models import Channel, State, now, timestamp
from carillon.status import message_of, recorded
from carillon.storage import Step, is_new, saving, transact
from carillon.tables import Delivery, Notification, tenant_key

NOBODYS = "default"
"""The tenant whose operators see what names none: the administrator's."""
RACES = 5
MOST_AT_ONCE = 90
"""Deliveries that end with the letter's own write: a transaction has a hundred items."""
COUNTED = 1000
"""As far as standing letters are counted: an alarm needs to know of one."""
MAX_REASON = 512
_MESSAGE_ID = re.compile(r"[A-Za-z0-9-]{1,100}")


@dataclass(frozen=True, slots=True)
class Parked:
    """A message from a dead-letter queue, and what is known of its notification.

    ``reason`` is what whoever gave it up wrote on it, ``fault`` what is wrong with it today.
    """

    channel: Channel
    letter_id: str
    body: str
    reason: str
    code: str
    receives: int
    message: Message | None
    fault: PoisonMessageError | None
    record: Notification | None


@dataclass(frozen=True, slots=True)
class Found:
    """A delivery of the letter, as it was just read."""

    delivery: Delivery
    state: State


def index(event: Mapping[str, Any], channel: Channel) -> bool:
    """Record a message of the dead-letter queue of ``channel``; False when there is nothing to.

    ``event`` is Lambda's record of it. Raises HeldError while a worker still holds one of its
    deliveries, Problem (409) among many writers.
    """
    parked = _read(event, channel)
    if parked.record is not None and parked.record.erased:
        logger().info("erased since", extra={"letter_id": parked.letter_id})
        return False
    for _ in range(RACES):
        if _known(parked):
            return False
        found = [Found(delivery, state_of(delivery)) for delivery in _deliveries(parked)]
        letter = _letter(parked, found)
        ends = _ends(parked, found, letter)
        for early in ends[MOST_AT_ONCE:]:
            transact(early)
        if transact(saving(letter, is_new(letter)), *ends[:MOST_AT_ONCE]):
            _tell(letter, len(ends))
            return True
    raise too_many_writers()


def _read(event: Mapping[str, Any], channel: Channel) -> Parked:
    written = {
        name: attribute["stringValue"]
        for name, attribute in event["messageAttributes"].items()
        if attribute["dataType"] == "String"
    }
    # Of a message that a worker parked twice, before it could delete it, there is one letter.
    named = written.get("sqs_message_id", "")
    message, fault = _understood(event["body"], channel)
    return Parked(
        channel=channel,
        letter_id=named if _MESSAGE_ID.fullmatch(named) else event["messageId"],
        body=event["body"],
        # The topic's own words, when it could not deliver.
        reason=written.get("reason") or written.get("ErrorMessage", ""),
        code="not-queued" if "ErrorCode" in written else written.get("code", ""),
        receives=int(event["attributes"]["ApproximateReceiveCount"]),
        message=message,
        fault=fault,
        record=recorded(message.notification_id if message else _named(event["body"])),
    )


def _understood(body: str, channel: Channel) -> tuple[Message | None, PoisonMessageError | None]:
    try:
        message = messages.read(body)
    except PoisonMessageError as fault:
        return None, fault
    if channel not in message.targets:
        return message, PoisonMessageError("the message names no such target", "no-target")
    return message, None


def _named(body: str) -> str:
    """Return the notification that a message of another making seems to be of."""
    with suppress(ValueError, RecursionError):
        told = json.loads(body)
        if isinstance(told, dict) and isinstance(told.get("notification_id"), str):
            return str(told["notification_id"])
    return ""


def _known(parked: Parked) -> bool:
    try:
        Letter.get(_about(parked), parked.letter_id, consistent_read=True)
    except Letter.DoesNotExist:
        return False
    return True


def _about(parked: Parked) -> str:
    notification_id = _notification_id(parked)
    return notification_id or f"none#{parked.letter_id}"


def _notification_id(parked: Parked) -> str | None:
    if parked.message:
        return parked.message.notification_id
    return parked.record.notification_id if parked.record else None


def _deliveries(parked: Parked) -> list[Delivery]:
    """Return the deliveries that the message was for, on this channel."""
    if parked.message:
        addresses = parked.message.targets.get(parked.channel, ())
        targets = [target_of(parked.channel, address) for address in addresses]
    else:
        known = parked.record.targets if parked.record else ()
        targets = [target for target in known if channel_of(target) is parked.channel]
    notification_id = _notification_id(parked)
    return [Delivery(notification_id, target) for target in targets]


def _letter(parked: Parked, found: Sequence[Found]) -> Letter:
    moment = now()
    code, reason = _why(parked, found)
    template = _template(parked)
    letter = Letter(
        _about(parked),
        parked.letter_id,
        tenant=_tenant(parked),
        channel=parked.channel.value,
        code=code,
        reason=reason[:MAX_REASON],
        template_code=template,
        notification_id=_notification_id(parked),
        targets=[each.delivery.target for each in found],
        parked_at=timestamp(moment),
        fingerprint=fingerprint(parked.channel, code, template),
        attempts=max((int(each.delivery.attempts) for each in found), default=0),
        receives=parked.receives,
        body=letters.deflated(parked.body),
        expires_at=letters.expiry(moment),
    )
    return letters.stands(letter)


def fingerprint(channel: Channel, code: str, template_code: str | None) -> str:
    """Return what letters given up for the same reason have in common."""
    seed = "\0".join((channel.value, code, template_code or ""))
    return hashlib.sha256(seed.encode()).hexdigest()[:16]


def _why(parked: Parked, found: Sequence[Found]) -> tuple[str, str]:
    """Return the code and the words of the reason."""
    if parked.fault:
        return parked.fault.code, parked.reason or str(parked.fault)
    if parked.reason:
        # Nothing is wrong with it any more: whoever parked it knew less than we do.
        return parked.code or "parked", parked.reason
    for each in found:
        if each.delivery.error_code:
            return each.delivery.error_code, each.delivery.error_message or ""
    return "no-outcome", f"received {parked.receives} times and never done with"


def _template(parked: Parked) -> str | None:
    if parked.message:
        return parked.message.template.code if parked.message.template else None
    return parked.record.template_code if parked.record else None


def _tenant(parked: Parked) -> str:
    if parked.message:
        return parked.message.tenant
    return parked.record.sender.partition("#")[0] if parked.record else NOBODYS


def _ends(parked: Parked, found: Sequence[Found], letter: Letter) -> list[Step]:
    """Return the steps that end what is open of the letter's deliveries."""
    whose = _whose(parked)
    if whose is None:
        return []
    told = {"reason": letter.reason, "code": letter.code, "letter": letter.letter_id}
    steps = (
        lay_aside(each.delivery, each.state, whose, told, once=_once(parked)) for each in found
    )
    return [step for step in steps if step]


def _whose(parked: Parked) -> Counted | Notification | None:
    said = parked.message
    if said is None:
        return parked.record
    sender = tenant_key(said.tenant, said.client_id)
    return Counted(sender, said.accepted_at, said.category, _template(parked))


def _once(parked: Parked) -> bool:
    said = parked.message or (message_of(parked.record) if parked.record else None)
    return said is not None and said.at_most_once


def _tell(letter: Letter, deliveries: int) -> None:
    metrics.count("deadletters_total", channel=letter.channel)
    for _ in range(deliveries):
        metrics.count("deliveries_total", channel=letter.channel, state=State.DEAD_LETTERED.value)
        metrics.sample("delivery_success", 0.0)
    # Not its reason: a provider's words may have an address in them.
    told = ("letter_id", "notification_id", "channel", "code", "fingerprint")
    logger().error("dead letter", extra={name: getattr(letter, name) for name in told})


def tell_standing(at_least: int = 0) -> None:
    """Tell CloudWatch how many letters stand; the index may not have the newest yet."""
    metrics.gauge("deadletters_standing", max(at_least, letters.standing(COUNTED)))
