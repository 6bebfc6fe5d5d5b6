"""The sandbox's weather: a share of a provider's requests fails, whomever they are for."""

import pytest

from sandbox.exchange import judge
from sandbox.mailroom import Mailroom, Message
from sandbox.outcomes import Provider, Reaction
from sandbox.weather import Weather

DOWN = "unavailable@sandbox.test"
LOST = "reset@sandbox.test"


def reactions(store: Mailroom, provider: Provider, count: int) -> list[Reaction]:
    return [
        judge(Message(provider, "ada@example.com", f"m{n}", f"ntf_{n}"), store)[0]
        for n in range(count)
    ]


def test_every_fifth_request_fails_and_the_ways_take_turns() -> None:
    store = Mailroom()
    store.weather.change(Provider.SES, 0.2, [DOWN, LOST])
    assert reactions(store, Provider.SES, 10) == [
        *[Reaction.ACCEPTED] * 4,
        Reaction.REFUSED,
        *[Reaction.ACCEPTED] * 4,
        Reaction.RESET,
    ]


def test_one_provider_is_down_and_comes_back() -> None:
    store = Mailroom()
    store.weather.change(Provider.SES, 1, [DOWN])
    assert set(reactions(store, Provider.SES, 5)) == {Reaction.REFUSED}
    assert set(reactions(store, Provider.SMTP, 5)) == {Reaction.ACCEPTED}
    store.weather.change(Provider.SES, 0, [DOWN])
    assert set(reactions(store, Provider.SES, 5)) == {Reaction.ACCEPTED}


@pytest.mark.parametrize(("share", "addresses"), [(-0.1, [DOWN]), (1.1, [DOWN]), (0.5, [])])
def test_weather_that_makes_no_sense_is_refused(share, addresses) -> None:
    with pytest.raises(ValueError, match="failing"):
        Weather().change(Provider.SES, share, addresses)
