"""The DynamoDB tables, and the only code that knows how their items are laid out.

Each class is one kind of item. Table names come from the settings when a table is first used.
Keys that belong to a tenant begin with it, so one tenant cannot name another's item.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache

import botocore.session
from pynamodb.attributes import (
    BinaryAttribute,
    BooleanAttribute,
    DiscriminatorAttribute,
    JSONAttribute,
    ListAttribute,
    NumberAttribute,
    UnicodeAttribute,
    VersionAttribute,
)
from pynamodb.connection import TableConnection
from pynamodb.connection.base import Connection
from pynamodb.exceptions import PutError, TransactWriteError, UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection, KeysOnlyProjection
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from carillon.aws import botocore_session
from carillon.settings import settings


class _TableName:
    """A table's name, looked up when it is used: nothing happens at import."""

    def __init__(self, setting: str) -> None:
        self.setting = setting

    def __get__(self, instance: object, owner: type) -> str:
        return settings().required(self.setting)


class _Connection(Connection):
    """pynamodb's connection on the process's one session; its own patience is 120 seconds."""

    def __init__(self) -> None:
        super().__init__(connect_timeout_seconds=1, read_timeout_seconds=2, max_retry_attempts=2)

    @property
    def session(self) -> botocore.session.Session:
        return botocore_session()


class Item(Model):
    """An item of any table. All tables share one connection: each would load its own client."""

    @classmethod
    def _get_connection(cls) -> TableConnection:
        table = super()._get_connection()
        shared = _connection()
        if table.connection is not shared:
            # Several kinds of item live in one table; the connection takes its keys once.
            with suppress(ValueError):
                shared.add_meta_table(table.get_meta_table())
            table.connection = shared
        return table

    def amend(self, actions: Sequence[Action], condition: Condition) -> bool:
        """Update the stored item without reading it back; False when the condition fails."""
        key, part = self._get_hash_range_key_serialized_values()
        try:
            self._get_connection().update_item(
                key, range_key=part, actions=actions, condition=condition
            )
        except UpdateError as error:
            if error.cause_response_code == "ConditionalCheckFailedException":
                return False
            raise
        return True


@cache
def _connection() -> _Connection:
    return _Connection()


class ApiKey(Item):
    """An API token's hash and whose it is."""

    class Meta:
        table_name = _TableName("clients_table")

    key = UnicodeAttribute(hash_key=True)  # "key#<key id>"
    digest = BinaryAttribute(legacy_encoding=False)
    client_id = UnicodeAttribute()
    tenant = UnicodeAttribute()
    scopes = UnicodeAttribute()
    mode = UnicodeAttribute(default="live")  # or "test"


class Client(Item):
    """A registered application."""

    class Meta:
        table_name = _TableName("clients_table")

    key = UnicodeAttribute(hash_key=True)  # "client#<client id>"
    tenant = UnicodeAttribute()
    service_name = UnicodeAttribute()
    notification_types = JSONAttribute()
    keys = JSONAttribute()  # what may be told of each API token, the revoked ones included
    created_at = UnicodeAttribute()
    updated_at = UnicodeAttribute()
    version = VersionAttribute()  # each write is made only over the version that was read


class ClientName(Item):
    """Keeps a service name to one client of a tenant."""

    class Meta:
        table_name = _TableName("clients_table")

    key = UnicodeAttribute(hash_key=True)  # "name#<tenant>#<service name>"
    client_id = UnicodeAttribute()


class Template(Item):
    """A version of a template, all its locales; or the copy of the version in use."""

    class Meta:
        table_name = _TableName("templates_table")

    tenant = UnicodeAttribute(hash_key=True)
    slot = UnicodeAttribute(range_key=True)  # "active#<code>" or "version#<code>#00001"
    template_id = NumberAttribute()  # counted per tenant
    code = UnicodeAttribute()
    version = NumberAttribute()
    default_locale = UnicodeAttribute()
    locales = JSONAttribute()  # locale -> channel -> part
    variables_schema = UnicodeAttribute(null=True)  # JSON Schema, as canonical JSON
    category = UnicodeAttribute(null=True)
    created_at = UnicodeAttribute()
    # Of the copy in use only:
    latest = NumberAttribute(null=True)  # the newest version's number
    archived = BooleanAttribute(null=True)
    revision = VersionAttribute()  # each write is made only over the revision that was read


class UserItem(Item):
    """Anything kept of a user; one query reads all of it."""

    class Meta:
        table_name = _TableName("users_table")

    key = UnicodeAttribute(hash_key=True)  # "<tenant>#<user id>"
    part = UnicodeAttribute(range_key=True)
    kind = DiscriminatorAttribute()


