"""What a delivery costs: a provider's price for what was sent, and its share of AWS's bill.

Both are estimates: the provider's by prices.json, AWS's by what `make bill` counted of one
notification (aws_shares.json), at the prices of aws_prices.json. They are written with ``sent``.
"""

from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import NamedTuple

from carillon import bill, prices
from carillon.bill import NANO
from carillon.content import Content
from carillon.messages import Message
from carillon.models import Channel, Shape


class Cost(NamedTuple):
    """Billionths of the currency."""

    provider: int = 0
    aws: int = 0


NOTHING = Cost()


class CostOut(Shape):
    """An estimate, as decimal text: the provider's charge, AWS's, and both together."""

    provider: str
    aws: str
    total: str
    currency: str


class _Shares(Shape):
    """Quantities by line of AWS's prices: once per notification, and per delivery of a channel."""

    as_of: str
    source: str
    accepted: dict[str, float]
    delivered: dict[Channel, dict[str, float]]


def of_delivery(
    message: Message, channel: Channel, address: str, content: Content, provider: str
) -> Cost:
    """Return what sending ``content`` to one address costs; a test costs nothing."""
    if message.test:
        return NOTHING
    price = Decimal(prices.estimate(channel, address, content, provider).amount)
    deliveries = sum(map(len, message.targets.values()))
    return Cost(int(price * NANO), aws_share(channel, deliveries))


@cache
def aws_share(channel: Channel, deliveries: int = 1) -> int:
    """Return the AWS share of one of a notification's deliveries, in billionths."""
    shares = measured()
    accepted = bill.total(shares.accepted) / max(1, deliveries)
    return round((accepted + bill.total(shares.delivered[channel])) * NANO)


@cache
def measured() -> _Shares:
    """Return what one notification takes of AWS, as it was counted last."""
    text = Path(__file__).with_name("aws_shares.json").read_text("utf-8")
    return _Shares.model_validate_json(text)


def told(provider: int, aws: int) -> CostOut:
    """Return a cost as it is told."""
    return CostOut(
        provider=in_units(provider),
        aws=in_units(aws),
        total=in_units(provider + aws),
        currency=bill.price_list().currency,
    )


def in_units(nano: int) -> str:
    """Return billionths of the currency as decimal text, without needless zeros."""
    text = f"{Decimal(nano) / NANO:.9f}".rstrip("0")
    return text.removesuffix(".") or "0"
