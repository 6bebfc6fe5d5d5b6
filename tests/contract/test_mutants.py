"""The mutants can still be made: each finds the text that it breaks."""

import pytest
from cloudformation import ROOT
from mutants.table import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.name)
def test_a_mutant_finds_its_text_once(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text().count(mutant.old) == 1


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.name)
def test_a_mutant_is_noticed_by_somebody(mutant: Mutant) -> None:
    assert mutant.tests or mutant.seeds
    assert mutant.tests is None or (ROOT / mutant.tests[0]).exists()
