"""The dashboard and the alarms show what is really told, and forget no channel and no metric."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cloudformation import ROOT, resources, template

from benchmarks.bench.targets import TARGETS, Target
from carillon import breaker, metrics, objectives
from carillon.errors import Failure, ProviderError
from carillon.models import Channel, State
from functions.authorizer import handler as authorizer
from functions.channels.inapp import handler as inapp
from functions.deadletters import handler as deadletters

Json = dict[str, Any]
Series = tuple[str, str, frozenset[str]]

TOLD_BY_AWS = {
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
    "AWS/ApiGateway": ({"4XXError", "5XXError", "Count", "Latency"}, {"ApiName", "Stage"}),
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    "AWS/SQS": (
        {
            "ApproximateAgeOfOldestMessage",
            "ApproximateNumberOfMessagesVisible",
            "NumberOfEmptyReceives",
            "NumberOfMessagesDeleted",
            "NumberOfMessagesReceived",
            "NumberOfMessagesSent",
        },
        {"QueueName"},
    ),
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    "AWS/Lambda": (
        {
            "ConcurrentExecutions",
            "Duration",
            "Errors",
            "Invocations",
            "IteratorAge",
            "Throttles",
        },
        {"FunctionName"},
    ),
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
    "AWS/DynamoDB": (
        {
            "ConsumedReadCapacityUnits",
            "ConsumedWriteCapacityUnits",
            "ReadThrottleEvents",
            "WriteThrottleEvents",
        },
        {"TableName"},
    ),
    # https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html
    "AWS/SNS": ({"NumberOfMessagesPublished"}, {"TopicName"}),
}
FOR_CLOUDWATCH = {
    "answers_in_time",
    "authorizer_failures_total",
    "breaker_open",
    "budgets_nearly_spent",
    "deadletters_standing",
    "delivery_success",
}
"""What the page of metrics leaves out."""
SEARCH = re.compile(r"SEARCH\('\{(?P<schema>[^}]+)\}(?P<terms>[^']*)', '\w+', \d+\)")
ALARM_FILES = [
    path
    for path in sorted(f"infra/{file.name}" for file in (ROOT / "infra").glob("*.yaml"))
    if resources("AWS::CloudWatch::Alarm", path)
]
BURN = "infra/burn.yaml"


def widgets() -> list[Json]:
    """Return the dashboard's widgets, each parameter standing for itself."""
    (dashboard,) = resources("AWS::CloudWatch::Dashboard", "infra/dashboard.yaml").values()
    body = dashboard["DashboardBody"]["Fn::Sub"]
    known = {*template("infra/dashboard.yaml")["Parameters"], "AWS::Region"}
    assert set(re.findall(r"\$\{([^!}]+)\}", body)) == known
    text = re.sub(r"\$\{([^!}]+)\}", r"\1", body).replace("${!", "${")
    return list(json.loads(text)["widgets"])


def graphs() -> list[Json]:
    """Return the widgets that are no heading."""
    return [widget for widget in widgets() if widget["type"] == "metric"]


def entries() -> Iterator[tuple[list[Any], Json]]:
    """Yield each metric of the dashboard: its words, those of the row above filled in."""
    for widget in graphs():
        above: list[Any] = []
        for row in widget["properties"]["metrics"]:
            options = row[-1] if isinstance(row[-1], dict) else {}
            words = [word for word in row if not isinstance(word, dict)]
            words = [above[n] if word == "." else word for n, word in enumerate(words)]
            above = words or above
            yield words, options


def plain(words: list[str]) -> tuple[str, str, dict[str, str]]:
    """Return namespace, name and dimensions of ``[namespace, name, dimension, value, ...]``."""
    return words[0], words[1], dict(zip(words[2::2], words[3::2], strict=True))


def shown() -> Iterator[Series]:
    for words, options in entries():
        if words:
            namespace, name, dimensions = plain(words)
            yield namespace, name, frozenset(dimensions)
        for found in SEARCH.finditer(options.get("expression", "")):
            namespace, *dimensions = found["schema"].split(",")
            (name,) = re.findall(r'MetricName="(\w+)"', found["terms"])
            yield namespace, name, frozenset(dimensions)


