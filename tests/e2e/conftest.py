"""One stack for all end-to-end tests: starting it costs more than any of them."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import localstack_client.session
import pytest
from cloudformation import ROOT
from served import Api

from offline import stack as offline
from offline.environment import REGION


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[offline.Stack]:
    # The second of each is used by nobody while the first is well.
    parameters = {"EmailProvider": "ses,smtp", "SmsProvider": "twilio,aws"}
    state = tmp_path_factory.mktemp("stack")
    with offline.running(
        state=state,
        parameters=parameters,
        sandbox_url=os.environ.get("SANDBOX_URL", ""),
        elsewhere=elsewhere(),
    ) as running:
        yield running


def elsewhere() -> offline.Elsewhere | None:
    """The cloud that `make test-localstack` is to use; it must be there."""
    if not os.environ.get("TEST_LOCALSTACK"):
        return None
    session = localstack_client.session.Session(region_name=REGION)
    session.client("sts").get_caller_identity()
    template = os.environ.get("CARILLON_BUILT")
    return offline.Elsewhere(
        session.client("sqs").meta.endpoint_url,
        os.environ.get("SANDBOX_INSIDE", ""),
        Path(template) if template else None,
    )


@pytest.fixture(scope="module")
def api(stack: offline.Stack) -> Api:
    """The API of a new client in a tenant of its own, with a template and a user."""
    admin = Api(stack.api, stack.admin_token, stack.sandbox)
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    made = admin.call("POST", "/api/v1/clients", {"service_name": name, "tenant": name})
    assert made.status_code == 201, made.text
    client = Api(stack.api, made.json()["data"]["api_token"], stack.sandbox)
    parts = {
        "email": {"subject": "Hi {{ name }}", "html": "<b>{{ name }}</b>", "text": "{{ name }}"},
        "sms": {"text": "Hi {{ name }}"},
        "push": {"title": "Hi", "body": "{{ name }}"},
        "inapp": {"title": "Hi", "body": "{{ name }}"},
    }
    body = {"code": "hello", "parts": parts}
    assert client.call("POST", "/api/v1/templates", body).status_code == 201
    user = {"email": "ada@example.com", "phone": "+14155552671", "timezone": "Europe/London"}
    assert client.call("PUT", "/api/v1/users/ada", user).status_code == 201
    device = {"fcm_token": "device-of-ada", "platform": "android"}
    assert client.call("POST", "/api/v1/users/ada/push-tokens", device).status_code == 201
    return client


@pytest.fixture(scope="session")
def built() -> Path:
    """Return the folder of what `make build` made just now, for both processors."""
    done = subprocess.run(
        ["make", "-s", "build"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return ROOT / ".aws-sam"


@pytest.fixture(scope="session")
def runtime() -> None:
    """AWS's runtime client in Lambda's Python, installed."""
    done = subprocess.run(
        ["make", "-s", "runtime"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if "none was found" in done.stdout:
        pytest.skip("NO FUNCTION RAN AS ON LAMBDA: there is no python3.13 here")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[offline.Stack]:
    """A stack of its own for the sample events: one of them stops every email."""
    with offline.running(state=tmp_path_factory.mktemp("seeded"), with_samples=True) as running:
        yield running
