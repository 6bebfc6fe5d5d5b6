"""What the functions log and how often they run, read back from the cloud's log groups.

CloudWatch charges the bytes of each event and 26 more.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from offline import cloud

EVENT_BYTES = 26
_FUNCTION = re.compile(r"([A-Z]\w*?)Function")
PLATFORM = ("START ", "END ", "REPORT ")
# What Lambda itself writes of an invocation at system log level INFO, in JSON: its start and its
# report, with tracing on; at WARN neither.
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
AT_INFO = 160 + 420 + 2 * EVENT_BYTES
TEMPLATE = Path(__file__).parent.parent.parent / "template.yaml"


@dataclass
class Logged:
    """By function: invocations, bytes of its own lines, and of those the metrics (EMF)."""

    invocations: Counter[str] = field(default_factory=Counter)
    own_bytes: Counter[str] = field(default_factory=Counter)
    metric_bytes: Counter[str] = field(default_factory=Counter)
    metrics: set[str] = field(default_factory=set)

    def since(self, before: "Logged") -> "Logged":
        """Return what was logged after another reading."""
        return Logged(
            self.invocations - before.invocations,
            self.own_bytes - before.own_bytes,
            self.metric_bytes - before.metric_bytes,
            self.metrics,
        )

    def gigabytes(self) -> float:
        """Return what CloudWatch takes in, Lambda's own lines included."""
        platform = self.invocations.total() * platform_bytes()
        return (self.own_bytes.total() + platform) / 1e9


@cache
def platform_bytes() -> int:
    """Return the bytes of Lambda's own lines of an invocation, as the template asks for them."""
    level = re.search(r"SystemLogLevel:\n +Type: String\n +Default: (\w+)", TEMPLATE.read_text())
    return 0 if level and level[1] == "WARN" else AT_INFO


def read(endpoint: str) -> Logged:
    """Return all that was logged so far."""
    found = Logged()
    with cloud.client("logs", endpoint) as logs:
        for group in _groups(logs):
            for message in _messages(logs, group) if function_of(group) else ():
                _add(found, function_of(group), message)
    return found


def function_of(name: str) -> str:
    """Return which function a log group or a deployed function is of, or an empty string."""
    found = _FUNCTION.search(name)
    return found[1] if found else ""


def _add(found: Logged, function: str, message: str) -> None:
    if message.startswith(PLATFORM):
        found.invocations[function] += message.startswith("REPORT ")
        return
    size = len(message.encode()) + EVENT_BYTES
    found.own_bytes[function] += size
    told = _metrics_of(message)
    if told:
        found.metric_bytes[function] += size
        found.metrics |= told


def _metrics_of(message: str) -> set[str]:
    """Return the metrics that an EMF line is about: each name with its dimensions is one."""
    try:
        line = json.loads(message)
    except ValueError:
        return set()
    directives = line.get("_aws", {}).get("CloudWatchMetrics", []) if isinstance(line, dict) else []
    return {
        "#".join([metric["Name"], *(f"{each}={line.get(each)}" for each in dimensions)])
        for directive in directives
        for dimensions in directive["Dimensions"]
        for metric in directive["Metrics"]
    }


def _groups(logs: Any) -> Iterator[str]:
    for page in logs.get_paginator("describe_log_groups").paginate():
        yield from (group["logGroupName"] for group in page["logGroups"])


def _messages(logs: Any, group: str) -> Iterator[str]:
    for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
        yield from (event["message"] for event in page["events"])