def watched() -> Iterator[tuple[str, Json]]:
    """Yield each metric that an alarm reads, with the alarm's name."""
    for path in ALARM_FILES:
        for alarm, properties in resources("AWS::CloudWatch::Alarm", path).items():
            if "MetricName" in properties:
                yield alarm, properties
            for query in properties.get("Metrics", []):
                if "MetricStat" in query:
                    yield alarm, query["MetricStat"]["Metric"]


@pytest.fixture
def told(send, prepared, sample, context, capsys, monkeypatch) -> set[Series]:
    """What the code tells CloudWatch when everything happens once."""
    for _ in range(2):
        send({"channels": ["inapp"]})
    (message, *_) = prepared.published(Channel.INAPP)
    record = {
        "messageId": "m",
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {"ApproximateReceiveCount": "1"},
    }
    inapp.lambda_handler({"Records": [record]}, context)
    breaker.way("ses").failed(ProviderError(Failure.CONFIG, "credentials", "no"))
    deadletters.lambda_handler(sample("deadletters-batch"), context)
    metrics.count("swept_total")
    metrics.count("unclassified_errors_total", provider="ses")
    metrics.count("provider_errors_total", provider="ses", failure="retry")
    metrics.count("addresses_deactivated_total", channel="sms")
    metrics.sample("budgets_nearly_spent", 1.0)
    metrics.end()

    def fails(_: str) -> None:
        raise ConnectionError

    monkeypatch.setattr(authorizer, "authenticate", fails)
    with pytest.raises(ConnectionError):
        authorizer.lambda_handler(sample("authorizer-token"), context)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line]
    return {
        (declared["Namespace"], metric["Name"], frozenset(dimensions))
        for line in lines
        for declared in line.get("_aws", {}).get("CloudWatchMetrics", [])
        for metric in declared["Metrics"]
        for dimensions in declared["Dimensions"]
    }


def test_g14_the_dashboard_and_the_alarms_name_only_what_is_told(told) -> None:
    named = set(shown()) | {
        (metric["Namespace"], metric["MetricName"], dimensions(metric))
        for _, metric in watched()
        if metric["MetricName"] != {"Ref": "MetricName"}  # each stack's own, below
    }
    for series in named:
        namespace, name, having = series
        if namespace == "Carillon":
            assert series in told
        else:
            names, expected = TOLD_BY_AWS[namespace]
            assert name in names
            # An index's share of a table is told apart from the table's own; without a name it
            # is of all functions of the account.
            accounts = {"GlobalSecondaryIndexName"} if having else expected
            assert having | accounts == expected | accounts


def dimensions(metric: Json) -> frozenset[str]:
    return frozenset(dimension["Name"] for dimension in metric.get("Dimensions", []))


def test_g14_the_dashboard_shows_every_metric_of_ours(told) -> None:
    names = {name for namespace, name, _ in shown() if namespace == "Carillon"}
    assert names == {*metrics.HELP, *FOR_CLOUDWATCH}
    assert names == {name for _, name, _ in told}


@pytest.mark.parametrize("channel", Channel)
def test_g14_the_dashboard_shows_every_channel(channel) -> None:
    name = channel.value.capitalize()
    metrics_of = {
        (plain(words)[1], value)
        for words, _ in entries()
        if words
        for value in plain(words)[2].values()
    }
    for metric, queue in (
        ("ApproximateNumberOfMessagesVisible", f"{name}Queue"),
        ("ApproximateNumberOfMessagesVisible", f"{name}DeadLetters"),
        ("ApproximateAgeOfOldestMessage", f"{name}Queue"),
        ("ApproximateAgeOfOldestMessage", f"{name}UrgentQueue"),
        ("NumberOfMessagesDeleted", f"{name}Queue"),
        ("delivery_attempt_duration_seconds", channel.value),
        ("delivery_latency_seconds", channel.value),
        ("deliveries_total", channel.value),
    ):
        assert (metric, queue) in metrics_of
    by_state = [options["expression"] for _, options in entries() if "expression" in options]
    assert any(f'channel="{channel}"' in expression for expression in by_state)
    stack = resources("AWS::CloudFormation::Stack")["Dashboard"]["Parameters"]
    for told, output in (
        ("Queue", "QueueName"),
        ("UrgentQueue", "UrgentQueueName"),
        ("DeadLetters", "DeadLetterQueueName"),
    ):
        assert stack[f"{name}{told}"] == {"Fn::GetAtt": f"{name}Channel.Outputs.{output}"}


