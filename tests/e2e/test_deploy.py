"""docs/deploy.md, typed as it stands into an empty account: the embedded cloud."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import deployed
import pytest
import requests
import standing

from offline import cloud, deploy, providers, secrets, workspace
from offline.children import Children
from offline.environment import ROOT, cloud_environment
from offline.stack import free_ports

pytestmark = pytest.mark.e2e

GUIDE = (ROOT / "docs/deploy.md").read_text()
STEP = re.compile(
    r"<!-- session -->\n```bash\n(?P<typed>.*?)```\n(?:\n```text\n(?P<printed>.*?)```)?", re.DOTALL
)
STEPS = [match.groupdict() for match in STEP.finditer(GUIDE)]
MARK = "<<step>>"
REGION = "eu-west-1"
LASTING = 600


UNREAD = {
    "AWS::ApiGateway::Account",  # the region's, not the stack's
    "AWS::ApiGateway::Deployment",  # the stage names it
}
NOT_KEPT = {
    ("AWS::ApiGateway::RestApi", "EndpointAccessMode"),
    ("AWS::ApiGateway::RestApi", "EndpointConfiguration"),
    ("AWS::ApiGateway::RestApi", "Parameters"),
    ("AWS::ApiGateway::RestApi", "SecurityPolicy"),
    ("AWS::ApiGateway::Stage", "AccessLogSetting"),
    ("AWS::CloudWatch::Alarm", "EvaluateLowSampleCountPercentile"),
    ("AWS::DynamoDB::Table", "PointInTimeRecoverySpecification"),
    ("AWS::DynamoDB::Table", "TimeToLiveSpecification"),
    ("AWS::IAM::Role", "PermissionsBoundary"),
    ("AWS::IAM::Role", "Tags"),
    ("AWS::Lambda::Function", "Tags"),
    ("AWS::S3::Bucket", "LifecycleConfiguration"),
    ("AWS::SNS::Topic", "KmsMasterKeyId"),
    ("AWS::SNS::Topic", "TracingConfig"),
}
"""What the embedded cloud takes and does not tell of; the linters alone look at it."""


@dataclass(frozen=True)
class Account:
    """An account with nothing in it, and a copy of this repository to deploy from."""

    folder: Path
    cloud: str
    sandbox: str
    firebase: Path

    def environment(self) -> dict[str, str]:
        # Nor what the make that runs this test tells those it starts.
        strange = ("AWS_", "MAKE", "MFLAGS")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
        return kept | {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "NO_PROXY": "127.0.0.1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_ENDPOINT_URL": self.cloud,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "TWILIO_AUTH_TOKEN": "twilio-s3cret",
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.firebase),
            "SAM_CLI_POLL_DELAY": "0.2",
            # The embedded cloud runs the functions in its own interpreter, on this machine.
            "BUILD_PYTHON": str(cloud.INTERPRETER),
            "ARCH": "x86_64",
        }

    def type(self, *steps: str) -> list[str]:
        """Type the steps into one shell; return what each printed."""
        script = f"\necho '{MARK}'\n".join(steps)
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LASTING,
            check=False,
            start_new_session=True,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout.split(f"{MARK}\n")

    def client(self, name: str) -> Any:
        return boto3.session.Session().client(
            name,  # type: ignore[call-overload]
            endpoint_url=self.cloud,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder, state = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("account")
    ports, tmp = free_ports(), workspace.folder(state)
    endpoint, sandbox = (f"http://127.0.0.1:{p}" for p in (ports.cloud, ports.sandbox))
    with Children((tmp,)) as children:
        engine = cloud.start(children, cloud_environment(ports.cloud, tmp), state)
        stand_in = providers.start(children, ports.sandbox, state)
        cloud.await_ready(engine, endpoint)
        providers.await_ready(stand_in, sandbox)
        _copy(folder)
        _tell(folder / "samconfig.toml", TwilioBaseUrl=sandbox, **deploy.WITHOUT)
        key = state / "firebase.json"
        key.write_text(json.dumps(secrets.firebase_account(sandbox)))
        yield Account(folder, endpoint, sandbox, key)


@pytest.fixture(scope="module")
def printed(account: Account) -> list[str]:
    """What each step printed, all but the last, which removes everything."""
    return account.type(*(step["typed"] for step in STEPS[:-1]))


def test_h3_the_setup_prints_what_the_guide_says(printed) -> None:
    expected = STEPS[0]["printed"]
    assert _read(printed[0]) == _read(expected)
    assert "twilio-s3cret" not in "".join(printed)


def test_h3_the_deployment_ends_with_a_first_notification_that_works(account, printed) -> None:
    assert "dev answers at" in printed[1]
    (command,) = re.findall(r"^  curl .*?'$", printed[1], re.DOTALL | re.MULTILINE)
    (answer,) = account.type(f"TOKEN=$(make -s key STAGE=dev)\n{command}")
    assert json.loads(answer)["data"]["status"] == "accepted"


def test_h3_the_guide_s_mails_arrive_from_the_address_that_was_verified(account, printed) -> None:
    assert json.loads(printed[2])["data"]["status"] == "accepted"
    assert "sent" in printed[3]
    told = requests.get(f"{account.cloud}/_ministack/ses/messages", timeout=10).json()["messages"]
    mails = [mail for sent in told.values() for mail in sent if mail["BodyText"] == "Works too."]
    assert len(mails) == 1
    assert mails[0]["Source"] == "ada@example.com"


def test_h3_a_changed_parameter_reaches_the_callers_version(account, printed) -> None:
    assert "dev answers at" in printed[5]
    functions = account.client("lambda")
    names = [f["FunctionName"] for f in functions.list_functions()["Functions"]]
    assert names
    for name in names:
        live = functions.get_function_configuration(FunctionName=name, Qualifier="live")
        assert live["Environment"]["Variables"]["MAX_RETRIES"] == "5", name
        assert live["Version"] == "2"


def test_every_resource_is_as_the_template_wants_it(account, printed) -> None:
    """Queues, filters, redrive, mappings, alarms, dashboards, roles: property by property."""
    clients = functools.cache(account.client)
    stack = deployed.Stack(clients, "carillon-dev", REGION)
    compared, differ = set(), {}
    for within, name, kind, wanted in stack.resources():
        if kind in UNREAD:
            continue
        found = standing.READERS[kind](clients, within.physical[name], wanted)
        for key, value in wanted.items():
            compared.add((kind, key))
            if deployed.plain(found.get(key)) != deployed.plain(value):
                differ[kind, key] = f"{name}: wanted {value}, found {found.get(key)}"
    assert {place: told for place, told in differ.items() if place not in NOT_KEPT} == {}
    # A gap that has closed is no excuse any longer.
    assert compared >= NOT_KEPT == differ.keys() & NOT_KEPT


def test_h6_callers_are_shifted_and_alarms_bring_them_back(tmp_path) -> None:
    """CodeDeploy is not embedded: what CloudFormation would be told of it is looked at."""
    told = tmp_path / "translated.json"
    command = [ROOT / ".venv/tools/bin/python", ROOT / "infra/translate.py", told]
    subprocess.run([*command, "Shifting=canary-5-minutes"], check=True, capture_output=True)
    found = json.loads(told.read_text())["Resources"]
    aliases = {n: r for n, r in found.items() if r["Type"] == "AWS::Lambda::Alias"}
    groups = {n: r for n, r in found.items() if r["Type"] == "AWS::CodeDeploy::DeploymentGroup"}
    assert len(aliases) == len(groups) > 20
    for alias in aliases.values():
        update = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        group = groups[update["DeploymentGroupName"]["Ref"]]["Properties"]
        watched = json.dumps(group["AlarmConfiguration"]["Fn::If"])
        assert all(f"Outputs.{name}" in watched for name in ("ReleaseAlarm", "WorkerErrorAlarm"))
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
        assert "Canary10Percent5Minutes" in json.dumps(group["DeploymentConfigName"])
        assert group["ServiceRoleArn"] == {"Fn::GetAtt": ["ShiftingRole", "Arn"]}
    subprocess.run([*command, "Shifting=at-once"], check=True, capture_output=True)
    assert "CodeDeploy" not in told.read_text()


def test_h3_it_can_be_removed_whole(account, printed) -> None:
    account.type(STEPS[-1]["typed"])
    stacks = account.client("cloudformation").list_stacks()["StackSummaries"]
    standing = [s["StackName"] for s in stacks if s["StackStatus"] != "DELETE_COMPLETE"]
    assert [name for name in standing if name.startswith("carillon")] == []


def _copy(folder: Path) -> None:
    """Copy what git knows of, and what is new; the environments are this repository's."""
    known = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, known.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    shim = folder / "bin/carillon"
    shim.parent.mkdir()
    client = f"PYTHONPATH={folder / 'client'} exec {sys.executable} -m carillon_client.cli"
    shim.write_text(f'#!/bin/sh\n{client} "$@"\n')
    shim.chmod(0o755)


def _tell(samconfig: Path, **parameters: str) -> None:
    first = '    "Stage=dev",\n'
    lines = "".join(f'    "{name}={value}",\n' for name, value in parameters.items())
    text = samconfig.read_text()
    assert first in text
    samconfig.write_text(text.replace(first, first + lines))


def _read(text: str | None) -> list[str]:
    """Return the lines without what only pads them."""
    return [" ".join(line.split()) for line in (text or "").splitlines() if line.strip()]
