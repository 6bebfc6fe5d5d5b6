"""`carillon stage migrate` calls the stage's function until all is done."""

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

Json = dict[str, Any]


class Functions:
    """Lambda, as far as the command knows it: it gives the answers it was told to."""

    def __init__(self, *answers: Json) -> None:
        self.answers: Iterator[Json] = iter(answers)
        self.orders: list[Json] = []

    def invoke(self, **told: Any) -> Json:
        assert (told["FunctionName"], told["Qualifier"]) == ("carillon-dev-Migrations", "live")
        self.orders.append(json.loads(told["Payload"]))
        answer = next(self.answers)
        failed = {"FunctionError": "Unhandled"} if "errorMessage" in answer else {}
        return {"Payload": io.BytesIO(json.dumps(answer).encode()), **failed}


class Formation:
    def describe_stack_resource(self, **told: str) -> Json:
        assert told == {"StackName": "carillon-dev", "LogicalResourceId": "MigrationsFunction"}
        return {"StackResourceDetail": {"PhysicalResourceId": "carillon-dev-Migrations"}}


def told(cursor: str | None, **more: Any) -> Json:
    slice_ = {"number": 0, "wanted": 1, "about": "inbox", "looked_at": 100, "changed": 10}
    return slice_ | {"done": cursor is None, "cursor": cursor} | more


@pytest.fixture
def functions(account, monkeypatch) -> Callable[..., Functions]:
    def answering(*answers: Json) -> Functions:
        made = Functions(*answers)
        whole = boto3.session.Session.client
        known = {"lambda": made, "cloudformation": Formation()}

        def client(self: Any, name: str, **more: Any) -> Any:
            return known.get(name) or whole(self, name, **more)

        monkeypatch.setattr(boto3.session.Session, "client", client)
        return made

    return answering


def test_h12_the_command_calls_until_it_is_done_and_adds_up(account, functions) -> None:
    made = functions(told("a"), told(None, number=1))
    done = account.run("stage", "migrate", "--stage", "dev", "--rate", "5", "--again")
    assert done.output.splitlines()[-1] == "layout 1 of 1: 200 looked at, 20 changed"
    assert [(each["rate"], each["again"]) for each in made.orders] == [(5, True), (5, False)]
    assert {each["actor"] for each in made.orders} == {"arn:aws:sts::123456789012:user/moto"}
    assert not any("cursor" in each for each in made.orders)


def test_h12_a_dry_run_goes_on_from_where_it_was(account, functions) -> None:
    made = functions(told("a"), told(None))
    done = account.run("stage", "migrate", "--stage", "dev", "--dry-run")
    assert done.output.splitlines()[-1] == "layout 0 of 1: 200 looked at, 20 to change"
    assert [each.get("cursor") for each in made.orders] == [None, "a"]


def test_h12_a_function_that_fails_is_said(account, functions) -> None:
    functions({"errorMessage": "no table"})
    done = account.run("stage", "migrate", "--stage", "dev")
    assert (done.exit_code, "no table" in done.output) == (1, True)


def test_h12_a_dry_run_of_what_is_done_again_is_refused(account, functions) -> None:
    made = functions()
    assert account.run("stage", "migrate", "--stage", "dev", "--dry-run", "--again").exit_code == 1
    assert made.orders == []
