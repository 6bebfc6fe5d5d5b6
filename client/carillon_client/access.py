"""Who may call: applications and their tokens; whether the service is well."""

from collections.abc import Mapping, Sequence
from typing import Any

from carillon_client.calls import Call, Reply, given, one
from carillon_client.models import Registration
from carillon_client.transport import Operation


def _register_client(
    service_name: str,
    *,
    notification_types: Sequence[Mapping[str, str]] | None = None,
    tenant: str | None = None,
) -> Call[Registration]:
    """Register an application; its token is shown only now. Takes the administrator's token."""
    body = given(service_name=service_name, notification_types=notification_types, tenant=tenant)
    return Call("POST", "/clients", one(Registration), body=body)


def _health() -> Call[dict[str, Any]]:
    """Return the state of the service and what it depends on; raises Unavailable (503)."""
    return Call("GET", "/health", _data)


def _data(reply: Reply) -> dict[str, Any]:
    return dict(reply.data)


class Access:
    """What a client does about tokens, and the service itself."""

    register_client = Operation(_register_client)
    health = Operation(_health)
