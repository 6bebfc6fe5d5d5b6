"""What is started: every function as built, laid out as Lambda does, and the bare handlers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from offline import functions
from offline.environment import ROOT

BARE, STORING = "bare handler", "bare handler with boto3"
EVENTS = ROOT / "events"
HERE = Path(__file__).parent
# Where a function has several samples, the one of what it is for.
CHOSEN = {
    "NotificationsFunction": "notifications-send",
    "InboxFunction": "inbox-read",
    "UsersFunction": "users-put",
    "TemplatesFunction": "templates-read",
    "AuthFunction": "auth-login",
    "HealthFunction": "health-dependencies",
}

Json = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """A handler, where it lies and what it is given."""

    name: str
    module: str
    folder: Path
    layers: tuple[Path, ...]
    event: Path
    variables: Mapping[str, str]


def all_of(scratch: Path) -> list[Subject]:
    """Return the bare handlers, then every function; builds what is not up to date."""
    folder = functions.bring_up_to_date(functions.ARCHITECTURE)
    template = yaml.safe_load((folder / "template.yaml").read_text())
    found = [_function(each, template) for _, each in sorted(functions.built(folder).items())]
    return [*_bare(scratch, found[0].layers), *found]


def _function(function: functions.Function, template: Json) -> Subject:
    properties = template["Resources"][function.name]["Properties"]
    told = [
        each.get("Environment", {}).get("Variables", {})
        for each in (template["Globals"]["Function"], properties)
    ]
    defaults = {
        name: str(each["Default"])
        for name, each in template["Parameters"].items()
        if "Default" in each
    }
    variables = {
        name: _resolved(name, value, defaults) for each in told for name, value in each.items()
    }
    return Subject(
        function.name,
        function.handler.rpartition(".")[0].replace("/", "."),
        function.folder,
        tuple(function.layers.values()),
        _event(function.name),
        variables,
    )


def _resolved(name: str, value: object, defaults: Mapping[str, str]) -> str:
    """Return a variable's value; one that only a deployment knows is made up."""
    if isinstance(value, dict):
        if value.get("Ref") in defaults:
            return defaults[value["Ref"]]
        if name == "CHANNEL_QUEUES":
            return "{}"
        return {
            "URL": "https://sqs.us-east-1.amazonaws.com/000000000000/cold",
            "ARN": "arn:aws:sns:us-east-1:000000000000:cold",
        }.get(name.rpartition("_")[2], "cold")
    return str(value)


def _event(name: str) -> Path:
    if name in CHOSEN:
        return EVENTS / f"{CHOSEN[name]}.json"
    kind = name.removesuffix("Function").lower()
    return next(path for path in sorted(EVENTS.glob("*.json")) if path.stem.startswith(kind))


def _bare(scratch: Path, layers: tuple[Path, ...]) -> list[Subject]:
    """Return the handlers that do nothing of ours, compiled as the build compiles."""
    for source in (HERE / "bare").glob("*.py"):
        (scratch / source.name).write_bytes(source.read_bytes())
    event = scratch / "event.json"
    body = {"channels": ["email"], "message": "Hello", "user_id": "42"}
    event.write_text(json.dumps({"body": json.dumps(body)}))
    return [
        Subject(name, module, scratch, layers, event, {})
        for name, module in ((BARE, "validated"), (STORING, "stored"))
    ]
