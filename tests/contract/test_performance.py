"""docs/performance.md and its plots show the figures that are kept, and no others."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def performance() -> ModuleType:
    spec = importlib.util.spec_from_file_location("performance", ROOT / "docs/performance.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_plot_shows_the_figures_that_are_kept(performance) -> None:
    found = performance.figures()
    drawn = {name: told for name, pick in performance.SECTIONS.items() if (told := pick(found))}
    folder = ROOT / "docs" / performance.PLOTS
    assert {path.stem for path in folder.glob("*.svg")} == drawn.keys()
    for name, told in drawn.items():
        assert performance.digest(told) in (folder / f"{name}.svg").read_text(), (
            f"make performance: {name}"
        )


def test_a_missed_target_stands_beside_those_that_were_met(
    performance, tmp_path, monkeypatch
) -> None:
    rows = '[{"name": "a", "value": 3, "unit": "ms", "target": 2, "met": false}, '
    rows += '{"name": "b", "value": 1, "unit": "ms", "target": "at most 2 ms", "met": true}]'
    (tmp_path / "cold.json").write_text(f'{{"rows": {rows}}}')
    monkeypatch.setattr(performance, "FOLDER", tmp_path)
    monkeypatch.setattr(performance, "FILE", tmp_path / "performance.json")
    page = performance.page()
    assert "1 of 2 targets met, 1 missed." in page
    assert "| a | 3 ms |  |  | 2 ms | **missed** |" in page
    assert "| b | 1 ms |  |  | at most 2 ms | met |" in page
    assert "## The bill\n\nNot measured yet: `make" in page


def contender(title: str, rate: float, cpu: float) -> dict[str, object]:
    median = {
        "accepted_per_s": rate,
        "delivered_per_s": rate,
        "post_ms": {"16": {"p50": 20.5, "p99": 40.0}, "1": {"p50": 2.0, "p99": 3.0}},
        "cpu_s_per_1000": {
            "own": cpu,
            "beneath": 2.0,
            "sandbox": 0.5,
            "load": 1.5,
            "clocks": 0.0,
            "the cloud": 1.8,
            "the gateway": 0.2,
            "Notifications": cpu / 2,
            "Email": cpu / 2,
        },
        "elsewhere_s": 1.0,
        "outcome": {"refused": 0, "lost": 0, "doubled": 2},
    }
    return {"title": title, "median": median, "rounds": [median, median | {"delivered_per_s": 7}]}


def function(ms: float) -> dict[str, object]:
    return {
        "wall_ms": 3 * ms,
        "cpu_ms": ms,
        "own_cpu_ms": ms / 4,
        "calls_cpu_ms": 3 * ms / 4,
        "waiting_ms": 2 * ms,
        "calls": 3.0,
        "percent": {"ours": 20.0, "calling AWS": 30.0},
        "percent_by_library": {"carillon": 20.0, "urllib3": 30.0},
    }


MEASURED = {
    "peers": {
        "count": 5000,
        "rounds": 2,
        "concurrency": 16,
        "batch": 100,
        "batches_at_once": 4,
        "contenders": {
            "single": contender("ours, single sends", 80.0, 6.0),
            "peer": contender("the reference peer", 400.0, 1.0),
        },
        "floor": {
            "notifications": 300,
            "cpu_ms_per_call": 0.7,
            "wall_ms_per_call": 2.5,
            "calls": {"sns.Publish": 1.0},
            "cpu_s_per_1000": {"together": 5.0},
            "failed": {"PutItem: Refused": 2},
            "refused": {},
        },
        "sink": {"per_s": 2000, "cpu_s_per_1000": 0.2},
        "inside": {
            "notifications": 300,
            "functions": {"intake": function(2), "worker": function(4)},
        },
        "noise": {"loop_before_s": [0.1], "loop_after_s": [0.2], "load": [1.0, 2.0, 3.0]},
        "targets": [
            {
                "name": "a",
                "ours": 6.0,
                "against": 1.0,
                "unit": "CPU s",
                "ratio": 6.0,
                "target": "at most 1 times",
                "met": False,
            }
        ],
        "commit": "abc1234",
        "measured_at": "2026-11-21T09:30:00+00:00",
    },
    "growth": {
        "count": 500,
        "rows": [
            {
                "name": "1,000 stored",
                "calls": 6.0,
                "write_units": 4.0,
                "read_units": 1.5,
                "cpu_ms": 8.0,
                "outcome": {"refused": 1, "lost": 2},
            }
        ],
        "targets": [],
    },
}


@pytest.mark.parametrize(
    "line",
    [
        "| a | 6 CPU s | 1 CPU s | 6 | at most 1 times | **missed** |",
        "`make bench-peers`: 2026-11-21T09:30:00+00:00, commit abc1234",
        "| delivered per second, end to end | 80 | 400 |",
        "| doubled | 2 | 2 |",
        "| POST, 16 at once, p50 / p99, ms | 20.5 / 40 | 20.5 / 40 |",
        "| 2 | 7 | 7 |",
        "5.0 times what the fastest contender delivers.",
        "none of the recorded calls, 2 PutItem: Refused of the floor's.",
        "| our functions, inside calls to AWS | 4.50 | 45 % |",
        "| the emulator of AWS | 1.80 | 18 % |",
        "| CPU inside calls to AWS | 1.5 | 3 |",
        "| `urllib3` | 30 | 30 |",
        "![The cost of one notification by how many are stored](performance/growth.svg)",
        "| 1,000 stored | 6 | 4 | 1.5 | 8 | 3 |",
    ],
)
def test_the_page_says_what_was_measured(performance, tmp_path, monkeypatch, line: str) -> None:
    (tmp_path / "performance.json").write_text(json.dumps(MEASURED))
    monkeypatch.setattr(performance, "FOLDER", tmp_path)
    monkeypatch.setattr(performance, "FILE", tmp_path / "performance.json")
    assert line in performance.page()
