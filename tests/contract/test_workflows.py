"""What GitHub is told: the commands that the README names, by who may do no more than they need."""

import re
import tomllib
from typing import Any

import pytest
import yaml
from cloudformation import ROOT, resources

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def _jobs(path: Any) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text())["jobs"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
class TestAWorkflow:
    def test_h5_pins_what_it_uses_by_commit(self, path) -> None:
        used = re.findall(r"uses: (\S+)(.*)", path.read_text())
        foreign = [(name, note) for name, note in used if not name.startswith("./")]
        for name, note in foreign:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name), name
            assert re.match(r" # v\d+\.\d+\.\d+$", note), f"{name}: say which release it is"

    def test_h5_grants_nothing_and_then_what_each_job_needs(self, path) -> None:
        assert yaml.safe_load(path.read_text())["permissions"] == {}
        for name, job in _jobs(path).items():
            assert job["permissions"], name
            writes = {scope for scope, level in job["permissions"].items() if level != "read"}
            assert writes <= {"id-token"}, name

    def test_h5_calls_targets_that_are_there(self, path) -> None:
        called = re.findall(r"run: make (.*)", path.read_text())
        words = {word for line in called for word in line.split() if "=" not in word}
        assert words <= TARGETS


def test_h5_ci_runs_what_is_run_by_hand() -> None:
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    for target in ("lint types", "test", "simulate", "build", "scan", "audit"):
        assert f"run: make {target}\n" in text


def test_h6_production_comes_after_staging_was_tried_and_approved() -> None:
    jobs = _jobs(ROOT / ".github/workflows/deploy.yml")
    assert (jobs["staging"]["needs"], jobs["prod"]["needs"]) == ("ci", "staging")
    assert {jobs[stage]["with"]["stage"] for stage in ("staging", "prod")} == {"staging", "prod"}
    (deploy,) = _jobs(ROOT / ".github/workflows/stage.yml").values()
    assert deploy["environment"] == "${{ inputs.stage }}"
    said = [step.get("run", "") for step in deploy["steps"]]
    assert said.index('make deploy STAGE="$STAGE"') < said.index('make smoke URL="$URL"')


def test_j8_only_this_repository_s_environment_may_deploy() -> None:
    (trust,) = resources("AWS::IAM::Role", "infra/github-oidc.yaml")["DeployRole"][
        "AssumeRolePolicyDocument"
    ]["Statement"]
    wanted = trust["Condition"]["StringEquals"]
    assert set(trust["Condition"]) == {"StringEquals"}
    assert wanted["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"
    assert wanted["token.actions.githubusercontent.com:sub"] == {
        "Fn::Sub": "repo:${Owner}/${Repository}:environment:${Stage}"
    }


def test_j8_a_deployment_makes_no_role_without_the_boundary() -> None:
    role = resources("AWS::IAM::Role", "infra/github-oidc.yaml")["ExecutionRole"]
    makes = {"iam:CreateRole", "iam:AttachRolePolicy", "iam:PutRolePolicy", "iam:*"}
    (policy,) = role["Policies"]
    for statement in policy["PolicyDocument"]["Statement"]:
        if makes & set(statement["Action"]):
            bounded = statement["Condition"]["StringEquals"]
            assert bounded == {"iam:PermissionsBoundary": {"Ref": "BoundaryArn"}}


def test_the_changelog_knows_the_version() -> None:
    versions = {
        tomllib.loads((ROOT / path).read_text())["project"]["version"]
        for path in ("pyproject.toml", "client/pyproject.toml")
    }
    (version,) = versions
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert re.fullmatch(rf"\[?{re.escape(version)}\]? - \d{{4}}-\d\d-\d\d", headings[1])
