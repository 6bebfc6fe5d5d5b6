"""Counting segments, bytes and money (D12)."""

from decimal import Decimal
from itertools import pairwise

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carillon import lint, prices
from carillon.models import Channel

GSM = "".join(sorted(lint.BASIC | lint.EXTENSION))
TEXTS = st.text(st.one_of(st.sampled_from(GSM), st.characters(codec="utf-8")), max_size=700)
GSM_TEXTS = st.text(st.sampled_from(GSM), max_size=700)


def count(text: str) -> tuple[str, int]:
    return lint.encoding_of(text), len(lint.segments(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("GSM-7", 1)),
        ("a" * 160, ("GSM-7", 1)),
        ("a" * 161, ("GSM-7", 2)),
        ("a" * 306, ("GSM-7", 2)),
        ("a" * 307, ("GSM-7", 3)),
        ("€" * 80, ("GSM-7", 1)),
        ("€" * 81, ("GSM-7", 2)),
        # 153 is odd: a segment holds 76 of two septets, and the escape never stands apart.
        ("€" * 152, ("GSM-7", 2)),
        ("€" * 153, ("GSM-7", 3)),
        ("§ÄÖÜäöüß@£Ω\n\r", ("GSM-7", 1)),
        ("ж" * 70, ("UCS-2", 1)),
        ("ж" * 71, ("UCS-2", 2)),
        ("ж" * 134, ("UCS-2", 2)),
        ("ж" * 135, ("UCS-2", 3)),
        ("😀" * 35, ("UCS-2", 1)),
        ("😀" * 36, ("UCS-2", 2)),
        # 67 is odd: a segment holds 33 of two units.
        ("😀" * 66, ("UCS-2", 2)),
        ("😀" * 67, ("UCS-2", 3)),
        ("a" * 69 + "`", ("UCS-2", 1)),  # the grave accent is not in the alphabet
        ("a" * 70 + "’", ("UCS-2", 2)),
        ("ç", ("UCS-2", 1)),  # only its capital is
    ],
)
def test_d12_segments_are_counted_as_the_standard_has_it(text, expected) -> None:
    assert count(text) == expected


def test_d12_the_alphabet_has_its_127_characters_and_ten_more() -> None:
    assert (len(lint.BASIC), len(lint.EXTENSION)) == (127, 10)
    assert not lint.BASIC & lint.EXTENSION


@given(TEXTS)
def test_d12_the_segments_are_the_text_and_each_fits(text) -> None:
    encoding, parts = lint.encoding_of(text), lint.segments(text)
    single, several = lint.CAPACITY[encoding]
    capacity = single if len(parts) == 1 else several
    assert "".join(parts) == text
    for part in parts:
        assert sum(lint.units(character, encoding) for character in part) <= capacity
        if encoding == "UCS-2":
            assert len(part.encode("utf-16-be")) <= capacity * 2


@given(TEXTS)
def test_d12_there_are_never_fewer_segments_than_characters_over_160(text) -> None:
    assert len(lint.segments(text)) * 160 >= len(text)


@given(TEXTS, TEXTS)
def test_d12_writing_on_never_saves_a_segment(text, more) -> None:
    assert len(lint.segments(text + more)) >= len(lint.segments(text))


@given(GSM_TEXTS)
def test_d12_no_segment_is_cut_earlier_than_it_must_be(text) -> None:
    parts = lint.segments(text)
    for part, following in pairwise(parts):
        used = sum(lint.units(character, "GSM-7") for character in part)
        assert used + lint.units(following[0], "GSM-7") > 153


def test_d12_a_text_message_says_what_makes_it_long() -> None:
    found = lint.check(Channel.SMS, {"text": "It’s here, €5 🎉"})
    assert found == lint.SmsLint(characters=15, encoding="UCS-2", segments=1, not_gsm7=["’", "🎉"])
    assert found.limit == 1_600


def test_d12_a_push_is_measured_as_it_is_refused() -> None:
    small = lint.check(Channel.PUSH, {"title": "a", "body": "b"})
    large = lint.check(Channel.PUSH, {"title": "a", "body": "b" + "é" * 100})
    assert isinstance(small, lint.PushLint)
    assert isinstance(large, lint.PushLint)
    assert large.bytes == small.bytes + 200
    assert large.limit == 4_096


@pytest.mark.parametrize(
    ("content", "warnings"),
    [
        ({"subject": "s", "html": "<p>h</p>", "text": "t"}, []),
        ({"subject": "s" * 78, "text": "t"}, []),
        ({"subject": "s" * 79, "text": "t"}, ["subject"]),
        ({"subject": "s", "html": "<p>h</p>"}, ["no text"]),
        ({"subject": "s", "html": "é" * 51_001, "text": "t"}, ["Gmail"]),
    ],
)
def test_d12_an_email_is_warned_of_what_its_readers_would_miss(content, warnings) -> None:
    found = lint.check(Channel.EMAIL, content)
    assert isinstance(found, lint.EmailLint)
    assert len(found.warnings) == len(warnings)
    assert all(word in text for word, text in zip(warnings, found.warnings, strict=True))
    assert found.html_bytes == len(content.get("html", "").encode())


def test_d12_a_text_message_is_priced_by_its_region_and_segments() -> None:
    one = prices.estimate(Channel.SMS, "+14155552671", {"text": "x"})
    three = prices.estimate(Channel.SMS, "+14155552671", {"text": "x" * 307})
    assert (one.region, one.units, one.unit, one.currency) == ("US", 1, "segment", "USD")
    assert Decimal(three.amount) == 3 * Decimal(one.amount) == 3 * Decimal(one.rate)
    german = prices.estimate(Channel.SMS, "+4915123456789", {"text": "x"})
    assert (german.region, Decimal(german.amount) > Decimal(one.amount)) == ("DE", True)


@pytest.mark.parametrize(
    ("number", "region"),
    [("+14165550123", "CA"), ("+14155552671", "US"), ("+447400123456", "GB"), ("+999123456", None)],
)
def test_d12_a_number_has_the_region_of_its_owner_or_calling_code(number, region) -> None:
    assert prices.region_of(number) == region


@pytest.mark.parametrize("number", [None, "+35316711111", "+88213300150", "nonsense"])
def test_d12_a_region_without_a_price_has_the_default(number) -> None:
    unlisted = prices.estimate(Channel.SMS, number, {"text": "x"})
    assert Decimal(unlisted.rate) == prices._prices().sms.default.rate


def test_d12_email_costs_by_the_message_and_push_and_inbox_nothing() -> None:
    email = prices.estimate(Channel.EMAIL, "a@example.com", {"subject": "s", "text": "t"})
    assert Decimal(email.amount) * 1_000 == Decimal("0.1")
    for channel in (Channel.PUSH, Channel.INAPP):
        assert prices.estimate(channel, None, {"title": "t", "body": "b"}).amount == "0"


def test_d12_every_price_has_a_date_a_source_and_a_region_there_is() -> None:
    table = prices._prices()
    rates = [table.email, table.push, table.inapp, table.sms.default, *table.sms.regions.values()]
    rates += table.providers.values()
    assert {rate.source for rate in rates} == set(table.sources)
    assert set(table.sms.regions) <= phonenumbers.SUPPORTED_REGIONS
    assert all(rate.rate >= 0 for rate in rates)
