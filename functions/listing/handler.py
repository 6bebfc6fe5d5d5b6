"""Writes what each client sent, as the notifications' stream tells it, into the client's pages."""

from collections.abc import Mapping
from typing import Any

from carillon import pages
from carillon.log import logger


def lambda_handler(event: Mapping[str, Any], _context: object) -> None:
    """Keep a batch of DynamoDB stream records; what it raises makes the batch come again."""
    pages.keep(event["Records"])
    logger().info("listed", extra={"size": len(event["Records"])})
