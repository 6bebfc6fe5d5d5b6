"""What deliveries cost and what a month may cost, on the embedded cloud: stream, tables and all."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import requests
from e2e.test_observing import until

from offline import stack as offline

pytestmark = pytest.mark.e2e
Json = dict[str, Any]
TEXT = {"channels": ["sms"], "to": {"phone": "+14155552671"}, "message": "Hello"}


@pytest.fixture
def ask(stack: offline.Stack) -> Callable[..., requests.Response]:
    """Return a caller of the API as an operator, or with a token."""

    def ask(
        method: str, path: str, body: Json | None = None, token: str = stack.admin_token
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{stack.api}/api/v1/{path}"
        return requests.request(method, url, json=body, headers=headers, timeout=120)

    return ask


def test_g15_a_client_s_budget_is_charged_by_the_stream_and_refuses_when_it_is_spent(ask) -> None:
    made = ask("POST", "clients", {"service_name": f"money-{uuid.uuid4().hex[:8]}"}).json()["data"]
    client_id, token = made["client_id"], made["api_token"]
    budget = f"ops/budgets/client:{client_id}"
    assert ask("PUT", budget, {"amount": "0.01"}).json()["data"]["spent"] == "0"

    sent = ask("POST", "notifications", TEXT, token).json()["data"]["notification_id"]
    until(lambda: _cost(ask, sent, token) is not None, wanted=True)
    told = _cost(ask, sent, token)
    until(lambda: ask("GET", budget).json()["data"]["spent"], told["total"])
    rows = ask("GET", "ops/costs?group_by=client&group_by=channel").json()["data"]["rows"]
    (own,) = [row for row in rows if row["client"] == client_id]
    assert (own["channel"], own["sent"], own["total"]) == ("sms", 1, told["total"])

    assert ask("POST", "notifications", TEXT, token).status_code == 202
    until(lambda: ask("GET", budget).json()["data"]["is_spent"], wanted=True)
    until(lambda: ask("POST", "notifications", TEXT, token).status_code, 402)
    assert ask("DELETE", budget).status_code == 204
    until(lambda: ask("POST", "notifications", TEXT, token).status_code, 202)


def _cost(ask: Callable[..., requests.Response], notification_id: str, token: str) -> Any:
    found = ask("GET", f"notifications/{notification_id}", None, token).json()["data"]
    return found["deliveries"][0]["cost"]
