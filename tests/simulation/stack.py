"""template.yaml and what it nests, as the resources that CloudFormation would make of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cloudformation import template

REGION, ACCOUNT = "us-east-1", "123456789012"
PSEUDO = {
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::StackName": "carillon",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::NoValue": None,
}
SERVICES = {
    "AWS::DynamoDB::Table": "dynamodb",
    "AWS::SQS::Queue": "sqs",
    "AWS::SNS::Topic": "sns",
    "AWS::S3::Bucket": "s3",
    "AWS::Serverless::Function": "lambda",
}
JSON = dict[str, Any]


@cache
def _template(path: str) -> JSON:
    return template(path)


@dataclass
class Resource:
    """One resource: its kind, its name, and its properties with every reference resolved."""

    kind: str
    name: str
    properties: JSON

    @property
    def arn(self) -> str:
        """The resource's ARN."""
        return arn(self.kind, self.name)


def arn(kind: str, name: str) -> str:
    """Return the ARN of a resource of ours."""
    service = SERVICES.get(kind, kind.lower().replace("::", "-"))
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{name}"


def queue_url(name: str) -> str:
    """Return the address of a queue of ours."""
    return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"


@dataclass
class Stack:
    """A template with its parameters; ``resources`` holds those of nested stacks too, by name."""

    path: str
    parameters: Mapping[str, Any]
    prefix: str = ""
    resources: dict[str, Resource] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.template = _template(self.path)
        declared = self.template.get("Parameters", {})
        self.values = {name: each.get("Default") for name, each in declared.items()}
        self.values |= self.parameters
        self.nested: dict[str, Stack] = {}
        self.own = {
            name: each
            for name, each in self.template["Resources"].items()
            if self._wanted(each.get("Condition"))
        }
        for name, each in self.own.items():
            if each["Type"] != "AWS::CloudFormation::Stack":
                continue
            told = each["Properties"]
            if told["TemplateURL"] in ("infra/dashboard.yaml", "infra/alarms.yaml"):
                continue  # nothing in them carries a message
            given = self.resolve(told.get("Parameters", {}))
            self.nested[name] = Stack(told["TemplateURL"], given, f"{self.prefix}{name}-")
            self.resources |= self.nested[name].resources
        for name, each in self.own.items():
            if each["Type"] in SERVICES or each["Type"] == "AWS::SNS::Subscription":
                properties = self.resolve(each.get("Properties", {}))
                self.resources[self.prefix + name] = Resource(
                    each["Type"], self.prefix + name, properties
                )

    def of(self, kind: str) -> list[Resource]:
        """Return the resources of one kind."""
        return [each for each in self.resources.values() if each.kind == kind]

    def resolve(self, value: Any) -> Any:
        """Return a value with its intrinsic functions replaced."""
        if isinstance(value, list):
            found = [self.resolve(each) for each in value]
            return [each for each in found if each is not None]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, told), *_ = value.items()
            if name == "Ref":
                return self._ref(told)
            if name.startswith("Fn::"):
                return getattr(self, "_" + name[4:].lower())(told)
        found = {name: self.resolve(each) for name, each in value.items()}
        return {name: each for name, each in found.items() if each is not None}

    def _wanted(self, condition: str | None) -> bool:
        return condition is None or bool(self.resolve(self.template["Conditions"][condition]))

    def _ref(self, name: str) -> Any:
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.values:
            return self.values[name]
        name = name.removesuffix(".Alias")  # SAM's word for the version that callers reach
        kind = self.template["Resources"][name]["Type"]
        if kind == "AWS::SQS::Queue":
            return queue_url(self.prefix + name)
        if kind == "AWS::SNS::Topic":
            return arn(kind, self.prefix + name)
        return self.prefix + name

    def _getatt(self, told: str | list[str]) -> Any:
        name, _, attribute = (told if isinstance(told, str) else ".".join(told)).partition(".")
        if attribute.startswith("Outputs."):
            stack = self.nested.get(name)
            if stack is None:
                return f"{name}.{attribute}"  # of a stack that carries no message
            return stack.resolve(stack.template["Outputs"][attribute[8:]]["Value"])
        kind = self.template["Resources"][name]["Type"]
        if attribute == "QueueName":
            return self.prefix + name
        if attribute == "QueueUrl":
            return queue_url(self.prefix + name)
        found = arn(kind, self.prefix + name)
        return found if attribute == "Arn" else f"{found}.{attribute}"

    def _sub(self, told: str | list[Any]) -> str:
        text, more = (told, {}) if isinstance(told, str) else told
        given = self.resolve(more)

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            if name in given:
                return str(given[name])
            return str(self._getatt(name) if "." in name else self._ref(name))

        return re.sub(r"\$\{([^}]+)\}", value, text)

    def _join(self, told: list[Any]) -> str:
        separator, parts = told
        return str(separator).join(map(str, self.resolve(parts)))

    def _if(self, told: list[Any]) -> Any:
        condition, then, otherwise = told
        return self.resolve(then if self._wanted(condition) else otherwise)

    def _condition(self, told: str) -> bool:
        return self._wanted(told)

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
        place, among = told
        return self.resolve(among)[int(place)]

    def _split(self, told: list[Any]) -> list[str]:
        separator, text = told
        return str(self.resolve(text)).split(separator)

    def _findinmap(self, told: list[Any]) -> Any:
        name, first, second = told
        return self.template["Mappings"][name][str(self.resolve(first))][str(self.resolve(second))]
