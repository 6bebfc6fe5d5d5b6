"""Applications, their API tokens, and the categories they send.

A client's item tells of all its keys, and is written in one transaction with the keys' own items,
each under its key id: neither is ever searched for. A revoked key's item is deleted; the
authorizer's answer for its token lives on in API Gateway for up to 60 seconds.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from carillon import cursors
from carillon.client_models import ClientPatch, ClientRequest, KeyRequest
from carillon.errors import Fault, Problem, not_found, precondition_failed
from carillon.identity import APPLICATION, Caller, NewToken, Scope, new_token
from carillon.messages import AT_LEAST_ONCE, GENERAL, Dedupe
from carillon.models import now, timestamp
from carillon.storage import Item, create_all, replace_all
from carillon.tables import ApiKey, Client, ClientName, tenant_key

MAX_KEYS = 20
REVOKED_KEPT = 80
"""How many revoked keys a client's item still tells of; the oldest are forgotten."""
CATEGORIES_SECONDS = 60
WRITE_ATTEMPTS = 5
_CLIENT_ID = r"[0-9a-f-]{36}"
Key = dict[str, Any]
Versions = frozenset[int] | None


@dataclass(frozen=True, slots=True)
class Registration:
    """A new client and its token, which is never to be had again."""

    client_id: str
    api_token: str


@dataclass(frozen=True, slots=True)
class Category:
    """Whether nobody can opt out, and what is done after an outcome that is not known."""

    mandatory: bool = False
    dedupe: Dedupe = AT_LEAST_ONCE


@dataclass(frozen=True, slots=True)
class Page:
    """Some clients, and the cursor of those after them."""

    items: list[Client]
    next_cursor: str | None


def register(request: ClientRequest) -> Registration:
    """Create a client with its first token; raises Problem (409) when its name is taken."""
    client_id, token, moment = str(uuid.uuid4()), new_token("live"), timestamp(now())
    first = _told(token, KeyRequest(mode="live"), moment)
    client = Client(
        _place(client_id),
        tenant=request.tenant,
        service_name=request.service_name,
        notification_types=[kind.model_dump() for kind in request.notification_types],
        keys=[first],
        created_at=moment,
        updated_at=moment,
    )
    if not create_all(client, _name(client), _api_key(client, token, first)):
        raise _name_taken()
    return Registration(client_id, token.token)


def find(client_id: str) -> Client:
    """Return a client; raises Problem (404)."""
    client = _get(client_id)
    if client is None:
        raise not_found("client", "path:client_id")
    return client


def page(limit: int, cursor: str | None) -> Page:
    """Return up to ``limit`` clients, in no order; raises Problem (400) for a foreign cursor.

    Reads through the table of clients and keys: it is small, and asked by administrators alone.
    """
    start = {"key": {"S": _place(cursors.read(cursor, _CLIENT_ID))}} if cursor else None
    found = list(
        Client.scan(Client.key.startswith(_place("")), limit=limit + 1, last_evaluated_key=start)
    )
    following = len(found) > limit
    found = found[:limit]
    return Page(found, cursors.make(client_id_of(found[-1])) if following else None)


def of_tenant(tenant: str) -> list[str]:
    """Return the ids of a tenant's clients, in no order; reads through the table as ``page``."""
    mine = Client.key.startswith(_place("")) & (Client.tenant == tenant)
    return [client_id_of(client) for client in Client.scan(mine)]


def patch(client_id: str, request: ClientPatch, expected: Versions = None) -> Client:
    """Change what is given; raises Problem (404, 409 when the name is taken, 412).

    A renamed client's old name is free again at once.
    """
    # Of the fields given, the whole: a type without its description is one with none.
    changes = request.model_dump(include=request.model_fields_set)

    def change(client: Client) -> _Written:
        before = _name(client)
        for name, value in changes.items():
            setattr(client, name, value)
        after = _name(client)
        if after.key == before.key:
            return _Written(client)
        if _name_is_taken(after):
            raise _name_taken()
        return _Written(client, new=[after], gone=[before])

    return _write(client_id, change, expected)


def add_key(client_id: str, request: KeyRequest) -> tuple[Key, NewToken]:
    """Give the client one more key; raises Problem (404, 409 when it has too many)."""
    token, moment = new_token(request.mode), timestamp(now())
    key = _told(token, request, moment)

    def change(client: Client) -> _Written:
        active = [each for each in client.keys if not each["revoked_at"]]
        if len(active) >= MAX_KEYS:
            raise Problem(409, "too-many-keys", f"A client has {MAX_KEYS} keys at most; revoke one")
        client.keys = [*client.keys, key]
        return _Written(client, new=[_api_key(client, token, key)])

    _write(client_id, change)
    return key, token


