"""The source systems' documents, the template and the table of aliases say the same."""

import ast
import json
import re

import pytest
from cloudformation import ROOT, resources
from seed_documents import TEXTS, blocks, endpoints, shape

from carillon.idempotency import Keys, keys_of
from carillon.seeds.aliases import ALIASES
from carillon.settings import Settings

FUNCTIONS = resources("AWS::Serverless::Function")
ROUTES = {
    (event["Properties"]["Method"], event["Properties"]["Path"]): (name, event["Properties"])
    for name, function in FUNCTIONS.items()
    for event in function.get("Events", {}).values()
    if event["Type"] == "Api"
}
VECTORS = ROOT / "tests/functional/seeds/test_vectors.py"


@pytest.mark.parametrize(
    ("document", "count"), [("S0", 19), ("S1", 4), ("S2", 3), ("S3", 6), ("S4", 6)]
)
def test_i6_every_endpoint_a_document_names_has_a_route(document, count) -> None:
    named = endpoints(TEXTS[document])
    assert len(named) == count
    routed = {(method, shape(path)) for method, path in ROUTES}
    assert named <= routed


@pytest.mark.parametrize("document", TEXTS)
def test_i6_every_json_example_of_a_document_is_a_test_vector(document) -> None:
    used = {
        tuple(argument.value for argument in call.args)
        for call in ast.walk(ast.parse(VECTORS.read_text()))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) == "example"
        and all(isinstance(argument, ast.Constant) for argument in call.args)
    }
    whole = {(document, place) for place in range(len(blocks(TEXTS[document])))}
    assert whole
    assert whole <= used


@pytest.mark.parametrize("alias", ALIASES, ids=lambda alias: f"{alias.method} {alias.path}")
def test_i6_an_alias_asks_a_route_that_is_there(alias) -> None:
    name, route = ROUTES[alias.target.method, alias.target.route]
    variables = FUNCTIONS["SeedsFunction"]["Environment"]["Variables"]
    assert variables[alias.target.function.upper()] == {"Ref": f"{name}.Alias"}
    served_by, own = ROUTES[alias.method, alias.path]
    assert served_by == "SeedsFunction"
    assert own.get("Auth") == route.get("Auth")


def test_j8_the_aliases_function_may_ask_our_routes_and_nothing_else() -> None:
    (policy,) = FUNCTIONS["SeedsFunction"]["Policies"]
    (statement,) = policy["Statement"]
    asked = {ROUTES[alias.target.method, alias.target.route][0] for alias in ALIASES}
    assert statement["Action"] == "lambda:InvokeFunction"
    assert {arn["Ref"].removesuffix(".Alias") for arn in statement["Resource"]} == asked
    told = FUNCTIONS["SeedsFunction"]["Environment"]["Variables"]
    assert {name.lower() for name in told} <= set(Settings.__slots__)


def test_i6_the_gateway_says_unauthorized_as_alertora_does() -> None:
    (api,) = resources("AWS::Serverless::Api").values()
    refusal = json.loads(
        api["GatewayResponses"]["UNAUTHORIZED"]["ResponseTemplates"]["application/json"]
    )
    assert re.search(rf"\| 401 +\| {refusal['message']} +\|", TEXTS["S4"])


def test_i6_the_wildcard_at_the_root_comes_last_of_its_source() -> None:
    paths = [alias.path for alias in ALIASES if alias.path.startswith(("/{", "/api/notifications"))]
    assert paths[-1] == "/{notification_id}/status"


def test_a7_what_is_sent_through_an_alias_has_the_key_of_the_route_it_stands_for() -> None:
    keys = {keys_of(alias.target.method, alias.target.route) for alias in ALIASES}
    assert keys == set(Keys)
