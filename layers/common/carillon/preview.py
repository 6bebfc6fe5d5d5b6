"""What would be sent, and what was: rendered again, and never sent."""

from carillon import intake
from carillon.content import Content, content_hash
from carillon.errors import Fault, Problem
from carillon.identity import Caller
from carillon.lint import Lint, check
from carillon.messages import NotificationRequest
from carillon.models import Channel, Shape, State
from carillon.prices import Price, estimate
from carillon.status import message_of, summary
from carillon.tables import Notification
from carillon.templates import content_for


class Decided(Shape):
    """The decision for one channel: where it would go, or why it would not."""

    channel: Channel
    status: State
    to: list[str]
    reason: str | None


class DryRun(Shape):
    """What accepting a notification would do; ``price`` is an estimate for one address each."""

    dry_run: bool = True
    status: str
    category: str
    template_code: str | None
    template_version: int | None
    locale: str | None
    deliveries: list[Decided]
    parts: dict[Channel, dict[str, str]]
    lint: dict[Channel, Lint]
    price: dict[Channel, Price]


class ChannelContent(Shape):
    """What a channel was sent; ``sha256`` is of its canonical JSON."""

    parts: dict[str, str]
    sha256: str


class ContentOut(Shape):
    """What a notification says, by channel."""

    notification_id: str
    template_code: str | None
    template_version: int | None
    locale: str | None
    content: dict[Channel, ChannelContent]


def dry_run(caller: Caller, request: NotificationRequest) -> DryRun:
    """Decide and render ``request``; raises Problem as accepting it would. Writes nothing."""
    decision = intake.decide(caller, request, "ntf_dry_run", "dry-run")
    message = decision.message
    decided = [
        Decided(channel=channel, status=State.QUEUED, to=addresses, reason=None)
        for channel, addresses in message.targets.items()
    ] + [
        Decided(channel=channel, status=state, to=[], reason=reason)
        for channel, (state, reason) in decision.routing.withheld.items()
    ]
    parts = {channel: content_for(message, channel) for channel in message.targets}
    return DryRun(
        status=summary(each.status for each in decided),
        category=message.category,
        template_code=message.template and message.template.code,
        template_version=message.template and message.template.version,
        locale=message.template and message.template.locale,
        deliveries=decided,
        parts=parts,
        lint={channel: check(channel, content) for channel, content in parts.items()},
        price={
            channel: estimate(channel, message.targets[channel][0], content)
            for channel, content in parts.items()
        },
    )


def content(record: Notification, channel: Channel | None) -> ContentOut:
    """Render what each channel was sent; raises Problem (410) when it was erased."""
    if record.erased:
        raise Problem(410, "content-gone", "What this notification said was erased")
    message = message_of(record)
    if channel not in (None, *message.targets):
        text = "It was not sent by this channel"
        raise Problem(400, "invalid-request", text, faults=[Fault("query:channel", text)])
    shown = [channel] if channel else message.targets
    return ContentOut(
        notification_id=record.notification_id,
        template_code=message.template and message.template.code,
        template_version=message.template and message.template.version,
        locale=message.template and message.template.locale,
        content={each: _content(content_for(message, each)) for each in shown},
    )


def _content(parts: Content) -> ChannelContent:
    return ChannelContent(parts=parts, sha256=content_hash(parts).hex())
