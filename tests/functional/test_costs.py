"""What deliveries cost: told of each, and added up by day."""

from typing import Any

import pytest

from carillon import spending
from carillon.models import Channel
from carillon.tables import Delivery

Json = dict[str, Any]
PATH = "/api/v1/notifications"
SMS_US = 8_300_000
"""Billionths of a dollar for a segment to the United States, as in prices.json."""


def post(ask: Any, *channels: str, **change: Any) -> str:
    body = {"user_id": "ada", "channels": list(channels), "message": "Hello"}
    return f"{PATH}/{ask('POST', PATH, body | change).data['notification_id']}"


def costs(ask: Any, path: str, **how: Any) -> list[Json | None]:
    return [each["cost"] for each in ask("GET", path, **how).data["deliveries"]]


def test_g15_a_delivery_tells_what_it_cost_once_it_was_sent(prepared, ask, deliver) -> None:
    path = post(ask, "sms")
    assert costs(ask, path) == [None]
    deliver("sms")
    share = spending.aws_share(Channel.SMS)
    assert costs(ask, path) == [
        {
            "provider": "0.0083",
            "aws": spending.in_units(share),
            "total": spending.in_units(SMS_US + share),
            "currency": "USD",
        }
    ]


def test_g15_a_text_costs_what_its_segments_do(prepared, ask, deliver) -> None:
    path = post(ask, "sms", message="x" * 307)
    deliver("sms")
    (cost,) = costs(ask, path)
    assert cost["provider"] == "0.0249"


def test_g15_the_cost_is_written_with_the_very_write_that_says_sent(
    prepared, ask, deliver, monkeypatch
) -> None:
    written: list[set[str]] = []
    update = Delivery.update

    def seen(self: Delivery, actions: Any, **how: Any) -> Any:
        written.append({str(action).partition(" ")[0] for action in actions})
        return update(self, actions=actions, **how)

    monkeypatch.setattr(Delivery, "update", seen)
    post(ask, "email")
    deliver("email")
    claim, sent = written
    assert {"provider_cost", "aws_cost", "provider_message_id", "state"} <= sent
    assert not {"provider_cost", "aws_cost"} & claim


def test_g15_a_delivery_that_failed_has_no_cost(prepared, ask, deliver) -> None:
    from providers import failing  # noqa: PLC0415

    from carillon.errors import Failure  # noqa: PLC0415

    path = post(ask, "email")
    deliver("email", failing(Failure.PERMANENT))
    assert costs(ask, path) == [None]


def test_g15_before_it_was_sent_there_was_no_cost(prepared, ask, deliver) -> None:
    path = post(ask, "email")
    deliver("email")
    moment = ask("GET", path).data["created_at"]
    assert costs(ask, path, query={"as_of": moment}) == [None]


def test_g15_deliveries_of_one_notification_share_its_acceptance(prepared, ask, deliver) -> None:
    path = post(ask, "email", "sms")
    deliver("email")
    (cost, _) = costs(ask, path)
    assert cost["aws"] == spending.in_units(spending.aws_share(Channel.EMAIL, 2))


def test_g15_an_smtp_server_of_one_s_own_charges_nothing(prepared, ask, deliver) -> None:
    from carillon import prices  # noqa: PLC0415

    content = {"subject": "s", "text": "t"}
    assert prices.estimate(Channel.EMAIL, None, content, "smtp").amount == "0"
    assert prices.estimate(Channel.EMAIL, None, content, "ses").amount == "0.0001"


@pytest.mark.parametrize("channel", Channel)
def test_g15_what_is_sent_with_a_test_key_costs_nothing(channel) -> None:
    from carillon.messages import Message  # noqa: PLC0415

    message = Message.model_construct(test=True, targets={channel: ["x"]})
    assert spending.of_delivery(message, channel, "x", {"text": "x"}, "any") == spending.NOTHING
