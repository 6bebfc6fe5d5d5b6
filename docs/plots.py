"""The plots of docs/performance.md: `make performance`, in an environment that has matplotlib.

Small, without a background, in colours and greys that are read on white and on black alike. Each
file tells which figures it shows by their digest, which a test compares.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import performance
from matplotlib.figure import Figure

FOLDER = Path(__file__).parent / performance.PLOTS
GREY = "#7a8088"
OURS, PEER, BATCH, FOURTH = "#2f81f7", "#db6d28", "#3fb950", "#a371f7"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "carillon",
    "font.size": 9,
    "text.color": GREY,
    "axes.labelcolor": GREY,
    "axes.edgecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}

Json = dict[str, Any]


def main() -> None:
    """Draw what was measured."""
    found = performance.figures()
    FOLDER.mkdir(exist_ok=True)
    mpl.rcParams.update(STYLE)
    for name, section in performance.SECTIONS.items():
        told = section(found)
        if told:
            figure = DRAWN[name](told)
            marks = {"Date": None, "Identifier": performance.digest(told)}
            figure.savefig(
                FOLDER / f"{name}.svg", transparent=True, bbox_inches="tight", metadata=marks
            )


def peers(told: Json) -> Figure:
    """Draw rates beside CPU, a bar for each contender."""
    figure = Figure(figsize=(7.4, 2.3))
    rates, cpu = figure.subplots(1, 2)
    contenders = list(told["contenders"].values())
    names = [each["title"].replace(", ", ",\n") for each in contenders]
    colours = [OURS, PEER, BATCH]
    medians = [each["median"] for each in contenders]
    delivered = [each["delivered_per_s"] for each in medians]
    rates.bar_label(rates.barh(names, delivered, color=colours), fmt="%.0f", padding=3)
    rates.set_title("delivered per second")
    floor = told["floor"]["cpu_s_per_1000"]["together"]
    own = [each["cpu_s_per_1000"]["own"] for each in medians]
    cpu.bar_label(
        cpu.barh([*names, "the floor"], [*own, floor], color=[*colours, GREY]),
        fmt="%.2f",
        padding=3,
    )
    cpu.set_title("CPU s per 1,000, own processes")
    for axes in (rates, cpu):
        axes.invert_yaxis()
        axes.margins(x=0.18)
    figure.tight_layout()
    return figure


def time(told: Json) -> Figure:
    """Draw the parts of an intake's and a worker's time, one after the other."""
    figure = Figure(figsize=(7.4, 1.7))
    axes = figure.subplots()
    functions = told["inside"]["functions"]
    parts = {
        "own_cpu_ms": ("CPU outside calls to AWS", OURS),
        "calls_cpu_ms": ("CPU inside calls to AWS", PEER),
        "waiting_ms": ("waiting for the cloud", GREY),
    }
    begin = [0.0] * len(functions)
    for part, (name, colour) in parts.items():
        lengths = [each[part] for each in functions.values()]
        axes.barh(list(functions), lengths, left=begin, label=name, color=colour)
        begin = [left + length for left, length in zip(begin, lengths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("ms per notification")
    axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


def growth(told: Json) -> Figure:
    """Draw each cost as a multiple of what it was among the fewest."""
    figure = Figure(figsize=(7.4, 2.3))
    axes = figure.subplots()
    rows = [row for row in told["rows"] if row["whole"]]
    names = [row["name"] for row in rows]
    for (part, name), colour in zip(
        performance.GROWN.items(), (OURS, PEER, BATCH, FOURTH), strict=True
    ):
        first = rows[0][part]
        if first:
            axes.plot(
                names, [row[part] / first for row in rows], marker="o", label=name, color=colour
            )
    axes.set_ylim(0, None)
    axes.set_ylabel("times that of the first")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


DRAWN: dict[str, Callable[[Json], Figure]] = {"peers": peers, "time": time, "growth": growth}


if __name__ == "__main__":
    main()
