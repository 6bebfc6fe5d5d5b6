"""docs/performance.md, from what the measuring commands wrote to docs/proof/.

performance.json has a section for each of `make bench-peers` and `make bench-growth`; cold.json and
bill.json are those of others. What was not measured is said to be so. The plots are drawn by
docs/plots.py, from the same figures.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs/proof"
FILE = FOLDER / "performance.json"
PLOTS = "performance"
BESIDE = {"cold": ("Cold starts", "make bench-cold"), "bill": ("The bill", "make bill")}

Json = dict[str, Any]

HEAD = """\
# Performance

Measured, not estimated: every figure here was written by the command named above it, and this page
by `make performance`, which measures nothing. Targets that were missed are listed like those that
were met.

"""


def page() -> str:
    """Return the document."""
    found = figures()
    parts = [HEAD, _verdicts(found), _comparison(found), _floor(found), _inside(found)]
    return "".join([*parts, _growth(found), *(_beside(found, name) for name in BESIDE)])


def figures() -> Json:
    """Return all that was measured, by section."""
    kept: Json = json.loads(FILE.read_text()) if FILE.exists() else {}
    for name in BESIDE:
        path = FOLDER / f"{name}.json"
        if path.exists():
            kept[name] = json.loads(path.read_text())
    return kept


def digest(told: Json) -> str:
    """Return what tells these figures from others; each plot has that of what it shows."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _verdicts(found: Json) -> str:
    rows = [
        [each["name"], *_compared(each), each["target"], _verdict(each["met"])]
        for section in ("peers", "growth")
        for each in found.get(section, {}).get("targets", [])
    ]
    rows += [
        [each["name"], _number(each["value"], each["unit"]), "", "", *_target(each)]
        for section in BESIDE
        for each in found.get(section, {}).get("rows", [])
        if each.get("met") is not None
    ]
    missed = sum(row[-1] == MISSED for row in rows)
    told = f"{len(rows) - missed} of {len(rows)} targets met, {missed} missed.\n\n"
    head = ["target", "ours", "against", "ratio", "wanted", ""]
    return "## Targets\n\n" + told + _table(head, rows)


def _compared(each: Json) -> list[str]:
    ratio = "" if each["ratio"] is None else f"{each['ratio']:g}"
    return [_number(each["ours"], each["unit"]), _number(each["against"], each["unit"]), ratio]


def _target(each: Json) -> list[str]:
    target = each.get("target")
    wanted = _number(target, each["unit"]) if isinstance(target, (int, float)) else str(target)
    return [wanted, _verdict(each["met"])]


MET, MISSED = "met", "**missed**"


def _verdict(met: object) -> str:
    return MET if met else MISSED


COMPARED = """\
One email each, POST accepted -> provider's server reached, against one local sandbox that takes
everything. The contenders took turns in one run; each figure is the median of {rounds} passes of
{count:,}. Single sends had {concurrency} requests at once; batches had {batch} notifications to a
request and {batches_at_once} requests at once.

The reference peer ([benchmarks/reference](../benchmarks/reference)) is FastAPI and aio-pika over
RabbitMQ: one API process (uvicorn with uvloop and httptools), one worker; durable queue, persistent
messages, the request answered after the broker's confirmation, 32 messages prefetched. It keeps no
status, knows no idempotency, asks for no token, and has its one user and one compiled template in
memory. Ours do all of that, on an emulator of AWS written in Python, whose CPU is shown apart.

Systems of this kind that keep status in a database, measured apart on a machine like this one, do
94 to 134 a second end to end and take 6.6 to 12.8 CPU s per 1,000 in their API and workers; their
POST takes 87 to 145 ms in the median and 217 to 287 ms at p99, 16 at once.

"""
ROWS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("accepted per second", ("accepted_per_s",)),
    ("delivered per second, end to end", ("delivered_per_s",)),
    ("CPU s per 1,000: its own processes", ("cpu_s_per_1000", "own")),
    ("of it intake", ("cpu_s_per_1000", "Notifications")),
    ("of it the email worker", ("cpu_s_per_1000", "Email")),
    ("of it the daily numbers", ("cpu_s_per_1000", "Counting")),
    ("beside it, functions on a schedule", ("cpu_s_per_1000", "clocks")),
    ("CPU s per 1,000: cloud and gateway, or broker", ("cpu_s_per_1000", "beneath")),
    ("CPU s per 1,000: the sandbox", ("cpu_s_per_1000", "sandbox")),
    ("refused", ("outcome", "refused")),
    ("lost", ("outcome", "lost")),
    ("doubled", ("outcome", "doubled")),
)


