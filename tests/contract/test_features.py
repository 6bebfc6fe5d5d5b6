"""The features' table: what must be there has a test of its name."""

import importlib.util
from typing import Any

import pytest
from cloudformation import ROOT

_spec = importlib.util.spec_from_file_location("feature_table", ROOT / "docs/feature_table.py")
assert _spec
assert _spec.loader
feature_table = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(feature_table)

PROMISED = "ABCDGI"
SHOWN = "EF"
ROWS = [row for group in feature_table.groups() for row in group["rows"]]
MUST = [row for row in ROWS if row["mark"].startswith("MUST") and row["id"][0] in PROMISED]
DONE = [row for row in ROWS if row["id"][0] in SHOWN and not row["mark"].endswith("-later")]
LATER = {"E15"}


@pytest.mark.parametrize("row", MUST, ids=[row["id"] for row in MUST])
def test_what_must_be_there_has_a_test_named_after_it(row: dict[str, Any]) -> None:
    named = f"test_{row['id'].lower()}_"
    found = feature_table.shown_by(row, feature_table.tests())
    assert any(name.startswith(named) for name in found), row["what"]


@pytest.mark.parametrize("row", DONE, ids=[row["id"] for row in DONE])
def test_what_is_delivered_is_shown_by_a_test(row: dict[str, Any]) -> None:
    found = feature_table.shown_by(row, feature_table.tests())
    assert bool(found) is (row["id"] not in LATER), row["what"]


def test_no_test_is_named_after_a_row_that_is_not_there() -> None:
    known = {row["id"].lower() for row in ROWS}
    named = {
        match[1] for name in feature_table.tests() if (match := feature_table._ROW.match(name))
    }
    assert named <= known
