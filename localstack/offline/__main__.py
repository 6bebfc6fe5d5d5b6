"""`python -m offline`: what `make run` does."""

import os
import signal
import sys
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape

from offline import demo, parent
from offline.problems import OfflineError
from offline.progress import Steps
from offline.stack import Ports, Stack, announce, running

INTERRUPTED = 130
PLAIN_WIDTH = 160
_LARGEST_PORT = 65535


def main() -> int:
    """Run until stopped; the exit status says whether all went well."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    serving = threading.Event()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parent.follow()
    try:
        run(console, os.environ, serving)
    except KeyboardInterrupt:
        return 0 if serving.is_set() else INTERRUPTED
    except OfflineError as error:
        console.print(f"[red]{escape(str(error))}[/]", soft_wrap=True)
        if error.tail():
            console.print(escape(error.tail()), soft_wrap=True)
        return 1
    return 0


def run(console: Console, environment: Mapping[str, str], serving: threading.Event) -> None:
    """Start the stack, show that it works, and serve."""
    ports = Ports(
        port(environment, "PORT", Ports.api),
        port(environment, "SANDBOX_PORT", Ports.sandbox),
        port(environment, "CLOUD_PORT", Ports.cloud),
    )
    steps = Steps(console)
    with steps, running(ports, sandbox_url=sandbox_url(environment), steps=steps) as stack:
        with steps.step("send a notification through every channel"):
            arrivals = demo.run(stack)
        steps.close()
        console.print(demo.table(arrivals))
        demo.check(arrivals)
        file = announce(stack)
        console.print(stack.addresses(), soft_wrap=True)
        if environment.get("ONCE", "") not in ("", "0"):
            return
        serving.set()
        console.print(where_next(stack, str(file)))
        lost = stack.children.first_exit()
        raise lost.failed(f"{lost.name} ended by itself")


def port(environment: Mapping[str, str], name: str, otherwise: int) -> int:
    """Return a port from the environment."""
    given = environment.get(name) or str(otherwise)
    if not given.isdecimal() or not 0 < int(given) <= _LARGEST_PORT:
        raise OfflineError(f"{name}={given} is not a port")
    return int(given)


def sandbox_url(environment: Mapping[str, str]) -> str:
    """Return the address of somebody else's providers, if there is one."""
    given = environment.get("SANDBOX_URL", "")
    if given and (urlsplit(given).scheme not in ("http", "https") or not urlsplit(given).netloc):
        raise OfflineError(f"SANDBOX_URL={given} is not an http address")
    return given


def where_next(stack: Stack, file: str) -> str:
    """Return the addresses a person goes to next."""
    return (
        f"\n  the API      {stack.api}/api/v1"
        f"\n  its pages    {stack.api}/docs"
        f"\n  the sandbox  {stack.sandbox}"
        f"\n  this stack   {escape(file)}"
        "\n\nCtrl-C stops it."
    )


if __name__ == "__main__":
    sys.exit(main())
