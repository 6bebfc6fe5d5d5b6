"""Addresses that nothing goes to any more: they are dead, or their owner said stop.

An email address or a phone number is put on the tenant's list, by its hash alone; a push token's
device is made inactive, since a device has its own item. Only a failure of class RECIPIENT leads
here: a broken configuration says nothing of an address.
"""

from typing import Literal

from carillon import metrics
from carillon.addresses import email_address, phone_number
from carillon.errors import Fault, Problem, not_found
from carillon.log import logger, trace
from carillon.messages import Message
from carillon.models import Channel, Line, Shape, Strict, now, timestamp
from carillon.recipients import SUPPRESSIBLE
from carillon.tables import SUPPRESSION, Suppression, suppression_key

BY_HAND = "by-hand"


class SuppressionRequest(Strict):
    """PUT /suppressions/{channel}/{address}: why nothing is to go there."""

    reason: Line = BY_HAND


class SuppressionOut(Shape):
    """An address on the list; ``reason`` is a provider's code, or what an operator wrote."""

    channel: Literal["email", "sms"]
    address: str
    reason: str
    suppressed_at: str
    notification_id: str | None


def parse(channel: str, address: str) -> tuple[Channel, str]:
    """Return an address in its one spelling; raises Problem (400)."""
    kinds = {"email": email_address, "sms": phone_number}
    if channel not in kinds:
        faults = [Fault("path:channel", "is email or sms")]
        raise Problem(400, "invalid-request", "The channel has no such list", faults=faults)
    try:
        return Channel(channel), kinds[channel](address)
    except ValueError as error:
        faults = [Fault("path:address", str(error))]
        raise Problem(400, "invalid-request", "That is no address", faults=faults) from None


def suppress(
    tenant: str, channel: Channel, address: str, reason: str, notification_id: str | None = None
) -> Suppression:
    """Let nothing go to an address of the tenant's any more; the newest reason stands."""
    item = _key(tenant, channel, address)
    item.channel = channel.value
    item.reason = reason
    item.at = timestamp(now())
    item.notification_id = notification_id
    item.save()
    return item


def find(tenant: str, channel: Channel, address: str) -> Suppression | None:
    """Return why nothing goes to an address, or None."""
    key = _key(tenant, channel, address)
    try:
        return Suppression.get(key.key, key.part, consistent_read=True)
    except Suppression.DoesNotExist:
        return None


def lift(tenant: str, channel: Channel, address: str) -> None:
    """Let messages go to an address again; raises Problem (404) when they do."""
    if find(tenant, channel, address) is None:
        raise not_found("suppression", "path:address")
    _key(tenant, channel, address).delete()


def told(item: Suppression, address: str) -> SuppressionOut:
    """Return what is told of an address; the list itself does not know it."""
    return SuppressionOut(
        channel=item.channel,
        address=address,
        reason=item.reason,
        suppressed_at=item.at,
        notification_id=item.notification_id,
    )


def deactivate(message: Message, channel: Channel, address: str, code: str) -> None:
    """Let nothing go to an address that its provider calls dead; never raises.

    The delivery has failed by then, and is recorded: what goes wrong here is met again with the
    next message to the address.
    """
    if message.test:
        return
    try:
        if channel is Channel.PUSH:
            _retire(message, address)
        elif channel in SUPPRESSIBLE:
            suppress(message.tenant, channel, address, code, message.notification_id)
    except Exception as error:  # noqa: BLE001 - logged; see above
        logger().error("address not deactivated", extra={"channel": channel, **trace(error)})
        return
    logger().info("address deactivated", extra={"channel": channel, "error_code": code})
    metrics.count("addresses_deactivated_total", channel=channel.value)


def _retire(message: Message, token: str) -> None:
    from carillon import devices  # noqa: PLC0415 - 30 ms, for what is rare

    devices.retire(message.tenant, message.user_id, token)


def _key(tenant: str, channel: Channel, address: str) -> Suppression:
    return Suppression(suppression_key(tenant, channel.value, address), SUPPRESSION)
