"""The one logger: JSON lines with the correlation id, never an address or a secret."""

from functools import cache

from aws_lambda_powertools import Logger


@cache
def logger() -> Logger:
    """Return the process's logger."""
    return Logger(service="carillon", utc=True)
