"""Who gets a notification: the user's addresses, and what the user wants."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from carillon.errors import Fault, Problem, not_found
from carillon.models import Channel, NotificationRequest, State
from carillon.tables import Preferences, Profile, PushDevice, UserItem, user_items


@dataclass(frozen=True, slots=True)
class Recipient:
    """Addresses by channel, the user's locale, and the user's answer to each channel."""

    addresses: dict[Channel, list[str]]
    locale: str | None = None
    channels: dict[str, bool] = field(default_factory=dict)
    categories: dict[str, bool | dict[str, bool]] = field(default_factory=dict)

    def refusal(self, channel: Channel, category: str) -> str | None:
        """Return why the user does not want this here, or None."""
        if not self.channels.get(channel.value, True):
            return "channel-opt-out"
        answer = self.categories.get(category, True)
        if isinstance(answer, dict):
            answer = answer.get(channel.value, True)
        return None if answer else "category-opt-out"


@dataclass(frozen=True, slots=True)
class Routing:
    """The decision for each channel: where it goes, or why it does not."""

    targets: dict[Channel, list[str]]
    withheld: dict[Channel, tuple[State, str]]


def resolve(tenant: str, request: NotificationRequest) -> Recipient:
    """Return who ``request`` is for; raises Problem (404) when there is no such user."""
    given = _given_addresses(request)
    if request.user_id is None:
        return Recipient(given)
    items = list(user_items(tenant, request.user_id))
    if not any(isinstance(item, Profile) for item in items):
        raise not_found("user", "#/user_id")
    known = _recipient(items, request.user_id)
    return Recipient(known.addresses | given, known.locale, known.channels, known.categories)


def _given_addresses(request: NotificationRequest) -> dict[Channel, list[str]]:
    if request.to is None:
        return {}
    given = {
        Channel.EMAIL: request.to.email,
        Channel.SMS: request.to.phone,
        Channel.PUSH: request.to.push_token,
    }
    return {channel: [address] for channel, address in given.items() if address}


def _recipient(items: Iterable[UserItem], user_id: str) -> Recipient:
    addresses: dict[Channel, list[str]] = {Channel.INAPP: [user_id]}
    locale, channels, categories = None, {}, {}
    for item in items:
        if isinstance(item, Profile):
            addresses |= {Channel.EMAIL: [item.email]} if item.email else {}
            addresses |= {Channel.SMS: [item.phone]} if item.phone else {}
            locale = item.locale
        elif isinstance(item, Preferences):
            channels, categories = item.channels, item.categories
        elif isinstance(item, PushDevice) and item.is_active:
            addresses.setdefault(Channel.PUSH, []).append(item.fcm_token)
    return Recipient(addresses, locale, channels, categories)


def route(request: NotificationRequest, recipient: Recipient) -> Routing:
    """Decide each channel; raises Problem (422) when no channel has an address at all."""
    targets: dict[Channel, list[str]] = {}
    withheld: dict[Channel, tuple[State, str]] = {}
    for channel in request.channels:
        refusal = recipient.refusal(channel, request.category)
        if refusal:
            withheld[channel] = (State.SUPPRESSED, refusal)
        elif channel not in recipient.addresses:
            withheld[channel] = (State.SKIPPED, "no-address")
        else:
            targets[channel] = recipient.addresses[channel]
    if all(state is State.SKIPPED for state, _ in withheld.values()) and not targets:
        raise _no_address(request.channels)
    return Routing(targets, withheld)


def _no_address(channels: Iterable[Channel]) -> Problem:
    faults = [
        Fault(f"#/channels/{place}", f"The recipient has no address for {channel.value}")
        for place, channel in enumerate(channels)
    ]
    return Problem(
        422, "no-address", "The recipient has no address for any channel named", faults=faults
    )
