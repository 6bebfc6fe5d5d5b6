"""Each channel's real SDK against the providers' wire: one request per attempt, each outcome."""

import socket
from dataclasses import replace
from types import ModuleType

import pytest
from functional.channels.conftest import CHANNELS, PLAIN, PROVIDERS, Sandbox, outgoing
from functional.conftest import APPLICATION_CALLER

from carillon import delivery
from carillon.delivery import Outgoing, Sent
from carillon.errors import Failure, ProviderError
from carillon.models import Channel
from carillon.settings import settings
from functions.channels.email import handler as email
from functions.channels.inapp import handler as inapp
from functions.channels.push import fcm
from functions.channels.push import handler as push
from functions.channels.sms import handler as sms
from functions.channels.sms import twilio
from sandbox.addresses import ADDRESSES
from sandbox.outcomes import Agreed, Reaction

HANDLERS: dict[str, ModuleType] = {"email": email, "sms": sms, "push": push, "inapp": inapp}


ACCEPTED = [row for row in ADDRESSES if row.reaction is Reaction.ACCEPTED]
FAILING = [row for row in ADDRESSES if row.reaction is not Reaction.ACCEPTED]


@pytest.mark.parametrize(
    ("provider", "address"),
    [
        *((provider, PLAIN[CHANNELS[provider]]) for provider in PROVIDERS),
        *((row.provider.value, row.address) for row in ACCEPTED),
    ],
)
def test_e9_a_message_arrives_with_our_id_and_returns_the_provider_s(
    sandbox, point, provider, address
) -> None:
    point(sandbox.url, sandbox.smtp_port)
    notification_id = f"ntf_{provider}_{address}"
    sent = PROVIDERS[provider].send(outgoing(CHANNELS[provider], address, notification_id))
    (arrived,) = sandbox.store.messages(notification_id=notification_id)
    assert (arrived["provider"], arrived["to"]) == (provider, address)
    assert (arrived["body"] or "").strip() == "Hello"
    assert sent == Sent(provider, arrived["provider_message_id"])


@pytest.mark.parametrize("provider", ["ses", "smtp", "sendgrid"])
def test_an_email_arrives_whole_whoever_carries_it(sandbox, point, provider) -> None:
    point(sandbox.url, sandbox.smtp_port)
    odd = {"subject": "Grüße, “Ada” 😀 " + "long " * 30, "text": "·\n.\n..\nEnde\n" + "x" * 2000}
    odd["subject"] = odd["subject"].strip()
    whole = replace(outgoing("email", "", f"ntf_{provider}_whole"), content=odd | {"html": "<p>é"})
    PROVIDERS[provider].send(whole)
    (arrived,) = sandbox.store.messages(notification_id=f"ntf_{provider}_whole")
    assert arrived["subject"] == odd["subject"]
    assert (arrived["body"] or "").replace("\r\n", "\n").rstrip("\n") == odd["text"]
    assert (arrived["html"] or "").strip() == "<p>é"
    assert "carillon@example.com" in (arrived["sender"] or "")


@pytest.mark.parametrize("provider", ["ses", "smtp", "sendgrid"])
@pytest.mark.parametrize("part", ["text", "html"])
def test_an_email_may_have_one_part_alone(sandbox, point, provider, part) -> None:
    point(sandbox.url, sandbox.smtp_port)
    notification_id = f"ntf_{provider}_{part}"
    content = {"subject": "Hi", part: "Hello"}
    PROVIDERS[provider].send(replace(outgoing("email", "", notification_id), content=content))
    (arrived,) = sandbox.store.messages(notification_id=notification_id)
    found = {"text": arrived["body"], "html": arrived["html"]}
    assert (found.pop(part) or "").strip() == "Hello"
    assert set(found.values()) == {None}


@pytest.mark.parametrize("row", FAILING, ids=lambda row: f"{row.provider}-{row.address}")
def test_each_failure_has_its_class_and_is_one_request(sandbox, point, quick, row: Agreed) -> None:
    point(sandbox.url, sandbox.smtp_port)
    notification_id = f"ntf_{row.provider}_{row.address}"
    out = outgoing(row.channel.value, row.address, notification_id)
    with pytest.raises(ProviderError) as caught:
        delivery._send_once(PROVIDERS[row.provider].send, out)
    assert caught.value.failure == Failure((row.failure_class or "").lower())
    assert caught.value.listed
    assert len(sandbox.store.requests(notification_id=notification_id)) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_refused_connection_is_surely_not_sent(sandbox, point, provider) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        point(f"http://127.0.0.1:{port}", port)
        if provider == "fcm":
            # The access token comes from elsewhere; only FCM is away.
            fcm._app()
            point_token(sandbox)
        with pytest.raises(ProviderError) as caught:
            PROVIDERS[provider].send(outgoing(CHANNELS[provider]))
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
