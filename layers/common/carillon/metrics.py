"""Metrics: counted in memory, told to CloudWatch at once and to the counters table now and then.

CloudWatch gets every number (EMF, a line per label set and invocation). GET /metrics shows the
table's: each process adds what it counted every few seconds, so what a dying process had not
added yet is missing there. No label may hold an address or an id.
"""

import json
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit
from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

from carillon.counters import Metric, Period, add_to_metric, add_to_periods, metrics
from carillon.log import logger, trace
from carillon.models import now

FLUSH_SECONDS = 30.0
"""A flush is an update of each series that changed: more often, and it would cost a request more
than the request itself."""
MAX_VALUES = 99
"""Values of a metric in one line: at the hundredth Powertools prints it by itself."""
PAUSE_SECONDS = 60.0
"""How long the table is left alone after it failed."""
BUCKETS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500)
"""Upper bounds in milliseconds."""
ANSWER_MS = 100
"""What accepting a notification may take: one of BUCKETS."""
CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
HELP = {
    "api_requests_total": "Requests answered.",
    "api_request_duration_seconds": "Time our function took for a request.",
    "published_messages_total": "Notifications published, republished ones included.",
    "idempotency_hits_total": "Requests answered by what an earlier one with their key had done.",
    "deliveries_total": "States recorded for deliveries by the workers.",
    "swept_total": "Notifications that the sweep published anew or gave up.",
    "breaker_opened_total": "Times a circuit breaker opened, failed probes included.",
    "delivery_attempt_duration_seconds": "Time a provider took for an attempt.",
    "delivery_latency_seconds": "Time from a notification's acceptance to its being sent.",
    "provider_errors_total": "Attempts that failed, by class of failure.",
    "addresses_deactivated_total": "Addresses that a provider called dead.",
    "unclassified_errors_total": "Answers of a provider that its table does not list.",
    "deadletters_total": "Queue messages that were given up.",
}

Labels = tuple[tuple[str, str], ...]
Document = dict[str, Any]
"""A document of the embedded metric format."""


@dataclass
class _Tally:
    """What was counted here: per series for the table, per label set for CloudWatch."""

    for_table: dict[str, dict[str, float]] = field(default_factory=dict)
    for_log: dict[Labels, dict[str, list[float]]] = field(default_factory=dict)
    for_periods: dict[datetime, dict[str, float]] = field(default_factory=dict)
    flush_at: float = 0.0


@cache
def _tally() -> _Tally:
    return _Tally()


def count(name: str, **labels: str) -> None:
    """Count one more."""
    _add(name, labels, 1, {"total": 1})


def gauge(name: str, value: float, **labels: str) -> None:
    """Tell CloudWatch alone how much there is of something now."""
    _tally().for_log.setdefault(tuple(labels.items()), {})[name] = [value]


def sample(name: str, value: float) -> None:
    """Tell CloudWatch alone one value of many, of which it makes an average."""
    _tally().for_log.setdefault((), {}).setdefault(name, []).append(value)


def observe(name: str, seconds: float, **labels: str) -> None:
    """Add a duration to a histogram."""
    _add(name, labels, seconds, {"seconds": round(seconds, 4), _bucket(seconds): 1})


def accepted_within(seconds: float) -> None:
    """Add what accepting a notification took to the period that it falls in, and judge it."""
    sample("answers_in_time", float(seconds * 1000 <= ANSWER_MS))
    kept = _tally().for_periods.setdefault(Period.start(now()), {})
    kept[_bucket(seconds)] = kept.get(_bucket(seconds), 0) + 1


def _bucket(seconds: float) -> str:
    place = bisect_left(BUCKETS, seconds * 1000)
    return f"le_{BUCKETS[place]}" if place < len(BUCKETS) else "more"


@contextmanager
def timed(name: str, **labels: str) -> Iterator[None]:
    """Add what the block takes, however it ends, to a histogram."""
    began = time.perf_counter()
    try:
        yield
    finally:
        observe(name, time.perf_counter() - began, **labels)


def _add(name: str, labels: Mapping[str, str], value: float, fields: Mapping[str, float]) -> None:
    tally = _tally()
    told = tally.for_log.setdefault(tuple(labels.items()), {})
    told.setdefault(name, []).append(value)
    kept = tally.for_table.setdefault(_series(name, labels), {})
    for each, amount in fields.items():
        kept[each] = kept.get(each, 0) + amount


def end(*, flush: bool = True) -> None:
    """End an invocation: log what it counted and, when it is time, add it to the table."""
    _log()
    if flush and time.monotonic() >= _tally().flush_at:
        _flush()