def revoke_key(client_id: str, key_id: str) -> None:
    """Take a key from the client; a second time changes nothing; raises Problem (404)."""

    def change(client: Client) -> _Written:
        key = next((each for each in client.keys if each["key_id"] == key_id), None)
        if key is None:
            raise not_found("key", "path:key_id")
        key["revoked_at"] = key["revoked_at"] or timestamp(now())
        client.keys = _forget_oldest(client.keys)
        return _Written(client, gone=[ApiKey(f"key#{key_id}")])

    _write(client_id, change)


def client_id_of(client: Client) -> str:
    """Return the client's id."""
    return str(client.key).removeprefix(_place(""))


def categories(client_id: str) -> Mapping[str, Category]:
    """Return which categories the client registered, and which of them are mandatory.

    At most CATEGORIES_SECONDS old, so that a warm function reads them once a minute.
    """
    return _categories(client_id, int(now().timestamp()) // CATEGORIES_SECONDS)


def category_of(caller: Caller, name: str) -> Category:
    """Return what the client registered of a category; raises Problem (422) for an unknown one.

    A client that registered no category may send any.
    """
    known = categories(caller.client_id)
    if known and name not in known and name != GENERAL:
        text = f"The client has registered no notification type {name}"
        raise Problem(422, "unknown-category", text, faults=[Fault("#/category", text)])
    return known.get(name, Category())


@lru_cache(maxsize=256)
def _categories(client_id: str, _bucket: int) -> Mapping[str, Category]:
    client = _get(client_id)
    types = client.notification_types if client else []
    return {
        each["name"]: Category(bool(each.get("mandatory")), each.get("dedupe", AT_LEAST_ONCE))
        for each in types
    }


@dataclass(frozen=True, slots=True)
class _Written:
    """A changed client, and what is made and deleted together with it."""

    client: Client
    new: Sequence[Item] = ()
    gone: Sequence[Item] = ()


def _write(
    client_id: str, change: Callable[[Client], _Written], expected: Versions = None
) -> Client:
    """Change a client; over the winner's version when another was quicker, unless told which."""
    for _ in range(WRITE_ATTEMPTS):
        client = find(client_id)
        if expected is not None and client.version not in expected:
            raise precondition_failed()
        written = change(client)
        client.updated_at = timestamp(now())
        if replace_all(client, *written.new, gone=written.gone):
            return client
    raise Problem(409, "too-many-writers", "Others keep changing this; try again", retry_after=1)


def _get(client_id: str) -> Client | None:
    try:
        return Client.get(_place(client_id), consistent_read=True)
    except Client.DoesNotExist:
        return None


def _place(client_id: str) -> str:
    return f"client#{client_id}"


def _name(client: Client) -> ClientName:
    key = f"name#{tenant_key(client.tenant, client.service_name)}"
    return ClientName(key, client_id=client_id_of(client))


def _name_is_taken(name: ClientName) -> bool:
    try:
        ClientName.get(name.key, consistent_read=True)
    except ClientName.DoesNotExist:
        return False
    return True


def _name_taken() -> Problem:
    text = "A client with this service_name exists already"
    return Problem(409, "client-exists", text, faults=[Fault("#/service_name", text)])


def _told(token: NewToken, request: KeyRequest, moment: str) -> Key:
    """Return what may be told of a key: everything but the token and its hash."""
    return {
        "key_id": token.key_id,
        "label": request.label,
        "scopes": sorted(request.scopes or APPLICATION),
        "mode": request.mode,
        "created_at": moment,
        "revoked_at": None,
    }


def _api_key(client: Client, token: NewToken, key: Key) -> ApiKey:
    return ApiKey(
        f"key#{token.key_id}",
        digest=token.digest,
        client_id=client_id_of(client),
        tenant=client.tenant,
        scopes=" ".join(map(Scope, key["scopes"])),
        mode=key["mode"],
    )


def _forget_oldest(keys: Sequence[Key]) -> list[Key]:
    revoked = sorted((key["revoked_at"], key["key_id"]) for key in keys if key["revoked_at"])
    forgotten = {key_id for _, key_id in revoked[:-REVOKED_KEPT]}
    return [key for key in keys if key["key_id"] not in forgotten]
