"""What the parts owe each other: a channel forgotten somewhere is named here."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloudformation import ROOT, resources, template

from carillon.idempotency import Keys, keys_of
from carillon.models import Channel
from carillon.settings import Settings
from carillon.switches import PROVIDERS
from carillon.template_models import Parts
from sandbox.outcomes import Provider

EVENTS = sorted(path.stem for path in (ROOT / "events").glob("*.json"))
FUNCTIONS = resources("AWS::Serverless::Function")
PASSES_ON = "SeedsFunction"
"""Whoever answers in its stead counts and keeps (test_seeds.py)."""
# Read by Powertools, pydantic and boto3 themselves.
FOREIGN_VARIABLES = {
    "POWERTOOLS_SERVICE_NAME",
    "POWERTOOLS_LOG_LEVEL",
    "PYDANTIC_DISABLE_PLUGINS",
    "AWS_ENDPOINT_URL_SESV2",
    "AWS_ENDPOINT_URL_PINPOINT_SMS_VOICE_V2",
}


def _python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def _function(folder: str) -> dict[str, Any]:
    return next(f for f in FUNCTIONS.values() if f["CodeUri"] == folder)


@pytest.mark.parametrize("channel", Channel)
class TestEveryChannel:
    def test_has_a_folder_that_ends_with_its_consumer(self, channel) -> None:
        source = (ROOT / f"functions/channels/{channel}/handler.py").read_text()
        last = ast.unparse(ast.parse(source).body[-1])
        assert last.startswith(f"lambda_handler = consumer(Channel.{channel.name}, {{")

    def test_has_its_two_blocks_in_the_template(self, channel) -> None:
        name = channel.value.capitalize()
        stack = resources("AWS::CloudFormation::Stack")[f"{name}Channel"]
        assert stack["Parameters"]["Channel"] == channel.value
        function = FUNCTIONS[f"{name}Function"]
        folder = f"functions/channels/{channel}"
        assert function["CodeUri"] == folder
        # Its modules are known by the same names here and on Lambda.
        assert function["Handler"] == f"{folder.replace('/', '.')}.handler.lambda_handler"
        queue = function["Events"]["Queue"]["Properties"]
        assert queue["Queue"] == {"Fn::GetAtt": f"{name}Channel.Outputs.QueueArn"}
        assert queue["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        urgent = function["Events"]["Urgent"]["Properties"]
        assert urgent["Queue"] == {"Fn::GetAtt": f"{name}Channel.Outputs.UrgentQueueArn"}
        assert urgent["FunctionResponseTypes"] == ["ReportBatchItemFailures"]

    def test_is_known_to_whoever_knows_all_channels(self, channel) -> None:
        unrouted = resources("AWS::SNS::Subscription")["UnroutedSubscription"]
        assert channel.value in unrouted["FilterPolicy"]["channel"][0]["anything-but"]
        for function in FUNCTIONS.values():
            told = function.get("Environment", {}).get("Variables", {}).get("CHANNEL_QUEUES")
            assert told is None or f"${{{channel.value.capitalize()}Channel." in json.dumps(told)

    def test_e9_its_providers_are_its_files_and_what_can_be_chosen(self, channel) -> None:
        folder = ROOT / f"functions/channels/{channel}"
        call = ast.parse((folder / "handler.py").read_text()).body[-1].value  # type: ignore[attr-defined]
        named = [ast.literal_eval(key) for key in call.args[1].keys]
        assert set(named) <= PROVIDERS
        if channel is Channel.INAPP:
            return
        modules = {path.stem for path in folder.glob("*.py")} - {"handler", "sender"}
        offline = {p.value for p in Provider if p.channel.value == channel.value}
        assert modules == offline == set(named)
        if len(named) > 1:
            choice = template()["Parameters"][f"{channel.value.capitalize()}Provider"]
            assert set(re.findall("[a-z]+", choice["AllowedPattern"])) == set(named)
            assert choice["Default"] == named[0]

    def test_has_a_sample_event(self, channel) -> None:
        assert f"{channel}-batch" in EVENTS

    def test_has_a_template_part(self, channel) -> None:
        assert channel.value in Parts.model_fields

    def test_stays_invisible_for_six_times_its_function_s_timeout_a_o01(self, channel) -> None:
        timeout = _function(f"functions/channels/{channel}")["Timeout"]
        visible = template("infra/channel.yaml")["Mappings"]["Visibility"]
        assert visible[str(timeout)]["Seconds"] >= 6 * timeout
        queues = resources("AWS::SQS::Queue", "infra/channel.yaml")
        assert queues["Queue"]["VisibilityTimeout"] == queues["UrgentQueue"]["VisibilityTimeout"]

    def test_is_in_the_health_check(self, channel) -> None:
        asked = json.dumps(FUNCTIONS["HealthFunction"])
        assert f"{channel.value.capitalize()}Channel.Outputs.QueueUrl" in asked


@pytest.mark.parametrize(("stack", "folder"), [("Jobs", "jobs"), ("Redrives", "redrives")])
def test_a_job_stays_invisible_for_six_times_its_function_s_timeout_a_o01(stack, folder) -> None:
    queue = resources("AWS::SQS::Queue", "infra/jobs.yaml")["Queue"]
    assert queue["VisibilityTimeout"] == {"Ref": "VisibilityTimeout"}
    told = resources("AWS::CloudFormation::Stack")[stack]["Parameters"]
    assert told["VisibilityTimeout"] >= 6 * _function(f"functions/{folder}")["Timeout"]


def test_a_dead_letter_stays_invisible_for_six_times_its_function_s_timeout_a_o01() -> None:
    queue = resources("AWS::SQS::Queue", "infra/channel.yaml")["DeadLetterQueue"]
    assert queue["VisibilityTimeout"] >= 6 * _function("functions/deadletters")["Timeout"]


@pytest.mark.parametrize("channel", Channel)
def test_f13_every_channel_s_dead_letters_are_made_known_and_can_be_sent_again(channel) -> None:
    name = channel.value.capitalize()
    for folder in ("deadletters", "redrives", "scheduled/sweep"):
        told = _function(f"functions/{folder}")["Environment"]["Variables"]["CHANNEL_QUEUES"]
        named = json.loads(re.sub(r"\$\{(\w+)\.Outputs\.(\w+)\}", r"\1 \2", told["Fn::Sub"]))
        outputs = ("QueueUrl", "UrgentQueueUrl", "DeadLetterQueueUrl")
        assert named[channel] == [f"{name}Channel {output}" for output in outputs]
    source = _function("functions/deadletters")["Events"][name]["Properties"]
    assert source["Queue"] == {"Fn::GetAtt": f"{name}Channel.Outputs.DeadLetterQueueArn"}
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_exports_are_private_and_gone_within_a_day_j6() -> None:
    (bucket,) = resources("AWS::S3::Bucket").values()
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], rule["ExpirationInDays"]) == ("Enabled", 1)


@pytest.mark.parametrize("stack", ["channel", "jobs"])
def test_dead_letters_are_kept_longer_than_what_they_come_from_a_o02(stack) -> None:
    queues = resources("AWS::SQS::Queue", f"infra/{stack}.yaml")
    kept = {name: queue["MessageRetentionPeriod"] for name, queue in queues.items()}
    assert kept["DeadLetterQueue"] > kept["Queue"]
    assert queues["Queue"]["RedrivePolicy"]["deadLetterTargetArn"]


def test_a_channel_s_attempts_are_not_counted_by_its_queue() -> None:
    queues = resources("AWS::SQS::Queue", "infra/channel.yaml")
    assert queues["Queue"]["RedrivePolicy"]["maxReceiveCount"] >= 100


def test_every_function_s_folder_is_in_the_template_and_the_other_way_round() -> None:
    folders = {str(path.parent.relative_to(ROOT)) for path in ROOT.glob("functions/**/handler.py")}
    assert folders == {function["CodeUri"] for function in FUNCTIONS.values()}


def test_i1_every_function_has_a_sample_event() -> None:
    named = {re.match(r"[a-z]+", event)[0] for event in EVENTS}
    folders = {Path(function["CodeUri"]).name for function in FUNCTIONS.values()}
    assert named == folders


def test_every_variable_of_the_template_is_a_setting_and_the_other_way_round() -> None:
    blocks = [*FUNCTIONS.values(), template()["Globals"]["Function"]]
    told = {name for block in blocks for name in block.get("Environment", {}).get("Variables", {})}
    settings = {name.upper() for name in Settings.__slots__}
    assert told - FOREIGN_VARIABLES == settings


def test_the_environment_is_read_in_one_place() -> None:
    readers = {
        path.name
        for path in _python_files("layers/common/carillon", "functions")
        if re.search(r"\bos\.(environ|getenv)\b|from os import", path.read_text())
    }
    assert readers == {"settings.py"}


def test_nothing_happens_at_import() -> None:
    """Every module loads with no environment, no network and no AWS client made."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in _python_files("functions")
    ]
    script = (
        "import socket, sys, importlib\n"
        "def refuse(*_): raise AssertionError('network at import')\n"
        "socket.socket.connect = refuse\n"
        "import botocore.session\n"
        "botocore.session.Session.create_client = refuse\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        "from carillon.settings import settings\n"
        "assert settings.cache_info().currsize == 0, 'settings read at import'\n"
    )
    path = f"{ROOT}:{ROOT / 'layers/common'}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": path, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {PASSES_ON}))
