"""Who may call: applications, their keys; whether the service is well."""

from collections.abc import Mapping, Sequence
from typing import Any

from carillon_client.calls import (
    Call,
    Reply,
    Slice,
    given,
    many,
    matching,
    nothing,
    one,
    page,
    tagged,
)
from carillon_client.models import Application, Key, NewKey, Registration
from carillon_client.transport import Listing, Operation

CLIENTS = "/clients"
CLIENT = f"{CLIENTS}/{{client_id}}"
KEYS = f"{CLIENT}/keys"

Types = Sequence[Mapping[str, Any]]


def _register_client(
    service_name: str, *, notification_types: Types | None = None, tenant: str | None = None
) -> Call[Registration]:
    """Register an application; its token is shown only now. Takes the administrator's token."""
    body = given(service_name=service_name, notification_types=notification_types, tenant=tenant)
    return Call("POST", CLIENTS, one(Registration), body=body)


def _clients(*, limit: int | None = None) -> Call[Slice[Application]]:
    """Iterate over the applications, in no order; ``limit`` is a page's size."""
    return Call("GET", CLIENTS, page(Application), query=given(limit=limit))


def _get_client(client_id: str) -> Call[Application]:
    """Return an application."""
    return Call("GET", CLIENT, tagged(Application), {"client_id": client_id})


def _patch_client(
    client_id: str,
    *,
    service_name: str | None = None,
    notification_types: Types | None = None,
    if_match: str | None = None,
) -> Call[Application]:
    """Rename an application, or replace its notification types."""
    body = given(service_name=service_name, notification_types=notification_types)
    names, headers = {"client_id": client_id}, matching(if_match)
    return Call("PATCH", CLIENT, tagged(Application), names, body=body, headers=headers)


def _keys(client_id: str) -> Call[list[Key]]:
    """Return an application's keys, the revoked ones included, never their tokens."""
    return Call("GET", KEYS, many(Key), {"client_id": client_id})


def _create_key(
    client_id: str,
    *,
    mode: str = "live",
    scopes: Sequence[str] | None = None,
    label: str | None = None,
) -> Call[NewKey]:
    """Give an application another token, shown only now; ``mode`` is live or test."""
    body = given(mode=mode, scopes=scopes and list(scopes), label=label)
    return Call("POST", KEYS, one(NewKey), {"client_id": client_id}, body=body)


def _revoke_key(client_id: str, key_id: str) -> Call[None]:
    """Make a token worthless, within a minute everywhere."""
    names = {"client_id": client_id, "key_id": key_id}
    return Call("DELETE", f"{KEYS}/{{key_id}}", nothing, names)


def _health() -> Call[dict[str, Any]]:
    """Return the state of the service and what it depends on; raises Unavailable (503)."""
    return Call("GET", "/health", _data)


def _data(reply: Reply) -> dict[str, Any]:
    return dict(reply.data)


class Access:
    """What a client does about applications and keys, and the service itself."""

    register_client = Operation(_register_client)
    clients = Listing(_clients)
    get_client = Operation(_get_client)
    patch_client = Operation(_patch_client)
    keys = Operation(_keys)
    create_key = Operation(_create_key)
    revoke_key = Operation(_revoke_key)
    health = Operation(_health)
