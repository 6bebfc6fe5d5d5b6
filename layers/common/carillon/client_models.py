"""What an administrator says of an application and of its keys."""

from typing import Annotated

from pydantic import AfterValidator, Field, StrictBool, StringConstraints

from carillon.identity import Mode, Scope
from carillon.messages import AT_LEAST_ONCE, Dedupe
from carillon.models import Line, Name, Strict


class NotificationType(Strict):
    """A category the application sends; nobody can opt out of a mandatory one.

    ``dedupe`` is what its notifications do after an outcome that is not known, unless they say.
    """

    name: Name
    description: Annotated[str, StringConstraints(max_length=255)] = ""
    mandatory: StrictBool = False
    dedupe: Dedupe = AT_LEAST_ONCE


def _names_once(types: list[NotificationType]) -> list[NotificationType]:
    if len({each.name for each in types}) != len(types):
        raise ValueError("a notification type is named twice")
    return types


def _grantable(scopes: list[Scope]) -> list[Scope]:
    if {Scope.ADMIN, Scope.SELF} & set(scopes):
        raise ValueError("no key has the scopes admin and self")
    return sorted(set(scopes))


NotificationTypes = Annotated[
    list[NotificationType], Field(max_length=100), AfterValidator(_names_once)
]


class ClientRequest(Strict):
    """POST /clients: an application that will send notifications."""

    service_name: Line
    notification_types: NotificationTypes = Field(default=[])
    tenant: Name = "default"


class ClientPatch(Strict):
    """PATCH /clients/{client_id}: ``service_name`` or ``notification_types``, or both."""

    service_name: Line = Field(default_factory=str)  # none in the schema: it would not fit
    notification_types: NotificationTypes = Field(default=[])


class KeyRequest(Strict):
    """POST /clients/{client_id}/keys: what the key may do; what an application may, unless said."""

    label: Line | None = None
    scopes: Annotated[list[Scope], Field(min_length=1), AfterValidator(_grantable)] | None = None
    mode: Mode