def test_a_function_that_callers_reach_may_count_their_requests(name) -> None:
    routes = [e for e in FUNCTIONS[name].get("Events", {}).values() if e["Type"] == "Api"]
    if all("Auth" in route["Properties"] for route in routes):
        return
    granted = {s["Sid"]: s for policy in FUNCTIONS[name]["Policies"] for s in policy["Statement"]}
    assert granted["CountRequests"]["Action"] == "dynamodb:UpdateItem"


def test_what_is_generated_is_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs/generate.py", "--check"],
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'layers/common'}", "PATH": ""},
        check=False,
    )
    assert done.returncode == 0, "run make docs"


def test_a7_functions_whose_routes_keep_answers_may_keep_them() -> None:
    wanted = {Keys.REPLAYED, Keys.ONCE}
    for name, function in FUNCTIONS.items():
        events = function.get("Events", {}).values()
        routes = [event["Properties"] for event in events if event["Type"] == "Api"]
        keeps = any(keys_of(route["Method"], route["Path"]) in wanted for route in routes)
        keeps = keeps and name != PASSES_ON
        assert keeps == ("KeepFirstAnswers" in json.dumps(function)), name


def test_g10_functions_that_answer_or_deliver_may_count() -> None:
    for folder in ("functions/api/", "functions/channels/"):
        for name, function in FUNCTIONS.items():
            silent = name in ("HealthFunction", "DocsFunction", PASSES_ON)
            if function["CodeUri"].startswith(folder) and not silent:
                assert re.search("Count(Requests|Deliveries)", json.dumps(function)), name


