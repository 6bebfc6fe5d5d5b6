"""How routes are described: which answers, in which shapes (OpenAPI 3.1)."""

from http import HTTPStatus

from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from pydantic import BaseModel

from carillon.problems import PROBLEM, ProblemDocument


def responses(
    success: type[BaseModel], *refusals: int, status: int = 200
) -> dict[int, OpenAPIResponse]:
    """Return a route's OpenAPI responses: its success, and the problems it may answer."""
    documented: dict[int, OpenAPIResponse] = {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {"application/json": {"model": success}},
        }
    }
    for refusal in refusals:
        documented[refusal] = {
            "description": HTTPStatus(refusal).phrase,
            "content": {PROBLEM: {"model": ProblemDocument}},
        }
    return documented


def text_responses(content_type: str, *refusals: int) -> dict[int, OpenAPIResponse]:
    """Return the OpenAPI responses of a route that answers text."""
    documented = responses(ProblemDocument, *refusals)
    text: OpenAPIResponse = {
        "description": HTTPStatus(200).phrase,
        "content": {content_type: {"schema": {"type": "string"}}},
    }
    return documented | {200: text}


def no_content(*refusals: int) -> dict[int, OpenAPIResponse]:
    """Return the OpenAPI responses of a route that answers 204."""
    documented = responses(ProblemDocument, *refusals)
    del documented[200]
    return {204: {"description": HTTPStatus(204).phrase}, **documented}
