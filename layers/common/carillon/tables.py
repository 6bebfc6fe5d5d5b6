"""The DynamoDB tables, and the only code that knows how their items are laid out.

Each class is one kind of item. Table names come from the settings when a table is first used.
Keys that belong to a tenant begin with it, so one tenant cannot name another's item.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

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
from pynamodb.exceptions import UpdateError
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection, KeysOnlyProjection

from carillon.settings import settings
from carillon.storage import Item, TableName, create, is_conflict

AnItem = TypeVar("AnItem", bound=Item)


class ApiKey(Item):
    """An API token's hash and whose it is."""

    class Meta:
        table_name = TableName("clients_table")

    key = UnicodeAttribute(hash_key=True)  # "key#<key id>"
    digest = BinaryAttribute(legacy_encoding=False)
    client_id = UnicodeAttribute()
    tenant = UnicodeAttribute()
    scopes = UnicodeAttribute()
    mode = UnicodeAttribute(default="live")  # or "test"


class Client(Item):
    """A registered application."""

    class Meta:
        table_name = TableName("clients_table")

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
        table_name = TableName("clients_table")

    key = UnicodeAttribute(hash_key=True)  # "name#<tenant>#<service name>"
    client_id = UnicodeAttribute()


class Template(Item):
    """A version of a template, all its locales; or the copy of the version in use."""

    class Meta:
        table_name = TableName("templates_table")

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
        table_name = TableName("users_table")

    key = UnicodeAttribute(hash_key=True)  # "<tenant>#<user id>"
    part = UnicodeAttribute(range_key=True)
    kind = DiscriminatorAttribute()


PROFILE, PREFERENCES = "profile", "preferences"
SUPPRESSION = "suppression"


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


class Suppression(UserItem, discriminator="suppression"):
    """An address that nothing goes to; it stands apart from any user, and is known by its hash."""

    channel = UnicodeAttribute()
    reason = UnicodeAttribute()  # the provider's code, or an operator's words
    at = UnicodeAttribute()
    notification_id = UnicodeAttribute(null=True)  # what was sent there last


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


LISTED = (
    *("notification_id", "category", "template_code", "targets", "withheld", "fallback"),
    *("sender", "recipient", "accepted", "place"),
)
"""What a list shows of a notification, and its keys."""


class ByRecipient(GlobalSecondaryIndex["Notification"]):  # type: ignore[no-untyped-call]
    """What was sent to a user, or to an address that belongs to none, by time."""

    class Meta:
        index_name = "by_recipient"
        projection = IncludeProjection([*LISTED[:6], "sender"])

    recipient = UnicodeAttribute(hash_key=True)
    accepted = UnicodeAttribute(range_key=True)


class Notification(Item):
    """An accepted notification, at the place of its client and idempotency key."""

    class Meta:
        table_name = TableName("notifications_table")

    place = UnicodeAttribute(hash_key=True)  # of (tenant, client, idempotency key)
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
    fallback = BooleanAttribute(null=True)  # its channels take turns
    idempotent_until = NumberAttribute()  # epoch seconds
    expires_at = NumberAttribute()  # epoch seconds; DynamoDB deletes some time after


class Delivery(Item):
    """One notification to one address: the status table. Made by the first claim."""

    class Meta:
        table_name = TableName("deliveries_table")

    notification_id = UnicodeAttribute(hash_key=True)
    target = UnicodeAttribute(range_key=True)  # the channel, or "push#<device>"
    state = UnicodeAttribute()
    attempts = NumberAttribute(default=0)
    earlier_attempts = NumberAttribute(null=True)  # before it was a dead letter and sent again
    owner = UnicodeAttribute(null=True)
    lease_until = NumberAttribute(null=True)  # epoch seconds
    not_before = NumberAttribute(null=True)  # epoch seconds: when the next attempt may be made
    maybe_sent = BooleanAttribute(null=True)
    reason = UnicodeAttribute(null=True)  # why no call was made
    provider = UnicodeAttribute(null=True)
    provider_message_id = UnicodeAttribute(null=True)
    # What sending it cost, in billionths of the currency (carillon/spending.py):
    provider_cost = NumberAttribute(null=True)
    aws_cost = NumberAttribute(null=True)
    error_code = UnicodeAttribute(null=True)
    error_message = UnicodeAttribute(null=True)
    failure = UnicodeAttribute(null=True)
    # SHA-256 of what the latest attempt was to say (rendering.content_hash).
    content_hash = BinaryAttribute(null=True, legacy_encoding=False)
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
        table_name = TableName("inbox_table")

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
        table_name = TableName("idempotency_table")

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


