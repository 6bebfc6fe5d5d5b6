"""The command line against a service that answers as it is told."""

import httpx
import pytest
from commandline import Run, Service
from typer.testing import CliRunner

from carillon_client import Carillon
from carillon_client.cli import session
from carillon_client.cli.app import app


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    told = Service()

    def connect(url: str, token: str | None) -> Carillon:
        transport = httpx.MockTransport(told.answer)
        return Carillon(url, token, retries=0, transport=transport, sleep=lambda _: None)

    monkeypatch.setattr(session, "Carillon", connect)
    return told


@pytest.fixture
def run() -> Run:
    environment = {
        "CARILLON_URL": "https://notify.example.com",
        "CARILLON_TOKEN": "nk_secret",
        "COLUMNS": "80",
        "TERM": "dumb",
    }
    return lambda *words, input=None, **env: CliRunner().invoke(  # noqa: A006 - as CliRunner's
        app, words, input, env=environment | env
    )
