"""Problem documents (RFC 9457) that also complete the envelope (docs/adr/0003-one-envelope.md)."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

from carillon.errors import Fault, Problem
from carillon.models import Meta, Shape

PROBLEM = "application/problem+json"


class FaultOut(Shape):
    """One place in the request that is wrong."""

    pointer: str
    message: str


class ErrorOut(Shape):
    """The error of the envelope."""

    code: str


class ProblemDocument(Shape):
    """RFC 9457's members, ours, and the envelope's."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[FaultOut]
    correlation_id: str
    success: Literal[False] = False
    data: None = None
    error: ErrorOut
    message: str
    meta: Meta


def problem_document(problem: Problem, instance: str, correlation: str) -> ProblemDocument:
    """Return the RFC 9457 document that also completes the envelope."""
    return ProblemDocument(
        type=f"https://carillon.example/problems/{problem.code}",
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.detail,
        instance=instance,
        code=problem.code,
        errors=[FaultOut(pointer=f.pointer, message=f.message) for f in problem.faults],
        correlation_id=correlation,
        error=ErrorOut(code=problem.code),
        message=problem.detail,
        meta=Meta(correlation_id=correlation),
    )


def invalid_request(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """Return the refusal for pydantic's ``errors``: 422 for a body, 400 for anything around it."""
    faults = [
        Fault(_pointer(error["loc"]), error["msg"].removeprefix("Value error, "))
        for error in errors
    ]
    status = 422 if any(error["loc"][0] == "body" for error in errors) else 400
    return Problem(status, "invalid-request", "The request does not fit the schema", faults=faults)


def _pointer(place: tuple[str | int, ...]) -> str:
    """JSON Pointer (RFC 6901, as a fragment) for a body field, else ``query:limit`` and so on."""
    where, *steps = place
    if where != "body":
        return ":".join(str(step) for step in place)
    named = (str(step) for step in steps if not _is_of_the_schema(step))
    return "/".join(["#", *(name.replace("~", "~0").replace("/", "~1") for name in named)])


def _is_of_the_schema(step: str | int) -> bool:
    """Tell whether pydantic added this step: a union's branch or a mark for a mapping's key."""
    return isinstance(step, str) and ("[" in step or step == "bool")
