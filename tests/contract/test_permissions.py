"""What each function may do: no more than it says, and no secret outside the store."""

import json
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import guard
import iam
import pytest
from cloudformation import ROOT, resources, template

FUNCTIONS = resources("AWS::Serverless::Function")
Json = dict[str, Any]


def statements(name: str) -> Iterator[Json]:
    """Yield a function's own policy statements."""
    for policy in FUNCTIONS[name].get("Policies", []):
        assert isinstance(policy, dict), f"{name} takes a managed policy: {policy}"
        yield from policy["Statement"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_j8_a_function_names_what_it_may_do_and_to_what(name) -> None:
    for statement in statements(name):
        assert statement["Sid"]
        assert statement["Effect"] == "Allow"
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            assert re.fullmatch(r"[a-z0-9-]+:[A-Z][A-Za-z]+", action), action
        wanted = statement["Resource"]
        for resource in wanted if isinstance(wanted, list) else [wanted]:
            # At most an index of a named table, a key in a named bucket, an identity of SES's.
            text = json.dumps(resource)
            assert text != '"*"'
            assert "*" not in re.sub(
                r"(/index/|\.Arn}/|:identity/|:configuration-set/)\*", "", text
            ), resource


@pytest.mark.parametrize("name", FUNCTIONS)
def test_j8_no_two_functions_share_a_role(name) -> None:
    assert "Role" not in FUNCTIONS[name]


def test_j2_no_secret_is_told_by_the_environment_or_the_template_a_o05() -> None:
    blocks = [*FUNCTIONS.values(), template()["Globals"]["Function"]]
    told = {name for block in blocks for name in block.get("Environment", {}).get("Variables", {})}
    assert not [name for name in told if re.search("TOKEN$|SECRET$|PASSWORD|PRIVATE|API_KEY", name)]
    for path in ("template.yaml", *(str(p.relative_to(ROOT)) for p in (ROOT / "infra").glob("*"))):
        if path.endswith(".yaml"):
            text = (ROOT / path).read_text()
            assert not re.search(
                r"nk_(live|test|admin)_\w{8}|BEGIN \w* ?PRIVATE KEY|AKIA\w{16}", text
            )
    for name, parameter in template()["Parameters"].items():
        assert not re.search("Token$|Secret$|Password|PrivateKey", name), parameter


def test_j10_the_licence_is_mit() -> None:
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


def _named_by_the_stack(arn: str) -> str:
    """Return what a resource of the mocked cloud is called in a stack named carillon-test."""
    told = re.sub(r"(:table/|:function:|:s3:::)", r"\1carillon-test-", arn)
    return re.sub(r":(sqs|sns):([\w-]+):(\d+):", r":\1:\2:\3:carillon-test-", told)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_j8_the_boundary_lets_through_what_a_function_is_granted(name) -> None:
    for grant in iam.grants(name):
        wanted = iam.Request(grant.action, _named_by_the_stack(grant.resource))
        assert any(bound.allows(wanted) for bound in iam.boundary()), grant


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("sqs:ReceiveMessage", "arn:aws:sqs:us-east-1:123456789012:another-queue"),
        ("dynamodb:GetItem", "arn:aws:dynamodb:us-east-1:123456789012:table/another"),
        ("ssm:GetParameter", "arn:aws:ssm:us-east-1:123456789012:parameter/carillon/prod/twilio"),
        ("iam:CreateRole", "arn:aws:iam::123456789012:role/carillon-test-x"),
        ("dynamodb:DeleteTable", "arn:aws:dynamodb:us-east-1:123456789012:table/carillon-test-x"),
    ],
)
def test_j8_the_boundary_stops_at_the_stack(action, resource) -> None:
    assert not any(bound.allows(iam.Request(action, resource)) for bound in iam.boundary())


TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/T"


@pytest.mark.parametrize(
    ("granted", "request_", "allowed"),
    [
        ((TABLE,), TABLE, True),
        ((TABLE,), f"{TABLE}/index/by_sender", False),
        ((f"{TABLE}/index/*",), f"{TABLE}/index/by_sender", True),
        ((f"{TABLE}/index/*",), TABLE, False),
        (("arn:aws:s3:::exports",), "arn:aws:s3:::exports/key", False),
        (("arn:aws:s3:::exports/*",), "arn:aws:s3:::exports/a/b", True),
        (("arn:aws:s3:::export?",), "arn:aws:s3:::exports", True),
        (("arn:aws:s3:::[e]xports",), "arn:aws:s3:::exports", False),
    ],
)
def test_j8_resources_match_as_iam_matches_them(granted, request_, allowed) -> None:
    grants = [iam.Grant("Sid", "x:Get*", resource) for resource in granted]
    found = any(grant.allows(iam.Request("x:GetItem", request_)) for grant in grants)
    assert found is allowed


def test_j8_a_transaction_asks_for_what_its_items_ask_for() -> None:
    key = {"key": {"S": "default#ada"}, "part": {"S": "profile"}}
    steps = [
        {"Put": {"TableName": "UsersTable", "Item": key}},
        {"ConditionCheck": {"TableName": "UsersTable", "Key": key}},
    ]
    found = iam.asked("dynamodb", "TransactWriteItems", {"TransactItems": steps})
    assert [request.action for request in found] == [
        "dynamodb:PutItem",
        "dynamodb:ConditionCheckItem",
    ]
    assert found[0].context == {"dynamodb:LeadingKeys": ["default#ada"]}


def test_j8_a_call_that_nobody_knows_is_no_silence() -> None:
    with pytest.raises(AssertionError, match="does not know which action"):
        iam.asked("dynamodb", "ExecuteStatement", {})


def test_j8_what_is_not_granted_is_told() -> None:
    guard = iam.Guard()
    with guard.during("SweepFunction"):
        guard.ask(iam.Request("dynamodb:DeleteItem", TABLE))
    assert guard.denied == [f"SweepFunction may not dynamodb:DeleteItem {TABLE} "]


def test_j8_a_grant_that_nothing_needs_is_told() -> None:
    used = {
        name: {(grant.sid, grant.action, grant.resource) for grant in iam.grants(name)}
        for name in FUNCTIONS
    }
    assert guard.unneeded(used) == []
    spare = next(grant for grant in iam.grants("SweepFunction") if grant.sid == "FindClients")
    used["SweepFunction"].remove((spare.sid, spare.action, spare.resource))
    assert guard.unneeded(used) == ["SweepFunction FindClients: dynamodb:Scan ClientsTable"]


def test_j8_what_all_do_alike_must_be_needed_by_one() -> None:
    found = guard.unneeded({})
    assert (
        "EmailFunction PassOn: sns:Publish " + iam.resolved({"Ref": "NotificationTopic"})[0]
        in found
    )


def test_j8_what_is_excused_is_granted() -> None:
    told = {guard._told(name, grant) for name in FUNCTIONS for grant in iam.grants(name)}
    assert set(guard.NEEDED_ELSEWHERE) <= told
    assert {grant.sid for name in FUNCTIONS for grant in iam.grants(name)} >= guard.ALIKE


@pytest.mark.parametrize("exit_", [0, 1])
def test_j8_a_run_of_all_fails_by_it_and_a_part_does_not(exit_, monkeypatch) -> None:
    monkeypatch.setattr(guard, "GUARD", iam.Guard())
    ledger = guard.Ledger()
    if exit_:
        ledger.files = {str(path) for path in guard.FUNCTIONAL.rglob("test_*.py")}
    session = SimpleNamespace(config=SimpleNamespace(args=["tests"]), exitstatus=0)
    ledger.pytest_sessionfinish(session)
    assert session.exitstatus == exit_
