"""A request described once, for whichever transport makes it: where it goes, how it is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from carillon_client.models import Accepted, Json, Model, Repeated

T = TypeVar("T")
M = TypeVar("M", bound=Model)

PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True)
class Reply:
    """A success: the envelope's ``data`` and ``meta``, and the headers around them."""

    headers: Mapping[str, str]
    data: Any = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Slice(Generic[T]):
    """A page of a list and the cursor of the next."""

    items: list[T]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request, and how its answer is read.

    ``route`` is as the API's description spells it, with ``names`` to put into it. A call that is
    not ``repeatable`` is made again only when the first one surely never arrived.
    """

    method: str
    route: str
    read: Callable[[Reply], T]
    names: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Json | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True

    @property
    def path(self) -> str:
        """The path, with every name escaped."""
        names = {name: quote(value, safe="") for name, value in self.names.items()}
        return self.route.format_map(names)


def given(**values: Any) -> Json:
    """Return the values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def instant(when: datetime | None) -> str | None:
    """Return a time as the API reads it; a naive one is local, as datetime has it."""
    return when.astimezone().isoformat() if when else None


def matching(etag: str | None) -> dict[str, str]:
    """Return the header that makes a change conditional."""
    return {"If-Match": etag} if etag else {}


def keyed(idempotency_key: str | None) -> dict[str, str]:
    """Return the header that makes a request that comes again the same one."""
    return given(**{"Idempotency-Key": idempotency_key})


def accepted(reply: Reply) -> Accepted:
    """Read the answer to what was accepted."""
    return Accepted.of(reply.data, replayed=reply.headers.get("Idempotent-Replayed") == "true")


def repeated(reply: Reply) -> Repeated:
    """Read the answer to what sends a notification again."""
    return Repeated.of(reply.data, replayed=reply.headers.get("Idempotent-Replayed") == "true")


def one(kind: type[M]) -> Callable[[Reply], M]:
    """Return a reader of one object."""
    return lambda reply: kind.of(reply.data)


def tagged(kind: type[M]) -> Callable[[Reply], M]:
    """Return a reader of one object that has an entity tag."""
    return lambda reply: kind.of(reply.data, etag=reply.headers.get("ETag"))


def many(kind: type[M]) -> Callable[[Reply], list[M]]:
    """Return a reader of a whole list."""
    return lambda reply: [kind.of(each) for each in reply.data]


def page(kind: type[M]) -> Callable[[Reply], Slice[M]]:
    """Return a reader of a page of a list."""
    return lambda reply: Slice(
        [kind.of(each) for each in reply.data], reply.meta.get("next_cursor")
    )


def nothing(_: Reply) -> None:
    """Read an answer that says nothing."""
