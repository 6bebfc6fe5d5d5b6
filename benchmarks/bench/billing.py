"""The bill as it is told: rows and tables for docs/performance.md, and the shares of deliveries."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from carillon import bill

from . import hosted, logs, usage
from .usage import Counted, Quantities

ROOT = Path(__file__).parent.parent.parent
CHANNELS = ("email", "sms", "push", "inapp")
FOUR, IN_BATCHES = "four channels", "batches of 100, one channel"
MILLION = 1_000_000
SINGLE_TARGET, BATCH_TARGET = 8.0, 4.0
WRITES_TARGET = 4.0

NOTE = """\
{count} notifications of each kind, every call of the functions counted and priced by the public
list of {region} (layers/common/carillon/aws_prices.json: each price with its date and source).
First tier, no free tier. What a provider charges is not in it."""

Json = dict[str, Any]


def alone(channel: str) -> str:
    """Return the name of what is sent by one channel."""
    return f"one channel: {channel}"


SINGLE = alone(CHANNELS[0])


def report(found: dict[str, Counted], metrics: int, count: int) -> Json:
    """Return rows and tables as docs/performance.md is made of."""
    bills = {name: usage.of_one(each) for name, each in found.items()}
    dollars = {name: _per_million(usage.sending(one)) for name, one in bills.items()}
    kept = _per_million(bills[SINGLE]) - dollars[SINGLE]
    evenly = _per_million(usage.sending(usage.of_one(found[SINGLE], usage.EVENLY)))
    single, batch = dollars[SINGLE], dollars[IN_BATCHES]
    units = bills[SINGLE]["dynamodb-write-unit"]
    rows = [
        _row(f"a million single sends, {usage.RATE:g} a second", single, "USD", SINGLE_TARGET),
        _row("a million in batches of 100", batch, "USD", BATCH_TARGET),
        _row("write units of a single send", units, "units", WRITES_TARGET),
        _row("a million single sends, evenly in a month", evenly, "USD", None),
        _row("keeping a million for 90 days, with backups", kept, "USD", None),
        *(
            _row(f"a million: {name}", amount, "USD", None)
            for name, amount in dollars.items()
            if name not in (SINGLE, IN_BATCHES)
        ),
    ]
    tables = [_lines(bills), _what(found, count), _fixed(found, metrics), _assumed()]
    tables.append(hosted.table(list(_own(dollars))))
    return {
        "command": "make bill",
        "measured_at": f"{datetime.now(UTC):%Y-%m-%d}",
        "note": NOTE.format(region=bill.price_list().region, count=count),
        "rows": rows,
        "tables": tables,
    }


def _own(dollars: dict[str, float]) -> Iterator[list[object]]:
    """Yield our rows of the comparison."""
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    for name in (SINGLE, IN_BATCHES, FOUR):
        told = ["Carillon", name, "notification", round(dollars[name], 2)]
        yield [*told, today, "make bill: AWS's charge for sending"]


def _row(name: str, value: float, unit: str, target: float | None) -> Json:
    value = round(value, 2)
    met = None if target is None else value <= target
    return {"name": name, "value": value, "unit": unit, "target": target, "met": met}


def _per_million(quantities: Quantities) -> float:
    return float(bill.total(quantities)) * MILLION


def _lines(bills: dict[str, Quantities]) -> Json:
    names = {line for each in bills.values() for line in each}
    prices = bill.price_list().lines
    order = sorted(names, key=lambda line: -_per_million({line: bills[SINGLE].get(line, 0.0)}))
    rows = [
        [line, *(round(_per_million({line: one.get(line, 0.0)}), 3) for one in bills.values())]
        for line in order
        if prices[line].price
    ]
    sending = [round(_per_million(usage.sending(one)), 2) for one in bills.values()]
    totals = [round(_per_million(one), 2) for one in bills.values()]
    columns = ["USD per million", *bills]
    return {
        "title": "The bill by line",
        "columns": columns,
        "rows": [*rows, ["without keeping it", *sending], ["total", *totals]],
    }


def _what(found: dict[str, Counted], count: int) -> Json:
    """Return what was counted of one notification, function by function."""
    rows = []
    for name, one in found.items():
        for function in sorted({*one.calls, *one.logged.invocations}):
            calls = one.calls.get(function, [])
            invoked = one.logged.invocations[function]
            units = sum(max(call.units_by_rule, call.units_by_cloud) for call in calls)
            rows.append(
                [
                    name,
                    function,
                    round(invoked / count, 3),
                    round(len(calls) / count, 3),
                    round(units / count, 3),
                    round(sum(call.read_by_rule for call in calls) / count, 3),
                    round(one.cpu_s.get(function, 0.0) * 1000 / count, 2),
                    round(one.billed_seconds(function) * 1000 / count, 1),
                    round(one.logged.own_bytes[function] / count),
                    round(one.logged.metric_bytes[function] / count),
                ]
            )
    columns = ["sent as", "function", "invocations", "AWS calls", "write units", "read units"]
    columns += ["CPU ms", "billed ms (reckoned)", "bytes logged", "of them metrics"]
    return {"title": "Of one notification", "columns": columns, "rows": rows}


def _fixed(found: dict[str, Counted], metrics: int) -> Json:
    """Return what a month costs whether anything is sent or not."""
    prices = bill.price_list().lines
    told = " ".join((ROOT / "docs/operating.md").read_text().split())
    alarms = float(re.findall(r"\$([\d.]+) a month for all of them", told)[0])
    queues = len(re.findall(r"^ +Type: SQS$", (ROOT / "template.yaml").read_text(), re.MULTILINE))
    # Lambda keeps five pollers at a queue, each asking every twenty seconds.
    # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
    receives = queues * 5 * 30 * 86_400 / 20
    rows = [
        ["alarms (docs/operating.md)", alarms],
        ["dashboard", float(prices["cloudwatch-dashboard"].price)],
        [f"{metrics} custom metrics", round(metrics * float(prices["cloudwatch-metric"].price), 2)],
        [
            f"empty receives of {queues} queues",
            round(float(bill.total({"sqs-request": receives})), 2),
        ],
        ["the sweep, each minute", round(_sweeps(found), 2)],
        ["keys, secrets (SSM standard, AWS's own keys)", 0.0],
    ]
    total = round(sum(float(str(amount)) for _, amount in rows), 2)
    return {
        "title": "A month's fixed charges",
        "columns": ["", "USD"],
        "rows": [*rows, ["total", total]],
    }


def _sweeps(found: dict[str, Counted]) -> float:
    """Return what the sweep costs in a month, by its cheapest run: the others mended something."""
    runs = [
        usage.of_functions(one, usage.CLOCKED)
        for one in found.values()
        if any(one.logged.invocations[name] for name in usage.CLOCKED)
    ]
    return min((float(bill.total(run)) for run in runs), default=0.0) * 30 * 24 * 60


def _assumed() -> Json:
    waits = ", ".join(f"{name} {ms:g} ms" for name, ms in usage.WAIT_MS.items())
    every = ", ".join(
        f"{name} {' and '.join(f'{each:g}' for each in seconds)}"
        for name, seconds in usage.WINDOWS.items()
    )
    window = f"a batch of each stream every so many seconds, at {usage.RATE:g} a second: {every}"
    rows: list[list[object]] = [
        ["billed time", "measured CPU x 1769 MB / the function's memory + its waits"],
        ["waits for a call", waits],
        ["wait for a provider", f"{usage.PROVIDER_WAIT_MS:g} ms"],
        ["what reads streams", window],
        ["start of a new instance", "not in it"],
        ["traces", f"{usage.TRACED:g} of the requests, and of the batches that came of them"],
        ["kept", f"{usage.RETENTION_MONTHS:g} months, logs {usage.LOG_MONTHS:g}; backups as long"],
        ["lines Lambda writes itself", f"{logs.platform_bytes()} bytes an invocation"],
    ]
    return {"title": "What is reckoned, not counted", "columns": ["", "taken as"], "rows": rows}


def shares(found: dict[str, Counted]) -> Json:
    """Return aws_shares.json: once per notification, and per delivery of each channel."""
    single = found[SINGLE]
    return {
        "about": "What one notification takes of AWS, by line of aws_prices.json: accepted once "
        "for each, delivered for each of its deliveries. Written by `make bill WRITE=1`.",
        "as_of": f"{datetime.now(UTC):%Y-%m-%d}",
        "source": f"make bill, {single.count} of each channel, {usage.RATE:g} a second",
        "accepted": _rounded(usage.accepted(single)),
        "delivered": {
            channel: _rounded(usage.delivered(found[alone(channel)])) for channel in CHANNELS
        },
    }


def _rounded(quantities: Quantities) -> Quantities:
    return {name: amount for name, amount in sorted(quantities.items()) if amount}


def drawn(told: Json) -> Table:
    """Return a table for the terminal."""
    shown = Table(title=told["title"], title_justify="left", box=None, pad_edge=False)
    for column in told["columns"]:
        shown.add_column(str(column))
    for row in told["rows"]:
        shown.add_row(*(str(cell) for cell in row))
    return shown
