"""The one logger: JSON lines with the correlation id, never an address or a secret."""

import logging
import traceback
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger


@cache
def logger() -> Logger:
    """Return the process's logger; the libraries' own say only what is wrong.

    Lambda's JSON logging sets the root to INFO, where an SDK tells of each client that it makes.
    """
    for library in ("botocore", "pynamodb"):
        logging.getLogger(library).setLevel(logging.WARNING)
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
