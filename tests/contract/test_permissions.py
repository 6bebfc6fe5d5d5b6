"""What each function may do: no more than it says, and no secret outside the store."""

import json
import re
from collections.abc import Iterator
from typing import Any

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
