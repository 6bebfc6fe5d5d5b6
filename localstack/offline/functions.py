"""What `make build` built, and how a stack has configured it."""

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import BotoCoreError, ClientError

from offline import build, cloud, deploy
from offline.environment import ROOT
from offline.problems import OfflineError

BUILDS = ROOT / ".aws-sam"
ARCHITECTURE = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
"""What this machine can run."""


@dataclass(frozen=True)
class Function:
    """A function as it was built: its own files and its layers'."""

    name: str
    folder: Path
    handler: str
    layers: Mapping[str, Path]


@dataclass(frozen=True)
class Configuration:
    """A function as a stack has it: the template's words, its references resolved."""

    arn: str
    variables: Mapping[str, str]
    timeout: int
    """Seconds."""
    memory: int
    """MB."""
    log_level: str


def bring_up_to_date(architecture: str) -> Path:
    """Return the folder of a build, made anew when a source is younger."""
    folder = BUILDS / architecture
    made = folder / "template.yaml"
    if not made.exists() or any(_age(path) > _age(made) for path in build.sources(ROOT)):
        kept = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS")}
        command = ["make", "-s", f"build-{architecture}"]
        done = subprocess.run(command, cwd=ROOT, env=kept, capture_output=True, text=True)  # noqa: S603, PLW1510 - our own makefile
        if done.returncode:
            raise OfflineError(f"make build failed:\n{done.stdout}{done.stderr}")
    return folder


def built(folder: Path) -> dict[str, Function]:
    """Return what a build holds, by logical name."""
    template: dict[str, Any] = yaml.safe_load((folder / "template.yaml").read_text())
    shared = template["Globals"]["Function"]
    found = {}
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            told = shared | resource["Properties"]
            layers = [layer["Ref"] for layer in told["Layers"]]
            found[name] = Function(
                name,
                folder / told["CodeUri"],
                told["Handler"],
                {
                    layer: folder / template["Resources"][layer]["Properties"]["ContentUri"]
                    for layer in layers
                },
            )
    return found


def is_deployed(endpoint: str) -> bool:
    """Tell whether a cloud answers at an address, and has the stack."""
    try:
        with cloud.client("cloudformation", endpoint) as formation:
            formation.describe_stacks(StackName=deploy.STACK)
    except (BotoCoreError, ClientError):
        return False
    return True


def configured(endpoint: str, name: str) -> Configuration:
    """Return how the stack has a function."""
    with (
        cloud.client("cloudformation", endpoint) as formation,
        cloud.client("lambda", endpoint) as functions,
    ):
        resource = formation.describe_stack_resource(
            StackName=deploy.STACK, LogicalResourceId=name
        )["StackResourceDetail"]
        told = functions.get_function_configuration(FunctionName=resource["PhysicalResourceId"])
    return Configuration(
        told["FunctionArn"],
        told["Environment"]["Variables"],
        told["Timeout"],
        told["MemorySize"],
        told.get("LoggingConfig", {}).get("ApplicationLogLevel", "INFO"),
    )


def _age(path: Path) -> float:
    return path.stat().st_mtime
