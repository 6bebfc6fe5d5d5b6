"""The README's session, typed as it stands, prints what the README says."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from offline import stack as offline

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
STEP = re.compile(
    r"<!-- session -->\n```bash\n(?P<typed>.*?)```\n(?:\n```json\n(?P<printed>.*?)```)?", re.DOTALL
)
MARK = "<<step>>"
# What differs from run to run.
VOLATILE = re.compile(
    r"ntf_[a-z2-7]{32}"
    r"|\d{4}-\d\d-\d\dT[\d:.]+Z"
    r"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|[0-9a-f]{16}-#-000000"
)


def test_the_readme_s_session_prints_what_it_says(stack: offline.Stack, tmp_path: Path) -> None:
    steps = [match.groupdict() for match in STEP.finditer(README)]
    assert len(steps) == 4
    offline.announce(stack, _folder(tmp_path / ".local"))
    script = f"\necho '{MARK}'\n".join(step["typed"] for step in steps)
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed = [_read(text) for text in done.stdout.split(MARK)]
    assert printed == [_read(step["printed"]) for step in steps]


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#:]+)\)", README))
def test_what_the_readme_links_to_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _read(text: str) -> list[Any]:
    """Read lines of JSON, without what differs from run to run."""
    masked = VOLATILE.sub("#", VOLATILE.sub("#", text))
    return [json.loads(line) for line in masked.strip().splitlines()]
