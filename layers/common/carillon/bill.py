"""What AWS charges, by its list prices in aws_prices.json beside this file, which is yours to edit.

A bill is made of quantities by price line: calls, request units, GB-seconds, bytes as GB.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

from carillon.models import Shape

NANO = 1_000_000_000
"""Amounts are stored as whole billionths of the currency: a read unit costs 125 of them."""


class Source(Shape):
    """When a price held, and where it is told; whether that page was read for this list."""

    as_of: str
    confirmed: bool
    url: str


class Line(Shape):
    """One price: ``price`` for ``per`` units."""

    price: Decimal
    per: int
    unit: str
    source: str


class PriceList(Shape):
    """The lines of each region; ``region`` is the one that is charged."""

    currency: str
    region: str
    sources: dict[str, Source]
    regions: dict[str, dict[str, Line]]

    @property
    def lines(self) -> dict[str, Line]:
        """The region's lines, by name."""
        return self.regions[self.region]


@dataclass(frozen=True, slots=True)
class Charge:
    """What a quantity costs, in the list's currency."""

    line: str
    quantity: float
    unit: str
    amount: Decimal
    as_of: str


@cache
def price_list() -> PriceList:
    """Return the list of prices."""
    text = Path(__file__).with_name("aws_prices.json").read_text("utf-8")
    return PriceList.model_validate_json(text)


def charges(quantities: Mapping[str, float]) -> list[Charge]:
    """Return what each quantity costs, the largest amount first; raises KeyError for no line."""
    prices = price_list()
    found = []
    for name, quantity in quantities.items():
        line = prices.lines[name]
        amount = Decimal(str(quantity)) * line.price / line.per
        as_of = prices.sources[line.source].as_of
        found.append(Charge(name, quantity, line.unit, amount, as_of))
    return sorted(found, key=lambda charge: -charge.amount)


def total(quantities: Mapping[str, float]) -> Decimal:
    """Return what all the quantities cost."""
    return sum((charge.amount for charge in charges(quantities)), Decimal(0))
