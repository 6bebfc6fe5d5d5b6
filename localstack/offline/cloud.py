"""The embedded cloud: one process that answers for AWS on this machine."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from offline.children import Child, Children
from offline.environment import REGION, VENV
from offline.fetch import await_health

INTERPRETER = VENV / "cloud" / "bin" / "python"


def start(children: Children, env: Mapping[str, str], state: Path) -> Child:
    """Start it empty: nothing is kept from one run to the next."""
    return children.start(
        "the cloud",
        [INTERPRETER, "-m", "ministack"],
        env,
        state / "cloud.log",
    )


def await_ready(child: Child, endpoint: str) -> None:
    """Wait until it answers."""
    await_health(child, f"{endpoint}/_localstack/health")


@contextmanager
def client(service: str, endpoint: str) -> Iterator[Any]:
    """Yield an SDK client that cannot reach a real account."""
    opened: Any = boto3.session.Session().client(
        service,  # type: ignore[call-overload]
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - what the embedded cloud takes for its only account
        config=Config(proxies={}, retries={"total_max_attempts": 1}),
    )
    with closing(opened):
        yield opened
