"""The channels' real SDKs, pointed at a sandbox or at a wire with a script."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
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
from functions.channels.email import ses
from functions.channels.push import fcm
from functions.channels.sms import twilio
from sandbox.app import make_app
from sandbox.mailroom import Mailroom

PROVIDERS: dict[str, ModuleType] = {"ses": ses, "twilio": twilio, "fcm": fcm}
CHANNELS = {"ses": "email", "twilio": "sms", "fcm": "push"}
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


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """The provider sandbox, in a thread."""
    store, loop = Mailroom(), asyncio.new_event_loop()
    runner = web.AppRunner(make_app(store), handler_cancellation=True)
    loop.run_until_complete(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0)
    loop.run_until_complete(site.start())
    port = runner.addresses[0][1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield Sandbox(f"http://127.0.0.1:{port}", store)
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
) -> Iterator[Callable[[str], None]]:
    """Return a function that points all providers at an address."""

    def at(url: str) -> None:
        monkeypatch.setenv("SENDER_EMAIL", "Carillon <carillon@example.com>")
        monkeypatch.setenv("PUBLIC_URL", "https://api.example.com")
        monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", url)
        monkeypatch.setenv("TWILIO_BASE_URL", url)
        monkeypatch.setenv("FCM_BASE_URL", url)
        monkeypatch.setenv("SECRETS_PREFIX", PREFIX)
        secrets = {
            f"{PREFIX}/twilio": json.dumps(
                {"account_sid": "AC" + "a" * 32, "auth_token": "t", "from": "+15005550006"}
            ),
            f"{PREFIX}/fcm": json.dumps(service_account | {"token_uri": f"{url}/token"}),
        }
        read = cache(secrets.__getitem__)
        for module in (twilio, fcm, delivery):
            monkeypatch.setattr(module, "secret", read)
        forget()

    yield at
    forget()


def forget() -> None:
    settings.cache_clear()
    aws.ses.cache_clear()
    twilio._account.cache_clear()
    twilio._client.cache_clear()
    if fcm._app.cache_info().currsize:
        fcm.firebase_admin.delete_app(fcm._app())
    fcm._app.cache_clear()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shorter patience for providers that never answer."""
    monkeypatch.setattr(twilio, "PROVIDER_TIMEOUT", 1)
    monkeypatch.setattr(fcm, "PROVIDER_TIMEOUT", 1)
    monkeypatch.setattr(aws, "_PROVIDER", aws._PROVIDER.merge(aws.Config(read_timeout=1)))


@pytest.fixture
def scripted(point: Callable[[str], None]) -> Iterator[Callable[[Answer], Wire]]:
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
