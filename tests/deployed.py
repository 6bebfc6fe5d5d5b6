"""What CloudFormation was told to make, and what the services say there is."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import cloudformation

Json = dict[str, Any]
Client = Callable[[str], Any]
ACCOUNT = "000000000000"
NOTHING = object()
ATTRIBUTES = {
    ("AWS::SQS::Queue", "Arn"): "arn:aws:sqs:{where}:{last}",
    ("AWS::SQS::Queue", "QueueName"): "{last}",
    ("AWS::SQS::Queue", "QueueUrl"): "{made}",
    ("AWS::SNS::Topic", "TopicName"): "{version}",
    ("AWS::DynamoDB::Table", "Arn"): "arn:aws:dynamodb:{where}:table/{made}",
    ("AWS::Lambda::Function", "Arn"): "arn:aws:lambda:{where}:function:{made}",
    ("AWS::Lambda::Version", "Version"): "{version}",
    ("AWS::IAM::Role", "Arn"): "arn:aws:iam::{account}:role/{made}",
    ("AWS::S3::Bucket", "Arn"): "arn:aws:s3:::{made}",
    ("AWS::Events::Rule", "Arn"): "arn:aws:events:{where}:rule/{made}",
    ("AWS::Logs::LogGroup", "Arn"): "arn:aws:logs:{where}:log-group:{made}:*",
}
"""How AWS forms them: each service's page in the Service Authorization Reference."""


@dataclass
class Stack:
    """A stack as it was processed: its resources' properties, resolved; nested stacks' too."""

    client: Client
    name: str
    region: str
    template: Json = field(init=False)
    values: dict[str, Any] = field(init=False)
    physical: dict[str, str] = field(init=False)
    nested: dict[str, "Stack"] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        formation = self.client("cloudformation")
        found = formation.get_template(StackName=self.name, TemplateStage="Processed")
        self.template = parsed(found["TemplateBody"])
        (stack,) = formation.describe_stacks(StackName=self.name)["Stacks"]
        self.values = {
            name: each.get("Default") for name, each in self.template.get("Parameters", {}).items()
        } | {each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", [])}
        self.values |= {
            "AWS::Region": self.region,
            "AWS::AccountId": ACCOUNT,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": stack["StackName"],
            "AWS::NoValue": NOTHING,
        }
        pages = formation.get_paginator("list_stack_resources").paginate(StackName=self.name)
        made = [each for page in pages for each in page["StackResourceSummaries"]]
        self.physical = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in made}
        for name, each in self.wanted().items():
            if each["Type"] == "AWS::CloudFormation::Stack":
                self.nested[name] = Stack(self.client, self.physical[name], self.region)

    def wanted(self) -> dict[str, Json]:
        """Return the resources whose condition holds."""
        return {
            name: each
            for name, each in self.template["Resources"].items()
            if "Condition" not in each or self.holds(each["Condition"])
        }

    def resources(self) -> Iterator[tuple["Stack", str, str, Json]]:
        """Yield stack, logical name, type and resolved properties of each, nested ones too."""
        for name, each in self.wanted().items():
            if name in self.nested:
                yield from self.nested[name].resources()
            yield self, name, each["Type"], self.resolve(each.get("Properties", {}))

    def holds(self, condition: str) -> bool:
        return bool(self.resolve(self.template["Conditions"][condition]))

    def resolve(self, value: Any) -> Any:
        """Return a value with its intrinsic functions replaced."""
        if isinstance(value, list):
            return [x for x in map(self.resolve, value) if x is not NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, told),) = value.items()
            if name in ("Ref", "Condition") or name.startswith("Fn::"):
                return getattr(self, "_" + name.removeprefix("Fn::").lower())(told)
        found = {name: self.resolve(each) for name, each in value.items()}
        return {name: each for name, each in found.items() if each is not NOTHING}

    def _ref(self, name: str) -> Any:
        return self.values[name] if name in self.values else self.physical[name]

    def _condition(self, name: str) -> bool:
        return self.holds(name)

    def _getatt(self, told: str | list[str]) -> Any:
        name, _, attribute = (told if isinstance(told, str) else ".".join(told)).partition(".")
        if attribute.startswith("Outputs."):
            nested = self.nested[name]
            return nested.resolve(nested.template["Outputs"][attribute[8:]]["Value"])
        return self.attribute(name, attribute)

    def attribute(self, name: str, attribute: str) -> str:
        """Return an attribute as AWS forms it of the physical id; raises KeyError."""
        kind, made = self.template["Resources"][name]["Type"], self.physical[name]
        if attribute == "StreamArn":
            found = self.client("dynamodb").describe_table(TableName=made)["Table"]
            return str(found["LatestStreamArn"])
        if kind.startswith("AWS::IAM") and made.startswith("arn:"):
            return made
        where = f"{self.region}:{ACCOUNT}"
        named = {"made": made, "where": where, "account": ACCOUNT}
        last, version = made.rpartition("/")[2], made.rpartition(":")[2]
        return ATTRIBUTES[kind, attribute].format(last=last, version=version, **named)

    def _sub(self, told: str | list[Any]) -> str:
        text, more = (told, {}) if isinstance(told, str) else told
        given = self.resolve(more)

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in given:
                return str(given[name])
            return str(self._getatt(name) if "." in name else self._ref(name))

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

    def _findinmap(self, told: list[Any]) -> Any:
        name, first, second = self.resolve(told)
        return self.template["Mappings"][name][str(first)][str(second)]

    def _select(self, told: list[Any]) -> Any:
        place, among = self.resolve(told)
        return among[int(place)]

    def _split(self, told: list[Any]) -> list[str]:
        separator, text = self.resolve(told)
        return list(text.split(separator))


def parsed(body: Any) -> Json:
    """Return a template's text, JSON or YAML, as data."""
    if isinstance(body, str):
        is_json = body.lstrip().startswith("{")
        return dict(json.loads(body)) if is_json else cloudformation.parsed(body)
    return dict(body)


def plain(value: Any) -> Any:
    """Return a value so that 30, "30", true and "true" compare as CloudFormation takes them.

    In no list of what is deployed does the order mean anything.
    """
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set):
        return sorted(map(plain, value), key=repr)
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)
