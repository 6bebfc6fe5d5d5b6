"""The bare handler that keeps what it is asked for: the same, and boto3 for one item."""

from functools import cache
from typing import Any

import boto3
from validated import Request  # type: ignore[import-not-found]  # beside it


@cache
def _dynamodb() -> Any:
    return boto3.client("dynamodb")


def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Keep the request."""
    request = Request.model_validate_json(event["body"])
    _dynamodb().put_item(TableName="cold", Item={"place": {"S": request.model_dump_json()}})
    return {"statusCode": 202}
