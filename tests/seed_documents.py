"""The source systems' own documents, read as data: their endpoints and their JSON examples."""

import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

FOLDER = Path(__file__).parent / "seeds"
TEXTS = {path.stem.upper(): path.read_text() for path in sorted(FOLDER.glob("*.md"))}
# Their own ports; RabbitMQ's and Prometheus' pages are not theirs.
_ADDRESS = r"http://localhost:(?:3000|5000|8000)(/\S+)"
_CURL = re.compile(rf"curl(?: -X (?P<method>[A-Z]+))? {_ADDRESS}")
_LINK = re.compile(rf"(?:\]\(|API Documentation: |Swagger UI: |ReDoc: ){_ADDRESS}")
_WRITTEN = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/[^\s`\]*]+)")
_HEADING = re.compile(r"^#+ .*?`(GET|POST|PUT|PATCH|DELETE) (/[^`]+)`", re.MULTILINE)
_STATED = re.compile(r"^(?:- `|\| )(\d{3})\b", re.MULTILINE)
_BLOCK = re.compile(r"^ *```json\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
ANY, ONE_OF = "...", "one of"


def endpoints(text: str) -> set[tuple[str, str]]:
    """Return every method and path that a document names, in one spelling of parameters."""
    found = {(method, path) for method, path in _WRITTEN.findall(text)}
    found |= {(match["method"] or "GET", match[2]) for match in _CURL.finditer(text)}
    found |= {("GET", match[1].rstrip(")")) for match in _LINK.finditer(text)}
    return {(method, shape(path)) for method, path in found}


def errors(text: str) -> set[tuple[str, str, int]]:
    """Return every method, path and error code that a document states."""
    headings = list(_HEADING.finditer(text))
    ends = [*(heading.start() for heading in headings), len(text)][1:]
    return {
        (heading[1], shape(heading[2]), int(code))
        for heading, end in zip(headings, ends, strict=True)
        for code in _STATED.findall(text, heading.end(), end)
    }


def shape(path: str) -> str:
    """Return a path without its parameters' names and the slash at its end."""
    return re.sub(r"\{[^}]*\}|<[^>]*>|:\w+", "{}", path).rstrip("/")


def blocks(text: str) -> list[Any]:
    """Return every JSON example, with its placeholders, as data."""
    return [_read(block) for block in _BLOCK.findall(text)]


def _read(block: str) -> Any:
    block = re.sub(r"\A(GET|POST|PUT|PATCH) /.*\n", "", block)
    block = re.sub(r"(?<!:)//.*$", "", block, flags=re.MULTILINE)
    block = re.sub(r'"[^"]*"(?: \| "[^"]*")+', _options, block)
    return json.loads(block.replace("{ ... }", f'{{"{ANY}": "any"}}'))


def _options(match: re.Match[str]) -> str:
    return json.dumps({ONE_OF: re.findall(r'"([^"]*)"', match[0])})


def filled(example: Any, *, optional: bool = True, **values: Any) -> Any:
    """Return a request like an example: ``values`` by field, else what its placeholder says."""
    if isinstance(example, list):
        return [filled(each, optional=optional, **values) for each in example]
    if not isinstance(example, dict):
        return example
    if ONE_OF in example:
        return example[ONE_OF][0]
    names = {name: name.rstrip("?") for name in example if optional or not name.endswith("?")}
    return {
        plain: values[plain]
        if plain in values
        else filled(example[name], optional=optional, **values)
        for name, plain in names.items()
    }


def faults(example: Any, value: Any, place: str = "#") -> list[str]:
    """Return where a value is not what an example says: its keys, and each value's type."""
    if isinstance(example, dict) and ONE_OF in example:
        return [] if value in example[ONE_OF] else [f"{place}: {value!r}"]
    if isinstance(example, dict) and isinstance(value, dict):
        return _faults_of_keys(example, value, place)
    if isinstance(example, list) and isinstance(value, list):
        kinds = [(example[0], each) for each in value] if example else []
        return [
            fault for n, (kind, v) in enumerate(kinds) for fault in faults(kind, v, f"{place}/{n}")
        ]
    fits = _placeholder(example)(value) if isinstance(example, str) else value == example
    return [] if fits else [f"{place}: {value!r} is no {example!r}"]


def _faults_of_keys(example: dict[str, Any], value: dict[str, Any], place: str) -> list[str]:
    if ANY in example:
        return []
    known = {name.rstrip("?"): each for name, each in example.items()}
    needed = {name for name in example if not name.endswith("?")}
    wrong = [f"{place}/{name} is missing" for name in sorted(needed - value.keys())]
    wrong += [f"{place}/{name} is not in the example" for name in sorted(value.keys() - known)]
    for name in sorted(known.keys() & value.keys()):
        wrong += faults(known[name], value[name], f"{place}/{name}")
    return wrong


def _placeholder(example: str) -> Any:
    kind = example.partition(" ")[0]
    if kind in _KINDS:
        return _KINDS[example if example in _KINDS else kind]
    return lambda value: value == example


def _is_uuid(value: Any) -> bool:
    try:
        return str(UUID(value)) == value
    except (TypeError, ValueError, AttributeError):
        return False


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


_KINDS: dict[str, Any] = {
    "string": _is_text,
    "string (JWT)": lambda value: _is_text(value) and value.count(".") == 2,
    "string (email format)": lambda value: _is_text(value) and "@" in value,
    "uuid": _is_uuid,
    "uuid-string": _is_uuid,
    "secure-token": lambda value: _is_text(value) and len(value) >= 32,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "date-time": lambda value: (
        _is_text(value)
        and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value) is not None
    ),
}
