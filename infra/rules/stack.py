"""A template and the templates inside it, as the house's rules look at them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cfnlint.decode import decode
from cfnlint.template import Template

Json = dict[str, Any]
FUNCTION = "AWS::Serverless::Function"


def of_type(cfn: Template, *kinds: str) -> Iterator[tuple[str, Json]]:
    """Yield name and body of the resources of some types."""
    for name, resource in cfn.template.get("Resources", {}).items():
        if resource.get("Type") in kinds:
            yield name, resource


def listed(value: Any) -> list[Any]:
    """Return a value that may be one or many as many."""
    return value if isinstance(value, list) else [value]


def nested(cfn: Template) -> Iterator[tuple[str, Json, Json]]:
    """Yield name, template and parameters of every stack inside that is a file here."""
    if not cfn.filename:
        return
    for name, resource in of_type(cfn, "AWS::CloudFormation::Stack"):
        told = resource["Properties"]
        path = Path(cfn.filename).parent / str(told["TemplateURL"])
        if path.is_file():
            template, _ = decode(str(path))
            defaults = {
                key: parameter["Default"]
                for key, parameter in template.get("Parameters", {}).items()
                if "Default" in parameter
            }
            yield name, template, defaults | dict(told.get("Parameters", {}))


def number(value: Any, template: Json, parameters: Mapping[str, Any]) -> int | None:
    """Return what a value comes to, or None when it cannot be told before the deployment."""
    if isinstance(value, dict) and len(value) == 1:
        ((intrinsic, told),) = value.items()
        if intrinsic == "Ref":
            return number(parameters.get(told), template, parameters)
        if intrinsic == "Fn::FindInMap":
            name, first, second = told
            key = first["Ref"] if isinstance(first, dict) else first
            row = str(parameters.get(key, key))
            found = template["Mappings"][name].get(row, {})
            return number(found.get(second), template, parameters)
        return None
    return int(value) if re.fullmatch(r"\d+", str(value)) else None


def defaults(template: Json) -> dict[str, Any]:
    """Return the defaults of a template's parameters."""
    return {
        name: parameter["Default"]
        for name, parameter in template.get("Parameters", {}).items()
        if "Default" in parameter
    }


def queue_behind(cfn: Template, value: Any) -> tuple[Json, Json, Mapping[str, Any]] | None:
    """Return the queue that an ARN is of, with its template and the parameters of that."""
    if not isinstance(value, dict) or "Fn::GetAtt" not in value:
        return None
    told = value["Fn::GetAtt"]
    name, attribute = (told[0], ".".join(told[1:])) if isinstance(told, list) else _split(told)
    if attribute == "Arn":
        resource = cfn.template["Resources"].get(name, {})
        return resource.get("Properties", {}), cfn.template, defaults(cfn.template)
    for stack, template, parameters in nested(cfn):
        if stack == name:
            output = template["Outputs"][attribute.removeprefix("Outputs.")]["Value"]
            inner = output["Fn::GetAtt"]
            queue = inner[0] if isinstance(inner, list) else _split(inner)[0]
            return template["Resources"][queue]["Properties"], template, parameters
    return None


def _split(path: str) -> tuple[str, str]:
    name, _, attribute = path.partition(".")
    return name, attribute


def statements(resource: Json) -> Iterator[tuple[list[Any], Json]]:
    """Yield path and body of the statements of a function, role or policy."""
    told = resource.get("Properties", {})
    if "PolicyDocument" in told:
        for i, statement in enumerate(listed(told["PolicyDocument"].get("Statement", []))):
            yield ["Properties", "PolicyDocument", "Statement", i], statement
    for i, policy in enumerate(listed(told.get("Policies", []))):
        if isinstance(policy, dict):
            document = policy.get("PolicyDocument", policy)
            for j, statement in enumerate(listed(document.get("Statement", []))):
                yield ["Properties", "Policies", i, "Statement", j], statement


def strings(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[list[Any], str]]:
    """Yield every string in a value with its path."""
    if isinstance(value, str):
        yield list(path), value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from strings(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from strings(inner, (*path, i))
