"""Where a deployed stage answers."""

from typing import TYPE_CHECKING

from carillon_client.errors import CarillonError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_s3 import S3Client

REAL = ".amazonaws.com"


class NotDeployedError(CarillonError):
    """There is no such stack, or it is not finished."""


def url(formation: "CloudFormationClient", stack: str) -> str:
    """Return the API's address; raises NotDeployedError.

    Behind AWS_ENDPOINT_URL (LocalStack, the embedded cloud) it is below that endpoint:
    https://docs.localstack.cloud/aws/services/apigateway/
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415 - an extra

    try:
        (found,) = formation.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        raise NotDeployedError(f"there is no stack {stack}") from None
    told = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
    if "ApiUrl" not in told:
        raise NotDeployedError(f"{stack} is {found['StackStatus']}")
    endpoint = formation.meta.endpoint_url
    if endpoint.partition("?")[0].rstrip("/").endswith((REAL, f"{REAL}.cn")):
        return told["ApiUrl"]
    return f"{endpoint}/_aws/execute-api/{told['ApiId']}/{told['ApiStage']}"


def remove(formation: "CloudFormationClient", s3: "S3Client", stack: str) -> None:
    """Delete a stack and wait until it is gone; raises NotDeployedError.

    CloudFormation deletes no bucket that holds something, so what is there goes first.
    """
    from botocore.exceptions import WaiterError  # noqa: PLC0415 - an extra

    url(formation, stack)
    pages = formation.get_paginator("list_stack_resources").paginate(StackName=stack)
    for resource in (found for page in pages for found in page["StackResourceSummaries"]):
        if resource["ResourceType"] == "AWS::S3::Bucket":
            _empty(s3, resource["PhysicalResourceId"])
    formation.delete_stack(StackName=stack)
    try:
        formation.get_waiter("stack_delete_complete").wait(
            StackName=stack, WaiterConfig={"Delay": 2, "MaxAttempts": 900}
        )
    except WaiterError:
        (found,) = formation.describe_stacks(StackName=stack)["Stacks"]
        why = found.get("StackStatusReason", "see its events")
        raise NotDeployedError(f"{stack} is {found['StackStatus']}: {why}") from None


def _empty(s3: "S3Client", bucket: str) -> None:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        keys = [{"Key": each["Key"]} for each in page.get("Contents", [])]
        if keys:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})  # type: ignore[typeddict-item]
