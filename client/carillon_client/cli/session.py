"""What every command shares: the connection's options, ``--json``, and the exit codes."""

import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any, Concatenate, ParamSpec

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from carillon_client.cli import views
from carillon_client.client import Carillon
from carillon_client.errors import ApiError, CarillonError, NotEnded, TransportError
from carillon_client.models import Model

P = ParamSpec("P")

PANEL = "Connection and output"
Url = Annotated[
    str,
    typer.Option(envvar="CARILLON_URL", help="Where the API is.", rich_help_panel=PANEL),
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="CARILLON_TOKEN",
        help="The token; better given by the environment, which other users cannot read.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON, for programs.", rich_help_panel=PANEL)
]


class Exit(IntEnum):
    """What the exit code says."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_ENDED = 4


@dataclass(frozen=True, slots=True)
class Session:
    """A command's connection, and where it prints to."""

    client: Carillon
    as_json: bool
    out: Console

    def show(self, answer: Any, *parts: RenderableType) -> None:
        """Print ``answer`` as one line of JSON, or what people read of it."""
        if self.as_json:
            print(json.dumps(plain(answer), ensure_ascii=False))  # noqa: T201 - as it stands
            return
        for part in parts:
            self.out.print(views.safe(part) if isinstance(part, str) else part)


def plain(answer: Any) -> Any:
    """Return what the API said, as JSON."""
    if isinstance(answer, Model):
        return dict(answer.raw)
    return [plain(each) for each in answer] if isinstance(answer, list) else answer


def command(
    group: typer.Typer, name: str | None = None
) -> Callable[[Callable[Concatenate[Session, P], None]], Callable[Concatenate[Session, P], None]]:
    """Register a function as a command; it gets a session, and the connection's options."""

    def register(
        function: Callable[Concatenate[Session, P], None],
    ) -> Callable[Concatenate[Session, P], None]:
        def run(url: str, token: str | None, as_json: bool, **told: Any) -> None:
            out = Console(highlight=False)
            with _exit_codes(as_json), _connected(url, token) as client:
                function(Session(client, as_json, out), **told)  # type: ignore[call-arg]

        run.__name__, run.__doc__ = function.__name__, function.__doc__
        signature = _signature(function)
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        group.command(name)(run)
        return function

    return register


def _signature(function: Callable[..., None]) -> inspect.Signature:
    """Return the function's own parameters, and after them those of every command."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    own = list(inspect.signature(function).parameters.values())[1:]
    shared = [
        inspect.Parameter("url", keyword, annotation=Url),
        inspect.Parameter("token", keyword, annotation=Token, default=None),
        inspect.Parameter("as_json", keyword, annotation=AsJson, default=False),
    ]
    return inspect.Signature([each.replace(kind=keyword) for each in own] + shared)


@contextmanager
def _connected(url: str, token: str | None) -> Iterator[Carillon]:
    try:
        client = Carillon(url, token)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--url") from None
    with client:
        yield client


@contextmanager
def _exit_codes(as_json: bool) -> Iterator[None]:
    """Print what went wrong to standard error and leave with its exit code."""
    try:
        yield
    except CarillonError as error:
        err = Console(stderr=True, highlight=False)
        if as_json:
            err.print(json.dumps(_as_json(error)), markup=False, soft_wrap=True)
        else:
            for line in _as_text(error):
                err.print(line, soft_wrap=True)
        raise typer.Exit(_code(error)) from None


def _code(error: CarillonError) -> Exit:
    if isinstance(error, TransportError):
        return Exit.UNREACHABLE
    return Exit.NOT_ENDED if isinstance(error, NotEnded) else Exit.REFUSED


def _as_json(error: CarillonError) -> dict[str, Any]:
    told: dict[str, Any] = {"message": str(error), "notes": _notes(error)}
    if isinstance(error, ApiError):
        told |= {
            "status": error.status,
            "code": error.code,
            "message": error.detail,
            "errors": [{"pointer": e.pointer, "message": e.message} for e in error.errors],
            "correlation_id": error.correlation_id,
        }
    return {"error": told}


def _as_text(error: CarillonError) -> Iterator[Text]:
    yield Text.assemble(("error: ", "bold red"), views.safe(str(error)))
    for note in _notes(error):
        yield views.safe(f"  {note}")
    if isinstance(error, ApiError):
        for fault in error.errors:
            yield views.safe(f"  {fault.pointer}: {fault.message}")
        if error.correlation_id:
            yield views.safe(f"  correlation id: {error.correlation_id}", "dim")


def _notes(error: CarillonError) -> list[str]:
    return list(getattr(error, "__notes__", []))
