"""Templates: saved only when safe, found by version and locale, rendered per channel.

Sandboxing keeps template code from escaping, not from burning time and memory, so a source is
first held against an allow-list of its syntax: no calls, no multiplying or formatting operators,
no assignments, imports or macros, loops over given data only, two deep
(docs/adr/0004-template-safety.md). Names are looked up in the JSON data alone.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import JsonValue

from carillon.errors import Fault, Problem, RenderError, not_found
from carillon.models import Channel, Inline, Message, Parts, TemplateRef, now, timestamp
from carillon.tables import Template, create_all, slot, tenant_key

MAX_RENDERED = 131_072
"""Largest rendered part, in characters."""
MAX_LOOP_DEPTH = 2
ACTIVE_SECONDS = 5
"""How long a warm function may go on using a version after another was activated."""

HEADINGS = frozenset({"subject", "title", "action_url"})
"""Parts that become header fields or one-line texts: no line breaks of any kind."""
LINE_BREAK = re.compile("[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")

FILTERS = frozenset(
    [
        "abs",
        "capitalize",
        "d",
        "default",
        "e",
        "escape",
        "first",
        "float",
        "int",
        "join",
        "last",
        "length",
        "lower",
        "round",
        "striptags",
        "title",
        "trim",
        "truncate",
        "upper",
        "urlencode",
    ]
)
TESTS = frozenset(
    ["defined", "undefined", "none", "number", "string", "boolean", "true", "false", "even", "odd"]
)
ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Filter,
    nodes.Test,
    nodes.If,
    nodes.For,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Add,
    nodes.Sub,
    nodes.Neg,
    nodes.Concat,
    nodes.Keyword,
)

Content = dict[str, str]
"""A channel's rendered part: its fields by name."""


class _Environment(ImmutableSandboxedEnvironment):
    """Looks names up in data only: ``user.items`` is the data's, never a bound method."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, LoopContext):
            return super().getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, jinja2.Undefined):
            return obj[argument]  # raises, and names what was missing first
        if isinstance(obj, dict | list | str):
            try:
                return obj[argument]
            except (LookupError, TypeError):
                pass
        return self.undefined(obj=obj, name=str(argument))


@lru_cache(maxsize=2)
def _environment(html: bool) -> _Environment:
    environment = _Environment(autoescape=html, undefined=jinja2.StrictUndefined, cache_size=0)
    environment.globals.clear()
    return environment


@lru_cache(maxsize=512)
def _compiled(source: str, html: bool) -> jinja2.Template:
    return _environment(html).from_string(source)


def check_source(source: str) -> None:
    """Raise RenderError when ``source`` is not a template we would run."""
    try:
        tree = _environment(html=False).parse(source)
    except jinja2.TemplateSyntaxError as error:
        raise RenderError(f"line {error.lineno}: {error.message}") from None
    except RecursionError:
        raise RenderError("nested too deeply") from None
    _check_node(tree, depth=0)


def _check_node(node: nodes.Node, depth: int) -> None:
    if not isinstance(node, ALLOWED):
        raise RenderError(f"line {node.lineno}: {type(node).__name__.lower()} is not allowed")
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        raise RenderError(f"line {node.lineno}: there is no filter {node.name!r}")
    if isinstance(node, nodes.Test) and node.name not in TESTS:
        raise RenderError(f"line {node.lineno}: there is no test {node.name!r}")
    if isinstance(node, nodes.For):
        depth += 1
        _check_loop(node, depth)
    for child in node.iter_child_nodes():
        _check_node(child, depth)


def _check_loop(loop: nodes.For, depth: int) -> None:
    if depth > MAX_LOOP_DEPTH:
        raise RenderError(f"line {loop.lineno}: loops may be {MAX_LOOP_DEPTH} deep")
    if loop.recursive or not isinstance(loop.iter, nodes.Name | nodes.Getattr | nodes.Getitem):
        raise RenderError(f"line {loop.lineno}: a loop goes over a variable")


def render_text(source: str, variables: Mapping[str, JsonValue], *, html: bool = False) -> str:
    """Render one source; raises RenderError, with the name of a variable that is missing."""
    size, pieces = 0, []
    try:
        for piece in _compiled(source, html).generate(variables):
            size += len(piece)
            if size > MAX_RENDERED:
                raise RenderError(f"renders to more than {MAX_RENDERED} characters")
            pieces.append(piece)
    except jinja2.UndefinedError as error:
        raise RenderError(str(error), _missing_name(str(error))) from None
    except (jinja2.TemplateError, ArithmeticError, TypeError, ValueError, LookupError) as error:
        raise RenderError(str(error)) from None
    return "".join(pieces)


def _missing_name(message: str) -> str:
    """Return the name in Jinja's "'name' is undefined"."""
    found = re.fullmatch(r"'([^']*)' is undefined", message)
    return found[1] if found else ""


