"""`sam local invoke`, with what the stack says in place of the template's references."""

import ipaddress
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from offline import relay
from offline.build import SAM
from offline.environment import tool_environment
from offline.functions import ARCHITECTURE, Configuration, Function
from offline.problems import OfflineError
from offline.runtime import Outcome

if TYPE_CHECKING:
    from offline.children import Command

TEMPLATE = "local.json"
DESKTOP = "host.docker.internal"
_LOOPBACK = re.compile(r"//(?:127\.0\.0\.1|localhost):(\d+)")


def answers() -> bool:
    """Tell whether there is a container engine that works."""
    try:
        found = subprocess.run(["docker", "info"], capture_output=True, timeout=30, check=False)  # noqa: S607 - the reader's own
    except (OSError, subprocess.TimeoutExpired):
        return False
    return found.returncode == 0


def invoke(
    function: Function,
    configured: Configuration,
    endpoint: str,
    event: Any,
    options: Sequence[str] = (),
) -> Outcome:
    """Run a function in a container; its log goes to standard error.

    Args:
        function: What was built.
        configured: What the stack says of it.
        endpoint: The cloud it calls.
        event: What it is called with.
        options: More of sam's own.
    """
    gateway = bridge()
    variables = {**configured.variables, "AWS_ENDPOINT_URL": endpoint}
    ports = {int(port) for value in variables.values() for port in _LOOPBACK.findall(value)}
    told = {name: _LOOPBACK.sub(rf"//{gateway}:\1", value) for name, value in variables.items()}
    file = function.folder.parent / TEMPLATE
    file.write_text(json.dumps(template(function, configured, told), indent=1))
    command: Command = [
        *(SAM, "local", "invoke", function.name, "--template", file, "--event", "-"),
        *options,
    ]
    # It asks STS who it is, and would ask again and again.
    env = tool_environment() | {"AWS_MAX_ATTEMPTS": "1"}
    with relay.open_to(gateway, ports) if gateway != DESKTOP else nullcontext():
        done = subprocess.run(  # noqa: S603
            command, env=env, input=json.dumps(event).encode(), stdout=subprocess.PIPE, check=False
        )
    return outcome(done.returncode, done.stdout)


def bridge() -> str:
    """Return how a container calls this machine: Docker's desktop has a name for it."""
    if sys.platform != "linux":
        return DESKTOP
    command = ["docker", "network", "inspect", "bridge", "--format", "{{json .IPAM.Config}}"]
    found = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    for each in json.loads(found.stdout or b"[]") or []:
        # Before its first container an engine does not tell, but takes the first of its addresses.
        return str(each.get("Gateway") or next(ipaddress.ip_network(each["Subnet"]).hosts()))
    raise OfflineError("the container engine has no bridge to this machine")


def template(
    function: Function, configured: Configuration, variables: Mapping[str, str]
) -> dict[str, Any]:
    """Return a template of one function: sam takes a variable only where a template has it."""
    layers = {
        name: {
            "Type": "AWS::Serverless::LayerVersion",
            "Properties": {"ContentUri": str(at), "CompatibleArchitectures": [ARCHITECTURE]},
        }
        for name, at in function.layers.items()
    }
    properties = {
        "Runtime": "python3.13",
        "Architectures": [ARCHITECTURE],
        "CodeUri": str(function.folder),
        "Handler": function.handler,
        "Layers": [{"Ref": name} for name in layers],
        "Timeout": configured.timeout,
        "MemorySize": configured.memory,
        "Environment": {"Variables": dict(variables)},
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {
            **layers,
            function.name: {"Type": "AWS::Serverless::Function", "Properties": properties},
        },
    }


def outcome(status: int, said: bytes) -> Outcome:
    """Return what sam said; it exits with 0 whatever became of the function."""
    if status:
        raise OfflineError(f"sam local invoke failed with {status}")
    lines = said.decode(errors="replace").strip().splitlines()
    payload = lines[-1].encode() if lines else b""
    try:
        answer: Any = json.loads(payload)
    except ValueError:
        raise OfflineError(
            f"the function gave no answer: {said.decode(errors='replace')}"
        ) from None
    failed = isinstance(answer, Mapping) and {"errorType", "errorMessage"} <= answer.keys()
    return Outcome(payload, failed)
