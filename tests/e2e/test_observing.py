"""What operators and clients are told, on the embedded cloud: daily numbers, alarms, dashboard."""

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import boto3
import pytest
import requests

from offline import stack as offline

pytestmark = pytest.mark.e2e

DEADLINE = 60
Json = dict[str, Any]


@pytest.fixture
def call(stack: offline.Stack) -> Callable[..., Json]:
    """Return a caller of the API in the name of a new client."""
    session = requests.Session()

    def call(method: str, path: str, body: Json | None = None) -> Json:
        answer = session.request(method, f"{stack.api}/api/v1/{path}", json=body, timeout=120)
        assert answer.ok, answer.text
        return dict(answer.json()["data"])

    session.headers["Authorization"] = f"Bearer {stack.admin_token}"
    made = call("POST", "clients", {"service_name": f"observing-{uuid.uuid4().hex[:8]}"})
    session.headers["Authorization"] = f"Bearer {made['api_token']}"
    return call


@pytest.fixture
def cloudwatch(stack: offline.Stack) -> Any:
    return boto3.client("cloudwatch", endpoint_url=stack.cloud, region_name="us-east-1")


def until(found: Callable[[], Any], wanted: Any) -> None:
    """Look until it is what is wanted."""
    deadline = time.monotonic() + DEADLINE
    while (now := found()) != wanted:
        assert time.monotonic() < deadline, f"still {now}"
        time.sleep(0.05)


def test_g18_the_daily_numbers_add_up_to_what_was_accepted(call) -> None:
    for channels, to in (
        (["email"], {"email": "ada@example.com"}),
        (["email"], {"email": "rejected@sandbox.test"}),
        (["sms"], {"phone": "+15005550070"}),  # fails, and is sent the second time
    ):
        call("POST", "notifications", {"channels": channels, "to": to, "message": "Hello"})
    path = "analytics/deliveries?group_by=channel&group_by=state"
    wanted = {("email", "failed"): 1, ("email", "sent"): 1, ("sms", "sent"): 1}

    def told() -> dict[tuple[str, str], int]:
        rows = call("GET", path)["rows"]
        return {(row["channel"], row["state"]): row["deliveries"] for row in rows}

    until(told, wanted)
    totals = call("GET", path)["totals"]
    assert (totals["deliveries"], totals["success_rate"]) == (3, 0.66667)
    assert totals["seconds_to_sent"]["p95"] > 0


def test_g14_an_alarm_goes_off_on_what_it_watches(cloudwatch) -> None:
    (alarm,) = [
        each
        for each in cloudwatch.describe_alarms()["MetricAlarms"]
        if each["MetricName"] == "api_request_duration_seconds"
    ]
    told: Json = {
        "MetricName": alarm["MetricName"],
        "Dimensions": alarm["Dimensions"],
        "Unit": "Seconds",
    }

    def state(seconds: float) -> Any:
        data = [told | {"Value": seconds}]
        cloudwatch.put_metric_data(Namespace=alarm["Namespace"], MetricData=data)
        (now,) = cloudwatch.describe_alarms(AlarmNames=[alarm["AlarmName"]])["MetricAlarms"]
        return now["StateValue"]

    assert state(0.02) == "OK"
    assert state(0.3) == "ALARM"


def test_g14_the_dashboard_is_there(cloudwatch) -> None:
    (entry,) = cloudwatch.list_dashboards()["DashboardEntries"]
    body = cloudwatch.get_dashboard(DashboardName=entry["DashboardName"])["DashboardBody"]
    assert "EmailChannel" in body
    assert json.loads(body)["widgets"]
