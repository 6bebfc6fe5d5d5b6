"""How a source system's request becomes one of ours, and our answer one of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from carillon import relay
from carillon.relay import Json, Reply, Target

Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of an alias: API Gateway's event, and what was read from it."""

    event: Json
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any

    def given(self, kind: type[Body]) -> Body:
        """Return the body, which the resolver has made one of ``kind``."""
        if not isinstance(self.body, kind):
            raise TypeError(f"the table says {type(self.body).__name__}, not {kind.__name__}")
        return self.body

    def of(
        self,
        target: Target,
        body: Json | None = None,
        *,
        user_id: str | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask one of our routes for the same caller; raises Refused."""
        path = {**self.path, **({"user_id": user_id} if user_id else {})}
        wanted = {name: path[name] for name in path if f"{{{name}}}" in target.route}
        return relay.ask(
            self.event, target, path=wanted, query=query or {}, body=body, headers=headers or {}
        )


@dataclass(frozen=True, slots=True)
class Told:
    """An answer in the source's words, and ours that it was made of."""

    body: Json | list[Json]
    reply: Reply


Translation = Callable[[Asked], Told]
"""Asks us what the source was asked, and tells the answer in its words; raises Refused."""


@dataclass(frozen=True, slots=True)
class Source:
    """How a source system refuses: its codes for ours, and its words where they are all it says.

    ``codes`` are by our problem code or by our status. ``names`` are its fields for ours.
    """

    name: str
    codes: Mapping[int | str, int] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Alias:
    """One route of a source system, and the one of ours that it stands for.

    ``needs`` and ``query`` are the query parameters it must and may have; ``status`` is that of
    its success, ``refusals`` what it may answer else.
    """

    source: Source
    method: str
    path: str
    target: Target
    summary: str
    serve: Translation
    answer: type[BaseModel]
    body: type[BaseModel] | None = None
    needs: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    refusals: tuple[int, ...] = ()
    codes: Mapping[int | str, int] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def status_for(self, status: int, code: str) -> int:
        """Return the source's status for a refusal of ours."""
        for codes in (self.codes, self.source.codes):
            if code in codes:
                return codes[code]
            if status in codes:
                return codes[status]
        return status

    def pointer(self, pointer: str) -> str:
        """Return a place in our request as the place in the source's."""
        for ours, theirs in {**self.names, **self.source.names}.items():
            if f"{pointer}/".startswith(f"#/{ours}/"):
                return f"#/{theirs}"
        return pointer
