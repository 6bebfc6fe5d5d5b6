"""Variables from the command line: ``--var name=value``, over a file of JSON."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

Var = Annotated[
    list[str] | None,
    typer.Option("--var", metavar="NAME=VALUE", help="A variable; repeat it for more."),
]
Vars = Annotated[
    Path | None,
    typer.Option("--vars", exists=True, dir_okay=False, help="A JSON file of variables."),
]


def variables(var: list[str] | None, file: Path | None) -> dict[str, Any] | None:
    """Return the variables; one given by name wins over the file's."""
    if not var and not file:
        return None
    return (_read(file) if file else {}) | dict(map(_pair, var or []))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"not NAME=VALUE: {text}", param_hint="--var")
    return name, value


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
    except ValueError as error:
        raise typer.BadParameter(f"{file} is not JSON: {error}", param_hint="--vars") from None
    if not isinstance(found, dict):
        raise typer.BadParameter(f"{file} is not a JSON object", param_hint="--vars")
    return found
