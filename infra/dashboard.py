"""Makes infra/dashboard.yaml (make docs): what each channel has alike is said once."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]
Row = list[Any]

CHANNELS = ("email", "sms", "push", "inapp")
OURS = ("service", "carillon")
ACCEPTING = ("method", "POST", "route", "/api/v1/notifications", "status", "2xx", *OURS)
GRID = 24
ROOT = Path(__file__).parent.parent
_LISTED = json.loads((ROOT / "layers/common/carillon/aws_prices.json").read_text())


def _price(name: str) -> float:
    line = _LISTED["regions"][_LISTED["region"]][name]
    return float(line["price"]) / float(line["per"])


# On arm64, without the free tier: what the curves are made of.
PRICES = {
    "gigabyte_second": _price("lambda-gb-second-arm64"),
    "invocation": _price("lambda-request"),
    "write_unit": _price("dynamodb-write-unit"),
    "read_unit": _price("dynamodb-read-unit"),
    "queue_request": _price("sqs-request"),
    "publish": _price("sns-publish"),
    "api_request": _price("apigateway-rest-request"),
}


class _Template(yaml.SafeLoader):
    """Reads a template; what an intrinsic function says does not matter here."""


_Template.add_multi_constructor("!", lambda *_: None)


def memory() -> dict[int, list[str]]:
    """Return the stack's functions by their megabytes."""
    told = yaml.load((ROOT / "template.yaml").read_text(), _Template)  # noqa: S506 - a SafeLoader
    usual = told["Globals"]["Function"]["MemorySize"]
    found: dict[int, list[str]] = {}
    for name, resource in told["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            found.setdefault(resource["Properties"].get("MemorySize", usual), []).append(name)
    return dict(sorted(found.items()))


STREAMED = ("ListingFunction", "CountingFunction")


def parameters() -> list[str]:
    """Return the names of the template's parameters."""
    of_channels = [
        f"{channel.capitalize()}{what}"
        for channel in CHANNELS
        for what in ("Queue", "UrgentQueue", "DeadLetters")
    ]
    _, *larger = memory().values()
    others = ["StackName", "ApiName", "Stage", "TopicName", *STREAMED]
    return [*others, *sorted(name for names in larger for name in names), *of_channels]


def search(schema: str, name: str, *terms: str, stat: str = "Sum", period: int = 60) -> str:
    """Return a search expression; what it finds has the dimensions of the schema."""
    words = " ".join((*terms, f'MetricName="{name}"'))
    return f"SEARCH('{{{schema}}} {words}', '{stat}', {period})"


def sum_of(schema: str, name: str, *terms: str, label: str = "", period: int = 60) -> Row:
    """Return the row that adds up what a search finds."""
    return [
        {
            "expression": f"SUM({search(schema, name, *terms, period=period)})",
            "label": label or name,
        }
    ]


def each(schema: str, name: str, *terms: str, stat: str = "Sum", label: str = "") -> Row:
    """Return the row that shows each metric a search finds."""
    told = {"expression": search(schema, name, *terms, stat=stat)}
    return [told | ({"label": label} if label else {})]


def ours(name: str, *dimensions: str, **options: Any) -> Row:
    """Return the row of a metric of our code."""
    return ["Carillon", name, *dimensions, *OURS, *([options] if options else [])]


def queue(name: str, which: str) -> list[Row]:
    """Return a row for each channel's queue, dead letters or urgent queue."""
    return [
        ["AWS/SQS", name, "QueueName", f"${{{channel.capitalize()}{which}}}", {"label": channel}]
        for channel in CHANNELS
    ]


def of_stack(service: str, name: str, stat: str = "Sum") -> Row:
    """Return the row for each function or table of the stack: their names begin with its name."""
    dimension = {"AWS/Lambda": "FunctionName", "AWS/DynamoDB": "TableName"}[service]
    return each(f"{service},{dimension}", name, "${StackName}", stat=stat)


def widget(title: str, rows: Sequence[Row], **told: Any) -> Json:
    """Return a graph; ``line`` is a horizontal line's label and value."""
    shown: Json = {
        "title": title,
        "region": "${AWS::Region}",
        "view": "timeSeries",
        "stat": told.pop("stat", "Sum"),
        "period": told.pop("period", 60),
    }
    if line := told.pop("line", None):
        shown["annotations"] = {"horizontal": [{"label": line[0], "value": line[1]}]}
    axis = told.pop("axis", {"min": 0})
    return {
        "type": "metric",
        "properties": shown | told | {"yAxis": {"left": axis}, "metrics": list(rows)},
    }


def sections() -> Iterator[tuple[str, list[Json]]]:
    """Yield each row of widgets, with its heading."""
    yield "Intake", intake()
    yield "Objectives (GET /api/v1/ops/slo; docs/runbook.md)", objectives()
    yield "Channels: deliveries by state", [by_state(channel) for channel in CHANNELS]
    yield "Channels: time and queues", queues()
    yield "Providers", providers()
    yield "Cost, USD an hour: AWS alone, estimated", [cost()]
    yield "Functions and tables", machinery()


def intake() -> list[Json]:
    """Return what callers ask and get."""
    requests = "Carillon,method,route,service,status"
    classes = [
        sum_of(requests, "api_requests_total", f'status="{one}"', label=one)
        for one in ("2xx", "3xx", "4xx", "5xx")
    ]
    api = ("ApiName", "${ApiName}", "Stage", "${Stage}")
    return [
        widget("Requests by status class", classes, stacked=True),
        widget(
            "Refused by the gateway, and errors",
            [
                ["AWS/ApiGateway", "4XXError", *api],
                ["AWS/ApiGateway", "5XXError", *api],
                ours("authorizer_failures_total"),
            ],
        ),
        widget(
            "Accepting: our function's seconds",
            [
                ours("api_request_duration_seconds", *ACCEPTING[:-2], stat=p, label=p)
                for p in ("p50", "p99")
            ],
            stat="p99",
            line=("target: 100 ms", 0.1),
        ),
        widget(
            "The whole answer: the gateway's milliseconds",
            [["AWS/ApiGateway", "Latency", *api, {"stat": p, "label": p}] for p in ("p50", "p99")],
            stat="p99",
        ),
        widget(
            "Published, repeated, swept",
            [
                ours(name)
                for name in ("published_messages_total", "idempotency_hits_total", "swept_total")
            ],
        ),
    ]


def objectives() -> list[Json]:
    """Return what is aimed at: the same numbers as the alarms'."""
    rates: list[Row] = []
    for channel in CHANNELS:
        s, f, u = (f"{channel}_{state}" for state in ("sent", "failed", "unknown"))
        whole = f"(FILL({s}, 0) + FILL({f}, 0) + FILL({u}, 0))"
        rates.append([{"expression": f"100 * FILL({s}, 0) / {whole}", "label": channel}])
        rates += [
            ours("deliveries_total", "channel", channel, "state", state, id=name, visible=False)
            for name, state in ((s, "sent"), (f, "failed"), (u, "unknown"))
        ]
    burns: list[Row] = [
        [{"expression": "(1 - good) / 0.005", "label": "deliveries that do not arrive"}],
        ours("delivery_success", id="good", stat="Average", visible=False),
        [{"expression": "(1 - fast) / 0.01", "label": "answers above 100 ms"}],
        ours("answers_in_time", id="fast", stat="Average", visible=False),
    ]
    return [
        widget(
            "Sent of what ended, percent in an hour",
            rates,
            period=3600,
            line=("target: 99.5 %", 99.5),
            axis={"max": 100},
        ),
        widget(
            "Error budget's burn rate in an hour",
            burns,
            period=3600,
            line=("alarm, with 5 minutes", 14.4),
        ),
        widget(
            "Done in a minute",
            queue("NumberOfMessagesDeleted", "Queue"),
            line=("target: 1,000", 1000),
        ),
    ]


def by_state(channel: str) -> Json:
    """Return how many of a channel's deliveries came into which state."""
    terms = ("deliveries_total", f'channel="{channel}"')
    rows = [each("Carillon,channel,service,state", *terms, label="${!PROP('Dim.state')}")]
    return widget(f"Deliveries by state: {channel}", rows, stacked=True)


def queues() -> list[Json]:
    """Return how long things take and wait."""
    age = "ApproximateAgeOfOldestMessage"
    visible = "ApproximateNumberOfMessagesVisible"
    given_up = each(
        "Carillon,channel,service",
        "deadletters_total",
        label="given up: ${!PROP('Dim.channel')}",
    )
    return [
        widget(
            "From acceptance to sent: seconds, p99",
            [
                ours("delivery_latency_seconds", "channel", channel, label=channel)
                for channel in CHANNELS
            ],
            stat="p99",
        ),
        widget("Waiting in the queues", queue(visible, "Queue"), stat="Maximum"),
        widget(
            "Oldest message, seconds",
            queue(age, "Queue"),
            stat="Maximum",
            line=("alarm", 900),
        ),
        widget(
            "Oldest urgent message, seconds",
            queue(age, "UrgentQueue"),
            stat="Maximum",
            line=("alarm", 300),
        ),
        widget(
            "Dead letters: in the queues, standing, given up",
            [
                *queue(visible, "DeadLetters"),
                ours("deadletters_standing", label="standing"),
                given_up,
            ],
            stat="Maximum",
        ),
    ]


def providers() -> list[Json]:
    """Return how those behave that we send through."""
    provider = "${!PROP('Dim.provider')}"
    classed = f"{provider}: ${{!PROP('Dim.failure')}}"
    return [
        widget(
            "A provider's answer: seconds, p99",
            [
                ours("delivery_attempt_duration_seconds", "channel", channel, label=channel)
                for channel in CHANNELS
            ],
            stat="p99",
        ),
        widget(
            "Provider errors by class",
            [
                each("Carillon,failure,provider,service", "provider_errors_total", label=classed),
                sum_of("Carillon,provider,service", "unclassified_errors_total"),
            ],
        ),
        widget(
            "Breakers that are open, and times they opened",
            [
                each("Carillon,provider,service", "breaker_open", stat="Maximum", label=provider),
                ours("breaker_opened_total"),
            ],
            stat="Maximum",
        ),
        widget("Budgets that came to 80 %, or to all", [ours("budgets_nearly_spent")]),
        widget(
            "Addresses that nothing goes to any more",
            [sum_of("Carillon,channel,service", "addresses_deactivated_total")],
        ),
    ]


def cost() -> Json:
    """Return what the stack costs at AWS by the hour; providers' prices are not in it."""
    rows = [*lambda_cost(), *store_cost(), *message_cost()]
    names = [row[-1]["id"] for row in rows if row[-1].get("visible", True)]
    whole = [{"expression": "+".join(f"FILL({name}, 0)" for name in names), "label": "all of it"}]
    return widget("AWS, USD an hour", [whole, *rows], period=3600)


def lambda_cost() -> list[Row]:
    """Return the functions' share: all at the least memory, and the rest of those with more."""
    (least, _), *larger = memory().items()
    time = f"SUM({search('AWS/Lambda,FunctionName', 'Duration', '${StackName}', period=3600)})"
    calls = f"SUM({search('AWS/Lambda,FunctionName', 'Invocations', '${StackName}', period=3600)})"
    rows: list[Row] = []
    more = []
    for size, names in larger:
        for name in names:
            options = {"id": name[:1].lower() + name[1:], "visible": False}
            rows.append(["AWS/Lambda", "Duration", "FunctionName", f"${{{name}}}", options])
            more.append(f"{(size - least) / 1024:g} * FILL({options['id']}, 0)")
    seconds = f"({least / 1024:g} * {time} + {' + '.join(more)}) / 1000"
    price = f"{seconds} * {PRICES['gigabyte_second']:.10f} + {calls} * {PRICES['invocation']:.7f}"
    return [[{"id": "functions", "expression": price, "label": "Lambda"}], *rows]


def store_cost() -> list[Row]:
    """Return the tables' share, their indexes' included."""
    parts = [
        f"SUM({search(schema, name, '${StackName}', period=3600)}) * {PRICES[unit]:.9f}"
        for schema in ("AWS/DynamoDB,TableName", "AWS/DynamoDB,GlobalSecondaryIndexName,TableName")
        for name, unit in (
            ("ConsumedWriteCapacityUnits", "write_unit"),
            ("ConsumedReadCapacityUnits", "read_unit"),
        )
    ]
    return [[{"id": "tables", "expression": " + ".join(parts), "label": "DynamoDB"}]]


def message_cost() -> list[Row]:
    """Return the share of queues, topic and gateway. A queue is polled when it is empty, too."""
    asked = " + ".join(
        f"SUM({search('AWS/SQS,QueueName', name, '${StackName}', period=3600)})"
        for name in (
            "NumberOfMessagesSent",
            "NumberOfMessagesReceived",
            "NumberOfMessagesDeleted",
            "NumberOfEmptyReceives",
        )
    )
    published = ["AWS/SNS", "NumberOfMessagesPublished", "TopicName", "${TopicName}"]
    api = ["AWS/ApiGateway", "Count", "ApiName", "${ApiName}", "Stage", "${Stage}"]
    return [
        [
            {
                "id": "queues",
                "expression": f"({asked}) * {PRICES['queue_request']:.7f}",
                "label": "SQS",
            }
        ],
        [{"id": "topic", "expression": f"published * {PRICES['publish']:.7f}", "label": "SNS"}],
        [*published, {"id": "published", "visible": False}],
        [
            {
                "id": "gateway",
                "expression": f"requests * {PRICES['api_request']:.7f}",
                "label": "API Gateway",
            }
        ],
        [*api, {"id": "requests", "visible": False}],
    ]


def machinery() -> list[Json]:
    """Return how the functions and the tables do."""
    throttles = [
        of_stack("AWS/DynamoDB", name) for name in ("ReadThrottleEvents", "WriteThrottleEvents")
    ]
    behind = [["AWS/Lambda", "IteratorAge", "FunctionName", f"${{{each}}}"] for each in STREAMED]
    return [
        widget(
            "Functions: errors (the authorizer's are refusals too)",
            [of_stack("AWS/Lambda", "Errors")],
        ),
        widget("Functions: throttles", [of_stack("AWS/Lambda", "Throttles")]),
        widget(
            "Functions: running at once",
            [of_stack("AWS/Lambda", "ConcurrentExecutions", "Maximum")],
            stat="Maximum",
        ),
        widget("Tables: throttles", throttles),
        widget("Lists and analytics behind, milliseconds", behind, stat="Maximum"),
    ]


def placed() -> Iterator[Json]:
    """Yield every widget with its place: a heading, and below it as many as share a row."""
    y = 0
    for heading, row in sections():
        text = {"type": "text", "properties": {"markdown": f"## {heading}"}}
        yield {"x": 0, "y": y, "width": GRID, "height": 1} | text
        # A dashboard's grid has 24 columns; five widgets do not share them evenly.
        widths = [GRID // len(row)] * len(row)
        widths[-1] = GRID - sum(widths[:-1])
        for n, (one, width) in enumerate(zip(row, widths, strict=True)):
            yield {"x": sum(widths[:n]), "y": y + 1, "width": width, "height": 6} | one
        y += 7


def template() -> str:
    """Return infra/dashboard.yaml."""
    named = "".join(f"  {name}:\n    Type: String\n" for name in parameters())
    lines = ",\n".join(f"          {json.dumps(one)}" for one in placed())
    return f"""AWSTemplateFormatVersion: "2010-09-09"
Description: Carillon - what operators look at (made by infra/dashboard.py, with make docs)

Parameters:
{named}
Resources:
  Dashboard:
    Type: AWS::CloudWatch::Dashboard
    Properties:
      DashboardName: !Ref StackName
      # In a search the stack's name finds every function and table of the stack: theirs begin so.
      DashboardBody: !Sub |
        {{"widgets": [
{lines}
        ]}}
"""
