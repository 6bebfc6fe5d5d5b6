"""Every minute: mend what was accepted and does not get on."""

from typing import Any

from carillon import metrics
from carillon.delivery import LambdaContext
from carillon.log import logger
from carillon.sweep import Sweep


def lambda_handler(_event: Any, context: LambdaContext) -> dict[str, int]:
    """Make one run; what it leaves the next one does."""
    sweep = Sweep(lambda: context.get_remaining_time_in_millis() / 1000)
    sweep.run()
    logger().set_correlation_id(None)
    told = {"looked_at": sweep.looked_at, "mended": sweep.mended}
    logger().info("swept", extra=told)
    metrics.end()
    return told
