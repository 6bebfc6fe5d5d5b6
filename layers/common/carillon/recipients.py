"""Who gets a notification: the user's addresses, and what the user wants."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pynamodb.exceptions import PynamoDBException

from carillon.addresses import takes_texts
from carillon.errors import Fault, Problem, not_found
from carillon.log import logger, trace
from carillon.messages import NotificationRequest
from carillon.models import Channel, State
from carillon.people import EVERY_OTHER
from carillon.tables import (
    PREFERENCES,
    PROFILE,
    Preferences,
    Profile,
    PushDevice,
    UserItem,
    tenant_key,
    user_items,
)

NO_ADDRESS = "no-address"
INVALID = "invalid-recipient"
SUPPRESSED = "suppressed-address"
SUPPRESSIBLE = frozenset({Channel.EMAIL, Channel.SMS})
"""What has addresses that may be on the list; a device has an item of its own."""
_WORDS = {
    NO_ADDRESS: "The recipient has no address for {}",
    INVALID: "The recipient's number takes no text messages ({})",
}


@dataclass(frozen=True, slots=True)
class Recipient:
    """Addresses by channel, the user's locale, and the user's answer to each channel.

    ``platforms`` maps the tokens of devices to what these are.
    """

    addresses: dict[Channel, list[str]]
    locale: str | None = None
    channels: dict[str, bool] = field(default_factory=dict)
    categories: dict[str, bool | dict[str, bool]] = field(default_factory=dict)
    platforms: dict[str, str] = field(default_factory=dict)

    def refusal(self, channel: Channel, category: str) -> str | None:
        """Return why the user does not want this here, or None."""
        if not self.channels.get(channel.value, True):
            return "channel-opt-out"
        answer = self.categories.get(category, self.categories.get(EVERY_OTHER, True))
        if isinstance(answer, dict):
            answer = answer.get(channel.value, True)
        return None if answer else "category-opt-out"

    def unreachable(self, channel: Channel) -> str | None:
        """Return why the channel leads nowhere, or None."""
        if channel not in self.addresses:
            return NO_ADDRESS
        if channel is Channel.SMS and not takes_texts(self.addresses[channel][0]):
            return INVALID
        return None


@dataclass(frozen=True, slots=True)
class Routing:
    """The decision for each channel: where it goes, or why it does not."""

    targets: dict[Channel, list[str]]
    withheld: dict[Channel, tuple[State, str]]


Readers = Mapping[str, Sequence[UserItem]]
"""What is kept of users, by their ids; nothing of one that is not there."""


def read_together(tenant: str, requests: Iterable[NotificationRequest]) -> Readers:
    """Return what is kept of the users of ``requests``, a hundred items a call.

    Devices are not among it, so of a request for push nothing is returned: nor of anybody when
    the table does not answer.
    """
    wanted = {
        each.user_id: tenant_key(tenant, each.user_id)
        for each in requests
        if each.user_id is not None and Channel.PUSH not in each.channels
    }
    keys = [(key, part) for key in wanted.values() for part in (PROFILE, PREFERENCES)]
    found: dict[str, list[UserItem]] = {key: [] for key in wanted.values()}
    try:
        for item in UserItem.batch_get(keys, consistent_read=True) if keys else ():
            found[item.key].append(item)
    except PynamoDBException as error:
        logger().error("preferences unreadable", extra=trace(error))
        return {}
    return {user_id: found[key] for user_id, key in wanted.items()}


def resolve(tenant: str, request: NotificationRequest, readers: Readers | None = None) -> Recipient:
    """Return who ``request`` is for; raises Problem (404) when there is no such user.

    A user that is not among the ``readers`` is read.
    """
    given = _given_addresses(request)
    if request.user_id is None:
        return Recipient(given)
    known = None if Channel.PUSH in request.channels else (readers or {}).get(request.user_id)
    items = _items(tenant, request.user_id) if known is None else known
    if not any(isinstance(item, Profile) for item in items):
        raise not_found("user", "#/user_id")
    who = recipient_of(items, request.user_id)
    return replace(who, addresses=who.addresses | given)


def _items(tenant: str, user_id: str) -> list[UserItem]:
    """Return all that is kept of the user; raises Problem (502): unknown wishes are not guessed."""
    try:
        return list(user_items(tenant, user_id))
    except PynamoDBException as error:
        logger().error("preferences unreadable", extra=trace(error))
        text = "The user's preferences cannot be read; nothing was sent"
        raise Problem(502, "preferences-unreadable", text, retry_after=2) from error


def _given_addresses(request: NotificationRequest) -> dict[Channel, list[str]]:
    if request.to is None:
        return {}
    given = {
        Channel.EMAIL: request.to.email,
        Channel.SMS: request.to.phone,
        Channel.PUSH: request.to.push_token,
    }
    return {channel: [address] for channel, address in given.items() if address}


def recipient_of(items: Iterable[UserItem], user_id: str) -> Recipient:
    """Return who a user is, from what is kept of them."""
    addresses: dict[Channel, list[str]] = {Channel.INAPP: [user_id]}
    locale, channels, categories = None, {}, {}
    platforms: dict[str, str] = {}
    for item in items:
        if isinstance(item, Profile):
            addresses |= {Channel.EMAIL: [item.email]} if item.email else {}
            addresses |= {Channel.SMS: [item.phone]} if item.phone else {}
            locale = locale or item.locale
        elif isinstance(item, Preferences):
            channels, categories = item.channels, item.categories
            locale = item.locale or locale
        elif isinstance(item, PushDevice) and item.is_active:
            addresses.setdefault(Channel.PUSH, []).append(item.fcm_token)
            platforms[item.fcm_token] = item.platform
    return Recipient(addresses, locale, channels, categories, platforms)


def route(
    request: NotificationRequest, recipient: Recipient, category: str, *, mandatory: bool = False
) -> Routing:
    """Decide each channel; of a ``mandatory`` category nobody opts out.

    Raises Problem: 422 when no channel can be reached at all, 403 for an opt-out that the request
    wants to be told of.
    """
    targets: dict[Channel, list[str]] = {}
    withheld: dict[Channel, tuple[State, str]] = {}
    for channel in request.channels:
        reason = None if mandatory else recipient.refusal(channel, category)
        if reason:
            withheld[channel] = (State.SUPPRESSED, reason)
        elif unreachable := recipient.unreachable(channel):
            withheld[channel] = (State.SKIPPED, unreachable)
        else:
            targets[channel] = recipient.addresses[channel]
    if all(state is State.SKIPPED for state, _ in withheld.values()) and not targets:
        raise _nowhere(request.channels, withheld)
    if request.on_opt_out == "reject":
        _reject_opt_outs(request.channels, withheld)
    return Routing(targets, withheld)


def _nowhere(channels: Sequence[Channel], withheld: Mapping[Channel, tuple[State, str]]) -> Problem:
    faults = [
        Fault(f"#/channels/{place}", _WORDS[withheld[channel][1]].format(channel.value))
        for place, channel in enumerate(channels)
    ]
    code = NO_ADDRESS if any(why == NO_ADDRESS for _, why in withheld.values()) else INVALID
    return Problem(422, code, "The recipient cannot be reached by any channel named", faults=faults)


def _reject_opt_outs(
    channels: Sequence[Channel], withheld: Mapping[Channel, tuple[State, str]]
) -> None:
    faults = [
        Fault(f"#/channels/{place}", withheld[channel][1])
        for place, channel in enumerate(channels)
        if channel in withheld and withheld[channel][0] is State.SUPPRESSED
    ]
    if faults:
        raise Problem(403, "preference-rejected", "The recipient does not want this", faults=faults)