def _comparison(found: Json) -> str:
    peers = found.get("peers")
    if peers is None:
        return _missing("Against a reference peer", "make bench-peers")
    contenders = peers["contenders"].values()
    medians = [each["median"] for each in contenders]
    rows = [[name, *(_at(median, path) for median in medians)] for name, path in ROWS]
    at_once = sorted({number for each in medians for number in each["post_ms"]}, key=int)
    rows += [
        [
            f"POST, {number} at once, p50 / p99, ms",
            *(_percentiles(each["post_ms"].get(number)) for each in medians),
        ]
        for number in reversed(at_once)
    ]
    told = COMPARED.format(**peers) + _plot("peers", "What was delivered per second, and its CPU")
    rounds = [
        [
            str(number + 1),
            *(f"{each['rounds'][number]['delivered_per_s']:g}" for each in contenders),
        ]
        for number in range(peers["rounds"])
    ]
    titles = [each["title"] for each in contenders]
    return (
        "## Against a reference peer\n\n"
        + _source("make bench-peers", peers)
        + told
        + _table(["", *titles], rows)
        + "Delivered per second, pass by pass:\n\n"
        + _table(["pass", *titles], rounds)
        + _noise(peers)
    )


def _noise(peers: Json) -> str:
    noise, sink = peers["noise"], peers["sink"]
    fastest = max(each["median"]["delivered_per_s"] for each in peers["contenders"].values())
    loops = [_seconds(noise[f"loop_{at}_s"]) for at in ("before", "after")]
    elsewhere = ", ".join(
        f"{each['median']['elsewhere_s']:g} s in {each['title']}"
        for each in peers["contenders"].values()
    )
    return (
        f"The machine's noise: the same CPU loop took {loops[0]} s before and {loops[1]} s after; "
        f"the load at the end was {', '.join(f'{load:.1f}' for load in noise['load'])}; CPU that "
        f"none of this used: {elsewhere}. The sandbox by itself takes {sink['per_s']:,} a second "
        f"at {sink['cpu_s_per_1000']:g} CPU s per 1,000, {sink['per_s'] / fastest:.1f} times what "
        "the fastest contender delivers.\n\n"
    )


FLOOR = """\
The calls that our functions made for {notifications} single sends were recorded on the wire and
made again by a bare boto3 loop ([benchmarks/floor](../benchmarks/floor)), one after the other, in
one process that was already connected: nobody can make these calls for less by boto3. With it go
bare handlers that do nothing but pydantic and json. "Handlers alone" among the targets are our
intake and worker in the same manner: one process each, without Lambda around it. A call takes
{cpu_ms_per_call:g} ms of CPU and {wall_ms_per_call:g} ms with its wait.

"""


