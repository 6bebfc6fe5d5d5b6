"""Many notifications in one request: each accepted, or refused, by itself."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue, ValidationError

from carillon import intake
from carillon.errors import Fault, Problem, bad_field
from carillon.identity import Caller
from carillon.messages import NotificationRequest, canonical_json
from carillon.models import Shape
from carillon.problems import invalid_request
from carillon.status import Accepted, accepted

Item = Mapping[str, JsonValue]


class ItemFault(Shape):
    """One place in an item that is wrong."""

    pointer: str
    message: str


class ItemError(Shape):
    """Why an item was refused."""

    code: str
    detail: str
    errors: list[ItemFault]


class ItemOut(Shape):
    """What came of one item: ``status`` is what it would have been answered by itself."""

    index: int
    status: int
    replayed: bool = False
    notification: Accepted | None = None
    error: ItemError | None = None


class BatchOut(Shape):
    """What came of each item, in their order."""

    accepted: int
    refused: int
    items: list[ItemOut]


def accept_all(
    caller: Caller, items: Sequence[Item], key: str | None, correlation_id: str
) -> BatchOut:
    """Accept each item; raises Problem (400) when none is valid.

    An item's own key is its ``request_id``, else the batch's key and its place: a batch that is
    sent again with its key sends nothing twice.
    """
    done = [
        _accept(caller, place, item, f"{key}:{place}" if key else None, correlation_id)
        for place, item in enumerate(items)
    ]
    valid = sum(item.notification is not None for item in done)
    if not valid:
        faults = [
            Fault(fault.pointer, fault.message)
            for item in done
            if item.error
            for fault in item.error.errors
        ]
        raise Problem(400, "none-accepted", "No item could be accepted", faults=faults)
    return BatchOut(accepted=valid, refused=len(done) - valid, items=done)


def _accept(
    caller: Caller, place: int, item: Item, key: str | None, correlation_id: str
) -> ItemOut:
    try:
        request = _request(item)
        own_key = None if request.request_id else key
        taken = intake.accept(caller, request, canonical_json(item), own_key, correlation_id)
    except Problem as problem:
        return ItemOut(index=place, status=problem.status, error=_error(problem, place))
    told = accepted(taken.record)
    return ItemOut(index=place, status=202, replayed=taken.replayed, notification=told)


def _request(item: Item) -> NotificationRequest:
    try:
        request = NotificationRequest.model_validate(item)
    except ValidationError as error:
        faults = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise invalid_request(faults) from None
    if request.dry_run:
        raise bad_field("#/dry_run", "a batch is not tried dry")
    return request


def _error(problem: Problem, place: int) -> ItemError:
    faults = [
        ItemFault(pointer=_within(fault.pointer, place), message=fault.message)
        for fault in problem.faults
    ]
    return ItemError(code=problem.code, detail=problem.detail, errors=faults)


def _within(pointer: str, place: int) -> str:
    """Return a pointer into an item as one into the batch."""
    return f"#/items/{place}{pointer.removeprefix('#')}" if pointer.startswith("#") else pointer
