"""What deliveries cost: told of each, and added up by day."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from functional.conftest import ADMIN_CALLER, APPLICATION_CALLER
from functional.test_analytics import DAY, accepted, count, moved

from carillon import spending
from carillon.models import Channel
from carillon.tables import Client, Delivery

Json = dict[str, Any]
PATH = "/api/v1/notifications"
SHOP = APPLICATION_CALLER["client_id"]
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


Report = Callable[..., Json]


@pytest.fixture
def spent(cloud) -> Report:
    """Return an asker for a tenant's costs of one day, two clients of it being registered."""
    for client_id, tenant in ((SHOP, "default"), ("bank", "default"), ("spy", "other")):
        Client(
            f"client#{client_id}",
            tenant=tenant,
            service_name=client_id,
            notification_types=[],
            keys=[],
            created_at=DAY,
            updated_at=DAY,
        ).save()
    return asked_for


def asked_for(ask: Any, group_by: str = "", day: str = DAY) -> Json:
    query = {"from": day, "to": day} | ({"group_by": group_by} if group_by else {})
    reply = ask("GET", "/api/v1/ops/costs", query=query, caller=ADMIN_CALLER)
    assert reply.status == 200
    return reply.data


def sent(target: str = "email", provider_cost: int = 100_000, **change: str) -> Json:
    """A record of a delivery that was sent."""
    found = moved("sending", "sent", target, **change)
    found["dynamodb"]["NewImage"] |= {
        "provider_cost": {"N": str(provider_cost)},
        "aws_cost": {"N": "7000"},
    }
    return found


def test_g15_costs_are_added_up_the_provider_s_and_aws_s_apart(spent, ask) -> None:
    count(accepted(["email", "sms"]), sent(), sent("sms", 8_300_000))
    report = spent(ask, "channel")
    rows = {row["channel"]: row for row in report["rows"]}
    assert (rows["email"]["provider"], rows["sms"]["provider"]) == ("0.0001", "0.0083")
    assert {row["aws"] for row in rows.values()} == {"0.000007"}
    assert report["totals"] == {
        "sent": 2,
        "provider": "0.0084",
        "aws": "0.000014",
        "total": "0.008414",
        "currency": "USD",
    }
    assert all(date.fromisoformat(told) for told in report["as_of"].values())


def test_g15_costs_stay_when_a_delivery_goes_on(spent, ask) -> None:
    count(accepted(["email"]), sent(), moved("sent", "delivered"))
    totals = spent(ask)["totals"]
    assert (totals["provider"], totals["aws"], totals["sent"]) == ("0.0001", "0.000007", 1)


def test_g15_what_ended_without_being_sent_cost_aws_s_share_alone(spent, ask) -> None:
    count(accepted(["email"]), moved("sending", "failed"))
    totals = spent(ask)["totals"]
    share = spending.in_units(spending.aws_share(Channel.EMAIL))
    assert (totals["provider"], totals["aws"], totals["sent"]) == ("0", share, 0)


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("day", [DAY]),
        ("category", ["news", "orders"]),
        ("template", [None, "hello"]),
        ("client", [SHOP, "bank"]),
    ],
)
def test_g15_costs_are_told_by_day_category_template_and_client(spent, ask, by, groups) -> None:
    count(sent(), sent(category="news", template_code="hello", sender="default#bank"))
    found = [row[by] or None for row in spent(ask, by)["rows"]]
    assert sorted(found, key=str) == sorted(groups, key=str)


def test_g15_another_tenant_s_costs_are_not_told(spent, ask) -> None:
    count(sent(), sent(sender="other#spy"))
    assert spent(ask)["totals"]["sent"] == 1


def test_costs_of_a_span_that_ends_before_it_begins_are_refused(spent, ask) -> None:
    query = {"from": "2026-11-21", "to": "2026-11-20"}
    reply = ask("GET", "/api/v1/ops/costs", query=query, caller=ADMIN_CALLER)
    assert (reply.status, reply.body["code"]) == (400, "bad-span")


def test_g15_a_day_without_deliveries_costs_nothing(spent, ask) -> None:
    before = str(date.fromisoformat(DAY) - timedelta(days=1))
    report = spent(ask, "channel", day=before)
    assert (report["rows"], report["totals"]["total"]) == ([], "0")
