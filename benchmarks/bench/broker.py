"""The distribution's RabbitMQ server as a child of the bench: free ports, a folder of its own.

https://www.rabbitmq.com/docs/configure#supported-environment-variables
"""

import os
import shutil
import socket
import time
from contextlib import ExitStack
from pathlib import Path

from offline.children import Child, Children
from offline.lock import HOST
from offline.problems import OfflineError

# Debian's own command becomes the user rabbitmq, or refuses; this is what it then runs.
SCRIPTS = (Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),)
INSTALL = "apt-get install -y --no-install-recommends rabbitmq-server"
READY = b"Server startup complete"
START_SECONDS = 90.0
POLL_SECONDS = 0.1


def server() -> Path:
    """Return the program; raises OfflineError with what installs it."""
    for script in SCRIPTS:
        if script.exists() and shutil.which("epmd"):
            return script
    raise OfflineError(
        "there is no RabbitMQ server here, which the reference peer needs. On Debian and Ubuntu:\n"
        f"  {INSTALL}\n"
        "(nothing of it has to be running: the bench starts one for itself)"
    )


def start(children: Children, folder: Path) -> str:
    """Start one and wait until it serves; returns its AMQP address."""
    program = server()
    amqp, distribution, mapper = _free_ports()
    home = folder / "broker"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    (home / "rabbitmq.conf").write_text(f"listeners.tcp.1 = {HOST}:{amqp}\n")
    (home / "plugins").write_text("[].\n")
    told = _environment(home, distribution, mapper)
    # Erlang would start its port mapper as a daemon of its own, which nobody ends.
    children.start(
        "epmd", ["epmd", "-port", str(mapper), "-address", HOST], told, folder / "epmd.log"
    )
    child = children.start("the broker", [program], told, folder / "broker.log")
    _await(child)
    return f"amqp://guest:guest@{HOST}:{amqp}/"


def _await(child: Child) -> None:
    deadline = time.monotonic() + START_SECONDS
    while READY not in child.log.read_bytes():
        if child.ended.wait(POLL_SECONDS):
            raise child.failed("the broker ended while starting")
        if time.monotonic() > deadline:
            raise OfflineError(f"the broker is not ready after {START_SECONDS:.0f} s", child.log)


def _free_ports() -> tuple[int, int, int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(3)]
        for each in sockets:
            each.bind((HOST, 0))
        first, second, third = (each.getsockname()[1] for each in sockets)
        return first, second, third


def _environment(home: Path, distribution: int, mapper: int) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "ERL_EPMD_PORT": str(mapper),
        "ERL_EPMD_ADDRESS": HOST,
        "RABBITMQ_NODENAME": f"carillon-bench-{os.getpid()}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "none"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "generated"),
        # Its schedulers do not spin while they wait: that is no work of a notification's.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
        ),
    }
