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
from iam import Grant, Guard, Used, unused

from carillon import delivery, signed

GUARD = Guard()
FUNCTIONAL = ROOT / "tests/functional"
ALIKE = frozenset(
    {
        *("KeepFirstAnswers", "CountDeliveries", "ComeAgainLater", "ParkPoison", "PassOn"),
        *("BreakCircuits", "SeeHowMuchWaits", "GiveUp", "SendAgain", "AskSqs"),
    }
)
"""Statements of what one module does for every function or queue: each action is needed by one."""
NEEDED_ELSEWHERE = {
    **dict.fromkeys(
        [
            "EmailFunction ReadMailAccounts: ssm:GetParameter smtp",
            "EmailFunction ReadMailAccounts: ssm:GetParameter sendgrid",
            "SmsFunction ReadTwilioAccount: ssm:GetParameter twilio",
            "PushFunction ReadFcmAccount: ssm:GetParameter fcm",
        ],
        "tests hand each provider its account; the sandbox's are read when the whole stack runs",
    ),
    "RedrivesFunction ClearLetters: dynamodb:Query DeadLettersTable": (
        "asked by an order about one notification, which has no test of its own"
    ),
}
"""Grants that no functional test needs, each with the reason."""


@functools.cache
def set_up() -> None:
    """Put the guard before every function's handler, and into the session of all clients, once."""
    delivery.consumer = _of_channel(delivery.consumer)
    signed.botocore_session().register("provide-client-params.*.*", GUARD.hear)
    signed.Client.call = _heard(signed.Client.call)  # type: ignore[method-assign]
    for name, function in resources("AWS::Serverless::Function").items():
        path = function["CodeUri"].replace("/", ".")
        module = import_module(f"{path}.handler")
        module.lambda_handler = _watched(name, module.lambda_handler)  # type: ignore[attr-defined]


def _heard(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def heard(client: signed.Client, operation: str, params: dict[str, Any]) -> Any:
        GUARD.note(client.service.name, operation, params)
        return call(client, operation, params)

    return heard


def _of_channel(consumer: Callable[..., Any]) -> Callable[..., Any]:
    """Take a consumer that a test makes, with a provider of its own, for its channel's function."""

    @functools.wraps(consumer)
    def made(channel: str, *arguments: Any, **told: Any) -> Any:
        name = f"{channel.capitalize()}Function"
        return _watched(name, consumer(channel, *arguments, **told))

    return made


def _watched(name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(handler)
    def watched(*arguments: Any, **told: Any) -> Any:
        with GUARD.during(name):
            return handler(*arguments, **told)

    return watched


def unneeded(used: Used) -> list[str]:
    """Return the grants that were not needed, and are not excused."""
    common = {(sid, action) for grants in used.values() for sid, action, _ in grants}
    return [
        told
        for function, grant in unused(used)
        if not (grant.sid in ALIKE and (grant.sid, grant.action) in common)
        and (told := _told(function, grant)) not in NEEDED_ELSEWHERE
    ]


def _told(function: str, grant: Grant) -> str:
    return f"{function} {grant.sid}: {grant.action} {grant.resource.rpartition('/')[2]}"


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
            self.unneeded = unneeded(GUARD.used)
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
