"""template.yaml and what it nests, as the resources that CloudFormation would make of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cloudformation import template
from intrinsics import NOTHING, Intrinsics

REGION, ACCOUNT = "us-east-1", "123456789012"
PSEUDO = {
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::StackName": "carillon",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::NoValue": NOTHING,
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
class Stack(Intrinsics):
    """A template with its parameters; ``resources`` holds those of nested stacks too, by name."""

    path: str
    parameters: Mapping[str, Any]
    prefix: str = ""
    resources: dict[str, Resource] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.template = _template(self.path)
        declared = self.template.get("Parameters", {})
        self.values = {name: each.get("Default", NOTHING) for name, each in declared.items()}
        self.values |= self.parameters
        self.nested: dict[str, Stack] = {}
        own = self.wanted()
        for name, each in own.items():
            if each["Type"] != "AWS::CloudFormation::Stack":
                continue
            told = each["Properties"]
            if told["TemplateURL"] in ("infra/dashboard.yaml", "infra/alarms.yaml"):
                continue  # nothing in them carries a message
            given = self.resolve(told.get("Parameters", {}))
            self.nested[name] = Stack(told["TemplateURL"], given, f"{self.prefix}{name}-")
            self.resources |= self.nested[name].resources
        for name, each in own.items():
            if each["Type"] in SERVICES or each["Type"] == "AWS::SNS::Subscription":
                properties = self.resolve(each.get("Properties", {}))
                self.resources[self.prefix + name] = Resource(
                    each["Type"], self.prefix + name, properties
                )

    def of(self, kind: str) -> list[Resource]:
        """Return the resources of one kind."""
        return [each for each in self.resources.values() if each.kind == kind]

    def ref(self, name: str) -> Any:
        """Return a parameter's value, or what AWS would call the resource."""
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

    def attribute(self, name: str, attribute: str) -> Any:
        """Return an attribute as AWS forms it."""
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
