"""The table of features: what there is, with the tests that show it, and what is for later."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
FEATURES = ROOT / "docs/features.yaml"
_TEST = re.compile(r"^\s*(?:async )?def (test_\w+)", re.MULTILINE)
_ROW = re.compile(r"test_([a-j]\d+)_")
HEAD = """# Features

Written by `make docs` from [features.yaml](features.yaml) and the names of the tests. A row without
a test is for later.
"""

Json = dict[str, Any]


def groups() -> list[Json]:
    """Return the groups with their rows."""
    return list(yaml.safe_load(FEATURES.read_text()))


def tests() -> dict[str, Path]:
    """Return each test's file, by the test's name."""
    return {
        name: path.relative_to(ROOT)
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for name in _TEST.findall(path.read_text())
    }


def shown_by(row: Json, known: dict[str, Path]) -> list[str]:
    """Return the tests that show a row; raises KeyError for one that is named but not there."""
    other = [name for name in row.get("shown_by", []) if known[name]]
    named = [name for name in known if (m := _ROW.match(name)) and m[1] == row["id"].lower()]
    return named + other


def table() -> str:
    """Return docs/features.md."""
    known = tests()
    return "\n".join([HEAD, *(line for group in groups() for line in _group(group, known))])


def _group(group: Json, known: dict[str, Path]) -> Iterator[str]:
    yield f"## {group['group']}. {group['name']}"
    yield ""
    yield "| | what | mark | shown by |"
    yield "|---|---|---|---|"
    for row in group["rows"]:
        found = shown_by(row, known)
        files = sorted({known[name] for name in found})
        links = ", ".join(f"[{path.stem}](../{path})" for path in files)
        said = links or "later"
        yield f"| {row['id']} | {row['what']} | {row['mark']} | {said} |"
    yield ""
