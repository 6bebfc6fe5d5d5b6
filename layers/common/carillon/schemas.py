"""The JSON Schema of a template's variables (draft 2020-12): what may stand in one, and the check.

The keywords are on a list: none that runs a regular expression, leads elsewhere, or holds the same
value against several schemas. So a check costs no more than the variables are long.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from pydantic import JsonValue

from carillon.errors import Fault, Problem

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

DIALECT = "https://json-schema.org/draft/2020-12/schema"
KEYWORDS = frozenset(
    [
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "const",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minItems",
        "maxItems",
        "title",
        "description",
        "default",
        "examples",
    ]
)
MAX_BYTES = 16_384
MAX_DEPTH = 8
MAX_SUBSCHEMAS = 200
MAX_ENTRIES = {"properties": 100, "required": 100, "enum": 50}
MAX_FAULTS = 20
MAX_TOLD = 200
"""Characters of a schema's own values that a fault repeats."""

_BOUNDS = {
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minItems": "must have at least {} items",
    "maxItems": "must have at most {} items",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "type": "must be of type {}",
    "enum": "must be one of {}",
    "const": "must be {}",
}


def check_schema(schema: Mapping[str, JsonValue]) -> str:
    """Return the schema as canonical JSON; raises Problem (422) when it is not one we would run."""
    faults = list(islice(_unfit(dict(schema)), MAX_FAULTS)) or list(_invalid(dict(schema)))
    if faults:
        text = "The schema of the variables cannot be accepted"
        raise Problem(422, "schema-not-allowed", text, faults=faults)
    return json.dumps(schema, sort_keys=True, separators=(",", ":"))


def check_variables(schema: str, variables: Mapping[str, JsonValue]) -> None:
    """Raise Problem (422) when the variables do not fit the schema, with each place in them."""
    errors = islice(_validator(schema).iter_errors(dict(variables)), MAX_FAULTS)
    found = {fault.pointer: fault for error in errors for fault in _faults(error)}
    if found:
        text = "The variables do not fit the template's schema"
        raise Problem(422, "variables-invalid", text, faults=sorted(found.values(), key=_place))


@lru_cache(maxsize=256)
def _validator(schema: str) -> "Draft202012Validator":
    """Return the validator; a version's schema never changes, so its text stands for it."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - 60 ms to load

    return Draft202012Validator(json.loads(schema))


def _invalid(schema: dict[str, Any]) -> Iterator[Fault]:
    """Yield where the schema breaks the draft's own rules."""
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415 - 60 ms to load

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        yield Fault(_pointer("#/variables_schema", error.absolute_path), "not valid JSON Schema")


def _unfit(schema: dict[str, Any]) -> Iterator[Fault]:
    """Yield what is valid JSON Schema perhaps, but not on the list."""
    root = "#/variables_schema"
    if len(json.dumps(schema)) > MAX_BYTES:
        yield Fault(root, f"has more than {MAX_BYTES} bytes")
        return
    if schema.get("type", "object") != "object":
        yield Fault(f"{root}/type", "variables are an object")
    if schema.get("$schema", DIALECT) != DIALECT:
        yield Fault(f"{root}/$schema", f"must be {DIALECT}")
    inner = {name: value for name, value in schema.items() if name != "$schema"}
    yield from _unfit_within(inner, root)


def _unfit_within(schema: dict[str, Any], root: str) -> Iterator[Fault]:
    """Yield the same of the schema and of all within it, the nearest first."""
    left, seen = [(root, schema, 1)], 0
    while left:
        place, each, depth = left.pop(0)
        seen += 1
        if seen > MAX_SUBSCHEMAS or depth > MAX_DEPTH:
            limits = f"{MAX_SUBSCHEMAS} schemas, {MAX_DEPTH} deep"
            yield Fault(place, f"the schema has more than {limits}")
            return
        for name, value in each.items():
            yield from _unfit_keyword(f"{place}/{_escaped(name)}", name, value)
        left += [(f"{place}/{name}", inner, depth + 1) for name, inner in _within(each)]


def _unfit_keyword(place: str, name: str, value: object) -> Iterator[Fault]:
    if name not in KEYWORDS:
        yield Fault(place, f"the keyword {name} is not allowed"[:MAX_TOLD])
    elif isinstance(value, list | dict) and len(value) > MAX_ENTRIES.get(name, len(value)):
        yield Fault(place, f"has more than {MAX_ENTRIES[name]} entries")


def _within(schema: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the schemas right within one, with their place."""
    found = {name: schema.get(name) for name in ("items", "additionalProperties")}
    properties = schema.get("properties")
    if isinstance(properties, dict):
        found |= {f"properties/{_escaped(name)}": each for name, each in properties.items()}
    yield from ((name, each) for name, each in found.items() if isinstance(each, dict))


def _faults(error: "ValidationError") -> Iterator[Fault]:
    """Yield what an error says, without the value: that may be anybody's."""
    place = _pointer("#/variables", error.absolute_path)
    schema, given = cast("dict[str, Any]", error.schema), cast("dict[str, Any]", error.instance)
    if error.validator == "required":
        missing = [name for name in schema["required"] if name not in given]
        yield from (Fault(f"{place}/{_escaped(name)}", "is missing") for name in missing)
    elif error.validator == "additionalProperties":
        known = schema.get("properties", {})
        unknown = islice((name for name in given if name not in known), MAX_FAULTS)
        yield from (Fault(f"{place}/{_escaped(name)}", "is not in the schema") for name in unknown)
    else:
        yield Fault(place, _reason(str(error.validator), error.validator_value))


def _reason(keyword: str, value: Any) -> str:
    told = json.dumps(value, ensure_ascii=False)[:MAX_TOLD]
    return _BOUNDS.get(keyword, "is not allowed").format(told)


def _pointer(root: str, path: Iterable[str | int]) -> str:
    return "/".join([root, *(_escaped(str(step)) for step in path)])


def _escaped(step: str) -> str:
    """Return a step of a JSON Pointer (RFC 6901)."""
    return step.replace("~", "~0").replace("/", "~1")


def _place(fault: Fault) -> str:
    return fault.pointer
