"""What Lambda itself asks of the queue, which AWS bills to us and the embedded cloud does inside.

Each batch is one receive and one delete. Receives that find nothing are not counted: how many
there are depends on the traffic.
"""

from typing import Any

from offline import cloud

WORKER = "EmailFunction"
LINE = "REPORT RequestId"


def batches(endpoint: str) -> int:
    """Return how many batches the email worker was given so far, from its log."""
    with cloud.client("logs", endpoint) as logs:
        return sum(_reports(logs, name) for name in _groups(logs) if WORKER in name)


def _groups(logs: Any) -> list[str]:
    pages = logs.get_paginator("describe_log_groups").paginate()
    return [group["logGroupName"] for page in pages for group in page["logGroups"]]


def _reports(logs: Any, group: str) -> int:
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
    return sum(event["message"].startswith(LINE) for page in pages for event in page["events"])
