"""Template versions: they never change, one is in use, and a change names what it changes."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from carillon import templates
from carillon.template_models import VersionRequest
from functions.api.notifications import handler as notifications
from functions.api.templates import handler

Json = dict[str, Any]
PATH = "/api/v1/templates/order-shipped"
GERMAN = {"language": "de", "parts": {"sms": {"text": "Unterwegs: {{ order.number }}"}}}
SHORT = {"parts": {"sms": {"text": "{{ name }}: shipped"}}}


@pytest.fixture
def ask(prepared, call, sample) -> Callable[..., Any]:
    """Return a caller of any template route; the sample template exists."""

    def ask(method: str, path: str, body: Json | None = None, **how: Any) -> Any:
        event = sample("templates-create") | {"httpMethod": method, "path": path}
        headers = {name.replace("_", "-"): value for name, value in how.items() if name != "query"}
        raw = "" if body is None else json.dumps(body)
        return call(handler, event, raw=raw, headers=headers, query=how.get("query"))

    return ask


@pytest.fixture
def tag(ask) -> Callable[[], str]:
    return lambda: ask("GET", PATH).headers["ETag"]


def test_a_new_version_is_used_and_the_old_one_stays_as_it_was(ask, tag) -> None:
    first = ask("GET", PATH).data
    second = ask("PUT", PATH, SHORT, If_Match=tag())
    assert (second.status, second.data["version"]) == (200, 2)
    assert ask("GET", PATH).data == second.data
    assert ask("GET", PATH, query={"version": "1"}).data == first


def test_a_new_version_changes_one_language_and_keeps_the_others(ask, tag) -> None:
    english = ask("GET", PATH).data["locales"]["en"]
    reply = ask("PUT", PATH, GERMAN, If_Match=tag())
    assert reply.data["locales"] == {"en": english, "de": GERMAN["parts"]}
    assert reply.data["language"] == "en"


def test_a_new_version_must_say_what_it_changes(ask, tag) -> None:
    assert ask("PUT", PATH, SHORT).status == 428
    stale = tag()
    assert ask("PUT", PATH, SHORT, If_Match=stale).status == 200
    assert ask("PUT", PATH, SHORT, If_Match=stale).status == 412
    assert [v["version"] for v in ask("GET", f"{PATH}/versions").data] == [1, 2]


def test_rolling_back_is_using_an_older_version(ask, tag) -> None:
    first = ask("GET", PATH).data
    ask("PUT", PATH, SHORT, If_Match=tag())
    back = ask("POST", f"{PATH}/activate", {"version": 1})
    assert (back.status, back.data) == (200, first)
    third = ask("PUT", PATH, GERMAN, If_Match=tag())
    assert third.data["version"] == 3
    assert "email" in third.data["locales"]["en"]  # made from the version in use, not the newest


@pytest.mark.parametrize("version", [2, 99_999])
def test_a_version_that_is_not_there_is_not_used(ask, version) -> None:
    before = ask("GET", PATH).headers["ETag"]
    reply = ask("POST", f"{PATH}/activate", {"version": version})
    assert (reply.status, reply.body["code"]) == (404, "template-version-not-found")
    assert ask("GET", PATH, query={"version": str(version)}).status == 404
    assert ask("GET", PATH).headers["ETag"] == before


@pytest.mark.parametrize("body", [{"version": 0}, {"version": "x"}, {}, {"version": 1, "x": 1}])
def test_a_bad_version_is_refused(ask, body) -> None:
    assert ask("POST", f"{PATH}/activate", body).status == 422


def test_a_version_that_is_not_safe_is_not_kept(ask, tag) -> None:
    body = {"parts": {"sms": {"text": "{% set x = 1 %}"}}}
    assert ask("PUT", PATH, body, If_Match=tag()).status == 422
    assert len(ask("GET", f"{PATH}/versions").data) == 1


def test_an_archived_template_accepts_nothing_but_still_sends(ask, call, sample) -> None:
    assert ask("DELETE", PATH).status == 204
    assert ask("GET", PATH).status == 404
    assert ask("GET", "/api/v1/templates").data == []
    refused = call(notifications, sample("notifications-send"))
    assert (refused.status, refused.body["code"]) == (404, "template-not-found")
    reference = templates.TemplateRef(code="order-shipped", version=1, locale="en")
    assert templates.version("default", reference).version == 1


def test_what_answers_nothing_answers_no_null(prepared, sample, context) -> None:
    event = sample("templates-read")
    event["headers"]["If-None-Match"] = '"1"'
    event["multiValueHeaders"]["If-None-Match"] = ['"1"']
    unchanged = handler.lambda_handler(event, context)
    archived = handler.lambda_handler(event | {"httpMethod": "DELETE"}, context)
    assert (unchanged["statusCode"], unchanged["body"]) == (304, "")
    assert (archived["statusCode"], archived["body"]) == (204, "")


def test_an_archived_code_is_not_free_again(ask, call, sample) -> None:
    ask("DELETE", PATH)
    assert call(handler, sample("templates-create")).status == 409


def test_the_list_holds_the_version_in_use_of_each_template(ask, tag) -> None:
    ask("PUT", PATH, SHORT, If_Match=tag())
    ask("POST", "/api/v1/templates", {"code": "another", "content": "x"})
    found = ask("GET", "/api/v1/templates").data
    assert [(t["code"], t["version"]) for t in found] == [("another", 1), ("order-shipped", 2)]


def test_a_code_that_begins_like_another_has_its_own_history(ask) -> None:
    ask("POST", "/api/v1/templates", {"code": "order-shipped-2", "content": "x"})
    ask("POST", "/api/v1/templates", {"code": "order", "content": "x"})
    assert len(ask("GET", f"{PATH}/versions").data) == 1
    assert len(ask("GET", "/api/v1/templates/order/versions").data) == 1


def test_of_two_changes_of_one_revision_one_is_made(ask, monkeypatch) -> None:
    """The other one read the same revision, and writes second."""
    french = VersionRequest.model_validate(SHORT | {"language": "fr"})
    read = templates.current

    def read_then_lose(tenant: str, code: str, pointer: str = "") -> Any:
        found = read(tenant, code)
        monkeypatch.setattr(templates, "current", read)
        templates.add_version(tenant, code, french, frozenset({1}))
        return found

    monkeypatch.setattr(templates, "current", read_then_lose)
    assert ask("PUT", PATH, GERMAN, If_Match='"1"').status == 412
    locales = ask("GET", PATH).data["locales"]
    assert sorted(locales) == ["en", "fr"]
    assert len(ask("GET", f"{PATH}/versions").data) == 2


def test_rendering_shows_every_channel_and_sends_nothing(ask, prepared) -> None:
    variables = {"name": "Ada", "order": {"number": "1", "arrives": "Monday", "lines": []}}
    reply = ask("POST", f"{PATH}/render", {"variables": variables, "locale": "en-GB"})
    assert (reply.status, reply.data["locale"], reply.data["version"]) == (200, "en", 1)
    assert sorted(reply.data["parts"]) == ["email", "inapp", "push", "sms"]
    assert reply.data["parts"]["push"] == {
        "title": "On its way",
        "body": "Order 1 arrives on Monday.",
    }
    assert not any(map(prepared.published, reply.data["parts"]))


def test_rendering_one_channel_needs_only_its_variables(ask) -> None:
    body = {"channel": "push", "variables": {"order": {"number": "1", "arrives": "x"}}}
    assert list(ask("POST", f"{PATH}/render", body).data["parts"]) == ["push"]


def test_a_missing_variable_is_named_when_rendering(ask) -> None:
    reply = ask("POST", f"{PATH}/render", {"channel": "sms"})
    assert (reply.status, reply.body["code"]) == (422, "variable-missing")
    assert reply.body["errors"][0]["pointer"] == "#/variables/name"


def test_rendering_a_part_that_is_not_there_is_refused(ask, tag) -> None:
    ask("PUT", PATH, SHORT, If_Match=tag())
    reply = ask("POST", f"{PATH}/render", {"channel": "email"})
    assert (reply.status, reply.body["code"]) == (422, "template-part-missing")
    older = ask("POST", f"{PATH}/render", {"channel": "email", "version": 1})
    assert older.body["code"] == "variable-missing"
