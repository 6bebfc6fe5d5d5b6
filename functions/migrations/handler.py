"""Migrations: brings stored items to the layout of this code, by `carillon stage migrate`."""

from dataclasses import asdict
from typing import Any, Protocol

from pydantic import ConfigDict, Field

from carillon import audit, migrations
from carillon.identity import Caller, Scope
from carillon.log import logger
from carillon.models import Shape

CALL = {"httpMethod": "INVOKE", "resource": "carillon stage migrate"}
"""What the audit trail calls it."""


class LambdaContext(Protocol):
    """What a slice of the work needs of the Lambda context."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the time left to this invocation."""


class Order(Shape):
    """What the command asks for; ``rate`` is items written a second, at most."""

    model_config = ConfigDict(extra="forbid")

    rate: float = Field(50, ge=1, le=1000)
    dry_run: bool = False
    again: bool = False  # from the first migration on
    cursor: str | None = None
    actor: str = Field(min_length=1, max_length=300)  # the ARN of whoever typed it


def lambda_handler(event: Any, context: LambdaContext) -> dict[str, Any]:
    """Do what the time allows and tell how far it came; the command calls again until done."""
    order = Order.model_validate(event)
    if order.dry_run:
        return _told(order, context)
    caller = Caller(order.actor, "default", frozenset({Scope.ADMIN}))
    entry = audit.entry_of(caller, Scope.ADMIN, CALL, context.aws_request_id)
    audit.begin(entry)
    if order.again:
        migrations.begin_again()
    told = _told(order, context)
    audit.end(entry, 200, None)
    return told


def _told(order: Order, context: LambdaContext) -> dict[str, Any]:
    progress = migrations.run(
        lambda: context.get_remaining_time_in_millis() / 1000,
        migrations.steady(order.rate),
        dry_run=order.dry_run,
        cursor=order.cursor,
    )
    told = asdict(progress)
    logger().info("migrated", extra={**told, "dry_run": order.dry_run})
    return told
