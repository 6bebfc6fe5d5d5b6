"""Sending a notification again: a new one, of the same client, to the same addresses.

``exact`` says what the first one said, to the letter: rendered from what was recorded and held
against the hash of what was sent. ``current_template`` says what the template says now. What its
user wants, or does not want, is asked anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from carillon import intake
from carillon.clients import Category, categories
from carillon.content import content_hash
from carillon.errors import Fault, Problem, RenderError, bad_field
from carillon.identity import Caller
from carillon.intake import Accepted, Decision
from carillon.log import logger
from carillon.messages import (
    Message,
    NotificationRequest,
    ReplayRequest,
    TemplateRef,
    target_of,
)
from carillon.messages import Replay as Mark
from carillon.models import OPEN_STATES, Channel, State, now, timestamp
from carillon.recipients import Recipient, Routing, resolve, route
from carillon.status import deliveries_of, message_of, standings
from carillon.tables import Delivery, Notification
from carillon.templates import active, check, choose_locale, content_for, preview, version

NOT_ARRIVED = frozenset({State.FAILED, State.UNKNOWN, State.EXPIRED, State.DEAD_LETTERED})
"""What is sent again when nobody says which."""
REFUSED = OPEN_STATES | {State.SENT, State.DELIVERED}
"""What is sent again by force alone."""

Addresses = dict[Channel, list[str]]


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants what."""

    caller: Caller
    request: ReplayRequest
    correlation_id: str


@dataclass(frozen=True, slots=True)
class _Original:
    """A notification, and what became of it."""

    record: Notification
    message: Message
    states: Mapping[str, State]
    made: Mapping[str, Delivery]

    def addresses(self, channel: Channel) -> list[tuple[str, State]]:
        """Return the addresses of a channel, with the state of the delivery to each."""
        return [
            (address, self.states[target_of(channel, address)])
            for address in self.message.targets[channel]
        ]

    def unsettled(self, state: State) -> bool:
        """Tell whether it may have gone, and must not go twice."""
        return state is State.UNKNOWN and self.message.at_most_once


def replay(order: Order, notification_id: str, body: bytes, key: str | None) -> Accepted:
    """Accept what sends a notification again; ``key`` and ``body`` are as those of ``accept``.

    Raises Problem: 404; 410 when what it said is gone; 409 when it cannot be the same, when a
    delivery has arrived or is under way, or when there is nothing to send again.
    """
    caller, request = order.caller, order.request
    record = intake.find_of_tenant(caller.tenant, notification_id)
    message = message_of(record)
    owner = Caller(message.client_id, message.tenant, frozenset(), test=message.test)

    def decide(new_id: str) -> Decision:
        return _decide(_original(record, message), order, new_id)

    taken = intake.commit(owner, key, body, decide, "replay", caller.client_id, notification_id)
    if not taken.replayed:
        told = {"actor": caller.client_id, "replay_of": notification_id, "mode": request.mode}
        new = {"notification_id": taken.record.notification_id, "force": request.force}
        logger().warning("sent again", extra=told | new)
    return taken


def _original(record: Notification, message: Message) -> _Original:
    if record.erased or record.expires_at <= now().timestamp():
        raise _gone("What this notification said is not kept any more")
    made = deliveries_of(record)
    states = {each.target: each.state for each in standings(record, made)}
    return _Original(record, message, states, made)


def _gone(text: str) -> Problem:
    return Problem(410, "content-gone", text)


def _decide(original: _Original, order: Order, new_id: str) -> Decision:
    """Return what is recorded of the new notification; raises Problem. Nothing is written."""
    before, request = original.message, order.request
    who = replace(_recipient(before), addresses=_chosen(original, request))
    known = categories(before.client_id)
    # What it was sent as may have been unregistered since: it is no more than wanted, then.
    mandatory = known.get(before.category, Category()).mandatory
    routing = _routing(before, who, mandatory=mandatory)
    again = before.model_copy(
        update={
            "notification_id": new_id,
            "correlation_id": order.correlation_id,
            "accepted_at": timestamp(now()),
            "targets": routing.targets,
            "platforms": _platforms(before, routing.targets),
            "expires_at": _expiry(before),
            "mandatory": mandatory,
            "routed_at": None,
            "replay": _mark(before, order),
        }
    )
    if request.mode == "current_template":
        template = _current(before, who, routing.targets)
        again = again.model_copy(update={"template": template})
    else:
        _check_it_says_the_same(original, again, force=request.force)
    return Decision(again, routing, original.record.recipient)


def _mark(before: Message, order: Order) -> Mark:
    return Mark(of=before.notification_id, mode=order.request.mode, by=order.caller.client_id)


