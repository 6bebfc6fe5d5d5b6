"""SnapStart: what a snapshot holds ready, and what each process restored from it has anew.

Nothing happens here unless Lambda starts the function to take a snapshot of it
(docs/adr/0025-cold-starts.md). Ids, tokens and nonces come from the kernel, which gives each of
them its own; `random`, which spreads retries and counters, would go on alike in all of them.
https://docs.aws.amazon.com/lambda/latest/dg/snapstart-uniqueness.html
"""

import random
from collections.abc import Callable

from carillon.settings import initialization_type

SNAPSHOT = "snap-start"


def hold_ready(*steps: Callable[[], object]) -> None:
    """Take the steps before a snapshot: what the first request would have to wait for.

    They may make clients, but read no secret: a snapshot would keep it.
    """
    if initialization_type() != SNAPSHOT:
        return
    # Lambda's runtime has it; imported where there is no snapshot, it would cost for nothing.
    from snapshot_restore_py import (  # noqa: PLC0415
        register_after_restore,
        register_before_snapshot,
    )

    for step in steps:
        register_before_snapshot(step)
    register_after_restore(random.seed)