def test_no_two_routes_of_the_template_and_the_code_differ() -> None:
    written = {
        (event["Properties"]["Method"].lower(), event["Properties"]["Path"])
        for function in FUNCTIONS.values()
        for event in function.get("Events", {}).values()
        if event["Type"] == "Api"
    }
    described = json.loads((ROOT / "functions/api/docs/openapi.json").read_text())
    served = {(verb, path) for path, verbs in described["paths"].items() for verb in verbs}
    assert written == served | {("get", page) for page in ("/docs", "/redoc", "/openapi.json")}


@pytest.mark.parametrize(
    ("target", "does"),
    [
        ("test", ["-m pytest"]),
        ("test-unit", ["-m pytest", "tests/unit", "tests/functional", "tests/contract"]),
        ("coverage", ["-m pytest", "--cov", "--cov-report=html"]),
    ],
)
def test_i7_the_makefile_runs_the_tests_and_their_coverage(target, does) -> None:
    told = subprocess.run(
        ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert all(part in told.stdout for part in does)


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_of_the_pages_leads_somewhere(page) -> None:
    linked = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    ours = [link for link in linked if not link.startswith("http")]
    assert [link for link in ours if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_h3_each_release_is_a_version_of_every_function(name) -> None:
    """Without this a changed layer or setting would stay where no caller is."""
    assert FUNCTIONS[name]["VersionDescription"] == {"Ref": "Release"}
    shared = template()["Globals"]["Function"]
    assert shared["AutoPublishAlias"] == "live"
    # Lambda refuses a version of what has not changed.
    assert shared["Environment"]["Variables"]["RELEASE"] == {"Ref": "Release"}


SNAPSHOTS = {name for name, each in FUNCTIONS.items() if "SnapStart" in each}


def test_who_starts_from_a_snapshot_draws_anew_after_it() -> None:
    """Their processes would go on alike: `random` spreads retries and counters."""
    prepared = {
        name
        for name, each in FUNCTIONS.items()
        if "snapshots.hold_ready(" in (ROOT / each["CodeUri"] / "handler.py").read_text()
    }
    assert prepared == SNAPSHOTS == {"AuthorizerFunction", "InboxFunction", "NotificationsFunction"}


def test_h4_what_costs_while_idle_is_off_unless_it_is_asked_for() -> None:
    parameters = template()["Parameters"]
    assert parameters["SnapStart"]["Default"] == "off"
    assert parameters["IntakeProvisionedConcurrency"]["Default"] == 0
    for name in SNAPSHOTS:
        condition, _, otherwise = FUNCTIONS[name]["SnapStart"]["Fn::If"]
        assert (condition, otherwise) == ("TakesSnapshots", {"Ref": "AWS::NoValue"})