class Profile(UserItem, discriminator="profile"):
    """Who the user is and where to reach them."""

    email = UnicodeAttribute(null=True)
    phone = UnicodeAttribute(null=True)
    full_name = UnicodeAttribute(null=True)
    locale = UnicodeAttribute(null=True)
    timezone = UnicodeAttribute(null=True)
    attributes = JSONAttribute(null=True)
    created_at = UnicodeAttribute()
    updated_at = UnicodeAttribute()
    version = VersionAttribute()  # each write is made only over the version that was read


class Preferences(UserItem, discriminator="preferences"):
    """What the user wants to receive."""

    channels = JSONAttribute()
    categories = JSONAttribute()
    quiet_hours = JSONAttribute(null=True)
    timezone = UnicodeAttribute(null=True)
    locale = UnicodeAttribute(null=True)
    updated_at = UnicodeAttribute()
    version = VersionAttribute()


class PushDevice(UserItem, discriminator="push"):
    """A device that push notifications reach; part is "push#<id>"."""

    fcm_token = UnicodeAttribute()
    platform = UnicodeAttribute()
    device_id = UnicodeAttribute(null=True)
    is_active = BooleanAttribute()
    created_at = UnicodeAttribute()


class DeviceOwner(UserItem, discriminator="owner"):
    """Whose device a token is; it stands apart from any user, where no user id can name it."""

    user_id = UnicodeAttribute()
    version = VersionAttribute()


class Job(UserItem, discriminator="job"):
    """Work on the user that outlasts its request; part is "job#<what>", so one of a kind."""

    job_id = UnicodeAttribute()
    state = UnicodeAttribute()
    requested_at = UnicodeAttribute()
    queued_at = UnicodeAttribute()
    started_at = UnicodeAttribute(null=True)
    ended_at = UnicodeAttribute(null=True)
    expires_at = NumberAttribute()
    version = VersionAttribute()


# What a list shows of a notification, copied into its indexes.
_LISTED = ["notification_id", "category", "template_code", "targets", "withheld"]


class BySender(GlobalSecondaryIndex["Notification"]):  # type: ignore[no-untyped-call]
    """A client's notifications by time."""

    class Meta:
        index_name = "by_sender"
        projection = IncludeProjection([*_LISTED, "recipient"])

    sender = UnicodeAttribute(hash_key=True)
    accepted = UnicodeAttribute(range_key=True)


class ByRecipient(GlobalSecondaryIndex["Notification"]):  # type: ignore[no-untyped-call]
    """What was sent to a user, or to an address that belongs to none, by time."""

    class Meta:
        index_name = "by_recipient"
        projection = IncludeProjection([*_LISTED, "sender"])

    recipient = UnicodeAttribute(hash_key=True)
    accepted = UnicodeAttribute(range_key=True)


class Notification(Item):
    """An accepted notification, at the place of its client and idempotency key."""

    class Meta:
        table_name = _TableName("notifications_table")

    place = UnicodeAttribute(hash_key=True)  # of (tenant, client, idempotency key)
    by_sender = BySender()
    by_recipient = ByRecipient()
    sender = UnicodeAttribute()  # "<tenant>#<client id>"
    recipient = UnicodeAttribute()  # "<tenant>#user#<user id>" or "<tenant>#to#<hash>"
    accepted = UnicodeAttribute()  # when
    category = UnicodeAttribute()
    template_code = UnicodeAttribute(null=True)
    targets = JSONAttribute()  # names of the deliveries (messages.target_of)
    notification_id = UnicodeAttribute()
    digest = BinaryAttribute(legacy_encoding=False)  # SHA-256 of the canonical body
    request_id = UnicodeAttribute()
    message = UnicodeAttribute()  # models.Message as JSON: what is (re)published
    erased = BooleanAttribute(null=True)  # its message says nothing personal any more
    withheld = JSONAttribute(null=True)  # channel -> [state, reason]: never routed
    idempotent_until = NumberAttribute()  # epoch seconds
    expires_at = NumberAttribute()  # epoch seconds; DynamoDB deletes some time after


