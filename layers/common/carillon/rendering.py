"""Rendering: template code that is safe to run, and what comes of it.

Sandboxing keeps template code from escaping, not from burning time and memory, so a source is
first held against an allow-list of its syntax: no calls, no multiplying or formatting operators,
no assignments, imports or macros, loops over given data only, two deep
(docs/adr/0004-template-safety.md). Names are looked up in the JSON data alone.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import JsonValue

from carillon.errors import RenderError
from carillon.models import Channel, Inline

MAX_RENDERED = 131_072
"""Largest rendered part, in characters."""
MAX_LOOP_DEPTH = 2

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
