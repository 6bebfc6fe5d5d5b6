"""Each channel's real SDK against the providers' wire: one request per attempt, each outcome."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from functional.conftest import APPLICATION_CALLER

from carillon import aws, delivery
from carillon.delivery import Outgoing, Sent
from carillon.errors import Failure, ProviderError
from carillon.messages import Inline, Message
from carillon.models import Channel
from carillon.settings import settings
from functions.channels.email import handler as email
from functions.channels.email import ses
from functions.channels.inapp import handler as inapp
from functions.channels.push import fcm
from functions.channels.push import handler as push
from functions.channels.sms import handler as sms
from functions.channels.sms import twilio
from sandbox.app import make_app
from sandbox.mailroom import Mailroom
from sandbox.outcomes import ADDRESSES, Agreed, Reaction

PROVIDERS: dict[str, ModuleType] = {"email": ses, "sms": twilio, "push": fcm}
HANDLERS: dict[str, ModuleType] = {"email": email, "sms": sms, "push": push, "inapp": inapp}
CONTENT = {
    "email": {"subject": "Hi", "text": "Hello", "html": "<b>Hello</b>"},
    "sms": {"text": "Hello"},
    "push": {"title": "Hi", "body": "Hello"},
}


@dataclass
class Sandbox:
    url: str
    store: Mailroom


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
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
def point(monkeypatch: pytest.MonkeyPatch, service_account: dict[str, str]) -> Iterator[Any]:
    """Return a function that points all three providers at an address."""

    def at(url: str) -> None:
        monkeypatch.setenv("SENDER_EMAIL", "carillon@example.com")
        monkeypatch.setenv("PUBLIC_URL", "https://api.example.com")
        monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", url)
        monkeypatch.setenv("TWILIO_BASE_URL", url)
        monkeypatch.setenv("FCM_BASE_URL", url)
        monkeypatch.setenv("SECRETS_PREFIX", "/carillon/test")
        secrets = {
            "/carillon/test/twilio": json.dumps(
                {"account_sid": "AC" + "a" * 32, "auth_token": "t", "from": "+15005550006"}
            ),
            "/carillon/test/fcm": json.dumps(service_account | {"token_uri": f"{url}/token"}),
        }
        read = cache(secrets.__getitem__)
        for module in (twilio, fcm, delivery):
            monkeypatch.setattr(module, "secret", read)
        _forget()

    yield at
    _forget()


def _forget() -> None:
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


def outgoing(channel: str, address: str, notification_id: str) -> Outgoing:
    message = Message(
        schema_version=1,
        notification_id=notification_id,
        tenant="default",
        client_id="c",
        correlation_id="x",
        accepted_at="2026-11-21T09:30:00.000Z",
        category="orders",
        priority=5,
        targets={Channel(channel): [address]},
        inline=Inline(message="Hello"),
    )
    return Outgoing(message, address, CONTENT[channel])


ACCEPTED = [row for row in ADDRESSES if row.reaction is Reaction.ACCEPTED]
FAILING = [row for row in ADDRESSES if row.reaction is not Reaction.ACCEPTED]


@pytest.mark.parametrize(
    ("channel", "address"),
    [
        ("email", "ada@example.com"),
        ("sms", "+14155552671"),
        ("push", "device"),
        *((row.channel.value, row.address) for row in ACCEPTED),
    ],
)
def test_a_message_arrives_with_our_id_and_returns_the_provider_s(
    sandbox, point, channel, address
) -> None:
    point(sandbox.url)
    sent = PROVIDERS[channel].send(outgoing(channel, address, f"ntf_{channel}_{address}"))
    (arrived,) = sandbox.store.messages(notification_id=f"ntf_{channel}_{address}")
    assert arrived["to"] == address
    assert sent == Sent(PROVIDERS[channel].PROVIDER, arrived["provider_message_id"])


@pytest.mark.parametrize("row", FAILING, ids=lambda row: row.address)
def test_each_failure_has_its_class_and_is_one_request(sandbox, point, quick, row: Agreed) -> None:
    point(sandbox.url)
    channel, notification_id = row.channel.value, f"ntf_{row.channel}_{row.address}"
    with pytest.raises(ProviderError) as caught:
        delivery._send_once(
            PROVIDERS[channel].send, outgoing(channel, row.address, notification_id)
        )
    assert caught.value.failure == Failure((row.failure_class or "").lower())
    assert len(sandbox.store.requests(notification_id=notification_id)) == 1


@pytest.mark.parametrize("channel", PROVIDERS)
def test_a_refused_connection_is_surely_not_sent(sandbox, point, channel) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}"
        point(closed)
        if channel == "push":
            # The access token comes from elsewhere; only FCM is away.
            fcm._app()
            point_token(sandbox)
        with pytest.raises(ProviderError) as caught:
            PROVIDERS[channel].send(outgoing(channel, "+14155552671", "ntf_x"))
    assert caught.value.failure is Failure.RETRY


def point_token(sandbox: Sandbox) -> None:
    """Let the FCM session fetch its token from the sandbox."""
    fcm._app().credential.get_credential()._token_uri = f"{sandbox.url}/token"


def test_the_largest_push_that_is_accepted_fits_fcm(sandbox, point) -> None:
    point(sandbox.url)
    large = {"title": "T", "body": "x" * (4096 - 192 - len('{"title": "T", "body": ""}'))}
    message = outgoing("push", "device", "ntf_" + "a" * 32).message
    category = message.model_copy(update={"category": "c" * 64})
    assert fcm.send(Outgoing(category, "device", large)).provider_message_id


def test_without_an_access_token_no_push_is_sent_and_no_attempt_spent(sandbox, point) -> None:
    point(sandbox.url)
    fcm._app().credential.get_credential()._token_uri = f"{sandbox.url}/nowhere"
    with pytest.raises(ProviderError) as caught:
        fcm.send(outgoing("push", "device", "ntf_no_token"))
    assert caught.value.failure is Failure.CONFIG
    assert not sandbox.store.requests(notification_id="ntf_no_token")


def test_twilio_is_told_where_to_report_only_when_there_is_an_address(
    sandbox, point, monkeypatch
) -> None:
    point(sandbox.url)
    assert "notification_id=ntf_a" in twilio._status_callback("ntf_a")["status_callback"]
    monkeypatch.delenv("PUBLIC_URL")
    settings.cache_clear()
    assert twilio._status_callback("ntf_a") == {}


@pytest.mark.parametrize(("test", "requests"), [("true", 0), ("", 1)])
@pytest.mark.parametrize("channel", Channel)
def test_b10_what_a_test_key_sends_is_recorded_and_reaches_nobody(
    sandbox, point, prepared, send, api, context, monkeypatch, channel, test, requests
) -> None:
    point(sandbox.url)
    monkeypatch.setenv("QUEUE_URL", prepared.queues[channel])
    caller = APPLICATION_CALLER | {"test": test}
    sent = send({"channels": [channel]}, caller=caller).data["notification_id"]
    (message,) = prepared.published(channel)
    record = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
    }
    assert HANDLERS[channel].lambda_handler({"Records": [record]}, context) == {
        "batchItemFailures": []
    }
    told = api("GET", f"/api/v1/notifications/{sent}", caller=caller).data
    (delivery,) = told["deliveries"]
    assert (told["test"], delivery["status"]) == (bool(test), "sent")
    if test:
        assert delivery["provider"] == "test"
        assert delivery["provider_message_id"] == f"test_{sent}"
    reached = len(sandbox.store.requests(notification_id=sent)) + len(prepared.items("InboxTable"))
    assert reached == requests
