"""The API's description, for programs and for people (A18)."""

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from cloudformation import ROOT

from functions.api.docs import handler

Json = dict[str, Any]
PAGES = {"docs-page": "SwaggerUIBundle(", "docs-redoc": "Redoc.init("}
ALL = ["docs-openapi", *PAGES]


@pytest.fixture
def ask(sample, context) -> Callable[..., Json]:
    """Return a reader of a page, as API Gateway is answered."""

    def ask(name: str, headers: Json | None = None, query: Json | None = None) -> Json:
        event = sample(name)
        event["headers"] |= headers or {}
        event["multiValueHeaders"] |= {key: [value] for key, value in (headers or {}).items()}
        event["queryStringParameters"] = query
        return dict(handler.lambda_handler(event, context))

    return ask


def header(answer: Json, name: str) -> str:
    return str(answer["multiValueHeaders"][name][0])


def test_a18_the_description_is_the_one_that_is_generated(ask) -> None:
    answer = ask("docs-openapi")
    assert answer["statusCode"] == 200
    assert answer["body"] == (ROOT / "functions/api/docs/openapi.json").read_text()
    assert json.loads(answer["body"])["openapi"].startswith("3.1")


@pytest.mark.parametrize(("name", "start"), PAGES.items())
def test_a18_a_page_shows_the_description_with_what_it_holds_itself(ask, name, start) -> None:
    answer = ask(name)
    page = answer["body"]
    assert answer["statusCode"] == 200
    assert header(answer, "Content-Type") == "text/html; charset=utf-8"
    assert start in page
    assert "/api/v1/templates/{code}/test-send" in page
    assert "cdn." not in page
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=[\"']?(https?:)?//", page)
    assert len(page.encode()) < 5_000_000  # of the 6 MB that Lambda may answer


@pytest.mark.parametrize("name", PAGES)
def test_a18_a_page_may_run_its_own_scripts_and_no_others(ask, name) -> None:
    answer = ask(name)
    policy = dict(
        directive.strip().split(" ", 1)
        for directive in header(answer, "Content-Security-Policy").split(";")
    )
    scripts = re.findall(r"<script>(.*?)</script>", answer["body"], re.DOTALL)
    digests = [hashlib.sha256(script.encode()).digest() for script in scripts]
    assert policy["script-src"].split() == [
        f"'sha256-{b64encode(digest).decode()}'" for digest in digests
    ]
    assert len(scripts) == answer["body"].count("</script") == 2
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert header(answer, "X-Content-Type-Options") == "nosniff"


@pytest.mark.parametrize("name", PAGES)
def test_a18_nothing_in_the_description_ends_its_script(ask, name, monkeypatch) -> None:
    hostile = json.dumps({"openapi": "3.1.0", "info": {"title": "</script><script>alert(1)"}})
    monkeypatch.setattr(handler, "_description", lambda: hostile)
    monkeypatch.setattr(handler, "_swagger", handler._swagger.__wrapped__)
    monkeypatch.setattr(handler, "_redoc", handler._redoc.__wrapped__)
    page = ask(name)["body"]
    assert "alert(1)" in page
    assert page.count("</script") == 2


@pytest.mark.parametrize("name", ALL)
def test_a18_what_a_reader_has_already_is_not_sent_again(ask, name) -> None:
    first = ask(name)
    tag = header(first, "ETag")
    again = ask(name, headers={"If-None-Match": tag})
    assert (again["statusCode"], again["body"]) == (304, "")
    assert ask(name, headers={"If-None-Match": '"another"'})["statusCode"] == 200
    assert header(first, "Cache-Control") == "public, max-age=300"


def test_a18_the_three_have_tags_of_their_own(ask) -> None:
    assert len({header(ask(name), "ETag") for name in ALL}) == 3


def test_a18_the_link_under_the_page_s_title_leads_to_the_description(ask) -> None:
    answer = ask("docs-page", query={"format": "json"})
    assert answer["body"] == ask("docs-openapi")["body"]
