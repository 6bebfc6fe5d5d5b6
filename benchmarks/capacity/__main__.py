"""`make capacity`: simulate broadcasts to a million, and keep what holds them up."""

import argparse
import json
import sys
from pathlib import Path

from . import ladder, model

COUNT = 1_000_000
MODES = ("single", "batch")


def main() -> None:
    """Write the figures of every channel and mode."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    limits, work = model.limits(), model.work()
    ladders = []
    for channel in model.PROVIDERS:
        for mode in MODES:
            found = ladder.climb(options.count, channel, mode, limits, work)
            last = found["steps"][-1]
            sys.stderr.write(f"{channel}, {mode}: {last['gone_s']:,.0f} s, {last['bottleneck']}\n")
            ladders.append(found)
    told = {"count": options.count, "limits": limits, "work": work, "ladders": ladders}
    options.output.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