def _chosen(original: _Original, request: ReplayRequest) -> Addresses:
    """Return the addresses to send to again; raises Problem."""
    if request.channels is not None:
        return _named(original, request.channels, force=request.force)
    found = {
        channel: [
            address
            for address, state in original.addresses(channel)
            if state in NOT_ARRIVED and not original.unsettled(state)
        ]
        for channel in original.message.targets
    }
    chosen = {channel: addresses for channel, addresses in found.items() if addresses}
    if chosen:
        return chosen
    if not request.force:
        raise Problem(409, "nothing-to-replay", "No delivery of it has failed")
    return dict(original.message.targets)


def _named(original: _Original, channels: Sequence[Channel], *, force: bool) -> Addresses:
    faults = []
    for place, channel in enumerate(channels):
        if channel not in original.message.targets:
            raise bad_field(f"#/channels/{place}", "it was not sent by this channel")
        for _, state in original.addresses(channel):
            if state in REFUSED or original.unsettled(state):
                faults.append(Fault(f"#/channels/{place}", f"a delivery of it is {state}"))
    if faults and not force:
        text = "A delivery has arrived, may have, or is under way; force sends it all the same"
        raise Problem(409, "not-failed", text, faults=faults)
    return {channel: original.message.targets[channel] for channel in channels}


def _recipient(message: Message) -> Recipient:
    """Return the user it is for, as they are now; raises Problem (410) when there is none left."""
    if message.user_id is None:
        return Recipient({})
    try:
        return resolve(message.tenant, _asking(message))
    except Problem as problem:
        if problem.status != 404:  # noqa: PLR2004
            raise
        raise _gone("The user it was for is not there any more") from None


def _routing(message: Message, who: Recipient, *, mandatory: bool) -> Routing:
    """Return the decision for each channel; raises Problem (409) when none leads anywhere."""
    try:
        return route(_asking(message, who.addresses), who, message.category, mandatory=mandatory)
    except Problem as problem:
        raise Problem(409, problem.code, problem.detail) from None


def _asking(message: Message, channels: Addresses | None = None) -> NotificationRequest:
    """Return as much of a request as finding and asking its user takes."""
    return NotificationRequest.model_construct(
        user_id=message.user_id, to=None, channels=list(channels or ()), on_opt_out="record"
    )


def _platforms(message: Message, targets: Addresses) -> dict[str, str]:
    kept = {target_of(channel, to) for channel, each in targets.items() for to in each}
    return {target: on for target, on in message.platforms.items() if target in kept}


def _expiry(message: Message) -> str | None:
    """Return when it is too late for its reader: it is given as long as the first one was."""
    if message.expires_at is None:
        return None
    lasted = datetime.fromisoformat(message.expires_at) - datetime.fromisoformat(
        message.accepted_at
    )
    return timestamp(now() + lasted)


def _current(message: Message, who: Recipient, channels: Addresses) -> TemplateRef:
    """Return the version in use now; raises Problem (409) unless each channel can say it."""
    before = message.template
    if before is None:
        raise bad_field("#/mode", "it was sent without a template")
    with _as_conflict():
        template = active(message.tenant, before.code)
        check(template, message.variables)
        locale = choose_locale(template, before.locale, who.locale)
        for channel in channels:
            preview(template, locale, channel, message.variables, before.title)
    number = int(template.version)
    return TemplateRef(code=before.code, version=number, locale=locale, title=before.title)


@contextmanager
def _as_conflict() -> Iterator[None]:
    """Refuse as a conflict what a sender would be told of their own request."""
    try:
        yield
    except Problem as problem:
        raise Problem(409, problem.code, problem.detail) from problem


def _check_it_says_the_same(original: _Original, again: Message, *, force: bool) -> None:
    """Raise Problem unless each channel says what it said: 410 when its template is gone, 409."""
    if again.template:
        try:
            version(again.tenant, again.template)
        except RenderError as error:
            raise _gone(str(error)) from None
    changed = []
    for channel in again.targets:
        try:
            now_says = content_hash(content_for(again, channel))
        except RenderError as error:
            raise Problem(409, "not-renderable", str(error)) from None
        said = _said(original, again, channel)
        changed += [channel] if said - {now_says} else []
    if changed and not force:
        text = f"It would not say what it said on {', '.join(changed)}; force sends it all the same"
        raise Problem(409, "content-changed", text)


def _said(original: _Original, again: Message, channel: Channel) -> set[bytes]:
    """Return the hashes of what was sent on a channel; none where nothing was tried."""
    targets = {target_of(channel, address) for address in again.targets[channel]}
    return {
        bytes(made.content_hash)
        for target, made in original.made.items()
        if target in targets and made.content_hash
    }
