"""Many notifications in one request: each accepted, or refused, by itself."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue, ValidationError

from carillon import intake, legs
from carillon.errors import Fault, Problem, bad_field
from carillon.identity import Caller
from carillon.messages import NotificationRequest, canonical_json
from carillon.models import Shape
from carillon.problems import invalid_request
from carillon.publishing import Letter, publish_all
from carillon.recipients import read_together
from carillon.status import Accepted, accepted
from carillon.storage import create_many

Item = Mapping[str, JsonValue]
Found = intake.Draft | intake.Accepted | Problem
"""What an item comes to before anything is written."""


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
    sent again with its key sends nothing twice. Readers are read, notifications recorded and
    messages published many in a call.
    """
    requests = [_request(item) for item in items]
    good = [each for each in requests if isinstance(each, NotificationRequest)]
    readers = read_together(caller.tenant, good)

    def drafted(place: int, request: NotificationRequest | Problem) -> Found:
        if isinstance(request, Problem):
            return request
        own_key = request.request_id or (f"{key}:{place}" if key else None)

        def make(notification_id: str) -> intake.Decision:
            return intake.decide(caller, request, notification_id, correlation_id, readers)

        try:
            return intake.draft(caller, own_key, canonical_json(items[place]), make)
        except Problem as problem:
            return problem

    ended = _recorded([drafted(place, request) for place, request in enumerate(requests)])
    done = [_out(place, each) for place, each in enumerate(ended)]
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


def _recorded(found: Sequence[Found]) -> list[intake.Accepted | Problem]:
    """Record and publish what are drafts; the first of each key together, the others after."""
    first: dict[str, intake.Draft] = {}
    for each in found:
        if isinstance(each, intake.Draft):
            first.setdefault(each.record.place, each)
    drafts = list(first.values())
    written = create_many([each.record for each in drafts])
    new = [each for each, is_new in zip(drafts, written, strict=True) if is_new]
    queued = publish_all(
        [Letter(each.message, legs.first(each.message), each.record.message) for each in new]
    )
    ended = {
        id(each): intake.Accepted(each.record, replayed=False)
        if is_queued
        else intake.not_queued(each.record)
        for each, is_queued in zip(new, queued, strict=True)
    }
    return [_ended(each, ended) for each in found]


def _ended(
    found: Found, ended: Mapping[int, intake.Accepted | Problem]
) -> intake.Accepted | Problem:
    if not isinstance(found, intake.Draft):
        return found
    if id(found) in ended:
        return ended[id(found)]
    try:
        return intake.record(found)
    except Problem as problem:
        return problem


def _out(place: int, ended: intake.Accepted | Problem) -> ItemOut:
    if isinstance(ended, Problem):
        return ItemOut(index=place, status=ended.status, error=_error(ended, place))
    told = accepted(ended.record)
    return ItemOut(index=place, status=202, replayed=ended.replayed, notification=told)


def _request(item: Item) -> NotificationRequest | Problem:
    try:
        request = NotificationRequest.model_validate(item)
    except ValidationError as error:
        faults = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        return invalid_request(faults)
    if request.dry_run:
        return bad_field("#/dry_run", "a batch is not tried dry")
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
