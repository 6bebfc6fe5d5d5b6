"""X-Ray without its SDK, which costs 150 ms of a cold start: subsegments that can be searched for.

Lambda's own segments know no correlation id. Where a request is traced, one datagram to the daemon
that runs beside every traced function adds it (docs/adr/0018-tracing.md). Nothing waits for it.
https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html#xray-api-daemon
"""

import json
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from carillon.settings import trace_daemon, trace_header

_HEADER = b'{"format":"json","version":1}\n'


@contextmanager
def traced(name: str, **annotations: str) -> Iterator[None]:
    """Tell X-Ray of the block, however it ends, so that it is found by ``annotations.<name>``."""
    began = time.time()
    try:
        yield
    finally:
        _tell(name, began, annotations)


def _tell(name: str, began: float, annotations: dict[str, str]) -> None:
    header = dict(part.split("=", 1) for part in trace_header().split(";") if "=" in part)
    host, _, port = trace_daemon().rpartition(":")
    if header.get("Sampled") != "1" or not host or "Parent" not in header:
        return
    document = {
        "name": name,
        "type": "subsegment",
        "id": secrets.token_hex(8),
        "trace_id": header.get("Root"),
        "parent_id": header["Parent"],
        "start_time": began,
        "end_time": time.time(),
        "annotations": annotations,
    }
    with suppress(OSError, ValueError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.setblocking(False)
        daemon.sendto(_HEADER + json.dumps(document).encode(), (host, int(port)))
