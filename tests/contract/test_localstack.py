"""What LocalStack is started with; the stack itself is tested by `make test-localstack`."""

import os
import re
import subprocess

import yaml
from cloudformation import ROOT, template

from offline import deploy

COMPOSE = yaml.safe_load((ROOT / "localstack/docker-compose.yml").read_text())
HOOK = ROOT / "localstack/init/ready.d/10-carillon.sh"


def test_h1_its_images_are_pinned_and_it_is_given_the_token() -> None:
    service = COMPOSE["services"]["localstack"]
    assert re.fullmatch(
        r"\$\{LOCALSTACK_IMAGE:-localstack/localstack:\d+\.\d+\.\d+\}", service["image"]
    )
    assert service["environment"]["LOCALSTACK_AUTH_TOKEN"] == "${LOCALSTACK_AUTH_TOKEN:-}"


def test_nothing_of_it_is_reached_from_outside() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service["ports"]]
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_what_it_mounts_is_there() -> None:
    for service in COMPOSE["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            built = source == "../.aws-sam" or source.startswith("/var")
            assert built or (ROOT / "localstack" / source).exists(), source


def test_its_hook_runs_and_tells_the_template_what_it_has() -> None:
    assert os.access(HOOK, os.X_OK)
    subprocess.run(["bash", "-n", HOOK], check=True)
    told = dict(
        re.findall(r"[\s\"]([A-Z][A-Za-z]+)=([^\s\"]+)", HOOK.read_text().split("overrides")[1])
    )
    declared = template()["Parameters"]
    assert set(told) <= set(declared)
    assert {name for name, each in declared.items() if "Default" not in each} <= set(told)
    assert deploy.WITHOUT.items() <= told.items()
