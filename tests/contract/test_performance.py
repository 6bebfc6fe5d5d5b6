"""docs/performance.md and its plots show the figures that are kept, and no others."""

import importlib.util
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
