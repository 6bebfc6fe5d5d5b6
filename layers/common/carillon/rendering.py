"""Rendering: template code that is safe to run, and what comes of it.

Sandboxing keeps template code from escaping, not from burning time and memory, so a source is
first held against an allow-list of its syntax: no calls, no multiplying or formatting operators,
no assignments, imports or macros, loops over given data only, two deep
(docs/adr/0004-template-safety.md). Names are looked up in the JSON data alone.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal

import jinja2
from jinja2 import nodes, pass_context, pass_eval_context
from jinja2.filters import do_join, do_round, make_attrgetter
from jinja2.nodes import EvalContext
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import JsonValue

from carillon.content import Content, check_text
from carillon.errors import RenderError

MAX_RENDERED = 131_072
"""Largest rendered part, in characters."""
MAX_LOOP_DEPTH = 2
MAX_ITERATIONS = 10_000
"""Rounds of all loops of one rendering together."""
MAX_DEPTH = 20
MAX_NODES = 4_000
MAX_OPERATORS = 64

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

OPERATORS = (nodes.Add, nodes.Sub, nodes.Neg, nodes.Compare, nodes.And, nodes.Or, nodes.Not)
LOOP = frozenset(["index", "index0", "revindex", "revindex0", "first", "last", "length"])
"""What a template may ask of ``loop``."""
RoundingMethod = Literal["common", "ceil", "floor"]
_BUDGET = "carillon budget"  # no name a template can spell


class _Environment(ImmutableSandboxedEnvironment):
    """Looks names up in data only: ``user.items`` is the data's, never a bound method."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, LoopContext):
            return getattr(obj, attribute) if attribute in LOOP else self.undefined(name=attribute)
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


class _Budget:
    """Rounds that the loops of one rendering still have."""

    def __init__(self) -> None:
        self.rounds = MAX_ITERATIONS

    def spend(self, rounds: int) -> None:
        self.rounds -= rounds
        if self.rounds < 0:
            raise RenderError(f"loops more than {MAX_ITERATIONS} times")


@pass_context
def _counted(context: Context, values: Any) -> Any:
    """Go through ``values`` at the rendering's expense; put around what each loop goes over."""
    context[_BUDGET].spend(len(values))
    return values


@pass_eval_context
def _join(
    context: EvalContext, values: Any, separator: str = "", attribute: str | None = None
) -> str:
    """Join as Jinja does, unless it would be more than may be rendered at all."""
    items = list(values)
    if attribute is not None:
        items = list(map(make_attrgetter(context.environment, attribute), items))
    size = sum(len(str(item)) for item in items) + len(separator) * len(items)
    if size > MAX_RENDERED:
        raise RenderError(f"joins to more than {MAX_RENDERED} characters")
    joined: str = do_join(context, items, separator)
    return joined


def _round(value: float, precision: int = 0, method: RoundingMethod = "common") -> float:
    """Round as Jinja does, to a precision that a number has."""
    return do_round(value, max(-15, min(15, precision)), method)


@lru_cache(maxsize=2)
def _environment(html: bool) -> _Environment:
    environment = _Environment(
        autoescape=html, undefined=jinja2.StrictUndefined, cache_size=0, optimized=False
    )
    environment.globals.clear()
    environment.filters |= {"counted": _counted, "join": _join, "round": _round}
    return environment


@lru_cache(maxsize=512)
def _compiled(source: str, html: bool) -> jinja2.Template:
    environment = _environment(html)
    tree = environment.parse(source)
    for loop in tree.find_all(nodes.For):
        loop.iter = nodes.Filter(loop.iter, "counted", [], [], None, None)
    return environment.from_string(tree)


def check_source(source: str) -> None:
    """Raise RenderError when ``source`` is not a template we would run."""
    try:
        tree = _environment(html=False).parse(source)
        _check_size(tree)
        _check_node(tree, loops=0, depth=0)
        _compiled(source, html=False)
    except jinja2.TemplateSyntaxError as error:
        raise RenderError(f"line {error.lineno}: {error.message}") from None
    except RenderError:
        raise
    except Exception as error:  # noqa: BLE001 - Python's parser and compiler have limits too
        raise RenderError(f"not a template: {type(error).__name__}") from None


def _check_size(tree: nodes.Template) -> None:
    found = list(tree.find_all(nodes.Node))
    if len(found) > MAX_NODES:
        raise RenderError(f"has more than {MAX_NODES} parts")
    operators = sum(isinstance(node, OPERATORS) for node in found) + sum(
        len(node.nodes) for node in found if isinstance(node, nodes.Concat)
    )
    if operators > MAX_OPERATORS:
        raise RenderError(f"has more than {MAX_OPERATORS} operators")


def _check_node(node: nodes.Node, loops: int, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise RenderError(f"line {node.lineno}: nested too deeply")
    reason = _why_not(node)
    if reason:
        raise RenderError(f"line {node.lineno}: {reason}")
    if isinstance(node, nodes.For):
        loops += 1
        _check_loop(node, loops)
    for child in node.iter_child_nodes():
        _check_node(child, loops, depth + 1)


def _why_not(node: nodes.Node) -> str:
    """Return why this node is not on the list, or nothing."""
    reason = ""
    match node:
        case nodes.Filter(name=name) if name not in FILTERS:
            reason = f"there is no filter {name!r}"
        case nodes.Test(name=name) if name not in TESTS:
            reason = f"there is no test {name!r}"
        case nodes.Operand(op="in" | "notin"):
            reason = "in is not allowed"
        case nodes.Getattr(attr=name) | nodes.Name(name=name) if name[0] == "_" or name == "self":
            reason = f"there is no {name!r}"
        case nodes.Getitem(arg=nodes.Const(value=str(name))) if name.startswith("_"):
            reason = f"there is no {name!r}"
        case _ if not isinstance(node, ALLOWED):
            reason = f"{type(node).__name__.lower()} is not allowed"
    return reason


def _check_loop(loop: nodes.For, depth: int) -> None:
    if depth > MAX_LOOP_DEPTH:
        raise RenderError(f"line {loop.lineno}: loops may be {MAX_LOOP_DEPTH} deep")
    if loop.recursive or not isinstance(loop.iter, nodes.Name | nodes.Getattr | nodes.Getitem):
        raise RenderError(f"line {loop.lineno}: a loop goes over a variable")


def render_text(source: str, variables: Mapping[str, JsonValue], *, html: bool = False) -> str:
    """Render one source; raises RenderError, with the name of a variable that is missing."""
    try:
        return _capped(_compiled(source, html).generate({**variables, _BUDGET: _Budget()}))
    except RenderError:
        raise
    except jinja2.UndefinedError as error:
        raise RenderError(str(error), _missing_name(str(error))) from None
    except Exception as error:  # noqa: BLE001 - the template's failure, whatever it is, not ours
        raise RenderError(str(error) or type(error).__name__) from None


def _capped(pieces: Iterable[str]) -> str:
    size, kept = 0, []
    for piece in pieces:
        size += len(piece)
        if size > MAX_RENDERED:
            raise RenderError(f"renders to more than {MAX_RENDERED} characters")
        kept.append(piece)
    return "".join(kept)


def _missing_name(message: str) -> str:
    """Return the name in Jinja's "'name' is undefined"."""
    found = re.fullmatch(r"'([^']*)' is undefined", message)
    return found[1] if found else ""


def render_part(part: Mapping[str, str], variables: Mapping[str, JsonValue]) -> Content:
    """Render a part's fields; raises RenderError."""
    content = {}
    for field, source in part.items():
        text = render_text(source, variables, html=field == "html")
        check_text(field, text)
        content[field] = text
    return content
