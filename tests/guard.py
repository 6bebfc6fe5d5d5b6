"""Has every function watched while it runs in a test (tests/iam.py).

When all functional tests ran, and none failed, a grant that none of them needed fails the run: on
AWS it would only be there for who breaks in.
"""

import functools
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from cloudformation import ROOT, resources
from iam import Guard, unused

from carillon import aws

GUARD = Guard()
FUNCTIONAL = ROOT / "tests/functional"
NEEDED_ELSEWHERE: dict[str, str] = {}
"""Grants that no functional test can need, each with the reason."""


@functools.cache
def set_up() -> None:
    """Put the guard before every function's handler, and into the session of all clients, once."""
    aws.botocore_session().register("provide-client-params.*.*", GUARD.hear)
    for name, function in resources("AWS::Serverless::Function").items():
        path = function["CodeUri"].replace("/", ".")
        module = import_module(f"{path}.handler")
        module.lambda_handler = _watched(name, module.lambda_handler)  # type: ignore[attr-defined]


def _watched(name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(handler)
    def watched(*arguments: Any, **told: Any) -> Any:
        with GUARD.during(name):
            return handler(*arguments, **told)

    return watched


class Ledger:
    """Brings together what the processes of a run have seen."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.chosen = False
        self.unneeded: list[str] = []

    def pytest_deselected(self) -> None:
        self.chosen = True

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.files |= {str(item.path) for item in session.items}

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        seen = {name: sorted(used) for name, used in GUARD.used.items()}
        if (output := getattr(session.config, "workeroutput", None)) is not None:
            output["guard"] = (sorted(self.files), self.chosen, seen)
        elif session.exitstatus == pytest.ExitCode.OK and self._is_whole(session.config):
            self.unneeded = [told for told in unused(GUARD.used) if told not in NEEDED_ELSEWHERE]
            stale = NEEDED_ELSEWHERE.keys() - set(unused(GUARD.used))
            self.unneeded += [f"{told}: needed here after all" for told in stale]
            if self.unneeded:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        output = getattr(node, "workeroutput", {})  # none of one that broke down
        files, chosen, seen = output.get("guard", ([], True, {}))
        self.files |= set(files)
        self.chosen |= chosen
        for name, used in seen.items():
            GUARD.used[name] |= {tuple(each) for each in used}

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.unneeded:
            terminalreporter.section("granted in template.yaml, and needed by no test")
            for told in self.unneeded:
                terminalreporter.line(told)

    def _is_whole(self, config: pytest.Config) -> bool:
        every = {str(path) for path in FUNCTIONAL.rglob("test_*.py")}
        picked = any("::" in str(argument) for argument in config.args)
        return every <= self.files and not self.chosen and not picked
