"""What is counted, where it is told, and that counting costs nobody their answer."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from carillon import metrics
from carillon.counters import Metric
from carillon.models import Channel
from carillon.settings import settings
from functions.api.health import handler as health
from functions.api.notifications import handler as notifications
from functions.channels.inapp import handler as inapp

Json = dict[str, Any]
SEND = {"method": "POST", "route": "/api/v1/notifications", "status": "2xx"}


@pytest.fixture
def read(sample) -> Callable[..., float]:
    """Return a reader of one number of GET /metrics, by sample name and labels."""

    def read(name: str, **labels: str) -> float:
        answer = health.lambda_handler(sample("health-metrics"), None)
        assert answer["statusCode"] == 200
        (kind,) = answer["multiValueHeaders"]["Content-Type"]
        assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        (found,) = {
            each.value
            for family in text_string_to_metric_families(answer["body"])
            for each in family.samples
            if each.name == name and each.labels == labels
        }
        return float(found)

    return read


@pytest.fixture
def at_once(monkeypatch) -> None:
    """Let every invocation add to the table what it counted."""
    monkeypatch.setattr(metrics, "FLUSH_SECONDS", 0.0)
    metrics._tally().flush_at = 0.0


def _lines(capsys: pytest.CaptureFixture[str]) -> list[Json]:
    """The metrics CloudWatch would take from what was printed."""
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line]
    return [line for line in printed if "_aws" in line]


def test_g10_the_four_metrics_are_on_the_page(send, read, at_once) -> None:
    for _ in range(2):
        assert send().status == 202
    assert read("api_requests_total", **SEND) == 2
    assert read("api_request_duration_seconds_count", **SEND) == 2
    assert read("published_messages_total") == 2
    assert read("idempotency_hits_total") == 1


def test_g10_a_request_and_its_publish_are_one_line_for_cloudwatch(send, capsys) -> None:
    capsys.readouterr()
    send()
    (request,) = _lines(capsys)
    assert {name: request[name] for name in SEND} == SEND
    assert request["api_requests_total"] == [1.0]
    assert 0 < request["api_request_duration_seconds"][0] < 60
    declared = {str(each["Dimensions"]): each for each in request["_aws"]["CloudWatchMetrics"]}
    labelled, plain = (
        declared[str([[*labels, "service"]])] for labels in (("method", "route", "status"), ())
    )
    assert labelled["Namespace"] == plain["Namespace"] == "Carillon"
    assert {"Name": "api_request_duration_seconds", "Unit": "Seconds"} in labelled["Metrics"]
    assert {"Name": "published_messages_total", "Unit": "Count"} in plain["Metrics"]
    assert request["published_messages_total"] == [1.0]


def test_g10_what_would_have_two_values_in_a_line_is_told_in_two(capsys) -> None:
    for state in ("sent", "sent", "failed"):
        metrics.count("deliveries_total", channel="sms", state=state)
    metrics.observe("delivery_attempt_duration_seconds", 0.2, channel="sms")
    metrics.observe("delivery_attempt_duration_seconds", 0.4, channel="email")
    metrics.end(flush=False)
    lines = _lines(capsys)
    counted = {line["state"]: line["deliveries_total"] for line in lines if "state" in line}
    assert counted == {"sent": [1.0, 1.0], "failed": [1.0]}
    name = "delivery_attempt_duration_seconds"
    took = {line["channel"]: line[name] for line in lines if name in line}
    assert took == {"sms": [0.2], "email": [0.4]}
    assert len(lines) == 3


def test_g10_a_hundred_of_one_metric_are_told_like_one(capsys) -> None:
    for _ in range(100):
        metrics.count("published_messages_total")
        metrics.sample("delivery_success", 1.0)
    metrics.end(flush=False)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sum(sum(line.get("published_messages_total", [])) for line in told) == 100
    assert sum(len(line.get("delivery_success", [])) for line in told) == 100


def test_g10_no_label_holds_what_the_caller_chose(send, call, sample, capsys) -> None:
    sent = send(headers={"Idempotency-Key": "marker-of-a-key"})
    path = {"notification_id": sent.data["notification_id"]}
    call(notifications, sample("notifications-read"), path=path)
    told = json.dumps(_lines(capsys))
    assert "/api/v1/notifications/{notification_id}" in told
    for secret in (sent.data["notification_id"], "marker-of-a-key", "ada@example.com"):
        assert secret not in told


def test_g10_deliveries_and_attempts_are_counted_by_channel(
    send, prepared, context, read, at_once, capsys
) -> None:
    send({"channels": ["inapp"]})
    (message,) = prepared.published(Channel.INAPP)
    record = {
        "messageId": "m",
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {"ApproximateReceiveCount": "1"},
    }
    capsys.readouterr()
    inapp.lambda_handler({"Records": [record, record]}, context)
    assert read("deliveries_total", channel="inapp", state="sent") == 1
    assert read("delivery_attempt_duration_seconds_count", channel="inapp") == 1
    states = [line for line in _lines(capsys) if "deliveries_total" in line]
    assert [(line["channel"], line["state"]) for line in states] == [("inapp", "sent")]


def test_g10_a_process_adds_to_the_table_at_first_and_then_twice_a_minute(
    send, prepared, monkeypatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(metrics.time, "monotonic", lambda: now)
    metrics._tally.cache_clear()
    totals = []
    for seconds in (0, 1, metrics.FLUSH_SECONDS):
        now += seconds
        send()
        totals.append(Metric.get("metrics", metrics._series("api_requests_total", SEND)).total)
    assert totals == [1, 1, 3]


def test_g10_a_table_that_is_away_costs_the_metrics_and_not_the_answer(
    send, monkeypatch, caplog
) -> None:
    monkeypatch.setenv("COUNTERS_TABLE", "Gone")
    settings.cache_clear()
    metrics._tally.cache_clear()
    assert send().status == 202
    assert send().status == 202
    assert [record.message for record in caplog.records].count("metrics lost") == 1


def test_g10_health_is_answered_without_a_word_to_the_table(cloud, call, sample) -> None:
    assert call(health, sample("health-alive")).status == 200
    assert not cloud.items("CountersTable")


def test_g10_metrics_take_the_scope_ops(cloud, call, sample) -> None:
    client = sample("notifications-send")["requestContext"]["authorizer"]
    assert call(health, sample("health-metrics"), caller=client).status == 403
    assert call(health, sample("health-metrics"), caller={}).status == 401


def test_buckets_are_cumulative_and_a_bound_belongs_to_its_bucket(cloud, read, at_once) -> None:
    for milliseconds in (1, 5, 7, 2500, 9000):
        metrics.observe("api_request_duration_seconds", milliseconds / 1000, route="/x")
    metrics.end()
    name = "api_request_duration_seconds"
    for bound, expected in (("0.005", 2), ("0.01", 3), ("1.0", 3), ("2.5", 4), ("+Inf", 5)):
        assert read(f"{name}_bucket", route="/x", le=bound) == expected
    assert read(f"{name}_sum", route="/x") == pytest.approx(11.513)


@pytest.mark.parametrize("label", ['say "hello"', "back\\slash", "two\nlines", "a{b}=,c"])
def test_labels_are_escaped(cloud, read, at_once, label) -> None:
    metrics.count("api_requests_total", route=label)
    metrics.end()
    assert read("api_requests_total", route=label) == 1


def test_nothing_counted_is_a_page_all_the_same(cloud, sample) -> None:
    page = health.lambda_handler(sample("health-metrics"), None)["body"]
    assert page.endswith("# EOF\n")
    assert {family.name for family in text_string_to_metric_families(page)} == {
        name.removesuffix("_total") for name in metrics.HELP
    }
