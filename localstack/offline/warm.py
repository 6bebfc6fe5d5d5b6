"""Starts the functions behind the queues side by side, before anybody waits for them.

Unpacking and importing take seconds here and would be all that a first message's time shows. It
also finds at once the function that cannot start, which its queue would only retry in silence.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from offline import cloud
from offline.problems import OfflineError

EMPTY_BATCH = b'{"Records": []}'


def workers(endpoint: str) -> None:
    """Give every function that reads a queue an empty batch."""
    with cloud.client("lambda", endpoint) as functions:
        mappings = functions.list_event_source_mappings()["EventSourceMappings"]
        names = {mapping["FunctionArn"] for mapping in mappings}
        with ThreadPoolExecutor() as pool:
            list(pool.map(partial(_start, functions), names))


def _start(functions: Any, name: str) -> None:
    answer = functions.invoke(FunctionName=name, Payload=EMPTY_BATCH)
    if "FunctionError" in answer:
        said = answer["Payload"].read().decode(errors="replace")
        raise OfflineError(f"{name.rpartition(':')[2]} does not start: {said}")
