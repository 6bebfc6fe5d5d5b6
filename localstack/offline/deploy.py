"""`sam deploy` of the built template, unchanged, and what its engine leaves out."""

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from offline import cloud, refusals
from offline.build import SAM, TEMPLATE
from offline.children import Children, Command
from offline.environment import tool_environment

STACK = "carillon-local"
SENDER = "carillon@example.com"
SMS_IDENTITY = "arn:aws:sms-voice:us-east-1:000000000000:phone-number/phone-carillon"
WITHOUT = {
    "ComputedAlarms": "false",
    "SavedQueries": "false",
    "Tracing": "PassThrough",
    # It has a limit of its own, and takes no parameter for it.
    "BulkConcurrency": "0",
}
"""What the embedded cloud has not."""
TTL_ATTRIBUTE = "expires_at"


@dataclass(frozen=True)
class Api:
    """Where the deployed REST API answers."""

    id: str
    stage: str

    def url(self, endpoint: str) -> str:
        """Return its address on the embedded cloud, without a slash at the end."""
        return f"{endpoint}/_aws/execute-api/{self.id}/{self.stage}"


def run(
    children: Children,
    endpoint: str,
    state: Path,
    parameters: Mapping[str, str],
    template: Path = TEMPLATE,
) -> Api:
    """Deploy, and return the API that came of it."""
    command: Command = [
        SAM,
        "deploy",
        *("--template-file", template),
        *("--stack-name", STACK),
        "--resolve-s3",
        *("--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"),
        "--no-confirm-changeset",
        "--no-fail-on-empty-changeset",
        "--no-progressbar",
        *("--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items())),
    ]
    child = children.start(
        "sam deploy", command, tool_environment(endpoint), state / "deploy.log", serves=False
    )
    children.finish(child)
    with (
        cloud.client("cloudformation", endpoint) as formation,
        cloud.client("dynamodb", endpoint) as dynamodb,
        cloud.client("apigateway", endpoint) as gateway,
    ):
        enable_ttl(dynamodb, tables(formation, STACK))
        found = outputs(formation)
        refusals.put(gateway, template, found)
    return Api(id=found["ApiId"], stage=found["ApiStage"])


def standing(endpoint: str) -> Api | None:
    """Return the API of a stack that somebody deployed there already."""
    with cloud.client("cloudformation", endpoint) as formation:
        try:
            found = outputs(formation)
        except formation.exceptions.ClientError:
            return None
    return Api(id=found["ApiId"], stage=found["ApiStage"])


def parameters(api: str, sandbox: str) -> dict[str, str]:
    """Return the template's parameters: all that the product is told of where it runs."""
    return {
        "Stage": "local",
        # Nothing here looks at it; what was built is for this machine.
        "Architecture": "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64",
        "Release": f"local-{token_hex(4)}",
        "SenderEmail": SENDER,
        "PublicUrl": api,
        "SesEndpointUrl": sandbox,
        "SendgridBaseUrl": sandbox,
        "SmsEndpointUrl": sandbox,
        "SmsOriginationIdentity": SMS_IDENTITY,
        "TwilioBaseUrl": sandbox,
        "FcmBaseUrl": sandbox,
        "OpenRegistration": "true",
        **WITHOUT,
        # One laptop is one caller: it polls, and is measured, as fast as it can.
        "RateLimitPerMinute": "100000",
        "ThrottlingRateLimit": "5000",
        "ThrottlingBurstLimit": "5000",
    }


def outputs(formation: Any) -> dict[str, str]:
    """Return the stack's outputs by name."""
    (stack,) = formation.describe_stacks(StackName=STACK)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def tables(formation: Any, stack: str) -> Iterator[str]:
    """Yield the tables of a stack and of the stacks inside it."""
    pages = formation.get_paginator("list_stack_resources").paginate(StackName=stack)
    for resource in (found for page in pages for found in page["StackResourceSummaries"]):
        if resource["ResourceType"] == "AWS::DynamoDB::Table":
            yield resource["PhysicalResourceId"]
        elif resource["ResourceType"] == "AWS::CloudFormation::Stack":
            yield from tables(formation, resource["PhysicalResourceId"])


def enable_ttl(dynamodb: Any, names: Iterator[str]) -> None:
    """Let items expire: the engine's CloudFormation ignores TimeToLiveSpecification."""
    for name in names:
        described = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        if described["TimeToLiveStatus"] == "DISABLED":
            dynamodb.update_time_to_live(
                TableName=name,
                TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL_ATTRIBUTE},
            )
