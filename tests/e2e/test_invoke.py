"""Every built function with every sample event, under AWS's own runtime client."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from answers import EXPECTED
from cloudformation import ROOT, resources
from served import Api

from offline import functions, samples
from offline import stack as offline
from offline.runtime import Worker

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("runtime")]

Json = dict[str, Any]
NOTIFICATION = "ntf_zjt7mxn2ukwq3f5vcy6ha4rdeo5b3xqa"
NAMES = {
    Path(function["CodeUri"]).name: name
    for name, function in resources("AWS::Serverless::Function").items()
}


@dataclass
class Lambda:
    """The built functions, each started when it is first called."""

    stack: offline.Stack
    built: dict[str, functions.Function]
    log: Path
    opened: ExitStack
    workers: dict[str, Worker]

    def invoke(self, name: str, event: Json) -> Any:
        """Return what a function returns, which must not fail."""
        if name not in self.workers:
            configured = functions.configured(self.stack.cloud, name)
            log = self.opened.enter_context(self.log.open("ab"))
            worker = Worker(self.built[name], configured, self.stack.cloud, log)
            self.workers[name] = self.opened.enter_context(worker)
        told = samples.fitted(event, functions.configured(self.stack.cloud, name).variables)
        outcome = self.workers[name].invoke(json.dumps(told).encode())
        assert not outcome.failed, outcome.payload
        return outcome.json()


@pytest.fixture(scope="module")
def lambdas(built: Path, seeded: offline.Stack, runtime: None) -> Iterator[Lambda]:
    found = functions.built(built / functions.ARCHITECTURE)
    log = built / "invoked.log"
    log.unlink(missing_ok=True)
    with ExitStack() as opened:
        yield Lambda(seeded, found, log, opened, {})


@pytest.mark.parametrize("name", EXPECTED)
def test_a_built_function_answers_its_event(lambdas, sample, name) -> None:
    before = lambdas.log.stat().st_size if lambdas.log.exists() else 0
    answer = lambdas.invoke(NAMES[name.partition("-")[0]], sample(name))
    expected = EXPECTED[name]
    if isinstance(expected, int):
        assert answer["statusCode"] == expected, answer
    elif expected is None:
        assert answer is None
    else:
        assert {key: answer[key] for key in expected} == expected
    said = lambdas.log.read_bytes()[before:].decode()
    assert "Traceback" not in said
    # That there is a dead letter is itself worth an error.
    assert set(re.findall(r'"level":"ERROR",.*?"message":"(.*?)"', said)) <= {"dead letter"}
    if name == "jobs-batch":
        assert _exports(lambdas) == 1


def test_every_function_was_called(lambdas) -> None:
    assert lambdas.workers.keys() == lambdas.built.keys()


def test_the_workers_reached_their_providers(lambdas) -> None:
    api = Api(lambdas.stack.api, lambdas.stack.admin_token, lambdas.stack.sandbox)
    got = {message["channel"]: message["to"] for message in api.arrived(NOTIFICATION)}
    assert got == {
        "email": "ada@example.com",
        "sms": "+14155552671",
        "push": "fcm-device-of-ada",
    }


def test_a_login_s_tokens_are_refreshed_and_end(lambdas, sample) -> None:
    """With the tokens of an answer in place of those in the files."""
    auth = NAMES["auth"]
    pair = json.loads(lambdas.invoke(auth, sample("auth-login"))["body"])["data"]
    for name, status in (("auth-refresh", 200), ("auth-logout", 204), ("auth-refresh", 401)):
        event = sample(name) | {"body": json.dumps({"refresh": pair["refresh"]})}
        answer = lambdas.invoke(auth, event)
        assert answer["statusCode"] == status, name
        pair = json.loads(answer["body"])["data"] if status == 200 else pair


def test_docs_building_md_s_commands_do_what_it_says(lambdas) -> None:
    """The build is what all of this runs; the answer is alone on standard output."""
    page = (ROOT / "docs/building.md").read_text()
    build, invoke = re.findall(r"^\$ (.*)$", page, re.MULTILINE)
    assert build == "make build"
    done = _typed(lambdas, invoke)
    assert done.returncode == 0, done.stderr
    assert json.loads(json.loads(done.stdout)["body"]) == {"status": "ok"}
    assert "START RequestId" in done.stderr


@pytest.mark.parametrize(
    ("function", "event", "says"),
    [
        ("HealthFunction", "events/sweep.json", '"errorType"'),
        ("Nothing", "events/sweep.json", "Nothing is none of AnalyticsFunction, "),
        ("HealthFunction", "events/none.json", "there is no events/none.json"),
    ],
)
def test_make_invoke_fails_when_the_function_does(lambdas, function, event, says) -> None:
    done = _typed(lambdas, f"make invoke FN={function} EVENT={event}")
    assert done.returncode != 0
    assert says in done.stdout + done.stderr


def _exports(lambdas: Lambda) -> int:
    bucket = functions.configured(lambdas.stack.cloud, "JobsFunction").variables["EXPORTS_BUCKET"]
    s3 = boto3.client("s3", endpoint_url=lambdas.stack.cloud, region_name="us-east-1")
    return int(s3.list_objects_v2(Bucket=bucket)["KeyCount"])


def _typed(lambdas: Lambda, command: str) -> subprocess.CompletedProcess[str]:
    told = {"AWS_ENDPOINT_URL": lambdas.stack.cloud, "ENGINE": "none", "MAKEFLAGS": "s"}
    return subprocess.run(
        command.split(),
        cwd=ROOT,
        env=os.environ | told,
        capture_output=True,
        text=True,
        check=False,
    )
