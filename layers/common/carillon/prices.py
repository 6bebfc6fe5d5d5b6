"""What a message may cost: an estimate from prices.json beside this file, which is yours to edit.

Providers tell the real price after the send, if at all; these rates are lists and guesses, each
with its date and source.
"""

from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Literal

from carillon.content import Content
from carillon.lint import segments
from carillon.models import Channel, Shape


class Price(Shape):
    """An estimate for one message to one address.

    ``amount`` is ``units`` times ``rate``, both in ``currency`` as decimal text. ``region`` is
    where a text message goes (ISO 3166-1 alpha-2), null when that is not known.
    """

    amount: str
    currency: str
    per: Literal["message"] = "message"
    rate: str
    unit: Literal["segment", "message"]
    units: int
    region: str | None
    as_of: str
    source: str


class _Source(Shape):
    as_of: str
    text: str


class _Rate(Shape):
    rate: Decimal
    source: str


class _ByRegion(Shape):
    default: _Rate
    regions: dict[str, _Rate]


class _PriceList(Shape):
    currency: str
    sources: dict[str, _Source]
    providers: dict[str, _Rate]
    email: _Rate
    push: _Rate
    inapp: _Rate
    sms: _ByRegion


def estimate(channel: Channel, address: str | None, content: Content, provider: str = "") -> Price:
    """Return what ``content`` may cost on ``channel``; text messages by the number's region.

    A ``provider`` that has a price of its own has that one.
    """
    prices = _prices()
    region, units = None, 1
    match channel:
        case Channel.SMS:
            region, units = region_of(address) if address else None, len(segments(content["text"]))
            rate = prices.sms.regions.get(region or "", prices.sms.default)
        case Channel.EMAIL:
            rate = prices.email
        case Channel.PUSH:
            rate = prices.push
        case Channel.INAPP:
            rate = prices.inapp
    rate = prices.providers.get(provider, rate)
    source = prices.sources[rate.source]
    return Price(
        amount=f"{rate.rate * units:f}",
        currency=prices.currency,
        rate=f"{rate.rate:f}",
        unit="segment" if channel is Channel.SMS else "message",
        units=units,
        region=region,
        as_of=source.as_of,
        source=source.text,
    )


def usual(channel: Channel) -> Decimal:
    """Return what a channel's provider charges for a small message to nowhere in particular."""
    listed = _prices()
    rates = {
        Channel.EMAIL: listed.email,
        Channel.SMS: listed.sms.default,
        Channel.PUSH: listed.push,
        Channel.INAPP: listed.inapp,
    }
    return rates[channel].rate


def as_of() -> str:
    """Return the date of the oldest price in the list."""
    return min(source.as_of for source in _prices().sources.values())


def region_of(number: str) -> str | None:
    """Return the region of a number in E.164, or the main one of its calling code."""
    import phonenumbers  # noqa: PLC0415 - 52 ms to load

    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return None
    region = phonenumbers.region_code_for_number(
        parsed
    ) or phonenumbers.region_code_for_country_code(parsed.country_code or 0)
    return region if region != "ZZ" else None


@cache
def _prices() -> _PriceList:
    return _PriceList.model_validate_json(
        Path(__file__).with_name("prices.json").read_text("utf-8")
    )