class Delivery(Item):
    """One notification to one address: the status table. Made by the first claim."""

    class Meta:
        table_name = _TableName("deliveries_table")

    notification_id = UnicodeAttribute(hash_key=True)
    target = UnicodeAttribute(range_key=True)  # the channel, or "push#<device>"
    state = UnicodeAttribute()
    attempts = NumberAttribute(default=0)
    owner = UnicodeAttribute(null=True)
    lease_until = NumberAttribute(null=True)  # epoch seconds
    maybe_sent = BooleanAttribute(null=True)
    provider = UnicodeAttribute(null=True)
    provider_message_id = UnicodeAttribute(null=True)
    error_code = UnicodeAttribute(null=True)
    error_message = UnicodeAttribute(null=True)
    failure = UnicodeAttribute(null=True)
    # What it is counted under (carillon/aggregates.py):
    sender = UnicodeAttribute(null=True)  # "<tenant>#<client id>"
    accepted = UnicodeAttribute(null=True)  # when
    category = UnicodeAttribute(null=True)
    template_code = UnicodeAttribute(null=True)
    history: ListAttribute[str] = ListAttribute(null=True)  # JSON, oldest first
    accepted_at = UnicodeAttribute(null=True)  # its notification's
    updated_at = UnicodeAttribute()
    expires_at = NumberAttribute()


class UnreadIndex(GlobalSecondaryIndex["InboxItem"]):  # type: ignore[no-untyped-call]
    """The keys of what is neither read nor archived: nothing else is in it."""

    class Meta:
        index_name = "unread"
        projection = KeysOnlyProjection()

    user = UnicodeAttribute(hash_key=True)
    unread = UnicodeAttribute(range_key=True)


class InboxItem(Item):
    """An in-app notification in its user's inbox, oldest first."""

    class Meta:
        table_name = _TableName("inbox_table")

    user = UnicodeAttribute(hash_key=True)  # "<tenant>#<user id>"
    position = UnicodeAttribute(range_key=True)  # "<accepted at>#<notification id>"
    notification_id = UnicodeAttribute()
    category = UnicodeAttribute()
    title = UnicodeAttribute()
    body = UnicodeAttribute()
    action_url = UnicodeAttribute(null=True)
    created_at = UnicodeAttribute()
    read_at = UnicodeAttribute(null=True)
    archived_at = UnicodeAttribute(null=True)
    unread = UnicodeAttribute(null=True)  # its position, while it is neither read nor archived
    expires_at = NumberAttribute()
    unread_index = UnreadIndex()


class AboutUser(GlobalSecondaryIndex["FirstAnswer"]):  # type: ignore[no-untyped-call]
    """The answers that tell of a user: they go when the user does."""

    class Meta:
        index_name = "about"
        projection = KeysOnlyProjection()

    about = UnicodeAttribute(hash_key=True)


class FirstAnswer(Item):
    """What the first request with an idempotency key was answered; no status while it runs."""

    class Meta:
        table_name = _TableName("idempotency_table")

    id = UnicodeAttribute(hash_key=True)  # of (tenant, client, user, key)
    about = UnicodeAttribute(null=True)  # "<tenant>#<user id>" of the user it tells of
    about_user = AboutUser()
    digest = BinaryAttribute(legacy_encoding=False)  # SHA-256 of the request
    owner = UnicodeAttribute()  # which of its repeats runs
    lease_until = NumberAttribute()  # epoch seconds
    status = NumberAttribute(null=True)
    headers = JSONAttribute(null=True)  # none when the answer is not kept
    body = UnicodeAttribute(null=True)
    expires_at = NumberAttribute()  # epoch seconds


METRICS = "metrics"
"""What the counters table calls the metrics' series."""


class Account(Item):
    """A user's way in: their email address and the hash of their password."""

    class Meta:
        table_name = _TableName("accounts_table")

    key = UnicodeAttribute(hash_key=True)  # "account#<tenant>#<email address, lower case>"
    user_id = UnicodeAttribute()
    email = UnicodeAttribute()
    password = UnicodeAttribute()  # argon2's hash, its parameters and salt included
    created_at = UnicodeAttribute()


class AccountOwner(Item):
    """Leads from a user to their account."""

    class Meta:
        table_name = _TableName("accounts_table")

    key = UnicodeAttribute(hash_key=True)  # "owner#<tenant>#<user id>"
    account = UnicodeAttribute()


class Session(Item):
    """A user's session: which refresh token is the one to come next."""

    class Meta:
        table_name = _TableName("accounts_table")

    key = UnicodeAttribute(hash_key=True)  # "session#<session id>"
    digest = BinaryAttribute(legacy_encoding=False)  # SHA-256 of the refresh token
    expires_at = NumberAttribute()  # epoch seconds, as the refresh token's


class Counter(Item):
    """A number that many add to: of requests, of logins, of what was sent."""

    class Meta:
        table_name = _TableName("counters_table")

    name = UnicodeAttribute(hash_key=True)  # what is counted
    slot = UnicodeAttribute(range_key=True)  # when, or of what
    total = NumberAttribute(default=0)
    expires_at = NumberAttribute(null=True)  # epoch seconds; for ever when there is none