def _log() -> None:
    """Print what waits, in as few lines as may be: CloudWatch charges for each of their bytes.

    A document takes the metrics of several label sets as long as none of its members would have
    two values.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    waiting = _tally().for_log
    documents: list[Document] = []
    while waiting:
        labels, values = waiting.popitem()
        for part in _parts(values):
            _join(documents, _document(labels, part))
    for document in documents:
        print(json.dumps(document, separators=(",", ":")))  # noqa: T201 - how it is told


def _parts(values: Mapping[str, list[float]]) -> Iterator[dict[str, list[float]]]:
    """Yield as many of the values at a time as a document takes."""
    for start in range(0, max(map(len, values.values())), MAX_VALUES):
        part = {name: numbers[start : start + MAX_VALUES] for name, numbers in values.items()}
        yield {name: numbers for name, numbers in part.items() if numbers}


def _join(documents: list[Document], made: Document) -> None:
    """Add a document to the first of others that it fits into, or to their end."""
    document = next((each for each in documents if _fit(each, made)), None)
    if document is None:
        documents.append(made)
    else:
        document["_aws"]["CloudWatchMetrics"] += made["_aws"]["CloudWatchMetrics"]
        document |= made | {"_aws": document["_aws"]}


def _document(labels: Labels, values: Mapping[str, list[float]]) -> Document:
    line = EphemeralMetrics(namespace="Carillon", service="carillon")
    for label, value in labels:
        line.add_dimension(label, value)
    for name, numbers in values.items():
        unit = MetricUnit.Seconds if name.endswith("_seconds") else MetricUnit.Count
        for number in numbers:
            line.add_metric(name, unit, round(number, 6))
    return dict(line.serialize_metric_set())


def _fit(one: Document, other: Document) -> bool:
    """Tell whether no member would have two values."""
    both = one.keys() & other.keys() - {"_aws"}
    return all(one[name] == other[name] and name not in _names(other) for name in both)


def _names(document: Document) -> set[str]:
    return {
        metric["Name"]
        for declared in document["_aws"]["CloudWatchMetrics"]
        for metric in declared["Metrics"]
    }


def _flush() -> None:
    """Add to the table what waits. What fails is lost there rather than counted twice."""
    tally = _tally()
    tally.flush_at = time.monotonic() + FLUSH_SECONDS
    waiting, tally.for_table = tally.for_table, {}
    periods, tally.for_periods = tally.for_periods, {}
    try:
        for start, amounts in periods.items():
            add_to_periods(start, amounts)
        for series, fields in waiting.items():
            add_to_metric(series, fields)
    except (PynamoDBException, BotoCoreError, ClientError) as error:
        tally.flush_at += PAUSE_SECONDS
        logger().warning("metrics lost", extra=trace(error))


def _series(name: str, labels: Mapping[str, str]) -> str:
    """Return a series as OpenMetrics writes it."""
    return name + _braced(f'{label}="{_escaped(value)}"' for label, value in labels.items())


def _braced(labels: Iterable[str]) -> str:
    text = ",".join(filter(None, labels))
    return f"{{{text}}}" if text else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def exposition() -> str:
    """Return the table's metrics as OpenMetrics text.

    https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md
    """
    found = defaultdict(list)
    for series in metrics():
        found[series.slot.partition("{")[0]].append(series)
    lines = [line for name in HELP for line in _family(name, found[name])]
    return "\n".join([*lines, "# EOF", ""])


def _family(name: str, members: list[Metric]) -> Iterator[str]:
    histogram = name.endswith("_seconds")
    family = name.removesuffix("_total")
    yield f"# TYPE {family} {'histogram' if histogram else 'counter'}"
    if histogram:
        yield f"# UNIT {family} seconds"
    yield f"# HELP {family} {HELP[name]}"
    for series in members:
        if histogram:
            yield from _histogram(name, series)
        else:
            yield f"{series.slot} {series.total}"


def _histogram(name: str, series: Metric) -> Iterator[str]:
    labels = series.slot.removeprefix(name).strip("{}")
    so_far = 0
    for bound in (*BUCKETS, None):
        so_far += getattr(series, f"le_{bound}" if bound else "more") or 0
        le = f'le="{bound / 1000 if bound else "+Inf"}"'
        yield f"{name}_bucket{_braced([labels, le])} {so_far}"
    yield f"{name}_count{_braced([labels])} {so_far}"
    yield f"{name}_sum{_braced([labels])} {series.seconds}"
