"""The reference peer as a contender: its broker, its API process and its worker."""

import os
import socket
from dataclasses import replace
from pathlib import Path

from offline.children import Children
from offline.environment import ROOT, VENV, offline_path
from offline.fetch import await_health
from offline.lock import HOST
from offline.stack import Stack

from . import broker

PYTHON = VENV / "bench" / "bin" / "python"


def start(children: Children, sandbox: str, folder: Path) -> str:
    """Start all of it; returns the address of its API, which has the path that ours has."""
    amqp = broker.start(children, folder)
    paths = os.pathsep.join([str(ROOT / "benchmarks")])
    told = offline_path() | {"PYTHONPATH": paths, "AMQP_URL": amqp, "SINK_URL": sandbox}
    with socket.socket() as held:
        held.bind((HOST, 0))
        port = held.getsockname()[1]
    api = children.start(
        "the peer's API",
        [
            *(PYTHON, "-m", "uvicorn", "reference.api:app", "--host", HOST, "--port", str(port)),
            *("--no-access-log", "--log-level", "warning"),
        ],
        told,
        folder / "peer-api.log",
    )
    children.start(
        "the peer's worker", [PYTHON, "-m", "reference.worker"], told, folder / "peer-worker.log"
    )
    await_health(api, f"http://{HOST}:{port}/health")
    return f"http://{HOST}:{port}"


def in_place_of(stack: Stack, address: str) -> Stack:
    """Return the stack with the peer's API instead of ours, and the same sandbox."""
    return replace(stack, api=address)