def add(name: str, slot: str, count: int, expires_at: int | None = None) -> int:
    """Add to a counter, made by the first; return its total, this addition included."""
    counter = Counter(name, slot)
    kept = [] if expires_at is None else [Counter.expires_at.set(expires_at)]
    counter.update(actions=[Counter.total.add(count), *kept])
    return int(counter.total)


class Metric(Item):
    """A series of the metrics: a counter's total, or a histogram's sum and buckets.

    Each field is what all processes added to it. ``le_5`` counts what took at most 5 ms and more
    than the bucket before, ``more`` what no bucket takes.
    """

    class Meta:
        table_name = _TableName("counters_table")

    name = UnicodeAttribute(hash_key=True, default=METRICS)
    slot = UnicodeAttribute(range_key=True)  # the series as OpenMetrics writes it: name{labels}
    total = NumberAttribute(null=True)
    seconds = NumberAttribute(null=True)
    le_5 = NumberAttribute(null=True)
    le_10 = NumberAttribute(null=True)
    le_25 = NumberAttribute(null=True)
    le_50 = NumberAttribute(null=True)
    le_100 = NumberAttribute(null=True)
    le_250 = NumberAttribute(null=True)
    le_500 = NumberAttribute(null=True)
    le_1000 = NumberAttribute(null=True)
    le_2500 = NumberAttribute(null=True)
    more = NumberAttribute(null=True)


def add_to_metric(series: str, amounts: Mapping[str, float]) -> None:
    """Add to the fields of a series, made by the first."""
    fields = Metric.get_attributes()
    Metric(METRICS, series).update(
        actions=[fields[name].add(amount) for name, amount in amounts.items()]
    )


def metrics() -> Iterator[Metric]:
    """Return every series, by name."""
    return Metric.query(METRICS)


def forget_counter(name: str, slot: str) -> None:
    """Let a counter begin anew."""
    Counter(name, slot).delete()


class DeliveryCount(Item):
    """How many of a client's deliveries, accepted on one day, are in one state.

    Of those that were sent the buckets tell how soon: ``le_250`` counts what took at most 250 ms
    and more than the bucket before, ``more`` what no bucket takes. They stay when ``total`` goes
    on to another state.
    """

    class Meta:
        table_name = _TableName("counters_table")

    name = UnicodeAttribute(hash_key=True)  # "deliveries#<tenant>#<client id>"
    slot = UnicodeAttribute(range_key=True)  # "<day>#<channel>#<state>#<category>#<template>"
    total = NumberAttribute(default=0)
    le_250 = NumberAttribute(null=True)
    le_500 = NumberAttribute(null=True)
    le_1000 = NumberAttribute(null=True)
    le_2000 = NumberAttribute(null=True)
    le_5000 = NumberAttribute(null=True)
    le_10000 = NumberAttribute(null=True)
    le_30000 = NumberAttribute(null=True)
    le_60000 = NumberAttribute(null=True)
    le_300000 = NumberAttribute(null=True)
    le_3600000 = NumberAttribute(null=True)
    more = NumberAttribute(null=True)
    expires_at = NumberAttribute()  # epoch seconds


class CountedBatch(Item):
    """Stream records that were counted: from the one it is named after up to ``last``."""

    class Meta:
        table_name = _TableName("counters_table")

    name = UnicodeAttribute(hash_key=True)  # "stream#<event id>"
    slot = UnicodeAttribute(range_key=True, default="batch")
    last = UnicodeAttribute()  # a sequence number
    expires_at = NumberAttribute()  # epoch seconds


def count_once(
    batch: CountedBatch, counts: Mapping[tuple[str, str], Mapping[str, int]], expires_at: int
) -> bool:
    """Add to the delivery counts, by name and slot, and note the batch, in one transaction.

    False, and nothing added, when there is a note of the batch already.
    """
    fields = DeliveryCount.get_attributes()
    try:
        with TransactWrite(connection=_connection()) as transaction:
            transaction.save(batch, condition=_is_new(batch))
            for place, amounts in counts.items():
                added = [fields[name].add(amount) for name, amount in amounts.items()]
                kept = DeliveryCount.expires_at.set(expires_at)
                transaction.update(DeliveryCount(*place), actions=[*added, kept])
    except TransactWriteError as error:
        if any(why and why.code == "ConditionalCheckFailed" for why in error.cancellation_reasons):
            return False
        raise
    return True


def tenant_key(tenant: str, name: str) -> str:
    """Return the key of something a tenant calls ``name``."""
    return f"{tenant}#{name}"


def owner_key(tenant: str, digest: str) -> str:
    """Return the key of a device's owner: no user id has a ``#`` in it."""
    return tenant_key(tenant, f"#push#{digest}")


