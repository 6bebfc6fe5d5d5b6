"""The environments the processes run in: nothing in them leads to a real AWS account."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
REGION = "us-east-1"

_NO_PROXY = "127.0.0.1,localhost"
_DUMMY_ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def offline_path() -> dict[str, str]:
    """Return this environment for a module of this folder, without any AWS account in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | {"PYTHONPATH": str(ROOT / "localstack"), "PYTHONUNBUFFERED": "1"} | _no_proxy()


def tool_environment(endpoint: str | None = None) -> dict[str, str]:
    """Return the environment of SAM, which calls the cloud at `endpoint` and finds uv on PATH."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AWS_") and name not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    folders = [str(VENV / "tools" / "bin"), str(VENV / "uv" / "bin"), kept.get("PATH", os.defpath)]
    return {
        **kept,
        **_DUMMY_ACCOUNT,
        **_no_proxy(),
        **({"AWS_ENDPOINT_URL": endpoint} if endpoint else {}),
        "PATH": os.pathsep.join(folders),
        "SAM_CLI_TELEMETRY": "0",
        # Seconds between its looks at CloudFormation; made for AWS, it would wait five.
        "SAM_CLI_POLL_DELAY": "0.2",
    }


def cloud_environment(port: int, tmp: Path) -> dict[str, str]:
    """Return the environment of the embedded cloud.

    Its functions inherit it, so it holds no more than Lambda's own does.
    """
    return {
        **_DUMMY_ACCOUNT,
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(tmp),
        "TMPDIR": str(tmp),
        "LANG": "en_US.UTF-8",
        "TZ": "UTC",
        "PYTHONUTF8": "1",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        # It would sweep containers on the reader's Docker, which this stack does not use.
        "DOCKER_HOST": "unix:///dev/null/none",
    }


def _no_proxy() -> dict[str, str]:
    others = os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
    value = f"{_NO_PROXY},{others}" if others else _NO_PROXY
    return {"NO_PROXY": value, "no_proxy": value}
