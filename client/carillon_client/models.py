"""What the API answers, as frozen dataclasses.

Each keeps the JSON it was made of in ``raw``: a field that a newer API adds is there at once.
Times are aware datetimes in UTC. Whatever holds a secret keeps it out of its repr.
"""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Self, TypedDict, get_args, get_origin, get_type_hints

Json = dict[str, Any]

OPEN_STATES = frozenset({"queued", "scheduled", "sending", "retrying"})
"""A delivery in any other state has ended."""
ARRIVED_STATES = frozenset({"sent", "delivered"})
UNDELIVERED_STATES = frozenset({"failed", "dead_lettered", "unknown", "expired", "cancelled"})
"""Ended, and not because the user wanted it so."""


class To(TypedDict, total=False):
    """Addresses given with a notification; they win over the user's own."""

    email: str
    phone: str
    push_token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Made of a JSON object by its fields' types; what it does not know stays in ``raw``.

    A field whose name is a word of Python's says in its metadata what JSON calls it.
    """

    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def of(cls, data: Mapping[str, Any], **more: Any) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError, ValueError."""
        hints = get_type_hints(cls)
        known = {
            each.name: _value(hints[each.name], data[_key(each)])
            for each in fields(cls)
            if _key(each) in data and each.name != "raw"
        }
        return cls(raw=data, **known | more)


def _key(one: "Field[Any]") -> str:
    return str(one.metadata.get("json", one.name))


def _value(hint: Any, value: Any) -> Any:
    """Return JSON as the type a field is declared with."""
    if get_origin(hint) is UnionType:
        if value is None:
            return None
        (hint,) = (each for each in get_args(hint) if each is not NoneType)
    if get_origin(hint) is list:
        return [_value(get_args(hint)[0], each) for each in value]
    if isinstance(hint, type) and issubclass(hint, Model):
        return hint.of(value)
    return datetime.fromisoformat(value) if hint is datetime else value