def active_slot(code: str) -> str:
    """Return the range key of the template's copy in use."""
    return f"active#{code}"


def version_slot(code: str, version: int) -> str:
    """Return the range key of a template's version: they sort by number."""
    return f"version#{code}#{version:05d}"


def expiry(moment: datetime) -> int:
    """Return when an item written at ``moment`` may be deleted, in epoch seconds."""
    return int(moment.timestamp()) + settings().retention_days * 86_400


Step = Callable[[TransactWrite], None]
"""A part of a transaction."""
CONFLICTS = frozenset({"ConditionalCheckFailed", "TransactionConflict"})


def is_conflict(error: PutError | UpdateError | TransactWriteError) -> bool:
    """Tell whether a write lost to another rather than to the store."""
    if isinstance(error, TransactWriteError):
        return any(reason and reason.code in CONFLICTS for reason in error.cancellation_reasons)
    return error.cause_response_code == "ConditionalCheckFailedException"


def transact(*steps: Step) -> bool:
    """Take the steps in one transaction; False, and nothing written, when one is refused."""
    try:
        with TransactWrite(connection=_connection()) as transaction:
            for step in steps:
                step(transaction)
    except TransactWriteError as error:
        if is_conflict(error):
            return False
        raise
    return True


def saving(item: Item, condition: Condition | None = None) -> Step:
    """Step: write the item, over the version that was read where it has versions."""
    return lambda transaction: transaction.save(item, condition=condition)


def deleting(item: Item, condition: Condition | None = None) -> Step:
    """Step: delete the item: the version that was read, unless a condition is given."""
    return lambda transaction: transaction.delete(
        item, condition=condition, add_version_condition=condition is None
    )


def requiring(condition: Condition, kind: type[Item], key: str, part: str) -> Step:
    """Step: write nothing unless the condition holds for what is at the key."""
    return lambda transaction: transaction.condition_check(kind, key, part, condition)


def create_all(*items: Item) -> bool:
    """Write new items in one transaction; False, and nothing written, when one exists already."""
    return transact(*(saving(item, _is_new(item)) for item in items))


def replace_all(changed: Item, *new: Item, gone: Sequence[Item] = ()) -> bool:
    """Write an item over the version that was read, and new ones, together; False on a conflict.

    What is ``gone`` is deleted with them, whether it was there or not.
    """
    added = (saving(item, _is_new(item)) for item in new)
    return transact(*added, saving(changed), *map(deleting, gone))


def replace(changed: Item) -> bool:
    """Write an item over the version that was read; False on a conflict."""
    try:
        changed.save()
    except PutError as error:
        if is_conflict(error) or error.cause_response_code == "TransactionConflictException":
            return False
        raise
    return True


def create(item: Item, *, over: Condition | None = None) -> bool:
    """Write a new item; False, and nothing written, when one exists, but for one like ``over``."""
    free = _is_new(item) if over is None else _is_new(item) | over
    try:
        item.save(condition=free)
    except PutError as error:
        if is_conflict(error):
            return False
        raise
    return True


def create_over_lapsed(record: Notification, at: int) -> bool:
    """Write a notification where there is none, or only one whose key has lapsed by ``at``."""
    return create(record, over=Notification.idempotent_until < at)


def advance_session(session: Session, used: bytes) -> bool:
    """Write the session's new digest over the one that was ``used``; False for any other."""
    wanted = bytes(session.digest)
    try:
        session.update(
            actions=[
                Session.digest.set(session.digest),
                Session.expires_at.set(session.expires_at),
            ],
            condition=Session.digest == used,
        )
    except UpdateError as error:
        if not is_conflict(error):
            raise
        return _holds(session.key, wanted)
    return True


def _holds(key: str, digest: bytes) -> bool:
    """Tell whether the session is as just written: the SDK repeats a write it had no answer to."""
    try:
        return bytes(Session.get(key, consistent_read=True).digest) == digest
    except Session.DoesNotExist:
        return False


def replace_password(account: Account, password: str) -> None:
    """Write another hash of the same password, unless the account has changed since."""
    with suppress(UpdateError):
        account.update(
            actions=[Account.password.set(password)],
            condition=Account.password == account.password,
        )


def user_items(tenant: str, user_id: str) -> Iterator[UserItem]:
    """Return all that is kept of a user, in one consistent query."""
    return UserItem.query(tenant_key(tenant, user_id), consistent_read=True)


def _is_new(item: Item) -> Condition:
    key = next(a for a in type(item).get_attributes().values() if a.is_hash_key)
    return key.does_not_exist()
