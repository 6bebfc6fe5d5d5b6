"""The one logger: JSON lines with the correlation id, never an address or a secret."""

import traceback
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger


@cache
def logger() -> Logger:
    """Return the process's logger."""
    return Logger(service="carillon", utc=True)


def trace(error: BaseException) -> dict[str, Any]:
    """Return an error's kind and where it came from, for a log line.

    Not its message: those of SDKs quote what they were given, addresses and tokens included.
    """
    steps = traceback.extract_tb(error.__traceback__)
    return {
        "kind": type(error).__name__,
        "trace": [f"{step.filename}:{step.lineno} {step.name}" for step in steps],
    }
