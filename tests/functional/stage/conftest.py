"""An AWS account of its own, a copy of samconfig.toml, providers that answer as they are told."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from cloudformation import ROOT
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from moto import mock_aws
from typer.testing import CliRunner, Result
from wire import Wire, listening, reply

from carillon_client.cli.app import app
from carillon_client.stage import sender


@dataclass
class Account:
    """The account, and the command line in it."""

    folder: Path
    ssm: Any
    ses: Any

    @property
    def samconfig(self) -> Path:
        return self.folder / "samconfig.toml"

    def run(self, *words: str, typed: str = "", **env: str) -> Result:
        told = {"COLUMNS": "200", "TERM": "dumb", **env}
        place = ("--samconfig", str(self.samconfig))
        return CliRunner().invoke(app, [*words, *place], typed, env=told)

    def setup(self, *words: str, typed: str = "", **env: str) -> Result:
        asks = () if typed else ("--no-input",)
        return self.run("setup", "--stage", "dev", *asks, *words, typed=typed, **env)

    def stored(self) -> dict[str, str]:
        found = self.ssm.get_parameters_by_path(
            Path="/carillon/dev", Recursive=True, WithDecryption=True
        )["Parameters"]
        return {each["Name"].removeprefix("/carillon/dev/"): each["Value"] for each in found}

    def tell(self, **parameters: str) -> None:
        """Write parameters into the stage's part of samconfig.toml."""
        lines = "".join(f'    "{name}={value}",\n' for name, value in parameters.items())
        text = self.samconfig.read_text().replace(
            '    "Stage=dev",\n', f'    "Stage=dev",\n{lines}'
        )
        self.samconfig.write_text(text)


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    shutil.copy(ROOT / "samconfig.toml", tmp_path)
    # The mocked SES has no GetAccount.
    well = sender.Standing(sending=True, sandbox=False, per_day=50_000, per_second=14)
    monkeypatch.setattr(sender, "standing", lambda _: well)
    with mock_aws():
        names = ("ssm", "sesv2", "cloudformation")
        ssm, ses, formation = (boto3.client(name, region_name="eu-west-1") for name in names)
        made = Account(tmp_path, ssm, ses)
        # One mock serves all tests of a process, so another may have been here before.
        for name in made.stored():
            ssm.delete_parameter(Name=f"/carillon/dev/{name}")
        for identity in ses.list_email_identities()["EmailIdentities"]:
            ses.delete_email_identity(EmailIdentity=identity["IdentityName"])
        formation.delete_stack(StackName="carillon-dev")
        yield made


@pytest.fixture
def twilio() -> Iterator[Wire]:
    with listening(reply(200, {"status": "active", "sid": "AC01"})) as wire:
        yield wire


@pytest.fixture
def firebase(tmp_path: Path) -> Callable[[str], Path]:
    """Write a service account's key whose tokens come from an address."""
    pair = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form, cipher = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = pair.private_bytes(serialization.Encoding.PEM, form, cipher).decode()

    def write(token_uri: str) -> Path:
        told = {
            "type": "service_account",
            "project_id": "shop",
            "private_key_id": "1",
            "private_key": pem,
            "client_email": "sender@shop.iam.gserviceaccount.com",
            "token_uri": token_uri,
        }
        path = tmp_path / "firebase.json"
        path.write_text(json.dumps(told))
        return path

    return write
