"""What CloudFormation was told to make, and what the services say there is."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import cloudformation
from intrinsics import NOTHING, Intrinsics

Json = dict[str, Any]
Client = Callable[[str], Any]
ACCOUNT = "000000000000"
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
class Stack(Intrinsics):
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

    def resources(self) -> Iterator[tuple["Stack", str, str, Json]]:
        """Yield stack, logical name, type and resolved properties of each, nested ones too."""
        for name, each in self.wanted().items():
            if name in self.nested:
                yield from self.nested[name].resources()
            yield self, name, each["Type"], self.resolve(each.get("Properties", {}))

    def ref(self, name: str) -> Any:
        """Return a parameter's value, or the resource's physical id."""
        return self.values[name] if name in self.values else self.physical[name]

    def attribute(self, name: str, attribute: str) -> str:
        """Return an attribute as AWS forms it of the physical id; raises KeyError."""
        if attribute.startswith("Outputs."):
            nested = self.nested[name]
            return str(nested.resolve(nested.template["Outputs"][attribute[8:]]["Value"]))
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
