"""Who may come in by which door, and who may read what it is locked with."""

import json
import re
import subprocess
import sys
from fnmatch import fnmatchcase
from typing import Any

import pytest
from cloudformation import ROOT, resources, template

Json = dict[str, Any]
FUNCTIONS = resources("AWS::Serverless::Function")
PRIVATE_KEY = "arn:aws:ssm:eu-west-1:123456789012:parameter/carillon/prod/jwt/private"


def _text(value: Any) -> str:
    """Return an ARN as it would be on a stage; what only AWS knows may be anything."""
    if isinstance(value, str):
        known = {"Stage": "prod", "AWS::Partition": "aws", "AWS::Region": "eu-west-1"}
        known["AWS::AccountId"] = "123456789012"
        return re.sub(r"\$\{([^}]+)}", lambda name: known.get(name[1], "*"), value)
    if "Fn::Sub" in value and isinstance(value["Fn::Sub"], str):
        return _text(value["Fn::Sub"])
    if "Fn::GetAtt" in value or "Ref" in value:
        return "another resource of this template"
    return "*"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _may_read(policies: Any, parameter: str) -> bool:
    """Tell whether policies let a function read a parameter, by name, path or wildcard."""
    for policy in _listed(policies):
        if not isinstance(policy, dict) or "Statement" not in policy:
            return True  # AWS's own policies and SAM's templates are not looked into: refuse them
        for statement in _listed(policy["Statement"]):
            if statement["Effect"] != "Allow":
                continue
            if {"NotAction", "NotResource"} & statement.keys():
                return True
            actions = [action.lower() for action in _listed(statement["Action"])]
            reads = ("getparameter", "getparameters", "getparametersbypath", "getparameterhistory")
            if any(fnmatchcase(f"ssm:{read}", a) for a in actions for read in reads) and any(
                fnmatchcase(parameter, pattern) or fnmatchcase(parameter, f"{pattern}/*")
                for pattern in map(_text, _listed(statement["Resource"]))
            ):
                return True
    return False


def test_only_log_in_can_read_the_private_key_a_o04() -> None:
    readers = {
        name
        for name, function in FUNCTIONS.items()
        if _may_read(function.get("Policies", []), PRIVATE_KEY) or "Role" in function
    }
    assert readers == {"AuthFunction"}
    assert not {"Policies", "Role"} & template()["Globals"]["Function"].keys()


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("ssm:GetParameter", PRIVATE_KEY),
        ("ssm:GetParameter", "*"),
        (["sns:Publish", "ssm:Get*"], ["arn:x", "arn:aws:ssm:*:*:parameter/carillon/*"]),
        ("*", "*"),
        ("SSM:getparameters", {"Fn::Sub": "arn:*:ssm:*:*:parameter/carillon/${Stage}/*"}),
        ("ssm:GetParametersByPath", {"Fn::Sub": "arn:aws:ssm:*:*:parameter/carillon/${Stage}"}),
        (
            "ssm:GetParametersByPath",
            "arn:aws:ssm:eu-west-1:123456789012:parameter/carillon/prod/jwt",
        ),
        ("ssm:GetParameter", {"Fn::Join": ["", ["arn:aws:ssm", "..."]]}),
    ],
)
def test_a_way_around_is_seen_a_o04(action, resource) -> None:
    policy = {"Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]}
    assert _may_read([policy], PRIVATE_KEY)


def test_a_way_around_by_other_policies_is_seen_a_o04() -> None:
    assert _may_read("AmazonSSMReadOnlyAccess", PRIVATE_KEY)
    assert _may_read([{"SSMParameterReadPolicy": {"ParameterName": "carillon/*"}}], PRIVATE_KEY)
    inverse = {"Effect": "Allow", "Action": "ssm:*", "NotResource": "arn:x"}
    assert _may_read([{"Statement": inverse}], PRIVATE_KEY)
    deny = {"Effect": "Deny", "Action": "ssm:*", "Resource": "*"}
    assert not _may_read([{"Statement": deny}], PRIVATE_KEY)


def test_the_public_keys_are_read_by_who_verifies() -> None:
    public = PRIVATE_KEY.replace("private", "public")
    readers = {n for n, f in FUNCTIONS.items() if _may_read(f.get("Policies", []), public)}
    assert readers == {"AuthFunction", "AuthorizerFunction"}


def test_b4_the_gateway_asks_for_a_token_unless_a_route_says_otherwise() -> None:
    """Which may say so is in tests/functional/test_scopes.py."""
    (api,) = resources("AWS::Serverless::Api").values()
    assert api["Auth"]["DefaultAuthorizer"] == "ApiToken"


@pytest.mark.parametrize(
    ("token", "passes"),
    [
        ("Bearer nk_live_0123456789ab_" + "A" * 43, True),
        ("bearer eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2ln-_", True),
        ("Bearer eyJ" + "a" * 2_000, False),
        ("Bearer eyJhbGciOiJFZERTQSJ9.eyJ zdWIiOiJ4In0.c2ln", False),
        ("Bearer eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.é", False),
        ("Bearer abc", False),
        ("eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2ln", False),
        ("Bearer ", False),
    ],
)
def test_b4_what_can_be_no_token_costs_no_invocation(token, passes) -> None:
    (api,) = resources("AWS::Serverless::Api").values()
    expression = api["Auth"]["Authorizers"]["ApiToken"]["Identity"]["ValidationExpression"]
    assert bool(re.fullmatch(expression, token)) is passes


def test_only_the_two_that_ship_what_verifies_a_jwt_import_what_does() -> None:
    two = {"functions/authorizer", "functions/api/auth"}
    for folder in two:
        assert "\npyjwt==" in (ROOT / folder / "requirements.txt").read_text()
    others = [
        f"{function['CodeUri'].replace('/', '.')}.handler"
        for function in FUNCTIONS.values()
        if function["CodeUri"] not in two
    ]
    script = (
        "import sys, importlib\n"
        f"for name in {others}: importlib.import_module(name)\n"
        "sys.exit('carillon.tokens' in sys.modules)"
    )
    path = f"{ROOT}:{ROOT / 'layers/common'}"
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, env={"PYTHONPATH": path}, check=False).returncode == 0


@pytest.mark.parametrize("kind", ["nk_live_0123456789ab_x", "nk_admin_x"])
def test_an_api_token_loads_no_cryptography(kind) -> None:
    script = (
        "import sys\n"
        "from carillon import identity, tokens\n"
        "from functions.authorizer import handler\n"
        "identity.secret = lambda name: 'another'\n"
        f"assert tokens.authenticate('{kind}') is None\n"
        "sys.exit('cryptography' in sys.modules or 'jwt' in sys.modules)"
    )
    path = f"{ROOT}:{ROOT / 'layers/common'}"
    environment = {"PYTHONPATH": path, "SECRETS_PREFIX": "/carillon/test"}
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, env=environment, check=False).returncode == 0


def test_a_refusal_at_the_gate_does_not_say_which_kind_of_token_was_meant() -> None:
    (api,) = resources("AWS::Serverless::Api").values()
    body = api["GatewayResponses"]["UNAUTHORIZED"]["ResponseTemplates"]["application/json"]
    assert json.loads(body)["detail"] == "Give a valid token as Bearer"
