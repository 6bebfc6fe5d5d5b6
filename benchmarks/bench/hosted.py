"""What a million notifications cost at hosted services, by their public prices (hosted.json)."""

import json
from pathlib import Path
from typing import Any

MILLION = 1_000_000
COLUMNS = ["service", "plan", "what counts", "USD per million", "as of", "source"]

Json = dict[str, Any]


def services() -> list[Json]:
    """Return each service's price."""
    text = Path(__file__).with_name("hosted.json").read_text("utf-8")
    return list(json.loads(text)["services"])


def per_million(price: Json) -> float:
    """Return what a million of its units cost in one month, the month's price included."""
    beyond = max(0, MILLION - price["included"])
    return round(float(price["monthly"] + beyond * price["each"]), 2)


def table(own: list[list[object]]) -> Json:
    """Return the comparison, ``own`` rows first."""
    rows = [
        [
            price["service"],
            price["plan"],
            price["unit"],
            per_million(price),
            price["as_of"],
            price["source"] + ("" if price["confirmed"] else " (not confirmed)"),
        ]
        for price in services()
    ]
    title = "A million notifications in a month, without the providers' own charge"
    return {"title": title, "columns": COLUMNS, "rows": [*own, *rows]}
