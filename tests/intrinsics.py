"""CloudFormation's intrinsic functions; what a name stands for is said by whoever resolves."""

import re
from abc import ABC, abstractmethod
from typing import Any

NOTHING = object()
"""What AWS::NoValue stands for: the property is left out."""


class Intrinsics(ABC):
    """Resolves a template's values."""

    template: dict[str, Any]

    @abstractmethod
    def ref(self, name: str) -> Any:
        """Return what ``Ref`` of a parameter or a resource stands for."""

    @abstractmethod
    def attribute(self, name: str, attribute: str) -> Any:
        """Return a resource's attribute, or a nested stack's output."""

    def resolve(self, value: Any) -> Any:
        """Return a value with its intrinsic functions replaced."""
        if isinstance(value, list):
            return [each for each in map(self.resolve, value) if each is not NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, told),) = value.items()
            if name in ("Ref", "Condition") or name.startswith("Fn::"):
                return getattr(self, "_" + name.removeprefix("Fn::").lower())(told)
        found = {name: self.resolve(each) for name, each in value.items()}
        return {name: each for name, each in found.items() if each is not NOTHING}

    def holds(self, condition: str | None) -> bool:
        """Tell whether a condition is true; without one it is."""
        return condition is None or bool(self.resolve(self.template["Conditions"][condition]))

    def wanted(self) -> dict[str, dict[str, Any]]:
        """Return the resources whose condition holds."""
        return {
            name: each
            for name, each in self.template["Resources"].items()
            if self.holds(each.get("Condition"))
        }

    def _ref(self, name: str) -> Any:
        return self.ref(name)

    def _condition(self, name: str) -> Any:
        # Of a statement in a policy it is a property, and not one of ours.
        return self.holds(name) if isinstance(name, str) else {"Condition": self.resolve(name)}

    def _getatt(self, told: str | list[str]) -> Any:
        name, _, attribute = (told if isinstance(told, str) else ".".join(told)).partition(".")
        return self.attribute(name, attribute)

    def _sub(self, told: str | list[Any]) -> str:
        text, more = (told, {}) if isinstance(told, str) else told
        given = self.resolve(more)

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in given:
                return str(given[name])
            return str(self._getatt(name) if "." in name else self.ref(name))

        return re.sub(r"\$\{([^}]+)\}", value, text)

    def _join(self, told: list[Any]) -> str:
        separator, parts = told
        return str(separator).join(map(str, self.resolve(parts)))

    def _if(self, told: list[Any]) -> Any:
        condition, then, otherwise = told
        return self.resolve(then if self.holds(condition) else otherwise)

    def _equals(self, told: list[Any]) -> bool:
        first, second = self.resolve(told)
        return str(first) == str(second)

    def _not(self, told: list[Any]) -> bool:
        return not self.resolve(told)[0]

    def _and(self, told: list[Any]) -> bool:
        return all(self.resolve(told))

    def _or(self, told: list[Any]) -> bool:
        return any(self.resolve(told))

    def _select(self, told: list[Any]) -> Any:
        place, among = self.resolve(told)
        return among[int(place)]

    def _split(self, told: list[Any]) -> list[str]:
        separator, text = self.resolve(told)
        return str(text).split(separator)

    def _findinmap(self, told: list[Any]) -> Any:
        name, first, second = self.resolve(told)
        return self.template["Mappings"][name][str(first)][str(second)]
