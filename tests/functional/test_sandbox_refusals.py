"""What the sandbox's newer providers find wrong with a request, as the real ones do."""

import asyncio
import json
import smtplib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from aiohttp import web

from sandbox.app import make_app
from sandbox.mailroom import Mailroom

BEARER = {"Authorization": "Bearer SG.any"}
SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=any",
    "X-Amz-Target": "PinpointSMSVoiceV2.SendTextMessage",
}
MAIL: dict[str, Any] = {
    "personalizations": [{"to": [{"email": "ada@example.com"}]}],
    "from": {"email": "sender@sandbox.test"},
    "subject": "Hello",
    "content": [{"type": "text/plain", "value": "Hi"}],
}
TEXT = {"DestinationPhoneNumber": "+4915112345678", "MessageBody": "Hi"}


@dataclass
class Sandbox:
    url: str
    smtp_port: int
    store: Mailroom


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    store, loop = Mailroom(), asyncio.new_event_loop()
    mail = socket.create_server(("127.0.0.1", 0))
    smtp_port = mail.getsockname()[1]
    runner = web.AppRunner(make_app(store, mail), handler_cancellation=True)
    loop.run_until_complete(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0)
    loop.run_until_complete(site.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield Sandbox(f"http://127.0.0.1:{runner.addresses[0][1]}", smtp_port, store)
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def post(url: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
    reply = requests.post(url, data=json.dumps(body), headers=headers, timeout=5)
    return reply.status_code, reply.json()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"personalizations": []}, "personalizations.0.to.0.email"),
        ({"personalizations": [{"to": [{}]}]}, "personalizations.0.to.0.email"),
        ({"from": {}}, "from.email"),
        ({"subject": ""}, "subject"),
        ({"content": []}, "content"),
        ({"content": "Hi"}, "content"),
        (
            {
                "content": [
                    {"type": "text/html", "value": "<p>"},
                    {"type": "text/plain", "value": "Hi"},
                ]
            },
            "content",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_sendgrid_names_the_field_that_is_wrong(sandbox, change, field) -> None:
    status, told = post(f"{sandbox.url}/v3/mail/send", MAIL | change, BEARER)
    assert (status, told["errors"][0]["field"]) == (400, field)


def test_sendgrid_wants_a_key(sandbox) -> None:
    status, told = post(f"{sandbox.url}/v3/mail/send", MAIL, {})
    assert (status, told["errors"][0]["field"]) == (401, None)


@pytest.mark.parametrize("body", ["", "[]", "{", '{"personalizations": 1}'])
def test_sendgrid_refuses_nonsense(sandbox, body) -> None:
    reply = requests.post(f"{sandbox.url}/v3/mail/send", data=body, headers=BEARER, timeout=5)
    assert reply.status_code == 400


def test_sendgrid_says_when_its_rate_is_reset(sandbox) -> None:
    to = [{"to": [{"email": "throttled@sandbox.test"}]}]
    reply = requests.post(
        f"{sandbox.url}/v3/mail/send",
        json=MAIL | {"personalizations": to},
        headers=BEARER,
        timeout=5,
    )
    assert reply.status_code == 429
    assert int(reply.headers["X-RateLimit-Reset"]) > 1_700_000_000


@pytest.mark.parametrize(
    ("change", "headers", "code"),
    [
        ({}, {"Authorization": ""}, "MissingAuthenticationTokenException"),
        ({}, {"X-Amz-Target": "PinpointSMSVoiceV2.SendVoiceMessage"}, "UnknownOperationException"),
        ({"DestinationPhoneNumber": "0151"}, {}, "ValidationException"),
        ({"MessageBody": " "}, {}, "ValidationException"),
        ({"MessageBody": "x" * 1601}, {}, "ValidationException"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_aws_texts_are_refused_by_type(sandbox, change, headers, code) -> None:
    status, told = post(sandbox.url, TEXT | change, SIGNED | headers)
    assert status in (400, 404)
    assert told["__type"] == code


# ---------------------------------------------------------------- SMTP


@pytest.fixture
def server(sandbox) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP("127.0.0.1", sandbox.smtp_port, timeout=5) as connected:
        yield connected


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (["NOOP"], 250),
        (["VRFY ada"], 502),
        (["MAIL TO:<a@b.c>"], 501),
        (["RCPT TO:<a@b.c>"], 503),
        (["DATA"], 503),
        (["MAIL FROM:<a@b.c>", "DATA"], 503),
        (["MAIL FROM:<a@b.c>", "RSET", "RCPT TO:<a@b.c>"], 503),
        (["STARTTLS"], 454),
        (["AUTH CRAM-MD5"], 504),
        (["AUTH PLAIN AGEAd3Jvbmc="], 535),
        (["AUTH PLAIN AGEAYg=="], 235),
        (["AUTH LOGIN", "YQ==", "d3Jvbmc="], 535),
        (["AUTH LOGIN YQ==", "Yg=="], 235),
        (["AUTH PLAIN", "AGEAYg=="], 235),
    ],
    ids=str,
)
def test_smtp_answers_each_line_in_its_order(server, said, code) -> None:
    server.ehlo()
    answers = [server.docmd(line)[0] for line in said]
    assert answers[-1] == code


def test_an_email_to_several_is_one_message_and_one_request(sandbox, server) -> None:
    server.sendmail("a@sandbox.test", ["ada@example.com", "bob@example.com"], "Subject: Hi\n\nHi")
    (message,) = sandbox.store.messages(to="ada@example.com, bob@example.com")
    assert (message["provider"], message["subject"]) == ("smtp", "Hi")
    assert len(sandbox.store.requests(to="ada@example.com, bob@example.com")) == 1


def test_a_connection_takes_one_email_after_another(sandbox, server) -> None:
    for number in range(3):
        server.sendmail("a@sandbox.test", [f"n{number}@example.com"], f"Subject: {number}\n\nHi")
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        server.sendmail("a@sandbox.test", ["dead@sandbox.test"], "Subject: dead\n\nHi")
    server.sendmail("a@sandbox.test", ["n3@example.com"], "Subject: 3\n\nHi")
    found = [str(m["subject"]) for m in sandbox.store.messages() if str(m["to"]).startswith("n")]
    assert found == ["0", "1", "2", "3"]


def test_lines_that_begin_with_a_dot_come_as_they_were(sandbox, server) -> None:
    server.sendmail("a@sandbox.test", ["dots@example.com"], "Subject: dots\n\n.\n..\n.a")
    (message,) = sandbox.store.messages(to="dots@example.com")
    assert str(message["body"]).splitlines() == [".", "..", ".a"]


def test_who_leaves_amid_a_message_has_sent_none(sandbox) -> None:
    server = smtplib.SMTP("127.0.0.1", sandbox.smtp_port, timeout=5)
    server.ehlo()
    for line in ("MAIL FROM:<a@b.c>", "RCPT TO:<left@example.com>", "DATA"):
        server.docmd(line)
    server.send(b"Subject: half\r\n")
    server.close()
    assert sandbox.store.messages(to="left@example.com") == []
