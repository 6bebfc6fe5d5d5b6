"""What a caller asks for, and the message that travels to the workers."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from carillon.addresses import EmailAddress, PhoneNumber, PushToken
from carillon.errors import PoisonMessageError
from carillon.models import (
    Channel,
    ChannelName,
    IdempotencyKey,
    Line,
    Locale,
    Moment,
    Name,
    Priority,
    Shape,
    Strict,
    UserId,
    VersionNumber,
)

Dedupe = Literal["at_least_once", "at_most_once"]
"""Whether an attempt that may have gone through is followed by another."""
Lane = Literal["urgent", "normal"]
SCHEMA_VERSION = 1
MAX_BATCH = 100
AT_LEAST_ONCE: Dedupe = "at_least_once"
AT_MOST_ONCE: Dedupe = "at_most_once"
GENERAL = "general"
"""The category of what has none."""
FALLBACK_SECONDS = 600
"""How long a channel may try before the next one takes its turn."""
URGENT = 8
"""The priority from which a notification takes the urgent lane, past what waits in the other."""
_SINGULAR = ("channel", "type", "notification_type")
_ADDRESS_OF = {Channel.EMAIL: "email", Channel.SMS: "phone", Channel.PUSH: "push_token"}


class To(Strict):
    """Addresses given in the request; they win over the user's own."""

    email: EmailAddress | None = None
    phone: PhoneNumber | None = None
    push_token: PushToken | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise ValueError("give at least one address")
        return self


def _each_once(channels: list[Channel]) -> list[Channel]:
    if len(set(channels)) != len(channels):
        raise ValueError("a channel is named twice")
    return channels


class NotificationRequest(Strict):
    """POST /notifications: one message, to one recipient, by any number of channels.

    Spellings of other systems are taken too: ``channel``, ``type`` or ``notification_type`` for
    one channel, ``content`` for ``message``, ``to`` as the one address, and ``priority`` and
    ``category`` inside ``metadata``. A ``title`` beside a template replaces its heading.
    """

    user_id: UserId | None = None
    to: To | None = None
    channels: Annotated[list[ChannelName], Field(min_length=1), AfterValidator(_each_once)]
    template_code: Name | None = None
    template_version: VersionNumber | None = None
    variables: dict[str, JsonValue] = Field(default_factory=dict)
    locale: Locale | None = None
    title: Line | None = None
    message: Annotated[str, StringConstraints(pattern=r"\S")] | None = None
    category: Name | None = None
    priority: Priority = 5
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    request_id: IdempotencyKey | None = None
    expires_at: Moment | None = None
    on_opt_out: Literal["record", "reject"] = "record"
    dedupe: Dedupe | None = None
    routing: Literal["all", "fallback"] = "all"
    fallback_after_seconds: Annotated[int, Field(ge=30, le=86_400)] = FALLBACK_SECONDS
    dry_run: bool = False

    @model_validator(mode="before")
    @classmethod
    def _other_spellings(cls, body: Any) -> Any:
        return _canonical(body) if isinstance(body, dict) else body

    @model_validator(mode="after")
    def _one_recipient_one_content(self) -> Self:
        if self.user_id is None and self.to is None:
            raise ValueError("give user_id, to, or both")
        if (self.template_code is None) == (self.message is None):
            raise ValueError("give either template_code or message")
        if self.template_code is None and self.template_version is not None:
            raise ValueError("template_version goes with template_code")
        return self


