"""Budgets as operators set them (carillon/budgets.py has what they do)."""

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, Field, StrictBool
from pynamodb.expressions.update import Action

from carillon import bill, clients, costs
from carillon.bill import NANO
from carillon.budgets import (
    BUDGET,
    CATEGORY,
    CLIENT,
    TENANT,
    WhenSpent,
    is_budget,
    item_name,
    month,
    next_month,
    spent_in,
)
from carillon.errors import bad_field, not_found
from carillon.identity import Caller
from carillon.log import logger
from carillon.models import Strict, now, timestamp
from carillon.spending import in_units
from carillon.tables import CONTROLS, Control

_PLACE = "path:scope"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_KINDS = frozenset({CLIENT, CATEGORY})


class BudgetRequest(Strict):
    """PUT /ops/budgets/{scope}: what a calendar month (UTC) may cost, and what happens then.

    ``refuse`` refuses what comes; ``degrade`` withholds the dearest channel of it, and refuses
    when none is left. A mandatory category is charged and goes on, unless ``includes_mandatory``.
    """

    amount: Annotated[Decimal, Field(gt=0, le=1_000_000_000, decimal_places=9)]
    currency: str = "USD"
    when_spent: WhenSpent = "refuse"
    includes_mandatory: StrictBool = False


class BudgetOut(BaseModel):
    """A budget and how much of its month is spent; ``frees_at`` is when the next month begins."""

    scope: str
    amount: str
    currency: str
    when_spent: WhenSpent
    includes_mandatory: bool
    month: str
    spent: str
    share: float
    is_spent: bool
    frees_at: str
    actor: str
    set_at: str


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose money: ``tenant``, ``client:<id>`` or ``category:<name>``."""

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind

    def item(self, tenant: str) -> str:
        """Return the name of its item."""
        return item_name(self.kind, tenant, self.name)


def parse(text: str) -> Scope:
    """Return a scope; raises Problem (404) for none of ours."""
    if text == TENANT:
        return Scope(TENANT)
    kind, _, name = text.partition(":")
    if kind not in _KINDS or not _NAME.fullmatch(name):
        raise not_found("scope", _PLACE)
    return Scope(kind, name)


def put(caller: Caller, scope: Scope, request: BudgetRequest) -> BudgetOut:
    """Set a budget; raises Problem (404) where there is no such client, 422 for other money.

    What the month has cost so far is charged to a new one.
    """
    currency = bill.price_list().currency
    if request.currency != currency:
        raise bad_field("#/currency", f"prices are in {currency}", code="unknown-currency")
    if scope.kind == CLIENT and clients.find(scope.name).tenant != caller.tenant:
        raise not_found("client", _PLACE)
    moment, item = now(), Control(CONTROLS, scope.item(caller.tenant))
    actions = [
        Control.amount.set(int(request.amount * NANO)),
        Control.when_spent.set(request.when_spent),
        Control.includes_mandatory.set(request.includes_mandatory),
        Control.actor.set(caller.client_id),
        Control.set_at.set(timestamp(moment)),
        Control.told.remove(),
    ]
    item.update(actions=[*actions, *_so_far(caller, scope, moment)])
    _log(caller, scope, amount=str(request.amount), when_spent=request.when_spent)
    return _out(scope, item, moment)


def _so_far(caller: Caller, scope: Scope, moment: datetime) -> list[Action]:
    """Return what makes a new budget know of its month; one that was set before knows already."""
    known = _find(caller.tenant, scope)
    if known is not None and known.month == month(moment):
        return []
    spent = costs.spent(
        caller.tenant,
        moment.date().replace(day=1),
        moment.date(),
        client_id=scope.name if scope.kind == CLIENT else None,
        category=scope.name if scope.kind == CATEGORY else None,
    )
    return [Control.spent.set(spent), Control.month.set(month(moment))]


def get(caller: Caller, scope: Scope) -> BudgetOut:
    """Return a budget; raises Problem (404) where none is set."""
    item = _find(caller.tenant, scope)
    if item is None:
        raise not_found("budget", _PLACE)
    return _out(scope, item, now())


def remove(caller: Caller, scope: Scope) -> None:
    """Let the scope cost what it will; nothing happens where no budget is set."""
    Control(CONTROLS, scope.item(caller.tenant)).delete()
    _log(caller, scope)


def all_set(caller: Caller) -> list[BudgetOut]:
    """Return the tenant's budgets."""
    found = Control.query(CONTROLS, Control.name.startswith(BUDGET), consistent_read=True)
    named = ((_scope_of(str(item.name), caller.tenant), item) for item in found if is_budget(item))
    return [_out(scope, item, now()) for scope, item in named if scope]


def _scope_of(item: str, tenant: str) -> Scope | None:
    kind, _, rest = item.removeprefix(BUDGET).partition("#")
    owner, _, name = rest.partition("#")
    return Scope(kind, name) if owner == tenant else None


def _find(tenant: str, scope: Scope) -> Control | None:
    try:
        item = Control.get(CONTROLS, scope.item(tenant), consistent_read=True)
    except Control.DoesNotExist:
        return None
    return item if is_budget(item) else None


def _out(scope: Scope, item: Control, moment: datetime) -> BudgetOut:
    amount, spent = int(item.amount), spent_in(item, moment)
    return BudgetOut(
        scope=str(scope),
        amount=in_units(amount),
        currency=bill.price_list().currency,
        when_spent="degrade" if item.when_spent == "degrade" else "refuse",
        includes_mandatory=bool(item.includes_mandatory),
        month=month(moment),
        spent=in_units(spent),
        share=round(spent / amount, 4),
        is_spent=spent >= amount,
        frees_at=timestamp(next_month(moment)),
        actor=str(item.actor),
        set_at=str(item.set_at),
    )


def _log(caller: Caller, scope: Scope, **told: str) -> None:
    who = {"scope": str(scope), "actor": caller.client_id, "tenant": caller.tenant}
    logger().warning("budget set" if told else "budget removed", extra=who | told)
