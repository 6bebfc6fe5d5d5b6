"""Schemas of variables: whatever is given, the answer is yes or a refusal with places (D9)."""

from collections.abc import Callable
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from carillon.errors import Problem
from carillon.schemas import KEYWORDS, check_schema, check_variables

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(["a", "b", "a/b", "~", ""])
TYPES = st.sampled_from(["string", "number", "integer", "boolean", "object", "array", "null"])
LEAVES: st.SearchStrategy[Any] = st.booleans() | st.fixed_dictionaries(
    {},
    optional={
        "type": TYPES | st.lists(TYPES, min_size=1, unique=True),
        "enum": st.lists(JSON, max_size=3),
        "const": JSON,
        "minLength": st.integers(0, 5),
        "maximum": st.integers() | st.floats(allow_nan=False, allow_infinity=False),
        "maxItems": st.integers(0, 3),
        "default": JSON,
    },
)
SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES,
            "properties": st.dictionaries(NAMES, inner, max_size=3),
            "required": st.lists(NAMES, unique=True),
            "additionalProperties": inner,
            "items": inner,
        },
    ),
    max_leaves=6,
)
VARIABLES = st.dictionaries(NAMES, JSON, max_size=4)
NEARLY = st.dictionaries(st.sampled_from(sorted(KEYWORDS)), JSON | SCHEMAS, max_size=4)


def refusal(check: Callable[[], object]) -> Problem | None:
    try:
        check()
    except Problem as problem:
        return problem
    return None


def is_taken(schema: Any) -> bool:
    """Tell whether the schema is taken; else it is refused as it should be."""
    problem = refusal(lambda: check_schema(schema))
    if problem:
        assert (problem.status, problem.code) == (422, "schema-not-allowed")
        assert problem.faults
        assert all(fault.pointer.startswith("#/variables_schema") for fault in problem.faults)
    return problem is None


def fits(schema: Any, variables: dict[str, Any]) -> bool:
    """Tell whether the variables fit; else they are refused with places that they have."""
    problem = refusal(lambda: check_variables(check_schema(schema), variables))
    if problem:
        assert (problem.status, problem.code) == (422, "variables-invalid")
        pointers = [fault.pointer for fault in problem.faults]
        assert pointers == sorted(set(pointers))
        for pointer in pointers:
            leads_into(pointer, variables)
    return problem is None


def leads_into(pointer: str, variables: Any) -> None:
    """Follow a JSON Pointer to the value it names, or to what should hold it."""
    root, *steps = pointer.removeprefix("#/").split("/")
    assert root == "variables"
    value = variables
    for step in [step.replace("~1", "/").replace("~0", "~") for step in steps[:-1]]:
        value = value[int(step)] if isinstance(value, list) else value[step]
    assert not steps or isinstance(value, dict | list)


@given(NEARLY, VARIABLES)
def test_d9_any_schema_is_taken_or_refused_and_never_fails_us(schema, variables) -> None:
    if is_taken(schema):
        fits(schema, variables)


@given(st.dictionaries(NAMES, SCHEMAS, max_size=3), VARIABLES)
def test_d9_any_variables_fit_or_are_refused_with_places_they_have(properties, variables) -> None:
    schema = {"properties": properties, "required": sorted(properties)}
    assume(is_taken(schema))
    if fits(schema, variables):
        assert properties.keys() <= variables.keys()
