"""`python -m offline.invoke <function> <event>`: what `make invoke` does.

The function calls the cloud at AWS_ENDPOINT_URL, or that of a running `make run`; where there is
neither, a stack of its own with all that the sample events speak of, for this one call.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from offline import engine, functions, parent, samples
from offline.__main__ import port
from offline.lock import HOST
from offline.problems import OfflineError
from offline.progress import Steps
from offline.runtime import Outcome, Worker
from offline.stack import Ports, running


def main(arguments: Sequence[str]) -> int:
    """Invoke; the exit status says whether the function failed."""
    parent.follow()
    try:
        name, event = arguments
        outcome = invoke(name, Path(event), os.environ)
    except OfflineError as error:
        say(str(error))
        if error.tail():
            say(error.tail())
        return 1
    sys.stdout.write(f"{outcome.payload.decode(errors='replace')}\n")
    return int(outcome.failed)


def invoke(name: str, event: Path, environment: Mapping[str, str]) -> Outcome:
    """Run one function with one event, in a container where there is an engine."""
    if not event.is_file():
        raise OfflineError(f"there is no {event}")
    wanted = environment.get("ENGINE", "")
    contained = wanted == "docker" or (wanted != "none" and engine.answers())
    if not contained and sys.platform != "linux":
        raise OfflineError("without a container engine, functions run on Linux alone")
    found = functions.built(functions.bring_up_to_date(functions.ARCHITECTURE))
    if name not in found:
        raise OfflineError(f"{name} is none of {', '.join(sorted(found))}")
    with cloud_of(environment) as endpoint:
        configured = functions.configured(endpoint, name)
        told = samples.fitted(json.loads(event.read_bytes()), configured.variables)
        if contained:
            options = environment.get("SAM_OPTIONS", "").split()
            return engine.invoke(found[name], configured, endpoint, told, options)
        say("no container engine: under AWS's runtime client instead")
        with Worker(found[name], configured, endpoint, sys.stderr.buffer) as worker:
            return worker.invoke(json.dumps(told).encode())


@contextmanager
def cloud_of(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the address of a cloud that has the stack."""
    given = environment.get("AWS_ENDPOINT_URL", "")
    endpoint = given or f"http://{HOST}:{port(environment, 'CLOUD_PORT', Ports.cloud)}"
    if functions.is_deployed(endpoint):
        yield endpoint
        return
    if given:
        raise OfflineError(f"AWS_ENDPOINT_URL={given} does not answer, or has no stack")
    say(f"no stack at {endpoint}: starting one for this call (make run keeps one)")
    steps = Steps(Console(stderr=True, highlight=False))
    with (
        tempfile.TemporaryDirectory(prefix="carillon-") as state,
        steps,
        running(state=Path(state), with_samples=True, steps=steps) as stack,
    ):
        steps.close()
        yield stack.cloud


def say(line: str) -> None:
    """Tell people; standard output is the function's."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
