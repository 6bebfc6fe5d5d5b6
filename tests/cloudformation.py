"""Reads template.yaml and infra/ as data: the tests make what AWS would make of them."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: ``!Ref x`` becomes ``{"Ref": "x"}``."""


def _short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.SequenceNode):
        value: Any = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    else:
        value = node.value
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def template(path: str = "template.yaml") -> dict[str, Any]:
    """Return a template as data, the caller's own copy."""
    return deepcopy(_read(path))


def parsed(text: str) -> dict[str, Any]:
    """Return a template's text as data."""
    return dict(yaml.load(text, Loader=_Loader))  # noqa: S506 - a SafeLoader


@cache
def _read(path: str) -> dict[str, Any]:
    return parsed((ROOT / path).read_text())


def resources(kind: str, path: str = "template.yaml") -> dict[str, dict[str, Any]]:
    """Return the properties of a template's resources of one type, by logical name."""
    return {
        name: resource.get("Properties", {})
        for name, resource in template(path)["Resources"].items()
        if resource["Type"] == kind
    }
