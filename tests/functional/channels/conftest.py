"""The channels' real SDKs, pointed at a sandbox or at a wire with a script."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from wire import Answer, Connection, Wire, listening, reply

from carillon import aws, delivery
from carillon.delivery import Outgoing
from carillon.messages import Inline, Message
from carillon.models import Channel
from carillon.settings import settings
from functions.channels.email import sendgrid, ses, smtp
from functions.channels.push import fcm
from functions.channels.sms import aws as texts
from functions.channels.sms import twilio
from sandbox.app import make_app
from sandbox.mailroom import Mailroom

OVER_HTTP: dict[str, ModuleType] = {
    "ses": ses,
    "sendgrid": sendgrid,
    "twilio": twilio,
    "aws": texts,
    "fcm": fcm,
}
PROVIDERS = OVER_HTTP | {"smtp": smtp}
CHANNELS = {
    "ses": "email",
    "smtp": "email",
    "sendgrid": "email",
    "twilio": "sms",
    "aws": "sms",
    "fcm": "push",
}
IDENTITY = "arn:aws:sms-voice:us-east-1:123456789012:phone-number/phone-1"
CONTENT = {
    "email": {"subject": "Hi", "text": "Hello", "html": "<b>Hello</b>"},
    "sms": {"text": "Hello"},
    "push": {"title": "Hi", "body": "Hello"},
}
PLAIN = {"email": "ada@example.com", "sms": "+14155552671", "push": "device"}
PREFIX = "/carillon/test"
ACCESS_TOKEN = {"access_token": "ya29.a", "expires_in": 3600, "token_type": "Bearer"}


@dataclass
class Sandbox:
    url: str
    store: Mailroom
    smtp_port: int


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """The provider sandbox, in a thread."""
    store, loop = Mailroom(), asyncio.new_event_loop()
    mail = socket.create_server(("127.0.0.1", 0))
    smtp_port = mail.getsockname()[1]
    runner = web.AppRunner(make_app(store, mail), handler_cancellation=True)
    loop.run_until_complete(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0)
    loop.run_until_complete(site.start())
    port = runner.addresses[0][1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield Sandbox(f"http://127.0.0.1:{port}", store, smtp_port)
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="session")
def service_account() -> dict[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "type": "service_account",
        "project_id": "carillon-test",
        "private_key_id": "1",
        "private_key": pem.decode(),
        "client_email": "carillon@carillon-test.iam.gserviceaccount.com",
        "client_id": "1",
    }


@pytest.fixture
def point(
    monkeypatch: pytest.MonkeyPatch, service_account: dict[str, str]
) -> Iterator[Callable[..., None]]:
    """Return a function that points all providers at an address; ``mail`` changes SMTP's secret."""

    def at(url: str, smtp_port: int = 9, mail: Mapping[str, Any] | None = None) -> None:
        monkeypatch.setenv("SENDER_EMAIL", "Carillon <carillon@example.com>")
        monkeypatch.setenv("PUBLIC_URL", "https://api.example.com")
        monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_PINPOINT_SMS_VOICE_V2", url)
        monkeypatch.setenv("SMS_ORIGINATION_IDENTITY", IDENTITY)
        monkeypatch.setenv("SENDGRID_BASE_URL", url)
        monkeypatch.setenv("TWILIO_BASE_URL", url)
        monkeypatch.setenv("FCM_BASE_URL", url)
        monkeypatch.setenv("SECRETS_PREFIX", PREFIX)
        secrets = {
            f"{PREFIX}/twilio": json.dumps(
                {"account_sid": "AC" + "a" * 32, "auth_token": "t", "from": "+15005550006"}
            ),
            f"{PREFIX}/fcm": json.dumps(service_account | {"token_uri": f"{url}/token"}),
            f"{PREFIX}/sendgrid": json.dumps({"api_key": "SG.key"}),
            f"{PREFIX}/smtp": json.dumps(
                {"host": "127.0.0.1", "port": smtp_port, "security": "none"} | dict(mail or {})
            ),
        }
        read = cache(secrets.__getitem__)
        for module in (smtp, sendgrid, twilio, fcm, delivery):
            monkeypatch.setattr(module, "secret", read)
        forget()

    yield at
    forget()


def forget() -> None:
    settings.cache_clear()
    for cached in (
        aws.ses,
        aws.texts,
        smtp._account,
        sendgrid._key,
        sendgrid._pool,
        twilio._account,
        twilio._client,
    ):
        cached.cache_clear()
    if fcm._app.cache_info().currsize:
        fcm.firebase_admin.delete_app(fcm._app())
    fcm._app.cache_clear()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shorter patience for providers that never answer."""
    for module in (aws, smtp, sendgrid, twilio, fcm):
        monkeypatch.setattr(module, "PROVIDER_TIMEOUT", 1)


@pytest.fixture
def scripted(point: Callable[..., None]) -> Iterator[Callable[[Answer], Wire]]:
    """Return a maker of a wire that all providers are pointed at; access tokens it grants."""
    with ExitStack() as opened:

        def make(answer: Answer) -> Wire:
            def either(connection: Connection) -> None:
                asks_token = wire.heads[-1].startswith(b"POST /token ")
                (reply(200, ACCESS_TOKEN) if asks_token else answer)(connection)

            wire = opened.enter_context(listening(either))
            point(wire.url)
            return wire

        yield make


def outgoing(
    channel: str, address: str = "", notification_id: str = "ntf_x", **of_message: Any
) -> Outgoing:
    """Return something to send."""
    address = address or PLAIN[channel]
    told = {
        "schema_version": 1,
        "notification_id": notification_id,
        "tenant": "default",
        "client_id": "c",
        "correlation_id": "x",
        "accepted_at": "2026-11-21T09:30:00.000Z",
        "category": "orders",
        "priority": 5,
        "targets": {Channel(channel): [address]},
        "inline": Inline(message="Hello"),
    }
    message = Message.model_validate(told | of_message)
    return Outgoing(message, address, CONTENT[channel])