def _canonical(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body in our spelling; what is spelt twice stays, to be refused as unknown."""
    body = dict(body)
    for name in _SINGULAR:
        if name in body and "channels" not in body:
            body["channels"] = [body.pop(name)]
    if "content" in body and "message" not in body:
        body["message"] = body.pop("content")
    if isinstance(body.get("to"), str):
        body["to"] = _to(body["to"], body.get("channels"))
    metadata = body.get("metadata")
    if isinstance(metadata, dict):
        for name, kind in _IN_METADATA.items():
            if name in metadata and name not in body and _fits(kind, metadata[name]):
                body[name] = metadata[name]
    return body


def _to(address: str, channels: object) -> dict[str, str] | str:
    """Return a lone address as that of the lone channel; in-app needs none."""
    try:
        (channel,) = TypeAdapter(list[ChannelName]).validate_python(channels)
        return {_ADDRESS_OF[channel]: address}
    except (ValidationError, ValueError, KeyError):
        return address


def _fits(kind: TypeAdapter[Any], value: object) -> bool:
    try:
        kind.validate_python(value)
    except ValidationError:
        return False
    return True


_IN_METADATA: dict[str, TypeAdapter[Any]] = {
    "priority": TypeAdapter(Priority),
    "category": TypeAdapter(Name),
}


class BatchRequest(Strict):
    """POST /notifications/batch: each item is judged by itself."""

    items: Annotated[
        list[Annotated[dict[str, JsonValue], Field(title="NotificationRequest")]],
        Field(min_length=1, max_length=MAX_BATCH),
    ]


class StatusRequest(Strict):
    """PATCH /notifications/{id}/status: what was heard of a delivery elsewhere.

    ``target`` is one device of a push; without it the report is about each of them.
    """

    status: Literal["sent", "delivered", "failed"]
    channel: ChannelName | None = None
    target: Annotated[str, StringConstraints(max_length=64)] | None = None
    message_id: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,255}$")] | None = None
    error_message: Annotated[str, StringConstraints(max_length=1024)] | None = None


class CancelRequest(Strict):
    """POST /notifications/{id}/cancel."""

    reason: Line | None = None


class ReplayRequest(Strict):
    """POST /notifications/{id}/replay: send it again.

    Without ``channels`` what ended otherwise than sent. ``force`` sends what has arrived, too, and
    what would not say the same.
    """

    mode: Literal["exact", "current_template"]
    channels: (
        Annotated[list[ChannelName], Field(min_length=1), AfterValidator(_each_once)] | None
    ) = None
    force: bool = False


class Replay(Shape):
    """Of which notification this one is the repeat, and who had it made."""

    model_config = ConfigDict(frozen=True)

    of: str
    mode: str
    by: str


class TemplateRef(Shape):
    """The exact template a notification was accepted with; versions never change.

    ``title``, if there is one, stands in place of the template's own heading.
    """

    model_config = ConfigDict(frozen=True)

    code: str
    version: int
    locale: str
    title: str | None = None


class Inline(Shape):
    """Content given in the request instead of a template."""

    model_config = ConfigDict(frozen=True)

    title: str | None = None
    message: str


# Checked again where it is sent from: nothing that could begin another header.
Target = Annotated[str, StringConstraints(pattern=r"^[^\s\x00-\x1f\x7f]+$")]


class Message(Shape):
    """The SNS message body: all that a worker needs, so that it reads nothing but the template.

    ``targets`` maps each routed channel to its addresses: one, but for push (one per device).
    ``platforms`` tells of the deliveries to devices known to be "ios", "android" or "web".
    ``accepted_at`` and ``expires_at`` are ISO 8601 UTC with milliseconds.
    """

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1]
    notification_id: str
    tenant: str
    client_id: str
    correlation_id: str
    accepted_at: str
    category: str
    priority: int
    user_id: str | None = None
    targets: dict[Channel, Annotated[list[Target], Field(min_length=1)]]
    platforms: dict[str, str] = Field(default={})
    template: TemplateRef | None = None
    inline: Inline | None = None
    variables: dict[str, Any] = Field(default={})
    metadata: dict[str, Any] = Field(default={})
    expires_at: str | None = None
    at_most_once: bool = False
    mandatory: bool = False  # of a category that nobody opts out of
    fallback_after: int | None = None  # seconds; the channels take turns, in their order
    routed_at: str | None = None  # when this channel's turn began, if not at once
    test: bool = False  # sent with a test key: recorded as sent, and given to no provider
    replay: Replay | None = None

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        if (self.template is None) == (self.inline is None):
            raise ValueError("a message has either a template or a text")
        if any(len(to) > 1 for channel, to in self.targets.items() if channel is not Channel.PUSH):
            raise ValueError("only push has several targets")
        return self

    @property
    def lane(self) -> Lane:
        """The lane it travels in."""
        return "urgent" if self.priority >= URGENT else "normal"


def read(body: str) -> Message:
    """Return a queue's message; raises PoisonMessageError, which says what is wrong with it."""
    try:
        return Message.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        code = "not-json" if first["type"] == "json_invalid" else "malformed"
        code += f"-{first['loc'][0]}".replace("_", "-") if first["loc"] else ""
        reason = f"{where}: {first['msg']}" if where else first["msg"]
        raise PoisonMessageError(reason, code) from None


def canonical_json(value: object) -> bytes:
    """Return JSON the same for any order of keys (RFC 8785's aim); raises ValueError."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def target_of(channel: Channel, address: str) -> str:
    """Return a delivery's name within its notification: one per channel, or per device."""
    if channel is not Channel.PUSH:
        return channel.value
    return f"{channel.value}#{hashlib.sha256(address.encode()).hexdigest()[:12]}"


def channel_of(target: str) -> Channel:
    """Return the channel of a delivery's name."""
    return Channel(target.partition("#")[0])
