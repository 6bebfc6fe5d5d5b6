"""A container engine of the tests' own, and an image for it that stands in for Lambda's.

Where dockerd is installed and we are root, it is started on a socket and a folder of its own, with
no firewall rules; nothing is pulled. The image is this machine's Python with AWS's
runtime client, under the name of Lambda's: only ever in that engine, never in one that was here.
"""

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cloudformation import ROOT

IMAGE = "public.ecr.aws/lambda/python:3.13-x86_64"
BRIDGE = Path("/sys/class/net/docker0")
RUNTIME = ROOT / ".venv/lambda"
READY_SECONDS = 60
BOOTSTRAP = """#!/bin/sh
cd "${LAMBDA_TASK_ROOT:-/var/task}"
export PYTHONPATH=/opt/python:/var/runtime PYTHONDONTWRITEBYTECODE=1
exec /var/lang/bin/python3.13 -m awslambdaric "$_HANDLER"
"""
# What sam's layers and our bootstrap call.
PROGRAMS = ("sh", "mv", "chmod", "cp", "rm")
# What wheels may count on (PEP 600), and Lambda has.
LIBRARIES = r"/\S*x86_64-linux-gnu/lib(?:gcc_s|stdc\+\+|rt|pthread|dl|util)\.so\.\d"
LEFT_OUT = {"test", "idlelib", "ensurepip", "tkinter", "site-packages", "__pycache__", "lib2to3"}


class NoEngineError(Exception):
    """There is none, and none can be started; the text says why."""


@contextmanager
def engine() -> Iterator[Mapping[str, str]]:
    """Yield the environment that leads to an engine which has the image, until the block ends."""
    daemon = shutil.which("dockerd")
    # In somebody's own engine nothing but Lambda's image goes by its name.
    if _docker({}, "info") and _docker({}, "pull", IMAGE):
        yield {}
        return
    if daemon is None or shutil.which("docker") is None:
        raise NoEngineError("dockerd is not installed")
    if os.geteuid() != 0:
        raise NoEngineError("dockerd needs root")
    # A socket's path is short.
    folder = Path(tempfile.mkdtemp(prefix="carillon-engine-"))
    had_bridge = BRIDGE.exists()
    try:
        with _running(daemon, folder) as here:
            _import_image(here, folder)
            yield here
    finally:
        for mount in reversed(Path("/proc/mounts").read_text().splitlines()):
            if mount.split()[1].startswith(f"{folder}/"):
                subprocess.run(["umount", mount.split()[1]], check=False)
        if not had_bridge:
            subprocess.run(["ip", "link", "delete", BRIDGE.name], check=False)
        shutil.rmtree(folder)


def _docker(here: Mapping[str, str], *told: str) -> bool:
    try:
        done = subprocess.run(
            ["docker", *told], env=os.environ | here, capture_output=True, check=False
        )
    except FileNotFoundError:
        return False
    return done.returncode == 0


@contextmanager
def _running(daemon: str, folder: Path) -> Iterator[Mapping[str, str]]:
    here = {"DOCKER_HOST": f"unix://{folder}/docker.sock"}
    command = [
        *(daemon, "--host", here["DOCKER_HOST"], "--data-root", folder / "data"),
        *("--exec-root", folder / "exec", "--pidfile", folder / "docker.pid"),
        *("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
    ]
    with (folder / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        _await_ready(process, here, folder / "dockerd.log")
        yield here
    finally:
        process.terminate()
        process.wait(READY_SECONDS)


def _await_ready(process: subprocess.Popen[bytes], here: Mapping[str, str], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if _docker(here, "info"):
            return
        time.sleep(0.2)
    lines = log.read_text(errors="replace").splitlines()
    raise NoEngineError(f"dockerd does not start: {' | '.join(lines[-3:])}")


def _import_image(here: Mapping[str, str], folder: Path) -> None:
    bootstrap, archive = folder / "bootstrap", folder / "image.tar"
    bootstrap.write_text(BOOTSTRAP)
    bootstrap.chmod(0o755)
    (folder / "empty").mkdir()
    with tarfile.open(archive, "w", dereference=True) as image:
        for source in _python():
            image.add(source, source, filter=_wanted)
        for program in PROGRAMS:
            image.add(str(shutil.which(program)), f"bin/{program}")
        image.add(next(RUNTIME.glob("lib/python3.13/site-packages")), "var/runtime", filter=_wanted)
        image.add(bootstrap, "var/runtime/bootstrap")
        for place in ("var/task", "var/rapid", "opt", "tmp"):
            image.add(folder / "empty", place)
        lang = tarfile.TarInfo("var/lang")
        lang.type, lang.linkname = tarfile.SYMTYPE, _prefix()
        image.addfile(lang)
    settings = (
        'ENTRYPOINT ["/var/runtime/bootstrap"]',
        "WORKDIR /var/task",
        "ENV LANG=en_US.UTF-8 TZ=:UTC PATH=/var/lang/bin:/usr/bin:/bin",
        "ENV LAMBDA_TASK_ROOT=/var/task LAMBDA_RUNTIME_DIR=/var/runtime",
    )
    changes = [part for setting in settings for part in ("--change", setting)]
    subprocess.run(
        ["docker", "import", *changes, archive, IMAGE],
        env=os.environ | here,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    archive.unlink()


def _prefix() -> str:
    python = [RUNTIME / "bin/python", "-c", "import sys; print(sys.base_prefix)"]
    return subprocess.run(python, capture_output=True, text=True, check=True).stdout.strip()


def _python() -> Iterator[str]:
    """Yield the interpreter, its library, and the shared objects that these and PROGRAMS load."""
    prefix = Path(_prefix())
    library = prefix / "lib/python3.13"
    programs = [prefix / "bin/python3.13", *(Path(str(shutil.which(p))) for p in PROGRAMS)]
    yield str(prefix / "bin/python3.13")
    yield str(library)
    loaded = set()
    for binary in (*programs, *library.glob("lib-dynload/*.so")):
        done = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False)
        loaded |= set(re.findall(r"(/\S+\.so\S*) \(", done.stdout))
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True)
    loaded |= set(re.findall(rf"=> ({LIBRARIES})$", known.stdout, re.MULTILINE))
    yield from sorted(loaded)


def _wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = Path(entry.name).name
    return None if name in LEFT_OUT or name.startswith("config-") else entry