def render_part(part: Mapping[str, str], variables: Mapping[str, JsonValue]) -> Content:
    """Render a part's fields; raises RenderError."""
    content = {}
    for field, source in part.items():
        text = render_text(source, variables, html=field == "html")
        if field in HEADINGS:
            _check_heading(field, text)
        content[field] = text
    return content


def _check_heading(field: str, text: str) -> None:
    # boto3 lets CR and LF through into header fields.
    if LINE_BREAK.search(text):
        raise RenderError(f"{field} would have a line break")
    if not text.strip():
        raise RenderError(f"{field} would be empty")


def inline_content(inline: Inline, channel: Channel) -> Content:
    """Return content given in a request, as the channel's part; raises RenderError."""
    title = inline.title or next(iter(inline.message.strip().splitlines()), "")[:78]
    fields = {
        Channel.EMAIL: {"subject": title, "text": inline.message},
        Channel.SMS: {"text": inline.message},
        Channel.PUSH: {"title": title, "body": inline.message},
        Channel.INAPP: {"title": title, "body": inline.message},
    }[channel]
    for field in HEADINGS & fields.keys():
        _check_heading(field, fields[field])
    return fields


def content_for(message: Message, channel: Channel) -> Content:
    """Render what ``message`` says on ``channel``; raises RenderError, Problem when it is gone."""
    if message.inline is not None:
        return inline_content(message.inline, channel)
    if message.template is None:
        raise RenderError("the message has neither template nor text")
    template = version(message.tenant, message.template)
    return render_part(
        part_of(template, message.template.locale, channel),
        message.variables,
    )


def part_of(template: Template, locale: str, channel: Channel) -> dict[str, str]:
    """Return the source of a channel's part; raises RenderError when there is none."""
    part = template.locales[locale].get(channel.value)
    if part is None:
        raise RenderError(f"template {template.code} has no part for {channel.value}")
    return dict(part)


def choose_locale(template: Template, *wanted: str | None) -> str:
    """Return the template's best locale: each wish as it is, then its language, then default."""
    for wish in filter(None, wanted):
        for candidate in (wish, wish.split("-")[0]):
            if candidate in template.locales:
                return candidate
    return str(template.default_locale)


def active(tenant: str, code: str) -> Template:
    """Return the version in use; raises Problem (404) when there is no such template."""
    return _active(tenant_key(tenant, code), int(now().timestamp()) // ACTIVE_SECONDS)


@lru_cache(maxsize=256)
def _active(key: str, _bucket: int) -> Template:
    try:
        return Template.get(key, "active", consistent_read=True)
    except Template.DoesNotExist:
        raise not_found("template", "#/template_code") from None


@lru_cache(maxsize=256)
def _version(key: str, number: int) -> Template:
    try:
        return Template.get(key, slot(number))
    except Template.DoesNotExist:
        raise RenderError(f"version {number} of the template is gone") from None


def version(tenant: str, ref: TemplateRef) -> Template:
    """Return the version a notification was accepted with. It never changes, so it is kept."""
    return _version(tenant_key(tenant, ref.code), ref.version)


def save_first(tenant: str, code: str, language: str, parts: Parts) -> Template:
    """Create a template; raises Problem: 422 when a part is not safe, 409 when the code is taken.

    Writes the immutable version 1 and the copy in use, together.
    """
    sources = parts.model_dump(mode="json", exclude_none=True)
    _check_parts(sources)
    created_at = timestamp(now())
    items = [
        Template(
            tenant_key(tenant, code),
            name,
            code=code,
            version=1,
            default_locale=language,
            locales={language: sources},
            created_at=created_at,
        )
        for name in (slot(1), "active")
    ]
    if not create_all(*items):
        raise Problem(409, "template-exists", f"There is a template {code} already")
    return items[0]


def parts_of_content(code: str, content: str) -> Parts:
    """Return one text as the part of every channel, under the template's name as heading."""
    heading = code.replace("_", " ").replace("-", " ").capitalize()
    return Parts.model_validate(
        {
            "email": {"subject": heading, "text": content},
            "sms": {"text": content},
            "push": {"title": heading, "body": content},
            "inapp": {"title": heading, "body": content},
        }
    )


def _check_parts(sources: Mapping[str, Mapping[str, str]]) -> None:
    faults = [
        Fault(f"#/parts/{channel}/{field}", reason) for channel, field, reason in _unsafe(sources)
    ]
    if faults:
        raise Problem(422, "template-not-allowed", "The template cannot be accepted", faults=faults)


def _unsafe(sources: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, str]]:
    for channel, part in sources.items():
        for field, source in part.items():
            try:
                check_source(source)
            except RenderError as error:
                yield channel, field, str(error)
