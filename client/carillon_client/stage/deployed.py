"""Where a deployed stage answers."""

from typing import TYPE_CHECKING

from carillon_client.errors import CarillonError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

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