def test_g14_the_dashboard_is_told_all_that_it_names() -> None:
    told = resources("AWS::CloudFormation::Stack")["Dashboard"]["Parameters"]
    assert told.keys() == template("infra/dashboard.yaml")["Parameters"].keys()


def test_g14_the_cost_has_each_function_s_memory() -> None:
    """All count at the least; what has more is added for each."""
    functions = resources("AWS::Serverless::Function")
    least = template()["Globals"]["Function"]["MemorySize"]
    more = {
        name: function["MemorySize"] - least
        for name, function in functions.items()
        if "MemorySize" in function
    }
    (price,) = (
        options["expression"] for _, options in entries() if options.get("label") == "Lambda"
    )
    found = re.findall(r"([\d.]+) \* FILL\((\w+), 0\)", price)
    named = {name[0].upper() + name[1:]: float(share) * 1024 for share, name in found}
    assert named == more
    assert f"({least / 1024:g} * SUM(SEARCH(" in price


def test_g14_states_and_status_classes_exist() -> None:
    states = {
        plain(words)[2]["state"] for words, _ in entries() if words and "state" in plain(words)[2]
    } | {
        dimension["Value"]
        for _, metric in watched()
        for dimension in metric.get("Dimensions", [])
        if dimension["Name"] == "state"
    }
    assert states == {State.SENT, State.FAILED, State.UNKNOWN}


def test_g14_widgets_lie_side_by_side_within_the_grid() -> None:
    taken: set[tuple[int, int]] = set()
    for widget in widgets():
        across = range(widget["x"], widget["x"] + widget["width"])
        down = range(widget["y"], widget["y"] + widget["height"])
        cells = {(x, y) for x in across for y in down}
        assert max(across) < 24
        assert not cells & taken
        taken |= cells


def test_g19_the_budgets_that_burn_are_those_of_the_objectives(told) -> None:
    stacks = resources("AWS::CloudFormation::Stack")
    budgets = {
        stacks[name]["Parameters"]["MetricName"]: float(stacks[name]["Parameters"]["Budget"])
        for name in ("DeliveryBurn", "AnswerBurn")
    }
    assert budgets == {
        "delivery_success": pytest.approx(1 - objectives.SUCCESS),
        "answers_in_time": pytest.approx(1 - objectives.ANSWERED),
    }
    for metric in budgets:
        assert ("Carillon", metric, frozenset({"service"})) in told


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.alarm)
def test_g19_each_target_has_its_alarm_with_the_same_number(target: Target) -> None:
    alarms = {
        name: alarm
        for path in ALARM_FILES
        for name, alarm in resources("AWS::CloudWatch::Alarm", path).items()
    }
    alarm = alarms[target.alarm]
    if target.alarm == "IntakeLatencyAlarm":
        assert (alarm["ExtendedStatistic"], alarm["Threshold"] * 1000) == ("p99", target.number)
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    elif target.alarm == "SuccessAlarm":
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == (
            "LessThanThreshold",
            target.number,
        )
        assert alarm["Metrics"][0]["Expression"].count("100 * arrived / (arrived + missed)") == 1
    else:
        expression = alarm["Metrics"][0]["Expression"]
        assert set(map(int, re.findall(r"\d{2,}", expression))) == {target.number}
        assert {query["MetricStat"]["Period"] for query in alarm["Metrics"][1:]} == {60}


def test_g19_the_lines_of_the_dashboard_are_the_targets() -> None:
    lines = {
        line["value"]
        for widget in widgets()
        for line in widget["properties"].get("annotations", {}).get("horizontal", [])
        if line["label"].startswith("target")
    }
    assert lines == {0.1, 99.5, 1000}
    assert lines == {
        target.number / 1000 if target.unit == "ms" else target.number for target in TARGETS
    }


def test_g19_the_guarantees_tell_of_each_target_and_its_alarm() -> None:
    told = (ROOT / "docs/guarantees.md").read_text()
    _, _, section = told.partition("\n## Targets\n")
    for target in TARGETS:
        assert f"`{target.alarm}`" in section.partition("\n## ")[0]
