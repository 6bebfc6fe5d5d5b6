"""What AWS charges, and what of it is a delivery's."""

import re
from datetime import date
from decimal import Decimal

import pytest

from carillon import bill, spending
from carillon.models import Channel

LINES = [
    (region, name, line)
    for region, lines in bill.price_list().regions.items()
    for name, line in lines.items()
]


@pytest.mark.parametrize(("region", "name", "line"), LINES)
def test_g15_each_price_has_its_date_and_where_it_was_read(region, name, line) -> None:
    source = bill.price_list().sources[line.source]
    assert date(2024, 1, 1) < date.fromisoformat(source.as_of) <= date.today()  # noqa: DTZ011
    assert re.match(r"https://[\w.-]+/", source.url)
    assert line.price >= 0
    assert line.per > 0
    assert line.unit


def test_no_source_is_left_that_no_price_names() -> None:
    assert {line.source for _, _, line in LINES} == set(bill.price_list().sources)


def test_g15_a_bill_is_quantities_times_prices_the_dearest_first() -> None:
    charges = bill.charges({"sqs-request": 2_000_000, "dynamodb-write-unit": 4_000_000})
    assert [(one.line, one.amount) for one in charges] == [
        ("dynamodb-write-unit", Decimal("2.5")),
        ("sqs-request", Decimal("0.8")),
    ]
    assert bill.total({"sqs-request": 2_000_000, "sns-to-sqs": 9}) == Decimal("0.8")


def test_what_has_no_price_is_no_bill() -> None:
    with pytest.raises(KeyError):
        bill.charges({"teleport": 1})


def test_g15_each_channel_has_a_measured_share_of_lines_that_have_a_price() -> None:
    shares = spending.measured()
    known = bill.price_list().lines.keys()
    assert set(shares.delivered) == set(Channel)
    for quantities in (shares.accepted, *shares.delivered.values()):
        assert quantities
        assert quantities.keys() <= known
    assert date.fromisoformat(shares.as_of)
    assert shares.source


def test_g15_deliveries_share_what_their_notification_costs_once() -> None:
    alone, one_of_four = spending.aws_share(Channel.EMAIL), spending.aws_share(Channel.EMAIL, 4)
    once = int(bill.total(spending.measured().accepted) * bill.NANO)
    assert alone - one_of_four == pytest.approx(once * 3 / 4, abs=2)


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0"), (1, "0.000000001"), (8_300_000, "0.0083"), (3_000_000_000, "3"), (10**10, "10")],
)
def test_an_amount_is_decimal_text_without_needless_zeros(nano, text) -> None:
    assert spending.in_units(nano) == text
