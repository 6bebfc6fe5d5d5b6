"""Budgets: set by operators, charged by the stream, obeyed where notifications are accepted."""

from typing import Any

import pytest
from functional.conftest import ADMIN_CALLER, APPLICATION_CALLER
from functional.test_analytics import DAY, accepted, count
from functional.test_costs import sent, spent  # noqa: F401 - a fixture
from pynamodb.exceptions import PynamoDBException

from carillon import budgets, controls
from carillon.models import Channel
from carillon.tables import CONTROLS, Control

Json = dict[str, Any]
BUDGETS = "/api/v1/ops/budgets"
SEND = "/api/v1/notifications"
SHOP = APPLICATION_CALLER["client_id"]
NOON = f"{DAY}T12:00:00Z"
SCOPES = ["tenant", f"client:{SHOP}", "category:orders"]


@pytest.fixture
def month(spent, prepared, time_machine) -> None:  # noqa: F811 - the fixture
    """A day in the month of the records, with the shop registered and Ada to write to."""
    time_machine.move_to(NOON, tick=False)


def budget(ask: Any, scope: str, amount: str = "0.01", **change: Any) -> Any:
    body = {"amount": amount, "currency": "USD", "when_spent": "refuse"} | change
    reply = ask("PUT", f"{BUDGETS}/{scope}", body, caller=ADMIN_CALLER)
    controls.forget()
    return reply


def spend(*records: Json) -> None:
    """Count what was sent: $0.02 of text messages unless told."""
    count(*(records or (sent("sms", 20_000_000),)))
    controls.forget()


def post(ask: Any, *channels: str, **change: Any) -> Any:
    body = {"user_id": "ada", "channels": list(channels) or ["sms"], "message": "Hello"}
    return ask("POST", SEND, body | {"category": "orders"} | change)


def standing(ask: Any, scope: str) -> Json:
    reply = ask("GET", f"{BUDGETS}/{scope}", caller=ADMIN_CALLER)
    assert reply.status == 200
    return dict(reply.data)


@pytest.mark.parametrize("scope", SCOPES)
def test_g15_a_spent_budget_refuses_until_the_next_month(month, ask, time_machine, scope) -> None:
    budget(ask, scope)
    assert post(ask).status == 202
    spend()
    refused = post(ask)
    assert (refused.status, refused.body["code"]) == (402, "budget-spent")
    assert "2026-12-01" in refused.body["detail"]
    # 9 days and 12 hours to the first of December.
    assert int(refused.headers["Retry-After"]) == pytest.approx(9.5 * 86_400, abs=2)
    time_machine.move_to("2026-12-01T00:00:01Z", tick=False)
    assert post(ask).status == 202
    assert standing(ask, scope)["spent"] == "0"


def test_g15_a_budget_of_a_moment_ago_is_charged(month, ask) -> None:
    count(sent("sms", 20_000_000))  # and what there is to charge is known
    body = {"amount": "1", "currency": "USD", "when_spent": "refuse"}
    ask("PUT", f"{BUDGETS}/tenant", body, caller=ADMIN_CALLER)
    count(sent("sms", 20_000_000))
    assert float(standing(ask, "tenant")["spent"]) >= 0.04  # the month so far, and this


@pytest.mark.parametrize(
    ("scope", "pointer"),
    [
        ("tenant", "header:Authorization"),
        (f"client:{SHOP}", "header:Authorization"),
        ("category:orders", "#/category"),
    ],
)
def test_g15_the_refusal_says_whose_budget_it_is(month, ask, scope, pointer) -> None:
    budget(ask, scope)
    spend()
    assert [each["pointer"] for each in post(ask).body["errors"]] == [pointer]


def test_g15_a_budget_of_others_refuses_nothing(month, ask) -> None:
    for scope in ("client:bank", "category:news"):
        budget(ask, scope)
        spend(sent("sms", 20_000_000, sender="default#bank", category="news"))
    assert post(ask).status == 202
    assert post(ask, category="news").status == 402


