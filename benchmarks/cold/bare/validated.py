"""The bare handler: it checks a request by a model and answers with JSON, and does no more."""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Request(BaseModel):
    """About what a notification asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user_id: str | None = None
    channels: list[str] = Field(min_length=1)
    template_code: str | None = None
    variables: dict[str, Any] = Field(default_factory=dict)
    message: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer with what was asked."""
    request = Request.model_validate_json(event["body"])
    return {"statusCode": 202, "body": json.dumps(request.model_dump())}
