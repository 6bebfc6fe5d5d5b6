"""What runs in the new process: import the handler, and give it an event.

Nothing that costs is imported before it. Called as `probe.py <module> <event file>`; the last line
of its output is JSON: when the handler was imported (time.monotonic, which processes share) and the
CPU time until then; then how long it took to the first AWS request, or to the answer.
"""

import sys
import time

MODULE, EVENT = sys.argv[1:]

handler = __import__(MODULE, fromlist=["lambda_handler"]).lambda_handler
imported, imported_cpu = time.monotonic(), time.process_time()

import json  # noqa: E402 - above it would be the handler's


class Reached(BaseException):
    """A request would go to AWS now. No handler catches it."""


class Context:
    """What handlers ask of Lambda's context."""

    aws_request_id = "cold"
    function_name = "cold"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:cold"

    def get_remaining_time_in_millis(self) -> int:
        """Return enough."""
        return 29_000


def reach(*_: object) -> None:
    """Stand where a host's address would be looked up."""
    raise Reached


def invoke() -> str:
    """Give the handler its event, and return how far it came."""
    if "socket" in sys.modules:
        import socket  # noqa: PLC0415 - the bare handler has none

        setattr(socket, "getaddrinfo", reach)  # noqa: B010 - of another type
    with open(EVENT, "rb") as file:  # noqa: PTH123 - pathlib would be the handler's
        event = json.load(file)
    try:
        handler(event, Context())
    except Reached:
        return "request"
    return "answer"


began, began_cpu = time.monotonic(), time.process_time()
end = invoke()
told = {
    "imported": imported,
    "imported_cpu": imported_cpu,
    "first": time.monotonic() - began,
    "first_cpu": time.process_time() - began_cpu,
    "end": end,
}
sys.stdout.write(f"\n{json.dumps(told)}\n")
