"""Has a stage's own function bring its stored items to the layout of its code."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from carillon_client.errors import CarillonError

if TYPE_CHECKING:
    import boto3

FUNCTION = "MigrationsFunction"
SLICE_SECONDS = 90
"""Longer than the function may run."""


class MigrationError(CarillonError):
    """The function failed; what it did stays, and the next run goes on there."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What one call did."""

    number: int
    wanted: int
    about: str
    looked_at: int
    changed: int
    done: bool
    cursor: str | None


def run(
    session: "boto3.session.Session", stack: str, *, rate: float, dry_run: bool, again: bool
) -> Iterator[Slice]:
    """Yield what each call did, until all is done; raises MigrationError, ClientError."""
    from botocore.config import Config  # noqa: PLC0415 - an extra

    formation = session.client("cloudformation")
    told = formation.describe_stack_resource(StackName=stack, LogicalResourceId=FUNCTION)
    name = told["StackResourceDetail"]["PhysicalResourceId"]
    patient = Config(read_timeout=SLICE_SECONDS, retries={"total_max_attempts": 1})
    functions = session.client("lambda", config=patient)
    actor = session.client("sts").get_caller_identity()["Arn"]
    order: dict[str, Any] = {"rate": rate, "dry_run": dry_run, "actor": actor}
    order["again"] = again
    while True:
        reply = functions.invoke(
            FunctionName=name, Qualifier="live", Payload=json.dumps(order).encode()
        )
        answer = json.loads(reply["Payload"].read())
        if "FunctionError" in reply:
            raise MigrationError(f"{name} failed: {answer.get('errorMessage', answer)}")
        done = Slice(**answer)
        order["again"] = False
        yield done
        if done.done:
            return
        if dry_run:
            order["cursor"] = done.cursor
