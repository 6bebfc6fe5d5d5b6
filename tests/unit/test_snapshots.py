"""What a snapshot of Lambda's holds ready, and what a restored process has anew."""

import random
import sys
from types import ModuleType

import pytest

from carillon import snapshots


@pytest.fixture
def runtime(monkeypatch) -> ModuleType:
    """Stand where Lambda's runtime keeps the hooks, which this environment has not."""
    hooks = ModuleType("snapshot_restore_py")
    hooks.before, hooks.after = [], []
    hooks.register_before_snapshot = hooks.before.append
    hooks.register_after_restore = hooks.after.append
    monkeypatch.setitem(sys.modules, hooks.__name__, hooks)
    return hooks


@pytest.mark.parametrize("why", ["", "on-demand", "provisioned-concurrency"])
def test_where_no_snapshot_is_taken_nothing_is_registered(runtime, monkeypatch, why) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", why)
    snapshots.hold_ready(list)
    assert (runtime.before, runtime.after) == ([], [])


def test_before_a_snapshot_the_first_request_is_made_ready_for(runtime, monkeypatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    snapshots.hold_ready(list, dict)
    assert runtime.before == [list, dict]


def test_two_processes_of_one_snapshot_do_not_draw_alike(runtime, monkeypatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    snapshots.hold_ready()
    snapshot, drawn = random.getstate(), []
    for _ in range(2):
        random.setstate(snapshot)
        for hook in runtime.after:
            hook()
        drawn.append(random.random())  # noqa: S311 - that very one
    assert drawn[0] != drawn[1]
