"""Budgets: what a calendar month may cost, and what is held back once that is spent.

A budget is an item among what workers obey (controls.py), so no process reads anything more to know
of it; what has been spent is added to it where the stream is counted (aggregates.py).
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from pynamodb.exceptions import PynamoDBException, UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from carillon import controls, metrics, prices
from carillon.errors import Fault, Problem
from carillon.identity import Caller
from carillon.log import logger, trace
from carillon.messages import Message
from carillon.models import Channel, State, now
from carillon.recipients import Routing
from carillon.tables import CONTROLS, Control, tenant_key

WhenSpent = Literal["refuse", "degrade"]
BUDGET = "budget#"
TENANT, CLIENT, CATEGORY = "tenant", "client", "category"
SPENT = "budget-spent"
"""Why a channel was withheld; and the code of the refusal when none is left."""
WARNED, ALL = 80, 100
"""Percents of a budget that are told of, once a month each."""
_POINTERS = {CATEGORY: "#/category", CLIENT: "header:Authorization", TENANT: "header:Authorization"}


def item_name(kind: str, tenant: str, name: str = "") -> str:
    """Return the name of a budget's item."""
    return f"{BUDGET}{kind}#{tenant_key(tenant, name) if name else tenant}"


def names(sender: str, category: str) -> list[str]:
    """Return the items of the budgets that pay for what ``<tenant>#<client id>`` sends."""
    tenant, _, client_id = sender.partition("#")
    return [
        item_name(CATEGORY, tenant, category),
        item_name(CLIENT, tenant, client_id),
        item_name(TENANT, tenant),
    ]


def month(moment: datetime) -> str:
    """Return the calendar month of a moment, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m}"


def next_month(moment: datetime) -> datetime:
    """Return when the month after begins, in UTC."""
    first = moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)


def is_budget(item: Control) -> bool:
    """Tell whether an item is one: what was spent may outlive it."""
    return str(item.name).startswith(BUDGET) and item.amount is not None


def spent_in(item: Control, moment: datetime) -> int:
    """Return what was spent of a budget in the month of a moment, in billionths."""
    return int(item.spent or 0) if item.month == month(moment) else 0


def _binding(sender: str, category: str, *, mandatory: bool) -> list[Control]:
    """Return the spent budgets that what is sent would be charged to, the narrowest first."""
    known, moment = controls.known().items, now()
    found = [known[name] for name in names(sender, category) if name in known]
    return [
        item
        for item in found
        if is_budget(item)
        and spent_in(item, moment) >= item.amount
        and not (mandatory and not item.includes_mandatory)
    ]


def _held_back(spent: Sequence[Control], channels: Collection[Channel]) -> set[Channel]:
    """Return the channels that spent budgets hold back.

    All of them where one refuses. Else those whose provider is the dearest; what costs nothing at
    a provider always goes.
    """
    if any(item.when_spent == "refuse" for item in spent):
        return set(channels)
    usual = {channel: prices.usual(channel) for channel in channels}
    dearest = max(usual.values(), default=0) if spent else 0
    return {channel for channel, rate in usual.items() if rate and rate == dearest}


def apply(caller: Caller, category: str, routing: Routing, *, mandatory: bool) -> Routing:
    """Return the routing that is left when budgets are spent.

    Raises Problem (402) when nothing is. Tests cost nothing and are not held back.
    """
    if caller.test or not routing.targets:
        return routing
    try:
        sender = tenant_key(caller.tenant, caller.client_id)
        spent = _binding(sender, category, mandatory=mandatory)
    except PynamoDBException as error:
        # Nothing is refused for our own trouble; the workers look again.
        logger().warning("budgets unreadable", extra=trace(error))
        return routing
    held = _held_back(spent, routing.targets)
    left = {channel: to for channel, to in routing.targets.items() if channel not in held}
    if not left:
        raise _refusal(spent[0])
    withheld = dict.fromkeys(sorted(held), (State.SUPPRESSED, SPENT))
    return Routing(left, routing.withheld | withheld)


def _refusal(item: Control) -> Problem:
    kind = str(item.name).removeprefix(BUDGET).partition("#")[0]
    frees = next_month(now())
    text = f"The month's budget of the {kind} is spent; the next month begins on {frees:%Y-%m-%d}"
    fault = Fault(_POINTERS[kind], text)
    seconds = int((frees - now()).total_seconds()) + 1
    return Problem(402, "budget-spent", text, faults=[fault], retry_after=seconds)


def withheld(message: Message, channel: Channel) -> str | None:
    """Return why a worker is not to send what was accepted before its budget was spent."""
    if message.test:
        return None
    sender = tenant_key(message.tenant, message.client_id)
    spent = _binding(sender, message.category, mandatory=message.mandatory)
    return SPENT if channel in _held_back(spent, message.targets) else None


def charged(sender: str, category: str, moment: datetime) -> list[str]:
    """Return the budgets there are that pay for what ended at a moment of this month."""
    if month(moment) != month(now()):
        return []
    known = controls.known().items
    return [name for name in names(sender, category) if name in known and is_budget(known[name])]


def begin_month(name: str) -> None:
    """Let a budget begin anew in a new month; whoever is first does it."""
    item = controls.known().items[name]
    this = month(now())
    if item.month == this:
        return
    actions = [Control.month.set(this), Control.spent.set(0)]
    _if(Control(CONTROLS, name), actions, Control.month != this)


def warn(added: Mapping[str, int]) -> None:
    """Tell once a month that most of a budget is spent, and that all of it is."""
    for name, amount in added.items():
        known = controls.known().items.get(name)
        # Reading again what is far from its end would be a read for every batch.
        if known and is_budget(known) and _near(known, amount):
            _warn(name)


def _near(known: Control, added: int) -> bool:
    return bool(spent_in(known, now()) + 2 * added >= known.amount * WARNED / 100)


def _warn(name: str) -> None:
    item = Control(CONTROLS, name)
    try:
        item.refresh(consistent_read=True)
    except Control.DoesNotExist:
        return
    share = 100 * spent_in(item, now()) / item.amount if is_budget(item) else 0
    reached = max((level for level in (0, WARNED, ALL) if share >= level), default=0)
    mark = f"{item.month}#{reached:03d}"
    if reached and (item.told or "") < mark:
        news = Control.told.does_not_exist() | (Control.told < mark)
        if _if(item, [Control.told.set(mark)], news):
            metrics.sample("budgets_nearly_spent", 1.0)
            logger().warning("budget", extra={"budget": name, "percent": round(share)})


def _if(item: Control, actions: Sequence[Action], condition: Condition) -> bool:
    """Update an item where a condition holds; tell whether it did."""
    try:
        item.update(actions=list(actions), condition=condition)
    except UpdateError as error:
        if error.cause_response_code == "ConditionalCheckFailedException":
            return False
        raise
    return True
