"""Templates, feature by feature: what the rows D1 to D8 and J9 of the feature list ask for."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from functions.api.notifications import handler as notifications
from functions.api.templates import handler

Json = dict[str, Any]
ROOT = "/api/v1/templates"
PATH = f"{ROOT}/order-shipped"
VARIABLES = {"name": "Ada", "order": {"number": "1", "arrives": "Monday", "lines": []}}


@pytest.fixture
def ask(prepared, call, sample) -> Callable[..., Any]:
    """Return a caller of any template route; the sample template exists."""

    def ask(method: str, path: str, body: Json | None = None, **how: Any) -> Any:
        event = sample("templates-create") | {"httpMethod": method, "path": path}
        headers = {name.replace("_", "-"): value for name, value in how.items() if name != "query"}
        raw = "" if body is None else json.dumps(body)
        return call(handler, event, raw=raw, headers=headers, query=how.get("query"))

    return ask


def test_d1_a_template_is_made_read_changed_listed_and_archived_by_its_code(ask) -> None:
    made = ask("POST", ROOT, {"code": "welcome", "content": "Hello {{ name }}"})
    assert (made.status, made.data["code"]) == (201, "welcome")
    assert ask("POST", ROOT, {"code": "welcome", "content": "x"}).status == 409
    read = ask("GET", f"{ROOT}/welcome")
    changed = ask("PUT", f"{ROOT}/welcome", {"content": "Hi"}, If_Match=read.headers["ETag"])
    assert changed.data["version"] == 2
    assert [each["code"] for each in ask("GET", ROOT).data] == ["order-shipped", "welcome"]
    assert ask("DELETE", f"{ROOT}/welcome").status == 204
    assert ask("GET", f"{ROOT}/welcome").status == 404


def test_d1_each_template_of_a_tenant_has_the_next_number(ask, cloud) -> None:
    first = ask("GET", PATH).data["id"]
    second = ask("POST", ROOT, {"code": "another", "content": "x"}).data["id"]
    assert (first, second) == (1, 2)
    counters = {item["name"]["S"]: item for item in cloud.items("CountersTable")}
    assert "expires_at" not in counters["template-ids"]


def test_d1_a_template_keeps_its_number_through_its_versions(ask) -> None:
    tag = ask("GET", PATH).headers["ETag"]
    assert ask("PUT", PATH, {"content": "x"}, If_Match=tag).data["id"] == 1
    assert ask("POST", f"{PATH}/activate", {"version": 1}).data["id"] == 1


def test_d1_a_template_that_is_refused_takes_no_number(ask) -> None:
    assert ask("POST", ROOT, {"code": "bad", "content": "{% set x = 1 %}"}).status == 422
    assert ask("POST", ROOT, {"code": "good", "content": "x"}).data["id"] == 2


def test_d1_the_list_comes_in_pages(ask) -> None:
    for number in range(5):
        ask("POST", ROOT, {"code": f"t-{number}", "content": "x"})
    ask("DELETE", f"{ROOT}/t-3")
    first = ask("GET", ROOT, query={"limit": "2"})
    assert [each["code"] for each in first.data] == ["order-shipped", "t-0"]
    assert first.body["meta"]["has_next"]
    assert 'rel="next"' in first.headers["Link"]
    seen, cursor = [], first.body["meta"]["next_cursor"]
    while cursor:
        page = ask("GET", ROOT, query={"limit": "2", "cursor": cursor})
        seen.append([each["code"] for each in page.data])
        cursor = page.body["meta"]["next_cursor"]
    assert seen == [["t-1", "t-2"], ["t-4"]]


@pytest.mark.parametrize("cursor", ["x", "bm90IGpzb24", "IiMi", "e30", "WzFd", "%00"])
def test_d1_a_cursor_of_somebody_else_s_making_is_refused(ask, cursor) -> None:
    reply = ask("GET", ROOT, query={"cursor": cursor})
    assert (reply.status, reply.body["code"]) == (400, "bad-cursor")


@pytest.mark.parametrize("limit", ["0", "101", "x"])
def test_d1_a_page_has_a_size(ask, limit) -> None:
    assert ask("GET", ROOT, query={"limit": limit}).status == 400


def test_d1_the_list_tells_of_templates_without_their_texts(ask) -> None:
    (found,) = ask("GET", ROOT).data
    assert found["channels"] == ["email", "sms", "push", "inapp"]
    assert found["languages"] == ["en"]
    assert "locales" not in found


def test_d2_templates_are_jinja2(ask) -> None:
    source = (
        "{% for item in items if item.n > 1 %}{{ loop.index }}:{{ item.name | upper }} {% endfor %}"
    )
    ask("POST", ROOT, {"code": "list", "content": source})
    variables = {"items": [{"n": 1, "name": "a"}, {"n": 2, "name": "b"}, {"n": 3, "name": "c"}]}
    reply = ask("POST", f"{ROOT}/list/render", {"variables": variables, "channel": "sms"})
    assert reply.data["parts"]["sms"]["text"] == "1:B 2:C "


def test_d3_a_template_is_rendered_without_being_sent(ask, prepared) -> None:
    reply = ask("POST", f"{PATH}/render", {"variables": VARIABLES, "channel": "push"})
    assert reply.data["parts"] == {
        "push": {"title": "On its way", "body": "Order 1 arrives on Monday."}
    }
    assert prepared.untouched()


@pytest.mark.parametrize("missing", ["name", "order"])
def test_d4_a_missing_variable_is_named_in_a_422(ask, send, missing) -> None:
    variables = {name: value for name, value in VARIABLES.items() if name != missing}
    shown = ask("POST", f"{PATH}/render", {"variables": variables})
    sent = send({"variables": variables})
    for reply in (shown, sent):
        assert (reply.status, reply.body["code"]) == (422, "variable-missing")
        assert reply.body["errors"][0]["pointer"] == f"#/variables/{missing}"


def test_d5_a_template_has_a_language_and_may_have_more(ask) -> None:
    body = {"code": "hallo", "language": "de", "content": "Hallo"}
    assert ask("POST", ROOT, body).data["language"] == "de"
    french = {"language": "fr", "content": "Bonjour"}
    tag = ask("GET", f"{ROOT}/hallo").headers["ETag"]
    assert sorted(ask("PUT", f"{ROOT}/hallo", french, If_Match=tag).data["locales"]) == ["de", "fr"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("zh-Hant-TW", "zh-Hant"),
        ("zh_Hant_TW", "zh-Hant"),
        ("zh-hant", "zh-Hant"),
        ("zh-Hans", "zh"),
        ("zh", "zh"),
        ("pt-BR", "en"),
        ("EN-gb", "en"),
    ],
)
def test_d6_a_locale_falls_back_part_by_part_to_the_default(ask, wanted, found) -> None:
    for language in ("zh", "zh-Hant"):
        tag = ask("GET", PATH).headers["ETag"]
        body = {"language": language, "content": f"in {language}"}
        assert ask("PUT", PATH, body, If_Match=tag).status == 200
    rendered = ask("POST", f"{PATH}/render", {"locale": wanted, "variables": VARIABLES})
    read = ask("GET", PATH, query={"locale": wanted})
    older = ask("GET", PATH, query={"locale": wanted, "version": "1"})
    assert rendered.data["locale"] == found
    assert list(read.data["locales"]) == [found]
    assert list(older.data["locales"]) == ["en"]


def test_d6_a_notification_is_in_its_user_s_language(ask, send, call, sample) -> None:
    tag = ask("GET", PATH).headers["ETag"]
    ask("PUT", PATH, {"language": "de", "content": "Unterwegs"}, If_Match=tag)
    accepted = send({"locale": "de-AT"})
    path = {"notification_id": accepted.data["notification_id"]}
    read = call(notifications, sample("notifications-read"), path=path)
    assert read.data["locale"] == "de"


def test_d7_a_version_never_changes_and_any_may_be_used_again(ask) -> None:
    first = ask("GET", PATH)
    ask("PUT", PATH, {"content": "second"}, If_Match=first.headers["ETag"])
    assert ask("GET", PATH, query={"version": "1"}).data == first.data
    assert ask("POST", f"{PATH}/activate", {"version": 1}).data == first.data
    assert [each["version"] for each in ask("GET", f"{PATH}/versions").data] == [1, 2]


def test_d8_each_channel_has_its_own_part(ask) -> None:
    parts = ask("POST", f"{PATH}/render", {"variables": VARIABLES}).data["parts"]
    assert sorted(parts) == ["email", "inapp", "push", "sms"]
    assert len({json.dumps(part) for part in parts.values()}) == 4


def test_j9_what_a_variable_holds_is_no_markup_in_html_alone(ask) -> None:
    variables = VARIABLES | {"name": "<b>&</b>"}
    parts = ask("POST", f"{PATH}/render", {"variables": variables}).data["parts"]
    assert "&lt;b&gt;&amp;&lt;/b&gt;" in parts["email"]["html"]
    assert "<b>&</b>" in parts["email"]["text"]
    assert "<b>&</b>" in parts["sms"]["text"]


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'x' * 1000000000 }}",
        "{% for a in range(99999) %}{% endfor %}",
        "{% import 'os' as os %}",
        "{{ name.format(1) }}",
    ],
)
def test_j9_code_that_could_escape_or_eat_the_function_is_not_kept(ask, source) -> None:
    reply = ask("POST", ROOT, {"code": "bad", "content": source})
    assert (reply.status, reply.body["code"]) == (422, "template-not-allowed")
    assert ask("GET", f"{ROOT}/bad").status == 404


def test_j9_a_template_renders_no_more_than_its_limits(ask) -> None:
    source = "{% for a in rows %}{% for b in a %}{{ b }}{% endfor %}{% endfor %}"
    ask("POST", ROOT, {"code": "long", "content": source})
    rows = [[1] * 110 for _ in range(110)]
    body = {"variables": {"rows": rows}, "channel": "inapp"}
    reply = ask("POST", f"{ROOT}/long/render", body)
    assert (reply.status, reply.body["code"]) == (422, "not-renderable")
