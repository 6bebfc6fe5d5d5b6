"""What every test starts from: no AWS account, no memory of the test before."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from carillon import (
    aws,
    breaker,
    clients,
    controls,
    limits,
    metrics,
    settings,
    templates,
    tokens,
)

EVENTS = Path(__file__).parent.parent / "events"

Json = dict[str, Any]


@pytest.fixture
def sample() -> Callable[[str], Json]:
    """Return a reader of events/<name>.json."""
    return lambda name: json.loads((EVENTS / f"{name}.json").read_text())


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "INFO")
    forget()
    yield
    forget()


def forget() -> None:
    """Forget what was read; clients and connections, costly and stateless, stay."""
    for cached in (
        aws.secret,
        breaker._streaks,
        clients._categories,
        controls._held,
        limits._leases,
        metrics._tally,
        settings.settings,
        templates._active,
        templates._version,
        tokens._published,
        tokens._published_meanwhile,
        tokens._private,
    ):
        cached.cache_clear()
