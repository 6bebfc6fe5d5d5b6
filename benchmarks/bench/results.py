"""Where figures are kept that a document is made of."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import clone

Json = dict[str, Any]


def place() -> Json:
    """Return when and on what this was measured."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": clone.commit(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
    }


def keep(file: Path | None, section: str, found: Json) -> None:
    """Put one command's figures into the file, beside those of the others."""
    if file is None:
        return
    kept: Json = json.loads(file.read_text()) if file.exists() else {}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(kept | {section: found}, indent=1) + "\n")