def test_g15_a_spent_budget_degrades_to_cheaper_channels_and_says_so(month, ask) -> None:
    budget(ask, "tenant", when_spent="degrade")
    spend()
    taken = post(ask, "sms", "email", "inapp")
    assert taken.status == 202
    told = {each["channel"]: (each["status"], each["reason"]) for each in taken.data["deliveries"]}
    assert told == {
        "email": ("queued", None),
        "inapp": ("queued", None),
        "sms": ("suppressed", "budget-spent"),
    }


def test_g15_what_cannot_be_had_cheaper_is_refused(month, ask) -> None:
    budget(ask, "tenant", when_spent="degrade")
    spend()
    assert post(ask, "sms").status == 402
    assert post(ask, "email").status == 402
    assert post(ask, "email", "inapp").status == 202


def test_g15_what_no_provider_charges_goes_by_a_budget_that_degrades(month, ask) -> None:
    budget(ask, "tenant", when_spent="degrade")
    spend()
    assert post(ask, "inapp").status == 202
    budget(ask, "tenant", when_spent="refuse")
    assert post(ask, "inapp").status == 402


def test_g15_a_dry_run_tells_of_a_spent_budget(month, ask) -> None:
    budget(ask, "tenant", when_spent="degrade")
    spend()
    told = post(ask, "sms", "email", dry_run=True)
    reasons = {each["channel"]: each["reason"] for each in told.data["deliveries"]}
    assert reasons == {"email": None, "sms": "budget-spent"}
    assert post(ask, "sms", dry_run=True).status == 402


def test_g15_a_mandatory_category_is_charged_and_goes_on_unless_the_budget_says_so(
    month, ask
) -> None:
    from carillon.tables import Client  # noqa: PLC0415

    client = Client.get(f"client#{SHOP}")
    client.notification_types = [{"name": "security", "mandatory": True}]
    client.save()
    budget(ask, "tenant")
    spend(sent("sms", 20_000_000, category="security"))
    assert standing(ask, "tenant")["is_spent"]
    assert post(ask, category="security").status == 202
    budget(ask, "tenant", includes_mandatory=True)
    assert post(ask, category="security").status == 402


def test_g15_a_test_key_is_not_held_back(month, ask) -> None:
    budget(ask, "tenant")
    spend()
    body = {"user_id": "ada", "channels": ["sms"], "message": "Hello"}
    assert ask("POST", SEND, body, caller=APPLICATION_CALLER | {"test": "true"}).status == 202


def test_g15_an_accepted_request_gets_its_first_answer_again(month, ask) -> None:
    budget(ask, "tenant")
    first = post(ask, request_id="once")
    spend()
    again = post(ask, request_id="once")
    assert (again.status, again.data) == (202, first.data)


def test_g15_what_waits_in_the_queue_is_withheld_once_the_budget_is_spent(
    month, ask, deliver
) -> None:
    budget(ask, "tenant")
    path = f"{SEND}/{post(ask, 'sms').data['notification_id']}"
    spend()
    provider = deliver("sms")
    assert provider.calls == []
    (told,) = ask("GET", path).data["deliveries"]
    assert (told["status"], told["reason"], told["cost"]) == ("suppressed", "budget-spent", None)


def test_g15_each_record_of_the_stream_is_charged_once(month, ask) -> None:
    budget(ask, "tenant")
    batch = [accepted(["email"]), sent(), sent()]
    spend(*batch)
    spend(*batch)
    assert standing(ask, "tenant")["spent"] == "0.000214"


def test_g15_a_new_budget_knows_what_its_month_has_cost(month, ask) -> None:
    count(sent(), sent("sms", 8_300_000, category="news"), sent(sender="default#bank"))
    assert budget(ask, "tenant").data["spent"] == "0.008521"
    assert budget(ask, f"client:{SHOP}").data["spent"] == "0.008414"
    assert budget(ask, "category:news").data["spent"] == "0.008307"


def test_g15_another_amount_leaves_what_was_spent(month, ask) -> None:
    budget(ask, "tenant", "0.01")
    spend()
    more = budget(ask, "tenant", "0.1").data
    assert (more["spent"], more["is_spent"]) == ("0.020007", False)
    assert post(ask).status == 202


def test_g15_a_removed_budget_holds_nothing_back(month, ask) -> None:
    budget(ask, "tenant")
    spend()
    assert ask("DELETE", f"{BUDGETS}/tenant", caller=ADMIN_CALLER).status == 204
    controls.forget()
    assert post(ask).status == 202
    gone = ask("GET", f"{BUDGETS}/tenant", caller=ADMIN_CALLER)
    assert (gone.status, gone.body["code"]) == (404, "budget-not-found")


