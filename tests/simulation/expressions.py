"""DynamoDB's condition, filter, key and update expressions, as functions of an item.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html. An expression is
read once, however often it is evaluated. Values are in DynamoDB's own form: ``{"S": "text"}``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

Value = dict[str, Any]
Item = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Given:
    """What an expression is evaluated with."""

    item: Item
    names: Mapping[str, str]
    values: Mapping[str, Value]


Condition = Callable[[Given], bool]
Operand = Callable[[Given], Value | None]
Path = tuple[str | int, ...]
Action = Callable[[Given, dict[str, Value]], None]

_TOKEN = re.compile(r"\s*(<>|<=|>=|[=<>(),+.\[\]-]|[#:]?[A-Za-z0-9_]+)")
_TYPES = {"S", "N", "B", "SS", "NS", "BS", "M", "L", "NULL", "BOOL"}


def plain(value: Value | None) -> Any:
    """Return a value to compare and calculate with."""
    if value is None:
        return None
    ((kind, told),) = value.items()
    return Decimal(told) if kind == "N" else told


def _same(left: Value | None, right: Value | None) -> bool:
    return (
        left is not None
        and right is not None
        and left.keys() == right.keys()
        and plain(left) == plain(right)
    )


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Value | None, Value | None], bool]:
    def ordered(left: Value | None, right: Value | None) -> bool:
        if left is None or right is None or left.keys() != right.keys():
            return False
        return compare(plain(left), plain(right))

    return ordered


_COMPARE: dict[str, Callable[[Value | None, Value | None], bool]] = {
    "=": _same,
    "<>": lambda left, right: not _same(left, right),  # true of what is missing
    "<": _ordered(lambda left, right: left < right),
    "<=": _ordered(lambda left, right: left <= right),
    ">": _ordered(lambda left, right: left > right),
    ">=": _ordered(lambda left, right: left >= right),
}


class _Reader:
    """Reads one expression from left to right."""

    def __init__(self, text: str) -> None:
        self.text, self.place, self.tokens = text, 0, []
        at = 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            assert match, f"no token at {at} in {text!r}"
            self.tokens.append(match[1])
            at = match.end()

    def peek(self, ahead: int = 0) -> str:
        place = self.place + ahead
        return self.tokens[place] if place < len(self.tokens) else ""

    def next(self) -> str:
        token = self.peek()
        self.place += 1
        return token

    def take(self, *tokens: str) -> bool:
        if self.peek().upper() in tokens:
            self.place += 1
            return True
        return False

    def need(self, token: str) -> None:
        assert self.take(token), f"{token} missing at {self.place} in {self.text!r}"

    # ------------------------------------------------------------------ conditions

    def either(self) -> Condition:
        found = [self.both()]
        while self.take("OR"):
            found.append(self.both())
        return found[0] if len(found) == 1 else lambda given: any(each(given) for each in found)

    def both(self) -> Condition:
        found = [self.negated()]
        while self.take("AND"):
            found.append(self.negated())
        return found[0] if len(found) == 1 else lambda given: all(each(given) for each in found)

    def negated(self) -> Condition:
        if self.take("NOT"):
            inner = self.negated()
            return lambda given: not inner(given)
        return self.primary()

    def primary(self) -> Condition:
        if self.peek() == "(":
            self.next()
            inner = self.either()
            self.need(")")
            return inner
        if self.peek(1) == "(" and self.peek() in _FUNCTIONS:
            return self.function()
        return self.comparison()

    def function(self) -> Condition:
        name = self.next()
        self.need("(")
        operands = [self.operand()]
        while self.take(","):
            operands.append(self.operand())
        self.need(")")
        return _FUNCTIONS[name](*operands)

    def comparison(self) -> Condition:
        left = self.operand()
        if self.take("BETWEEN"):
            low = self.operand()
            self.need("AND")
            high = self.operand()
            at_least, at_most = _COMPARE[">="], _COMPARE["<="]
            return lambda given: (
                at_least(left(given), low(given)) and at_most(left(given), high(given))
            )
        if self.take("IN"):
            self.need("(")
            among = [self.operand()]
            while self.take(","):
                among.append(self.operand())
            self.need(")")
            return lambda given: any(_same(left(given), each(given)) for each in among)
        compare = _COMPARE[self.next()]
        right = self.operand()
        return lambda given: compare(left(given), right(given))

    # ------------------------------------------------------------------ operands

    def operand(self) -> Operand:
        if self.peek() == "size" and self.peek(1) == "(":
            self.next()
            self.need("(")
            inner = self.operand()
            self.need(")")
            return lambda given: _size(inner(given))
        if self.peek().startswith(":"):
            name = self.next()
            return lambda given: given.values[name]
        path = self.path()
        return lambda given: _at(given.item, path, given.names)

    def path(self) -> Path:
        steps: list[str | int] = [self.next()]
        while self.peek() in (".", "["):
            if self.next() == ".":
                steps.append(self.next())
            else:
                steps.append(int(self.next()))
                self.need("]")
        return tuple(steps)

    # ------------------------------------------------------------------ updates

    def updates(self) -> list[Action]:
        found: list[Action] = []
        while clause := self.next().upper():
            read = {"SET": self.setting, "REMOVE": self.removing, "ADD": self.adding}[clause]
            found.append(read())
            while self.take(","):
                found.append(read())
        return found

    def setting(self) -> Action:
        path = self.path()
        self.need("=")
        value = self.sum()

        def action(given: Given, item: dict[str, Value]) -> None:
            found = value(given)
            assert found is not None, "an update's operand names nothing"
            _put(item, path, given.names, found)

        return action

    def sum(self) -> Operand:
        value = self.term()
        while self.peek() in ("+", "-"):
            sign, left, right = self.next(), value, self.term()
            value = _added(left, right, 1 if sign == "+" else -1)
        return value

    def term(self) -> Operand:
        if self.take("("):
            inner = self.sum()
            self.need(")")
            return inner
        if self.peek(1) == "(" and self.peek() in ("if_not_exists", "list_append"):
            name = self.next()
            self.need("(")
            left = self.sum()
            self.need(",")
            right = self.sum()
            self.need(")")
            return _or_else(left, right) if name == "if_not_exists" else _appended(left, right)
        return self.operand()

    def removing(self) -> Action:
        path = self.path()
        return lambda given, item: _remove(item, path, given.names)

    def adding(self) -> Action:
        path = self.path()
        amount = self.operand()

        def action(given: Given, item: dict[str, Value]) -> None:
            before, more = _at(given.item, path, given.names), amount(given)
            assert more is not None
            ((kind, told),) = more.items()
            if kind == "N":
                total = plain(before or {"N": "0"}) + Decimal(told)
                _put(item, path, given.names, {"N": str(total)})
            else:
                known = (before or {kind: []})[kind]
                new = [each for each in told if each not in known]
                _put(item, path, given.names, {kind: [*known, *new]})

        return action


def _exists(path: Operand) -> Condition:
    return lambda given: path(given) is not None


def _is_missing(path: Operand) -> Condition:
    return lambda given: path(given) is None


def _begins(path: Operand, prefix: Operand) -> Condition:
    def begins(given: Given) -> bool:
        text, start = plain(path(given)), plain(prefix(given))
        return text is not None and text.startswith(start)

    return begins


def _contains(path: Operand, part: Operand) -> Condition:
    def contains(given: Given) -> bool:
        whole, wanted = path(given), part(given)
        if whole is None or wanted is None:
            return False
        ((kind, told),) = whole.items()
        if kind == "L":
            return any(_same(each, wanted) for each in told)
        return next(iter(wanted.values())) in told

    return contains


def _has_type(path: Operand, kind: Operand) -> Condition:
    def has_type(given: Given) -> bool:
        value = path(given)
        return value is not None and plain(kind(given)) in value

    return has_type


_FUNCTIONS: dict[str, Callable[..., Condition]] = {
    "attribute_exists": _exists,
    "attribute_not_exists": _is_missing,
    "attribute_type": _has_type,
    "begins_with": _begins,
    "contains": _contains,
}


def _size(value: Value | None) -> Value | None:
    if value is None:
        return None
    ((kind, told),) = value.items()
    length = len(told.encode()) if kind == "S" else len(told)
    return {"N": str(length)}


def _added(left: Operand, right: Operand, sign: int) -> Operand:
    def added(given: Given) -> Value:
        first, second = left(given), right(given)
        assert first is not None, "an update adds to what is not there"
        return {"N": str(plain(first) + sign * plain(second))}

    return added


def _or_else(path: Operand, otherwise: Operand) -> Operand:
    def or_else(given: Given) -> Value | None:
        found = path(given)
        return otherwise(given) if found is None else found

    return or_else


def _appended(left: Operand, right: Operand) -> Operand:
    def appended(given: Given) -> Value:
        first, second = left(given), right(given)
        assert first is not None
        assert second is not None
        return {"L": [*first["L"], *second["L"]]}

    return appended


def _at(item: Item, path: Path, names: Mapping[str, str]) -> Value | None:
    first = path[0]
    value: Any = item.get(names.get(first, first))  # type: ignore[arg-type]
    for step in path[1:]:
        if value is None:
            return None
        if isinstance(step, int):
            among = value.get("L", [])
            value = among[step] if step < len(among) else None
        else:
            value = value.get("M", {}).get(names.get(step, step))
    return value  # type: ignore[no-any-return]


def _put(item: dict[str, Value], path: Path, names: Mapping[str, str], value: Value) -> None:
    if len(path) == 1:
        item[names.get(path[0], path[0])] = value  # type: ignore[arg-type,index]
        return
    inner = _inside(item, path, names)
    last = path[-1]
    if isinstance(last, int):
        inner[last:] = [value, *inner[last + 1 :]]
    else:
        inner[names.get(last, last)] = value


def _remove(item: dict[str, Value], path: Path, names: Mapping[str, str]) -> None:
    if len(path) == 1:
        item.pop(names.get(path[0], path[0]), None)  # type: ignore[arg-type]
        return
    inner, last = _inside(item, path, names), path[-1]
    if isinstance(last, int):
        del inner[last : last + 1]
    else:
        inner.pop(names.get(last, last), None)


def _inside(item: dict[str, Value], path: Path, names: Mapping[str, str]) -> Any:
    """Return the map or list that the path's last step is in: a copy, put in its place."""
    name = names.get(path[0], path[0])  # type: ignore[arg-type]
    value = item[name] = _copied(item[name])  # type: ignore[index]
    for step in path[1:-1]:
        inner = next(iter(value.values()))
        key = step if isinstance(step, int) else names.get(step, step)
        value = inner[key] = _copied(inner[key])
    return next(iter(value.values()))


def _copied(value: Value) -> Value:
    ((kind, told),) = value.items()
    return {kind: told.copy()}


@cache
def condition(text: str) -> Condition:
    """Return a condition, a filter or a condition on keys."""
    reader = _Reader(text)
    found = reader.either()
    assert not reader.peek(), f"{reader.peek()} is left over in {text!r}"
    return found


@cache
def update(text: str) -> Callable[[Given], dict[str, Value]]:
    """Return an update: of the item as it was to what it becomes."""
    actions = _Reader(text).updates()

    def updated(given: Given) -> dict[str, Value]:
        item = dict(given.item)
        for action in actions:
            action(given, item)
        return item

    return updated
