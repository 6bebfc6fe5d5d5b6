"""`make invoke` with a container engine: `sam local invoke` itself, on the functions as built."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cloudformation import ROOT
from engine import NoEngineError, engine
from served import Api

from offline import functions
from offline import stack as offline

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("runtime", "built")]

Json = dict[str, Any]


@pytest.fixture(scope="module")
def containers() -> Iterator[Mapping[str, str]]:
    if functions.ARCHITECTURE != "x86_64":
        pytest.skip("NO FUNCTION RAN IN A CONTAINER: this machine is not x86_64")
    try:
        with engine() as here:
            yield here
    except NoEngineError as error:
        pytest.skip(f"NO FUNCTION RAN IN A CONTAINER: {error}")


def test_an_api_function_answers(containers, seeded) -> None:
    done = _invoke(containers, seeded, "NotificationsFunction", "events/notifications-read.json")
    answer = json.loads(done.stdout)
    assert answer["statusCode"] == 200, done.stderr
    assert json.loads(answer["body"])["data"]["template_code"] == "order-shipped"
    assert "REPORT RequestId" in done.stderr
    assert done.returncode == 0


def test_the_authorizer_knows_the_samples_token(containers, seeded) -> None:
    done = _invoke(containers, seeded, "AuthorizerFunction", "events/authorizer-token.json")
    answer = json.loads(done.stdout)
    assert answer["policyDocument"]["Statement"][0]["Effect"] == "Allow", done.stderr


def test_the_email_worker_sends(containers, seeded, sample, tmp_path) -> None:
    event = sample("email-batch")
    body = json.loads(event["Records"][0]["body"])
    body["notification_id"] = f"ntf_{uuid.uuid4().hex}"
    event["Records"][0]["body"] = json.dumps(body)
    file = tmp_path / "email.json"
    file.write_text(json.dumps(event))
    done = _invoke(containers, seeded, "EmailFunction", file)
    assert json.loads(done.stdout) == {"batchItemFailures": []}, done.stderr
    api = Api(seeded.api, seeded.admin_token, seeded.sandbox)
    (arrived,) = api.arrived(body["notification_id"])
    assert (arrived["to"], arrived["channel"]) == ("ada@example.com", "email")


def test_a_function_error_is_the_command_s(containers, seeded) -> None:
    """sam itself exits with 0."""
    done = _invoke(containers, seeded, "HealthFunction", "events/sweep.json")
    assert "errorType" in json.loads(done.stdout), done.stderr
    assert done.returncode != 0


def _invoke(
    containers: Mapping[str, str], stack: offline.Stack, name: str, event: str | Path
) -> subprocess.CompletedProcess[str]:
    told = {
        **containers,
        "AWS_ENDPOINT_URL": stack.cloud,
        "ENGINE": "docker",
        "SAM_OPTIONS": "--skip-pull-image",
    }
    return subprocess.run(
        ["make", "-s", "invoke", f"FN={name}", f"EVENT={event}"],
        cwd=ROOT,
        env=os.environ | told,
        capture_output=True,
        text=True,
        check=False,
    )
