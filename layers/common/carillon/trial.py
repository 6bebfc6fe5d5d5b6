"""A template's test send: one real notification, accepted like any other."""

from collections.abc import Iterator
from contextlib import contextmanager

from carillon.errors import Fault, Problem
from carillon.messages import NotificationRequest, To
from carillon.template_models import TestSendRequest

_PLACES = {
    "#/template_code": "path:code",
    "#/template_version": "#/version",
    "#/user_id": "#/to/user_id",
    "#/channels/0": "#/channel",
}


def notification(code: str, request: TestSendRequest) -> NotificationRequest:
    """Return the notification that tests the template; its metadata say that it is a test."""
    to = request.to.model_dump(exclude={"user_id"}, exclude_none=True)
    return NotificationRequest(
        user_id=request.to.user_id,
        to=To(**to) if to else None,
        channels=[request.channel],
        template_code=code,
        template_version=request.version,
        variables=request.variables,
        locale=request.locale,
        metadata={"test_send": True},
    )


@contextmanager
def own_places() -> Iterator[None]:
    """Give a refusal of the notification the places in the request for the test."""
    try:
        yield
    except Problem as problem:
        faults = [Fault(_PLACES.get(f.pointer, f.pointer), f.message) for f in problem.faults]
        raise Problem(
            problem.status,
            problem.code,
            problem.detail,
            faults=faults,
            retry_after=problem.retry_after,
        ) from problem