def test_g15_what_was_charged_after_a_budget_was_removed_makes_none(month, ask) -> None:
    budget(ask, "tenant")
    controls.known()
    Control(CONTROLS, budgets.item_name("tenant", "default")).delete()
    count(sent("sms", 20_000_000))
    controls.forget()
    assert post(ask).status == 202
    assert ask("GET", BUDGETS, caller=ADMIN_CALLER).data == []


def test_g15_budgets_are_listed_each_tenant_s_own(month, ask) -> None:
    for scope in SCOPES:
        assert budget(ask, scope).status == 200
    Control(CONTROLS, budgets.item_name("tenant", "other"), amount=1, actor="x").save()
    found = ask("GET", BUDGETS, caller=ADMIN_CALLER).data
    assert sorted(each["scope"] for each in found) == sorted(SCOPES)
    assert found[0]["frees_at"] == "2026-12-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"amount": "0"}, "#/amount"),
        ({"amount": "-1"}, "#/amount"),
        ({"amount": "many"}, "#/amount"),
        ({"amount": "1", "when_spent": "explode"}, "#/when_spent"),
        ({"amount": "1", "currency": "EUR"}, "#/currency"),
        ({"amount": "1", "period": "week"}, "#/period"),
    ],
)
def test_a_budget_that_means_nothing_is_refused(month, ask, body, pointer) -> None:
    reply = ask("PUT", f"{BUDGETS}/tenant", body, caller=ADMIN_CALLER)
    assert reply.status == 422
    assert [each["pointer"] for each in reply.body["errors"]] == [pointer]


@pytest.mark.parametrize(
    "scope", ["tenants", "client", "channel:sms", "category:", "client:nobody"]
)
def test_a_budget_of_nothing_we_know_is_refused(month, ask, scope) -> None:
    assert budget(ask, scope).status == 404


def warnings(caplog: pytest.LogCaptureFixture) -> list[int]:
    return [record.__dict__["percent"] for record in caplog.records if record.msg == "budget"]


def test_g15_operators_are_warned_once_at_80_percent_and_once_at_all(
    month, ask, caplog, capsys
) -> None:
    budget(ask, "tenant", "0.1")
    for _ in range(3):
        spend(sent("sms", 30_000_000))
        spend(sent("sms", 1_000_000))
    assert warnings(caplog) == [92]
    assert "budgets_nearly_spent" in capsys.readouterr().out
    spend(sent("sms", 30_000_000))
    spend(sent("sms", 30_000_000))
    assert warnings(caplog) == [92, 123]


def test_g15_no_read_is_made_for_budgets_but_the_one_that_workers_make(
    month, ask, monkeypatch
) -> None:
    queries: list[str] = []
    query = Control.query

    def seen(*args: Any, **how: Any) -> Any:
        queries.append(str(args))
        return query(*args, **how)

    monkeypatch.setattr(Control, "query", seen)
    budget(ask, "tenant")
    for _ in range(5):
        assert post(ask).status == 202
    assert len(queries) == 1


def test_g15_budgets_that_cannot_be_read_refuse_nothing(month, ask, monkeypatch) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise PynamoDBException("away")

    monkeypatch.setattr(Control, "query", away)
    assert post(ask).status == 202


def test_the_cheapest_and_the_free_are_never_the_dearest() -> None:
    held = budgets._held_back([Control("x", when_spent="degrade")], list(Channel))
    assert held == {Channel.SMS}
    free = budgets._held_back([Control("x", when_spent="degrade")], [Channel.PUSH, Channel.INAPP])
    assert free == set()


@pytest.mark.parametrize(
    ("at", "then"),
    [("2026-11-21T12:00:00Z", "2026-12-01"), ("2026-12-31T23:59:59Z", "2027-01-01")],
)
def test_the_next_month_begins_on_its_first_day(at, then) -> None:
    from datetime import datetime  # noqa: PLC0415

    assert f"{budgets.next_month(datetime.fromisoformat(at)):%Y-%m-%d}" == then