def _floor(found: Json) -> str:
    if "peers" not in found:
        return ""
    floor = found["peers"]["floor"]
    calls = [[name, f"{times:g}"] for name, times in sorted(floor["calls"].items())]
    seconds = [[name, f"{each:g}"] for name, each in floor["cpu_s_per_1000"].items()]
    return (
        "## The floor\n\n"
        + FLOOR.format(**floor)
        + _table(["call", "per notification"], calls)
        + _table(["", "CPU s per 1,000"], seconds)
        + f"Refused, a lost condition say: {_listed(floor['refused'])} of the recorded calls, "
        + f"{_listed(floor['failed'])} of the floor's.\n\n"
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


INSIDE = """\
The handlers by themselves, in a process without Lambda around it, with {notifications} real events:
what is spent inside calls to AWS (serialising, signing, HTTP) and what outside, by the process's
own clock.

"""
FIGURES = {
    "wall_ms": "ms per notification",
    "cpu_ms": "of it CPU",
    "own_cpu_ms": "CPU outside calls to AWS",
    "calls_cpu_ms": "CPU inside calls to AWS",
    "waiting_ms": "waiting for the cloud and the sandbox",
    "calls": "calls to AWS",
}


def _inside(found: Json) -> str:
    if "peers" not in found:
        return ""
    inside = found["peers"]["inside"]
    functions: Mapping[str, Json] = inside["functions"]
    clocked = [
        [told, *(f"{each[name]:g}" for each in functions.values())]
        for name, told in FIGURES.items()
    ]
    groups = next(iter(functions.values()))["percent"]
    shares = [
        [name, *(f"{each['percent'][name]:g}" for each in functions.values())] for name in groups
    ]
    libraries = sorted({name for each in functions.values() for name in each["percent_by_library"]})
    every = [
        [f"`{name}`", *(_share(each["percent_by_library"], name) for each in functions.values())]
        for name in libraries
    ]
    return (
        "## Where a single send's time goes\n\n"
        + _machine(found["peers"], functions)
        + INSIDE.format(**inside)
        + _plot("time", "Where the time of intake and of the worker goes")
        + _table(["", *functions], clocked)
        + "Sampled by pyinstrument, in percent of the time, waiting included:\n\n"
        + _table(["", *functions], shares)
        + _table(["library", *functions], every)
    )


MACHINE = """\
While single sends come {concurrency} at once, the machine is the limit; this is who has its CPU.
The emulator is one Python process: at {cloud:g} CPU s per 1,000 it could do {most:,.0f} a second if
everything else were free, and it did {done:,.0f}.

"""


def _machine(peers: Json, functions: Mapping[str, Json]) -> str:
    median = peers["contenders"]["single"]["median"]
    cpu: Mapping[str, float] = median["cpu_s_per_1000"]
    inner, whole = (_sum(functions, name) for name in ("calls_cpu_ms", "cpu_ms"))
    sdk = cpu["own"] * inner / whole
    parts = {
        "our functions, outside calls to AWS": cpu["own"] - sdk,
        "our functions, inside calls to AWS": sdk,
        "our functions on a schedule": cpu["clocks"],
        "the emulator of AWS": cpu["the cloud"],
        "the gateway in front of it": cpu["the gateway"],
        "the sandbox": cpu["sandbox"],
        "the load generator": cpu["load"],
    }
    together = sum(parts.values())
    rows = [[name, f"{each:.2f}", f"{100 * each / together:.0f} %"] for name, each in parts.items()]
    told = MACHINE.format(
        concurrency=peers["concurrency"],
        cloud=cpu["the cloud"],
        most=1000 / cpu["the cloud"],
        done=median["delivered_per_s"],
    )
    return told + _table(["", "CPU s per 1,000", "share"], rows)


def _sum(functions: Mapping[str, Json], name: str) -> float:
    return sum(float(each[name]) for each in functions.values())


def _share(percent: Mapping[str, float], name: str) -> str:
    return f"{percent[name]:g}" if name in percent else ""


GROWTH = """\
What one of {count} single sends cost, every AWS call of our functions counted, among so many
notifications stored with their deliveries; then with the email queue left alone until it was deep.

"""
GROWN = {
    "calls": "AWS calls",
    "write_units": "write units",
    "read_units": "read units",
    "cpu_ms": "ms of CPU",
}


def _growth(found: Json) -> str:
    growth = found.get("growth")
    if growth is None:
        return _missing("Growth", "make bench-growth")
    rows = [
        [row["name"], *(f"{row[name]:g}" for name in GROWN), str(sum(row["outcome"].values()))]
        for row in growth["rows"]
    ]
    return (
        "## Growth\n\n"
        + _source("make bench-growth", growth)
        + GROWTH.format(**growth)
        + _plot("growth", "The cost of one notification by how many are stored")
        + _table(["", *GROWN.values(), "lost, doubled, refused"], rows)
    )


def _beside(found: Json, name: str) -> str:
    title, command = BESIDE[name]
    told = found.get(name)
    if told is None:
        return _missing(title, command)
    rows = [
        [
            each["name"],
            _number(each["value"], each["unit"]),
            *(_target(each) if each.get("met") is not None else ("", "")),
        ]
        for each in told["rows"]
    ]
    tables = [
        (f"### {each['title']}\n\n" if each["title"] != title else "")
        + _table(each["columns"], [list(map(_number, row)) for row in each["rows"]])
        + (f"{each['note']}\n\n" if "note" in each else "")
        for each in told.get("tables", [])
    ]
    note = f"{told['note']}\n\n" if "note" in told else ""
    return f"## {title}\n\n{_source(command, told)}{note}" + "".join(
        [_table(["", "measured", "target", ""], rows), *tables]
    )


def _missing(title: str, command: str) -> str:
    return f"## {title}\n\nNot measured yet: `{command}`.\n\n"


def _source(command: str, told: Json) -> str:
    known = [told[name] for name in ("measured_at", "machine") if name in told]
    commit = f", commit {told['commit']}" if "commit" in told else ""
    python = f", Python {told['python']}" if "python" in told else ""
    return f"`{command}`{': ' if known else ''}{', '.join(known)}{python}{commit}\n\n"


def _seconds(loops: Iterable[float]) -> str:
    return ", ".join(f"{each:.3f}" for each in loops)


def _plot(name: str, told: str) -> str:
    return f"![{told}]({PLOTS}/{name}.svg)\n\n"


def _at(found: Json, path: Iterable[str]) -> str:
    value: Any = found
    for name in path:
        value = value.get(name, "")
    return _number(value)


def _percentiles(told: Json | None) -> str:
    return f"{told['p50']:g} / {told['p99']:g}" if told else ""


def _number(value: Any, unit: str = "") -> str:
    shown = f"{value:,.10g}" if isinstance(value, (int, float)) else str(value)
    return f"{shown} {unit}".strip()


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines) + "\n"


SECTIONS: dict[str, Callable[[Json], Json | None]] = {
    "peers": lambda found: found.get("peers"),
    "time": lambda found: found.get("peers"),
    "growth": lambda found: found.get("growth"),
}
"""Which figures each plot is drawn from."""