# --- notifications --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedDelivery(Model):
    """What was decided for one channel; ``reason`` says why it is withheld."""

    channel: str
    status: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(Model):
    """An accepted notification; ``replayed`` when its key had been accepted before."""

    notification_id: str
    request_id: str
    status: str
    deliveries: list[AcceptedDelivery]
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated(Accepted):
    """An accepted notification that sends another again."""

    replay_of: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryError(Model):
    """Why the latest attempt failed; ``failure`` is its class."""

    code: str
    message: str
    failure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost(Model):
    """An estimate, as decimal text: the provider's charge, AWS's, and both together."""

    provider: str
    aws: str
    total: str
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryStatus(Model):
    """Where one delivery stands; push has one per device."""

    channel: str
    target: str
    status: str
    to: str | None = None
    reason: str | None = None
    attempts: int = 0
    provider: str | None = None
    provider_message_id: str | None = None
    possible_duplicate: bool = False
    cost: Cost | None = None
    error: DeliveryError | None = None
    updated_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will be tried."""
        return self.status not in OPEN_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationStatus(Model):
    """A notification and all of its deliveries."""

    notification_id: str
    request_id: str
    status: str
    category: str
    priority: int
    created_at: datetime
    deliveries: list[DeliveryStatus]
    user_id: str | None = None
    template_code: str | None = None
    template_version: int | None = None
    locale: str | None = None
    replay_of: str | None = None
    expires_at: datetime | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether nothing more will be tried on any channel."""
        return all(delivery.ended for delivery in self.deliveries)

    @property
    def undelivered(self) -> list[DeliveryStatus]:
        """The deliveries that ended otherwise than sent, though the user wanted them."""
        return [each for each in self.deliveries if each.status in UNDELIVERED_STATES]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided(Model):
    """What would be done for one channel."""

    channel: str
    status: str
    reason: str | None = None
    to: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun(Model):
    """What would be sent: nothing was."""

    status: str
    category: str
    deliveries: list[Decided]
    parts: dict[str, dict[str, Any]]
    template_code: str | None = None
    template_version: int | None = None
    locale: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFault(Model):
    """One place in an item that is wrong."""

    pointer: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemError(Model):
    """Why an item of a batch was refused."""

    code: str
    detail: str
    errors: list[ItemFault] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(Model):
    """What came of one item of a batch; ``status`` is what it would have been answered alone."""

    index: int
    status: int
    replayed: bool = False
    notification: Accepted | None = None
    error: ItemError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Model):
    """What came of each item, in their order."""

    accepted: int
    refused: int
    items: list[Item]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Model):
    """Something that happened: acceptance, or a delivery's way from one state to another."""

    seq: int
    at: datetime
    type: str
    actor: str
    channel: str | None = None
    target: str | None = None
    before: str | None = field(default=None, metadata={"json": "from"})
    after: str | None = field(default=None, metadata={"json": "to"})
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content(Model):
    """What a notification says, by channel: ``parts`` and their ``sha256``."""

    notification_id: str
    content: dict[str, Any]
    template_code: str | None = None
    template_version: int | None = None
    locale: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDelivery(Model):
    """A delivery of a notification that was found."""

    channel: str
    target: str
    status: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(Model):
    """A notification that was found."""

    notification_id: str
    status: str
    category: str
    created_at: datetime
    deliveries: list[ListedDelivery]
    user_id: str | None = None
    template_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency(Model):
    """Seconds from acceptance to ``sent``."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryCount(Model):
    """How many deliveries there are, and how they stand; what is not over is ``open``.

    ``success_rate`` is the share that was sent or delivered of all that were tried to the end.
    """

    deliveries: int
    states: dict[str, int]
    success_rate: float | None = None
    seconds_to_sent: Latency | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryGroup(DeliveryCount):
    """The same of one group; what it is not grouped by is None. Days are YYYY-MM-DD."""

    day: str | None = None
    channel: str | None = None
    state: str | None = None
    category: str | None = None
    template: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport(Model):
    """Deliveries by the day they were accepted; a group of none has no row."""

    since: str = field(metadata={"json": "from"})
    until: str = field(metadata={"json": "to"})
    group_by: list[str]
    rows: list[DeliveryGroup]
    totals: DeliveryCount


# --- operations -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited(Model):
    """A call that changed something, or was refused; ``subject`` are its path's parameters.

    An address is told by its hash. ``status`` is None where the call's end was never seen.
    """

    at: datetime
    actor: str
    scope: str
    method: str
    route: str
    subject: dict[str, str]
    correlation_id: str
    source: str | None = None
    status: int | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective(Model):
    """A share of good events that is aimed at, and what there was.

    ``burn_rate`` is how fast the error budget goes, ``budget_left`` what the window's has left;
    both, and ``met``, are None when there was no event.
    """

    target: float
    events: int
    bad: int
    measured: float | None = None
    met: bool | None = None
    burn_rate: float | None = None
    budget_left: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTime(Objective):
    """Accepted notifications, and which share of them was answered within ``target_ms``."""

    target_ms: int
    p50_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput(Model):
    """What was accepted and what ended; ``met`` is None unless the target was asked for."""

    target: int
    accepted_per_minute: float
    ended_per_minute: float
    busiest_accepted_per_minute: float
    busiest_ended_per_minute: float
    met: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveWindow(Model):
    """What there was from ``since`` on: "1h", "24h" or "28d"."""

    window: str
    since: datetime
    deliveries: Objective
    answers: AnswerTime
    throughput: Throughput


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives(Model):
    """Whether what was aimed at is met, by window, the shortest first."""

    at: datetime
    windows: list[ObjectiveWindow]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter(Model):
    """A message that was given up; ``targets`` names its deliveries."""

    letter_id: str
    channel: str
    code: str
    reason: str
    attempts: int
    receives: int
    fingerprint: str
    parked_at: datetime
    targets: list[str] = field(default_factory=list)
    template_code: str | None = None
    notification_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterGroup(Model):
    """Dead letters given up for the same reason; ``sample`` is the newest."""

    fingerprint: str
    channel: str
    code: str
    count: int
    oldest: datetime
    newest: datetime
    sample: DeadLetter
    template_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterGroups(Model):
    """The groups, the largest first; not ``complete`` when there is more than was counted."""

    letters: int
    complete: bool
    groups: list[DeadLetterGroup]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterJob(Model):
    """How far a redrive or a discard is; a dry run has no ``job_id``."""

    kind: str
    status: str
    total: int
    done: int
    failed: int
    job_id: str | None = None
    rate_per_second: int | None = None
    requested_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do."""
        return self.status == "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch(Model):
    """A kill switch; one that is not ``on`` has nothing else to tell."""

    scope: str
    on: bool
    reason: str | None = None
    actor: str | None = None
    set_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression(Model):
    """An address that nothing goes to; ``reason`` is a provider's code, or an operator's words."""

    channel: str
    address: str
    reason: str
    suppressed_at: datetime
    notification_id: str | None


