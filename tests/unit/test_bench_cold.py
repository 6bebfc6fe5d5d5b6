"""What the measurement of cold starts makes of its figures; it measures nothing here."""

import pytest

from benchmarks.cold import measuring, report
from benchmarks.cold.subjects import BARE, STORING

NAMES = (BARE, STORING, report.INTAKE, *report.CHANNELS)


def starts(init: float) -> measuring.Starts:
    values = [init - 10, init, init, init + 10]
    return measuring.Starts(values, values, [5.0] * 4, [5.0] * 4, "request")


def summary(intake: float) -> dict[str, dict]:
    found = dict.fromkeys(NAMES, starts(250)) | {BARE: starts(100), report.INTAKE: starts(intake)}
    return {row["name"]: row for row in report.summary(found)["rows"]}


def test_a_figure_is_the_median_and_the_middle_half() -> None:
    assert measuring.figure([1, 2, 3, 4, 100]) == measuring.Figure(3, 2, 4)


@pytest.mark.parametrize(("intake", "met"), [(200, True), (201, False)])
def test_an_init_is_judged_by_that_of_the_bare_handler_of_the_same_run(intake, met) -> None:
    row = summary(intake)[f"{report.INTAKE}: init, bare handlers"]
    assert (row["value"], row["target"], row["met"]) == (intake / 100, 2.0, met)


def test_what_has_no_target_is_not_judged() -> None:
    rows = [row for row in summary(200).values() if row["target"] is None]
    assert rows
    assert all(row["met"] is None for row in rows)


def test_a_table_has_a_cell_for_each_column() -> None:
    told = report.summary(dict.fromkeys(NAMES, starts(100)))
    (table,) = told["tables"]
    assert {len(row) for row in table["rows"]} == {len(table["columns"])}
    assert list(report.tables(told))
