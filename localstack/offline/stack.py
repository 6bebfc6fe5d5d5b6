"""A whole stack: the cloud, the built template on it, the sandbox and the gateway."""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from offline import build, cloud, deploy, gateway, providers, samples, secrets, warm, workspace
from offline.children import Children
from offline.environment import cloud_environment
from offline.fetch import await_health
from offline.lock import HOST, check_ports, only_run
from offline.progress import Steps

STATE = build.FOLDER


@dataclass(frozen=True)
class Ports:
    """Where the parts listen, on 127.0.0.1."""

    api: int = 8000
    sandbox: int = 8025
    cloud: int = 4566


@dataclass(frozen=True)
class Elsewhere:
    """A cloud that somebody else runs: LocalStack, or another of these.

    A stack that stands there is taken as it is.
    """

    endpoint: str
    sandbox: str = ""
    """Where its functions find the providers, if not where we do."""
    template: Path | None = None
    """What was built for its functions, if they do not run in our interpreter."""


@dataclass(frozen=True)
class Stack:
    """A stack that is running."""

    api: str
    sandbox: str
    cloud: str
    admin_token: str
    own_sandbox: bool
    children: Children

    def addresses(self) -> str:
        """Return as one JSON line what another program needs to use this stack."""
        names = ("api", "sandbox", "cloud", "admin_token")
        return json.dumps({name: getattr(self, name) for name in names})


def free_ports() -> Ports:
    """Return three ports that nothing listened on a moment ago."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(3)]
        for each in sockets:
            each.bind((HOST, 0))
        return Ports(*(each.getsockname()[1] for each in sockets))


@contextmanager
def running(  # noqa: PLR0913 - each has a default, and a caller names it
    ports: Ports | None = None,
    *,
    state: Path = STATE,
    sandbox_url: str = "",
    steps: Steps | None = None,
    variables: Mapping[str, str] | None = None,
    parameters: Mapping[str, str] | None = None,
    with_samples: bool = False,
    elsewhere: Elsewhere | None = None,
) -> Iterator[Stack]:
    """Run a stack for as long as the block takes, and leave no process behind.

    Args:
        ports: Where to listen; free ports unless given.
        state: The folder of its logs and its lock. Two stacks at once need two.
        sandbox_url: Providers to use instead of a sandbox of its own.
        steps: Where to show what is going on.
        variables: More environment for the cloud; its functions inherit it.
        parameters: Other values for the template's parameters.
        with_samples: Whether all that the sample events speak of is to be there, tokens included.
        elsewhere: A cloud that runs already, to deploy to instead of one of its own.
    """
    ports = ports or free_ports()
    steps = steps or Steps()
    api, endpoint = (f"http://{HOST}:{port}" for port in (ports.api, ports.cloud))
    endpoint = elsewhere.endpoint if elsewhere else endpoint
    sandbox = sandbox_url.rstrip("/") or f"http://{HOST}:{ports.sandbox}"
    inside = (elsewhere and elsewhere.sandbox) or sandbox
    template = (elsewhere and elsewhere.template) or build.TEMPLATE
    wanted = {"PORT": ports.api} | ({} if elsewhere else {"CLOUD_PORT": ports.cloud})
    with only_run(state, api) as lock:
        check_ports(wanted if sandbox_url else wanted | {"SANDBOX_PORT": ports.sandbox})
        tmp = workspace.folder(state)
        leftovers = (state / "run.json", tmp)
        (state / "run.json").unlink(missing_ok=True)
        with Children(leftovers, keep_open=(lock,)) as children:
            with build.alone():
                building = steps.begin("sam build")
                built = None if template != build.TEMPLATE else build.start(children, state)
                with steps.step("start the cloud and the sandbox"):
                    if not elsewhere:
                        told = cloud_environment(ports.cloud, tmp) | dict(variables or {})
                        engine = cloud.start(children, told, state)
                    if not sandbox_url:
                        stand_in = providers.start(children, ports.sandbox, state)
                        providers.await_ready(stand_in, sandbox)
                    if not elsewhere:
                        cloud.await_ready(engine, endpoint)
                with steps.step("store the secrets"):
                    admin_token = samples.ADMIN_TOKEN if with_samples else secrets.admin_token()
                    secrets.put(endpoint, inside, providers.smtp_port(sandbox), admin_token)
                if built:
                    built.finish(children)
                building.done()
                with steps.step("sam deploy"):
                    told = deploy.parameters(api, inside) | dict(parameters or {})
                    deployed = (elsewhere and deploy.standing(endpoint)) or deploy.run(
                        children, endpoint, state, told, template
                    )
            with steps.step("open the gateway"):
                front = gateway.start(
                    children, ports.api, deployed.url(endpoint), state / "gateway.log"
                )
                await_health(front, f"{api}/health")
            with steps.step("start the functions"):
                warm.workers(endpoint)
            stack = Stack(api, sandbox, endpoint, admin_token, not sandbox_url, children)
            if with_samples:
                with steps.step("put the samples"):
                    samples.put(stack)
            yield stack


def announce(stack: Stack, state: Path = STATE) -> Path:
    """Write run.json, whole or not at all."""
    target = state / "run.json"
    draft = state / "run.json.new"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{stack.addresses()}\n")
    draft.replace(target)
    return target
