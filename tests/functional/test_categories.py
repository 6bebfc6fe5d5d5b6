"""A client's categories: known ones only, and mandatory ones whatever the user wants."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from functional.conftest import APPLICATION_CALLER
from providers import failing

from carillon import clients
from carillon.errors import Failure

Json = dict[str, Any]
TYPES = [
    {"name": "orders"},
    {"name": "security", "mandatory": True},
]


@pytest.fixture
def client_id(prepared) -> str:
    request = {"service_name": "webshop", "notification_types": TYPES}
    return clients.register(clients.ClientRequest.model_validate(request)).client_id


@pytest.fixture
def send_as(send, client_id) -> Callable[..., Any]:
    """Return a sender of the sample notification in a category, for a client that has some."""

    def send_as(category: str, **change: Any) -> Any:
        caller = APPLICATION_CALLER | {"client_id": client_id}
        key = {"Idempotency-Key": f"{category}-{change}".replace(" ", "")}
        return send(change | {"category": category}, caller=caller, headers=key)

    return send_as


def told(reply: Any) -> Json:
    assert reply.status == 202
    return {each["channel"]: each["reason"] or "sent" for each in reply.data["deliveries"]}


def test_c6_an_unknown_category_is_refused_and_leaves_nothing(send_as, prepared) -> None:
    reply = send_as("promo")
    assert (reply.status, reply.body["code"]) == (422, "unknown-category")
    assert reply.body["errors"][0]["pointer"] == "#/category"
    assert prepared.untouched()


@pytest.mark.parametrize("category", ["orders", "security", "general"])
def test_c6_a_category_of_the_client_s_is_sent(send_as, category) -> None:
    assert send_as(category).status == 202


def test_c6_a_client_without_categories_sends_any(send) -> None:
    assert send({"category": "anything"}).status == 202


@pytest.mark.parametrize(
    "wishes",
    [
        {"channels": {"email": False}},
        {"categories": {"security": False, "orders": False}},
        {"categories": {"security": {"email": False}, "orders": {"email": False}}},
    ],
)
def test_c6_nobody_opts_out_of_a_mandatory_category(send_as, api, wishes) -> None:
    assert api("PUT", "/api/v1/users/ada/preferences", wishes).status == 200
    assert told(send_as("security", channels=["email"])) == {"email": "sent"}
    optional = told(send_as("orders", channels=["email"]))
    assert optional["email"].endswith("opt-out")


def test_c6_a_mandatory_category_is_not_rejected_for_an_opt_out(send_as, api) -> None:
    api("PUT", "/api/v1/users/ada/preferences", {"channels": {"email": False}})
    assert send_as("security", channels=["email"], on_opt_out="reject").status == 202


def test_c6_no_address_is_made_up_for_a_mandatory_category(send_as, api) -> None:
    api("PUT", "/api/v1/users/grace", {"email": "grace@example.com"})
    reasons = told(send_as("security", user_id="grace", channels=["sms", "email"]))
    assert reasons == {"sms": "no-address", "email": "sent"}


def test_c6_a_warm_function_reads_the_categories_once_a_minute(
    send_as, client_id, monkeypatch
) -> None:
    moment = [datetime(2026, 11, 21, 9, 30, 0, tzinfo=UTC)]
    monkeypatch.setattr(clients, "now", lambda: moment[0])
    assert send_as("promo").status == 422
    wider = {"notification_types": [*TYPES, {"name": "promo"}]}
    clients.patch(client_id, clients.ClientPatch.model_validate(wider))
    moment[0] += timedelta(seconds=59)
    assert send_as("promo").status == 422
    moment[0] += timedelta(seconds=1)
    assert send_as("promo").status == 202


@pytest.mark.parametrize(
    ("said", "ends"),
    [({}, "unknown"), ({"dedupe": "at_least_once"}, "retrying")],
)
def test_f7_a_category_says_what_follows_an_unknown_outcome(
    prepared, send, deliver, ask, said, ends
) -> None:
    payments = {"name": "payments", "dedupe": "at_most_once"}
    request = {"service_name": "bank", "notification_types": [payments]}
    made = clients.register(clients.ClientRequest.model_validate(request))
    caller = APPLICATION_CALLER | {"client_id": made.client_id}
    reply = send({"channels": ["sms"], "category": "payments"} | said, caller=caller)
    assert len(deliver("sms", failing(Failure.UNKNOWN)).calls) == 1
    path = f"/api/v1/notifications/{reply.data['notification_id']}"
    (told,) = ask("GET", path, caller=caller).data["deliveries"]
    assert told["status"] == ends