# --- users ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Model):
    """A user's profile; ``etag`` is for ``if_match``."""

    user_id: str
    created_at: datetime
    updated_at: datetime
    email: str | None = None
    phone: str | None = None
    full_name: str | None = None
    locale: str | None = None
    timezone: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure(Model):
    """The job that erases a user."""

    job_id: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Export(Model):
    """An export, pending, ready or failed; the link is good for 15 minutes."""

    job_id: str
    status: str
    link: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences(Model):
    """What a user wants; a channel or category not named is wanted, but for the category ``*``."""

    channels: dict[str, bool]
    categories: dict[str, Any]
    quiet_hours: dict[str, Any] | None = None
    timezone: str | None = None
    locale: str | None = None
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PushToken(Model):
    """A registered device."""

    id: str
    platform: str
    is_active: bool
    created_at: datetime
    fcm_token: str = field(repr=False)
    device_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxEntry(Model):
    """One in-app notification."""

    notification_id: str
    title: str
    body: str
    category: str
    created_at: datetime
    action_url: str | None = None
    read_at: datetime | None = None
    archived_at: datetime | None = None


# --- templates ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Template(Model):
    """A version of a template: its parts by locale and channel."""

    id: int
    code: str
    version: int
    language: str
    locales: dict[str, dict[str, dict[str, Any]]]
    created_at: datetime
    variables_schema: dict[str, Any] | None = None
    category: str | None = None
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSummary(Model):
    """The version of a template in use, without its texts."""

    id: int
    code: str
    version: int
    language: str
    languages: list[str]
    channels: list[str]
    created_at: datetime
    category: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateVersion(Model):
    """A version in a template's history."""

    version: int
    languages: list[str]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered(Model):
    """What a version of a template says, by channel; what it amounts to, and may cost."""

    code: str
    version: int
    locale: str
    parts: dict[str, dict[str, Any]]
    lint: dict[str, dict[str, Any]]
    price: dict[str, dict[str, Any]]


# --- access ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration(Model):
    """A new client; its token is shown only this once."""

    client_id: str
    api_token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Application(Model):
    """A registered application; ``notification_types`` are the categories it sends."""

    client_id: str
    tenant: str
    service_name: str
    notification_types: list[dict[str, Any]]
    created_at: datetime
    updated_at: datetime
    etag: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key(Model):
    """An API token, but for the token itself."""

    key_id: str
    scopes: list[str]
    mode: str
    created_at: datetime
    label: str | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey(Key):
    """A new API token, shown only this once."""

    api_token: str = field(repr=False)


# --- sessions -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken(Model):
    """A token for the API, good for ``expires_in`` seconds."""

    access: str = field(repr=False)
    expires_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens(AccessToken):
    """The same, with the refresh token that gets the next, once."""

    refresh: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser(Tokens):
    """A user who has just registered, with their first tokens."""

    user_id: str
    email: str
    full_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn(Model):
    """Who has logged in."""

    id: str
    email: str
    full_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Login(Tokens):
    """Tokens, and whose."""

    user: LoggedIn