class Account(Item):
    """A user's way in: their email address and the hash of their password."""

    class Meta:
        table_name = TableName("accounts_table")

    key = UnicodeAttribute(hash_key=True)  # "account#<tenant>#<email address, lower case>"
    user_id = UnicodeAttribute()
    email = UnicodeAttribute()
    password = UnicodeAttribute()  # argon2's hash, its parameters and salt included
    created_at = UnicodeAttribute()


class AccountOwner(Item):
    """Leads from a user to their account."""

    class Meta:
        table_name = TableName("accounts_table")

    key = UnicodeAttribute(hash_key=True)  # "owner#<tenant>#<user id>"
    account = UnicodeAttribute()


class Session(Item):
    """A user's session: which refresh token is the one to come next."""

    class Meta:
        table_name = TableName("accounts_table")

    key = UnicodeAttribute(hash_key=True)  # "session#<session id>"
    digest = BinaryAttribute(legacy_encoding=False)  # SHA-256 of the refresh token
    expires_at = NumberAttribute()  # epoch seconds, as the refresh token's


class Control(Item):
    """What workers obey: a kill switch, a breaker, a budget. One query reads all."""

    class Meta:
        table_name = TableName("controls_table")

    kind = UnicodeAttribute(hash_key=True)  # CONTROLS, or "sweep"
    # "switch#" and a scope: "channel#email", "provider#ses", "template#<tenant>#<code>" or
    # "client#<tenant>#<client id>"; or "breaker#<provider>".
    name = UnicodeAttribute(range_key=True)
    reason = UnicodeAttribute(null=True)
    actor = UnicodeAttribute(null=True)  # who set the switch
    set_at = UnicodeAttribute(null=True)
    opened_at = UnicodeAttribute(null=True)
    probe_at = NumberAttribute(null=True)  # epoch seconds: when one worker may try again
    failures = NumberAttribute(null=True)  # probes that failed since it opened
    until = UnicodeAttribute(null=True)  # how far a sweep has come
    # Of "budget#tenant#<tenant>", "budget#client#<tenant>#<client id>" or
    # "budget#category#<tenant>#<category>", in billionths of the currency:
    amount = NumberAttribute(null=True)
    spent = NumberAttribute(null=True)  # in ``month``
    month = UnicodeAttribute(null=True)
    when_spent = UnicodeAttribute(null=True)
    includes_mandatory = BooleanAttribute(null=True)
    told = UnicodeAttribute(null=True)  # "<month>#<percent>" that was warned of


CONTROLS = "controls"
"""The kind of what workers read."""


def of_image(kind: type[AnItem], image: Mapping[str, Any]) -> AnItem:
    """Return a stream's image as the item that it is of."""
    item = kind()
    item.from_dynamodb_dict({name: dict(value) for name, value in image.items()})
    return item


def tenant_key(tenant: str, name: str) -> str:
    """Return the key of something a tenant calls ``name``."""
    return f"{tenant}#{name}"


def owner_key(tenant: str, digest: str) -> str:
    """Return the key of a device's owner: no user id has a ``#`` in it."""
    return tenant_key(tenant, f"#push#{digest}")


def token_digest(token: str) -> str:
    """Return what a push token is known by."""
    return hashlib.sha256(token.encode()).hexdigest()


def device_part(digest: str) -> str:
    """Return where among a user's items the device of a token's digest is."""
    return f"push#{digest[:16]}"


def suppression_key(tenant: str, channel: str, address: str) -> str:
    """Return the key of an address that nothing goes to: no user id has a ``#`` in it.

    Mailboxes that differ in case alone are one in practice; numbers have none.
    """
    digest = hashlib.sha256(address.casefold().encode()).hexdigest()
    return tenant_key(tenant, f"#{channel}#{digest}")


def active_slot(code: str) -> str:
    """Return the range key of the template's copy in use."""
    return f"active#{code}"


def version_slot(code: str, version: int) -> str:
    """Return the range key of a template's version: they sort by number."""
    return f"version#{code}#{version:05d}"


def expiry(moment: datetime) -> int:
    """Return when an item written at ``moment`` may be deleted, in epoch seconds."""
    return int(moment.timestamp()) + settings().retention_days * 86_400


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
