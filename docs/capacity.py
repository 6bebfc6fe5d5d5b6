"""docs/capacity.md and its plot, from what `make capacity` simulated (docs/proof/capacity.json)."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FILE = ROOT / "docs/proof/capacity.json"

Json = dict[str, Any]

HEAD = """\
# Capacity

How long does a broadcast to {count:,} take, what saturates first, what to raise, and what does that
gain? Simulated by `make capacity` ([benchmarks/capacity](../benchmarks/capacity)): queues, Lambda's
scaling, and the quotas of AWS and of the providers as they were published. It was never run on AWS.
Rates and scaling are theirs; how long a call takes is assumed, and written below: with the service
times of your own region in `benchmarks/capacity/work.json`, `make capacity` answers for you.

![How long a broadcast takes, as deployed and with everything raised](capacity.svg)

One application asks for everything at once, one address each. Of the limits, the one that alone
would take longest is the one that saturates; each row of the tables raises that of the row above.

"""
CHECKED = """\
Tests hold the simulation against what is known otherwise: a station of c processes against Erlang's
formula and Little's law, a meter and the whole path against arithmetic. Left out: errors and
retries, which make it slower, and the free burst of each quota but API Gateway's.

"""
WORDS = {"single": "one by one", "batch": "by batches of a hundred"}


def page() -> str:
    """Return the document."""
    told = _read()
    parts = [HEAD.format(**told)]
    parts += [_ladder(each, told["limits"]) for each in told["ladders"]]
    return "".join([*parts, _limits(told["limits"]), _work(told["work"])])


def _read() -> Json:
    return dict(json.loads(FILE.read_text()))


def _ladder(ladder: Json, limits: Json) -> str:
    rows = [
        [
            _raised(step),
            duration(step["accepted_s"]),
            duration(step["gone_s"]),
            limits[step["bottleneck"]]["name"],
        ]
        for step in ladder["steps"]
    ]
    head = ["with", "all accepted", "all sent", "what saturates"]
    return f"## {ladder['channel']}, {WORDS[ladder['mode']]}\n\n{_table(head, rows)}"


def _raised(step: Json) -> str:
    if step["limit"] is None:
        return str(step["how"])
    rate = "no limit" if step["to"] is None else f"{step['to']:,g}"
    return f"{step['how']} ({rate})" if "=" not in step["how"] else f"`{step['how']}`"


def _limits(limits: Json) -> str:
    rows = [
        [each["what"], f"{each['value']:,g} {each['unit']}", _source(each["source"]), each["read"]]
        for each in limits.values()
    ]
    return "## Limits\n\n" + CHECKED + _table(["", "at first", "from", "read"], rows)


def _source(source: str) -> str:
    return f"<{source}>" if source.startswith("http") else f"[{source}](../{source})"


def _work(work: Json) -> str:
    rows = [
        [f"accepted {WORDS[mode]}", f"{work[mode]['ms']} ms", work[mode]["of"]]
        for mode in ("single", "batch")
    ]
    rows.append(
        ["delivered, beside the provider", f"{work['worker']['ms']} ms", work["worker"]["of"]]
    )
    rows += [[name, f"{ms} ms", "a call, assumed"] for name, ms in work["provider_ms"].items()]
    rows.append(["a new process", f"{work['init_ms']:,} ms", "until it takes its first job"])
    return f"## Work\n\n{work['about']}\n\n{_table(['', 'takes', ''], rows)}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def duration(seconds: float) -> str:
    """Return seconds in the unit that people would say them in."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:.0f} s"


# ---------------------------------------------------------------------------- plot

WIDTH, LEFT, ROW, BAR = 720, 190, 34, 11
SCALE = (60, 1_000_000)
TICKS = (60, 600, 3_600, 36_000, 259_200)
STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #57606a }
.grid { stroke: #8c959f; stroke-opacity: .35 }
.deployed { fill: #8c959f }
.raised { fill: #2f81f7 }
@media (prefers-color-scheme: dark) { text { fill: #c9d1d9 } }"""


def plot() -> str:
    """Return the plot as SVG: a scale of powers, readable on white and on black."""
    ladders = _read()["ladders"]
    height = 46 + ROW * len(ladders) + 24
    body = "\n".join([*_grid(height), *_legend(), *_bars(ladders)])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">\n'
        f"<title>How long a broadcast takes</title>\n<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def _at(seconds: float) -> float:
    low, high = (math.log(each) for each in SCALE)
    share = (math.log(max(seconds, SCALE[0])) - low) / (high - low)
    return round(LEFT + share * (WIDTH - LEFT - 80), 1)


def _grid(height: int) -> Iterator[str]:
    for tick in TICKS:
        x = _at(tick)
        yield f'<line class="grid" x1="{x}" y1="36" x2="{x}" y2="{height - 22}"/>'
        yield _text(x, height - 8, duration(tick) if tick > TICKS[0] else "1 minute", "middle")


def _legend() -> Iterator[str]:
    for x, name, words in ((LEFT, "deployed", "as deployed"), (LEFT + 130, "raised", "all raised")):
        yield f'<rect class="{name}" x="{x}" y="10" width="{BAR}" height="{BAR}"/>'
        yield _text(x + 18, 20, words)


def _bars(ladders: list[Json]) -> Iterator[str]:
    for number, ladder in enumerate(ladders):
        top = 42 + ROW * number
        how = {"single": "one by one", "batch": "by batches"}[ladder["mode"]]
        yield _text(LEFT - 10, top + BAR + 4, f"{ladder['channel']}, {how}", "end")
        ends = (("deployed", ladder["steps"][0]), ("raised", ladder["steps"][-1]))
        for line, (name, step) in enumerate(ends):
            y, x = top + line * (BAR + 2), _at(step["gone_s"])
            width = round(x - LEFT, 1)
            yield f'<rect class="{name}" x="{LEFT}" y="{y}" width="{width}" height="{BAR}"/>'
            yield _text(x + 5, y + BAR - 1, duration(step["gone_s"]))


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{words}</text>'
