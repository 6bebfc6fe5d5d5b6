"""docs/client.md, typed as it stands, prints what it says."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from offline import stack as offline

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs/client.md").read_text()
CONSOLE = re.compile(r"<!-- session -->\n```console\n(.*?)```", re.DOTALL)
PYTHON = re.compile(r"<!-- session -->\n```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", re.DOTALL)
MARK = "<<step>>"
# What differs from run to run, in as many letters.
VOLATILE = re.compile(
    r"ntf_[a-z2-7]{32}"
    r"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"
    r"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)


def test_i2_the_guide_s_session_prints_what_it_says_and_i3_its_python_does(
    stack: offline.Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [step for block in CONSOLE.findall(GUIDE) for step in _typed(block)]
    assert len(steps) > 15
    script = "".join(f"{command}\necho '{MARK}'\n" for command, _ in steps)
    *printed, token = _run(script + 'printf %s "$CARILLON_TOKEN"', stack, tmp_path)
    assert len(printed) == len(steps)
    for (command, expected), found in zip(steps, printed, strict=True):
        assert _read(found) == _read(expected), command
    monkeypatch.setenv("CARILLON_URL", stack.api)
    monkeypatch.setenv("CARILLON_TOKEN", token)
    blocks = PYTHON.findall(GUIDE)
    assert len(blocks) == 4
    names: dict[str, Any] = {}
    with ExitStack() as opened:
        for source, expected in blocks:
            with redirect_stdout(io.StringIO()) as out:
                exec(compile(source, "docs/client.md", "exec"), names)  # noqa: S102 - ours
            if "carillon" in names:
                opened.callback(names["carillon"].close)
            assert out.getvalue() == expected


def _typed(block: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a console and what it printed."""
    for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = step.partition("\n")
        yield command, output


def _run(script: str, stack: offline.Stack, tmp_path: Path) -> list[str]:
    """Type it all into one shell; return what each step printed."""
    home = tmp_path / "bin"
    home.mkdir()
    shim = home / "carillon"
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m carillon_client.cli "$@"\n')
    shim.chmod(0o755)
    environment = {
        "PATH": f"{home}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "client"),
        "NO_PROXY": "127.0.0.1",
        "COLUMNS": "80",
        "CARILLON_URL": stack.api,
        "CARILLON_TOKEN": stack.admin_token,
    }
    done = subprocess.run(
        ["bash", "-uc", f"set -e; exec 2>&1\n{script}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.split(f"{MARK}\n")


def _read(text: str) -> list[str]:
    """Return lines without what differs, or stands at their end unseen."""
    masked = VOLATILE.sub(lambda found: "#" * len(found[0]), text)
    return [line.rstrip() for line in masked.splitlines()]


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#:]+)\)", GUIDE))
def test_what_the_guide_links_to_is_there(path: str) -> None:
    assert (ROOT / "docs" / path).exists()


def test_i2_the_guide_names_every_command() -> None:
    from typer.main import get_command  # noqa: PLC0415

    from carillon_client.cli.app import app  # noqa: PLC0415

    rows = [line for line in GUIDE.splitlines() if line.startswith("| `")]
    for name, group in get_command(app).commands.items():  # type: ignore[attr-defined]
        for each in getattr(group, "commands", {"": None}):
            told = [row for row in rows if f"`{name}" in row and f"{each}`" in row]
            assert told, f"{name} {each}"
