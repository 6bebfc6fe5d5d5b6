"""Templates: what may be saved, and what it renders to."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carillon.content import inline_content
from carillon.errors import RenderError
from carillon.messages import Inline
from carillon.models import Channel
from carillon.rendering import MAX_RENDERED, check_source, render_part, render_text
from carillon.tables import Template
from carillon.templates import choose_locale


@pytest.mark.parametrize(
    "source",
    [
        "{{ '%1000000000d' % 1 }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ ''.__class__.__mro__() }}",
        "{% import 'os' as os %}{{ os }}",
        "{% from 'x' import y %}",
        "{% include 'x' %}",
        "{% extends 'x' %}",
        "{% macro f() %}{% endmacro %}",
        "{% set x = 1 %}",
        "{{ 'a' * 1000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 1 // 0 }}",
        "{{ x | replace('a', 'aaaa') }}",
        "{{ x | safe }}",
        "{{ x | format(1) }}",
        "{{ x | center(1000000000) }}",
        "{{ [1, 2, 3] }}",
        "{{ {'a': 1} }}",
        "{{ lipsum(1000) }}",
        "{{ x() }}",
        "{{ x is sameas y }}",
        "{% for a in x recursive %}{{ loop(a) }}{% endfor %}",
        "{% for a in 'abc' %}{% endfor %}",
        "{% for a in x | batch(2) %}{% endfor %}",
        "{% for a in x %}{% for b in a %}{% for c in b %}{% endfor %}{% endfor %}{% endfor %}",
        "{{ unclosed",
        "{{ " + "(" * 500 + "x" + ")" * 500 + " }}",
        "{{ x[1:2] }}",
        "{% filter upper %}a{% endfilter %}",
        "{% call x() %}{% endcall %}",
        "{% with a = 1 %}{% endwith %}",
        "{% do x %}",
        "{{ a in b }}",
        "{{ x.__class__ }}",
        "{{ x['__class__'] }}",
        "{{ self }}",
        "{{ " + "1" * 5000 + " }}",
        "{{ " + "+".join("a" * 2000) + " }}",
        "{{ " + "~".join("a" * 200) + " }}",
        "{{ a" + "|upper" * 190 + " }}",
        "{{ a" + ".b" * 250 + " }}",
        "{% if a %}" * 120 + "{% endif %}" * 120,
        "{{ x | round(precision=1, precision=2) }}",
        "{{ a }}" * 4500,
    ],
)
def test_a_source_we_would_not_run_is_refused_at_once_a_t01_a_t02_a_t03_a_t06(source) -> None:
    began = time.thread_time()
    with pytest.raises(RenderError):
        check_source(source)
    assert time.thread_time() - began < 1


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Hello {{ name }}", "Hello Ada"),
        ("{{ name | upper }} {{ missing | default('x') }}", "ADA x"),
        ("{{ user.items }}", "yes"),
        ("{{ user['items'] }}", "yes"),
        ("{% if n > 1 and name is defined %}many{% else %}one{% endif %}", "many"),
        ("{% for l in lines %}{{ loop.index }}:{{ l.a }} {% endfor %}", "1:x 2:y "),
        ("{{ n + 1 }}-{{ n - 1 }}-{{ -n }}", "4-2--3"),
        ("{{ 'a' ~ name }}", "aAda"),
        ("{{ lines | length }} {{ lines[0].a }}", "2 x"),
        ("{{ 'yes' if flag else 'no' }}", "no"),
        ("{# a comment #}x", "x"),
        ("{{ lines | join(', ', 'a') }}", "x, y"),
        ("{{ (n - 0.5) | round(0, 'ceil') | int }}", "3"),
        ("{{ name | truncate(2, true, '', 0) }}", "Ad"),
    ],
)
def test_what_people_write_is_saved_and_renders(source, expected) -> None:
    check_source(source)
    variables = {
        "name": "Ada",
        "n": 3,
        "flag": False,
        "user": {"items": "yes"},
        "lines": [{"a": "x"}, {"a": "y"}],
    }
    assert render_text(source, variables) == expected


@pytest.mark.parametrize(
    "source",
    ["{{ a.items }}", "{{ a.__class__ }}", "{{ a.keys }}", "{{ s.upper }}", "{{ n.real }}"],
)
def test_only_the_data_is_looked_up_never_python_a_t04(source) -> None:
    with pytest.raises(RenderError):
        render_text(source, {"a": {}, "s": "x", "n": 1})


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(RenderError) as caught:
        render_text("Hello {{ name }}", {})
    assert caught.value.variable == "name"
    with pytest.raises(RenderError) as caught:
        render_text("{{ order.number }}", {})
    assert caught.value.variable == "order"


def test_null_is_a_value_and_not_a_crash_a_t05() -> None:
    with pytest.raises(RenderError):
        render_text("{{ x + 1 }}", {"x": None})
    assert render_text("{{ x | upper }}", {"x": None}) == "NONE"


def test_output_is_capped_a_t10() -> None:
    rows = [["x" * 100] * 90] * 90
    source = "{% for row in rows %}{% for cell in row %}{{ cell }}{% endfor %}{% endfor %}"
    with pytest.raises(RenderError, match=str(MAX_RENDERED)):
        render_text(source, {"rows": rows})


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in rows %}{% for b in rows %}{% endfor %}{% endfor %}",
        "{% for a in rows %}{% endfor %}" * 20,
        "{% if rows | join(long) | length > 1 %}ok{% endif %}",
        "{{ rows | join(long) }}",
        "{{ long | truncate(1) }}",
        "{{ loop.cycle }}",
        "{% for a in rows %}{{ loop.cycle }}{% endfor %}",
        "{% for a in n %}{% endfor %}",
        '{{ "\\ud800" }}',
    ],
)
def test_what_a_template_makes_of_its_data_is_bounded_and_its_own_failure(source) -> None:
    check_source(source)
    began = time.thread_time()
    with pytest.raises(RenderError):
        render_part({"text": source}, {"rows": ["x"] * 1000, "long": "x" * 30_000, "n": 1})
    assert time.thread_time() - began < 2


@pytest.mark.parametrize("precision", [-3_000_000, 3_000_000])
def test_rounding_takes_no_time(precision) -> None:
    source = f"{{{{ x | round({precision}) }}}}"
    check_source(source)
    assert render_text(source, {"x": 5}) in ("0", "0.0", "5", "5.0")


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        " JavaScript:alert(1)",
        "java\nscript:alert(1)",
        "\x01javascript:alert(1)",
        "vbscript:x",
        "data:text/html,<script>alert(1)</script>",
    ],
)
@pytest.mark.parametrize(
    "html", ['<a href="{{ url }}">x</a>', "<a href='{{ url }}'>x</a>", '<img src=" {{ url }}">']
)
def test_a_link_that_runs_is_not_sent_a_t07(url, html) -> None:
    with pytest.raises(RenderError, match=r"script|control"):
        render_part({"html": html}, {"url": url})
    with pytest.raises(RenderError, match=r"script|control"):
        render_part({"action_url": "{{ url }}"}, {"url": url})


@pytest.mark.parametrize(
    "url", ["https://example.com/?q=javascript:x", "mailto:a@example.com", "/orders/1", "app://x"]
)
def test_any_other_link_is_sent(url) -> None:
    html = '<a href="{{ url }}">metadata: about javascript: links</a>'
    assert url in render_part({"html": html, "action_url": "{{ url }}"}, {"url": url})["html"]


@pytest.mark.parametrize("field", ["text", "body", "html", "subject"])
def test_nothing_empty_is_sent(field) -> None:
    with pytest.raises(RenderError, match="empty"):
        render_part({field: " {{ x }}"}, {"x": ""})


def test_html_is_escaped_and_text_is_not() -> None:
    part = {"subject": "{{ x }}", "html": "<b>{{ x }}</b>", "text": "{{ x }}"}
    content = render_part(part, {"x": "<i>&"})
    assert content["html"] == "<b>&lt;i&gt;&amp;</b>"
    assert content["subject"] == content["text"] == "<i>&"


def breaks(text: str) -> bool:
    """Tell whether Python would break the line anywhere, or a character controls something."""
    return len(f"{text}.".splitlines()) > 1 or any(unicodedata.category(c) == "Cc" for c in text)


@given(st.text())
def test_a_heading_never_has_a_line_break(value) -> None:
    try:
        content = render_part({"subject": "Hi {{ x }}"}, {"x": value})
    except RenderError:
        assert breaks(value) or any(unicodedata.category(c) == "Cs" for c in value)
    else:
        assert not breaks(content["subject"])


@given(st.text(min_size=1), st.none() | st.text(min_size=1))
def test_inline_content_makes_a_part_or_says_why_not(message, title) -> None:
    try:
        content = inline_content(Inline(title=title, message=message), Channel.EMAIL)
    except RenderError:
        heading = message.strip() if title is None else title
        assert not heading.strip() or breaks(heading) or not message.strip()
    else:
        assert content["text"] == message
        assert not breaks(content["subject"])


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (["en-GB"], "en-GB"),
        (["en-US"], "en"),
        (["de-CH", "en-GB"], "de"),
        (["fr"], "en"),
        ([None, "de"], "de"),
        ([], "en"),
    ],
)
def test_the_locale_falls_back_to_its_language_and_then_to_the_default(wanted, chosen) -> None:
    template = Template("t", "active#c", default_locale="en")
    template.locales = {"en": {}, "en-GB": {}, "de": {}}
    assert choose_locale(template, *wanted) == chosen
