"""Kill switches: what operators stop, and workers leave in the queue until it is on again.

A scope is ``channel:email``, ``provider:ses``, ``template:<code>`` or ``client:<client id>``;
templates and clients are the tenant's own. Workers know of a change within seconds (controls.py).
"""

import re
from contextlib import suppress
from dataclasses import dataclass

from carillon import clients, templates
from carillon.controls import SWITCH
from carillon.errors import Problem, not_found
from carillon.identity import Caller
from carillon.log import logger
from carillon.models import Channel, Line, Shape, Strict, now, timestamp
from carillon.tables import CONTROLS, Control, tenant_key

PROVIDERS = frozenset({"ses", "smtp", "sendgrid", "twilio", "aws", "fcm", "inbox"})
"""What a channel may send through; a switch of no provider would stop nothing."""
_PLACE = "path:scope"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_OF_A_TENANT = frozenset({"template", "client"})


class SwitchRequest(Strict):
    """PUT /ops/switches/{scope}: why it is stopped."""

    reason: Line


class SwitchOut(Shape):
    """A kill switch; one that is not ``on`` has nothing else to tell."""

    scope: str
    on: bool
    reason: str | None = None
    actor: str | None = None
    set_at: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """What a switch stops."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    def item(self, tenant: str) -> str:
        """Return the name of its item."""
        name = tenant_key(tenant, self.name) if self.kind in _OF_A_TENANT else self.name
        return f"{SWITCH}{self.kind}#{name}"


def parse(text: str) -> Scope:
    """Return a scope; raises Problem (404) for none of ours."""
    kind, _, name = text.partition(":")
    known = {"channel": name in set(Channel), "provider": name in PROVIDERS}
    if not known.get(kind, kind in _OF_A_TENANT and _NAME.fullmatch(name) is not None):
        raise not_found("scope", _PLACE)
    return Scope(kind, name)


def put(caller: Caller, scope: Scope, reason: str) -> SwitchOut:
    """Stop what the scope names; raises Problem (404) where there is no such template or client."""
    _check_it_is_there(caller.tenant, scope)
    item = Control(
        CONTROLS,
        scope.item(caller.tenant),
        reason=reason,
        actor=caller.client_id,
        set_at=timestamp(now()),
    )
    item.save()
    _log(caller, scope, on=True, reason=reason)
    return _out(scope, item)


def _check_it_is_there(tenant: str, scope: Scope) -> None:
    if scope.kind == "template":
        templates.in_any_state(tenant, scope.name, _PLACE)
    elif scope.kind == "client":
        with suppress(Problem):
            if clients.find(scope.name).tenant == tenant:
                return
        raise not_found("client", _PLACE)


def get(caller: Caller, scope: Scope) -> SwitchOut:
    """Return a switch as it is, on or off."""
    try:
        item = Control.get(CONTROLS, scope.item(caller.tenant), consistent_read=True)
    except Control.DoesNotExist:
        return SwitchOut(scope=str(scope), on=False)
    return _out(scope, item)


def lift(caller: Caller, scope: Scope) -> None:
    """Let what the scope names go on; nothing happens to what was not stopped."""
    Control(CONTROLS, scope.item(caller.tenant)).delete()
    _log(caller, scope, on=False)


def all_on(caller: Caller) -> list[SwitchOut]:
    """Return the switches that are on: the tenant's, and those of channels and providers."""
    found = Control.query(CONTROLS, Control.name.startswith(SWITCH), consistent_read=True)
    named = ((_scope_of(item.name, caller.tenant), item) for item in found)
    return [_out(scope, item) for scope, item in named if scope]


def _scope_of(item: str, tenant: str) -> Scope | None:
    """Return the scope of an item's name, but of another tenant's."""
    kind, _, name = item.removeprefix(SWITCH).partition("#")
    if kind not in _OF_A_TENANT:
        return Scope(kind, name)
    owner, _, own = name.partition("#")
    return Scope(kind, own) if owner == tenant else None


def _out(scope: Scope, item: Control) -> SwitchOut:
    return SwitchOut(
        scope=str(scope), on=True, reason=item.reason, actor=item.actor, set_at=item.set_at
    )


def _log(caller: Caller, scope: Scope, *, on: bool, reason: str | None = None) -> None:
    told = {"scope": str(scope), "on": on, "actor": caller.client_id, "tenant": caller.tenant}
    logger().warning("kill switch", extra=told | ({"reason": reason} if reason else {}))
