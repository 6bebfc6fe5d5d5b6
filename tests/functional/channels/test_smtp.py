"""SMTP, byte by byte: what is said, what each reply means, and how it is encrypted."""

import asyncio
import datetime as dt
import email
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from email import policy
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import wire
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from functional.channels.conftest import outgoing

from carillon import failures
from carillon.delivery import Sent
from carillon.errors import Failure, ProviderError
from functions.channels.email import smtp
from sandbox import smtp as server
from sandbox.mailroom import Mailroom

RETRY, UNKNOWN, THROTTLE = Failure.RETRY, Failure.UNKNOWN, Failure.THROTTLE
PERMANENT, RECIPIENT, CONFIG = Failure.PERMANENT, Failure.RECIPIENT, Failure.CONFIG

Step = str | Callable[[wire.Connection], None]
POLITE = {
    "greeting": "220 mx.test ESMTP",
    "EHLO": "250-mx.test\r\n250-SIZE 1000000\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 Go on",
    ".": "250 2.0.0 Ok: queued as 4XyZ12",
    "QUIT": "221 2.0.0 Bye",
}


@dataclass
class MailServer:
    """A mail server with a script: what it says at each step, and what it was told."""

    steps: dict[str, Step]
    said: list[bytes] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)

    def converse(self, connection: wire.Connection) -> None:
        with connection, suppress(OSError):
            connection.settimeout(wire.PATIENCE)
            self._do("greeting", connection)
            while line := _line(connection):
                self.said.append(line)
                verb = line[:4].decode().strip().upper()
                self._do(verb, connection)
                if verb == "DATA" and str(self.steps["DATA"]).startswith("354"):
                    self.mails.append(_until_dot(connection))
                    self._do(".", connection)

    def _do(self, step: str, connection: wire.Connection) -> None:
        answer = self.steps.get(step, "502 5.5.1 Not here")
        if callable(answer):
            answer(connection)
        else:
            connection.sendall(f"{answer}\r\n".encode())

    @property
    def verbs(self) -> list[str]:
        return [line[:4].decode().strip().upper() for line in self.said]


def _line(connection: wire.Connection) -> bytes:
    read = b""
    while not read.endswith(b"\r\n"):
        byte = connection.recv(1)
        if not byte:
            return b""
        read += byte
    return read


def _until_dot(connection: wire.Connection) -> bytes:
    read = b""
    while not read.endswith(b"\r\n.\r\n"):
        got = connection.recv(65_536)
        if not got:
            raise OSError
        read += got
    return read.removesuffix(b".\r\n")


@pytest.fixture
def scripted(point) -> Iterator[Callable[..., MailServer]]:
    """Return a maker of a mail server that says what it is told at each step."""
    with ExitStack() as opened:

        def make(mail: dict[str, Any] | None = None, **steps: Step) -> MailServer:
            made = MailServer(POLITE | steps)
            port = opened.enter_context(wire.accepting(made.converse))
            point("http://127.0.0.1:9", port, mail)
            return made

        yield make


def failed(**of_message: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        smtp.send(outgoing("email", **of_message))
    return caught.value


# ---------------------------------------------------------------- one transaction


def test_one_email_is_one_transaction(scripted) -> None:
    told = scripted()
    assert smtp.send(outgoing("email")) == Sent("smtp", "4XyZ12")
    assert told.verbs == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]
    assert told.said[0] == b"ehlo example.com\r\n"
    size = len(told.mails[0])
    begun = f"mail FROM:<carillon@example.com> SIZE={size} ENVID=ntf_x\r\n"
    assert told.said[1:3] == [begun.encode(), b"rcpt TO:<ada@example.com>\r\n"]


def test_a_server_without_extensions_is_told_no_options(scripted) -> None:
    told = scripted(EHLO="502 5.5.1 What?", HELO="250 mx.test")
    smtp.send(outgoing("email"))
    assert told.said[2].lower() == b"mail from:<carillon@example.com>\r\n"


def test_the_email_says_whose_it_is_and_is_plain_ascii_in_crlf(scripted) -> None:
    told = scripted()
    content = {"subject": "Grüße 😀", "text": "ä\r.\n..\r\n\nb" + "x" * 5000, "html": "<p>é\n.</p>"}
    smtp.send(replace(outgoing("email"), content=content))
    (raw,) = told.mails
    assert raw.isascii()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", raw)
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    mail = email.message_from_bytes(raw, policy=policy.default)
    assert mail["Message-ID"] == "<ntf_x@example.com>"
    assert mail["X-Carillon-Notification-Id"] == "ntf_x"
    assert mail["From"] == "Carillon <carillon@example.com>"
    assert (mail["To"], mail["Subject"]) == ("ada@example.com", "Grüße 😀")
    assert abs(mail["Date"].datetime - dt.datetime.now(dt.UTC)).seconds < 60
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative", "text/plain", "text/html",
    ]  # fmt: skip


def test_lines_that_begin_with_a_dot_are_doubled_and_end_nothing(scripted) -> None:
    told = scripted()
    text = "first\n.\nMAIL FROM:<evil@example.com>\n..two\n"
    smtp.send(replace(outgoing("email"), content={"subject": "Hi", "text": text}))
    assert b"\r\n..\r\n" in told.mails[0]
    assert b"\r\n...two\r\n" in told.mails[0]
    assert told.verbs.count("MAIL") == 1


@pytest.mark.parametrize("odd", ["\r\n", "\n", "\r", "\u2028", "\u2029", "\x85", "\x0b", "\x0c"])
def test_no_line_break_of_any_kind_gets_into_the_header_a_i03_a_t08(scripted, odd) -> None:
    told = scripted()
    content = {"subject": f"Hi{odd}Bcc: v@e.co", "text": "Hello"}
    with pytest.raises(ProviderError) as caught:
        smtp.send(replace(outgoing("email"), content=content))
    assert (caught.value.failure, caught.value.code) == (PERMANENT, "malformed")
    assert not told.said


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("250 2.0.0 Ok: queued as 4XyZ12", "4XyZ12"),
        ("250 OK id=1tXyz-000abc-De", "1tXyz-000abc-De"),
        ("250 Ok 0102018f-aaaa-bbbb-cccc-000000", "0102018f-aaaa-bbbb-cccc-000000"),
        ("250-2.0.0 Taken\r\n250 2.0.0 and queued as AB-7", "AB-7"),
        ("250 2.0.0 OK", "<ntf_x@example.com>"),
        ("250", "<ntf_x@example.com>"),
        ("250 ok 1700000000 qp 12345", "<ntf_x@example.com>"),
    ],
)
def test_the_id_is_that_of_the_server_s_queue_or_else_ours(scripted, words, name) -> None:
    scripted(**{".": words})
    assert smtp.send(outgoing("email")).provider_message_id == name


def test_a_repeat_has_the_same_message_id(scripted) -> None:
    told = scripted()
    for _ in range(2):
        smtp.send(outgoing("email"))
    ids = {email.message_from_bytes(mail)["Message-ID"] for mail in told.mails}
    assert ids == {"<ntf_x@example.com>"}


# ---------------------------------------------------------------- what replies mean


@pytest.mark.parametrize(
    ("step", "words", "failure", "code"),
    [
        ("greeting", "554 5.7.1 No SMTP service here", CONFIG, "554 5.7.1"),
        ("greeting", "421 4.3.2 Too busy", THROTTLE, "421 4.3.2"),
        ("MAIL", "550 5.1.1 <carillon@example.com>: unknown", CONFIG, "550 5.1.1"),
        ("MAIL", "530 5.7.0 Must issue a STARTTLS command first", CONFIG, "530 5.7.0"),
        ("MAIL", "552 5.3.4 Message size exceeds fixed limit", PERMANENT, "552 5.3.4"),
        ("MAIL", "452 4.3.1 Insufficient system storage", THROTTLE, "452 4.3.1"),
        ("RCPT", "550 5.1.1 User unknown", RECIPIENT, "550 5.1.1"),
        ("RCPT", "550 No such user here", RECIPIENT, "550"),
        ("RCPT", "550 Access denied", PERMANENT, "550"),
        ("RCPT", "550 5.7.1 Blocked by policy: no such user", PERMANENT, "550 5.7.1"),
        ("RCPT", "550 5.1.2 Domain not found", RECIPIENT, "550 5.1.2"),
        ("RCPT", "556 5.1.10 Recipient address has null MX", RECIPIENT, "556 5.1.10"),
        ("RCPT", "552 5.2.2 Mailbox full", PERMANENT, "552 5.2.2"),
        ("RCPT", "550 5.2.1 Mailbox disabled", RECIPIENT, "550 5.2.1"),
        ("RCPT", "554 5.7.1 <a@b.c>: Relay access denied", CONFIG, "554 5.7.1"),
        ("RCPT", "553 5.7.1 Sender address rejected: not owned", CONFIG, "553 5.7.1"),
        ("RCPT", "450 4.2.0 Greylisted", RETRY, "450 4.2.0"),
        ("RCPT", "452 4.2.2 Mailbox full just now", RETRY, "452 4.2.2"),
        ("RCPT", "451 4.7.1 Slow down", THROTTLE, "451 4.7.1"),
        ("RCPT", "451-4.7.1 Slow\r\n451 4.7.1 down", THROTTLE, "451 4.7.1"),
        ("DATA", "554 5.5.1 No valid recipients", PERMANENT, "554 5.5.1"),
        ("DATA", "451 4.3.0 Later", THROTTLE, "451 4.3.0"),
        (".", "554 5.7.1 Spam", PERMANENT, "554 5.7.1"),
        (".", "552 5.3.4 Too big", PERMANENT, "552 5.3.4"),
        (".", "550 5.1.1 Nobody here", RECIPIENT, "550 5.1.1"),
        (".", "451 4.3.0 Queue file write error", THROTTLE, "451 4.3.0"),
        (".", "450 4.7.1 Not now", RETRY, "450 4.7.1"),
        (".", "554 Message rejected: Email address is not verified.", CONFIG, "554"),
    ],
)
def test_a_refusal_means_what_its_code_says(scripted, step, words, failure, code) -> None:
    told = scripted(**{step: words})
    error = failed()
    assert (error.failure, error.code, error.listed) == (failure, code, True)
    assert told.verbs.count("MAIL") <= 1


def test_what_no_table_lists_is_permanent_or_passing_and_counted_a_p12(scripted) -> None:
    scripted(RCPT="599 Unheard of")
    error = failed()
    assert (error.failure, error.listed) == (PERMANENT, False)
    scripted(RCPT="499 Unheard of")
    assert failed().failure is RETRY


def test_no_error_names_the_address(scripted) -> None:
    scripted(RCPT="550 5.1.1 <ada@example.com>: Recipient address rejected")
    assert failed().message == "5.1.1 <[address]>: Recipient address rejected"


@pytest.mark.parametrize("fault", [wire.reset, wire.hang_up], ids=["reset", "hang_up"])
@pytest.mark.parametrize("step", ["greeting", "EHLO", "MAIL", "RCPT", "DATA"])
def test_a_connection_that_broke_before_the_final_dot_sent_nothing(scripted, step, fault) -> None:
    told = scripted(**{step: fault})
    assert failed().failure is RETRY
    assert not told.mails


@pytest.mark.parametrize("fault", [wire.reset, wire.hang_up], ids=["reset", "hang_up"])
def test_a_connection_that_broke_after_the_final_dot_may_have_sent_a_p14(scripted, fault) -> None:
    told = scripted(**{".": fault})
    assert failed().failure is UNKNOWN
    assert len(told.mails) == 1


def test_a_connection_that_broke_amid_a_large_message_sent_nothing(scripted) -> None:
    def leave(connection: wire.Connection) -> None:
        connection.sendall(b"354 Go on\r\n")
        connection.recv(10)
        wire.reset(connection)

    told = scripted(DATA=leave)
    content = {"subject": "Hi", "text": "line\n" * 4_000_000}
    with pytest.raises(ProviderError) as caught:
        smtp.send(replace(outgoing("email"), content=content))
    assert caught.value.failure is RETRY
    assert not told.mails


@pytest.mark.parametrize(("step", "failure"), [("RCPT", RETRY), (".", UNKNOWN)])
def test_silence_is_waited_for_no_longer_than_agreed_a_p04(scripted, quick, step, failure) -> None:
    scripted(**{step: wire.silence})
    assert failed().failure is failure


@pytest.mark.parametrize("words", ["", "HTTP/1.1 400 Bad", "<html>", "999 What", "7"])
@pytest.mark.parametrize(("step", "failure"), [("greeting", RETRY), (".", UNKNOWN)])
def test_what_is_no_reply_of_smtp_proves_nothing_a_p15(scripted, step, failure, words) -> None:
    scripted(**{step: words})
    assert failed().failure is failure


def test_an_endless_line_is_not_read_to_its_end(scripted) -> None:
    scripted(**{".": "250 " + "x" * 100_000})
    assert failed().failure is UNKNOWN


def test_a_reply_that_trickles_does_not_hold_the_worker(scripted, monkeypatch) -> None:
    def drip(connection: wire.Connection) -> None:
        connection.settimeout(0.05)
        while True:
            connection.sendall(b"2")
            with suppress(TimeoutError):
                if not connection.recv(1):
                    return

    monkeypatch.setattr(failures, "SEND_TIMEOUT", 0.5)
    scripted(**{".": drip})
    error = failed()
    assert (error.failure, error.code) == (UNKNOWN, "deadline")


def test_a_goodbye_that_never_comes_changes_nothing(scripted) -> None:
    scripted(QUIT=wire.hang_up)
    assert smtp.send(outgoing("email")).provider_message_id == "4XyZ12"


# ---------------------------------------------------------------- encryption and log-in


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1's own, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail server")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "mail.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def mail_server(certificate, point, monkeypatch) -> Iterator[Callable[..., Mailroom]]:
    """Return a maker of the sandbox's mail server, with TLS, and of the secret that leads to it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    servers = []

    def make(*, at_once: bool = False, trusted: bool = True, **secret: Any) -> Mailroom:
        store, listener = Mailroom(), socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        started = server.serve(store, listener, context, at_once=at_once)
        servers.append(asyncio.run_coroutine_threadsafe(started, loop).result(5))
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        point("http://127.0.0.1:9", port, secret)
        return store

    yield make
    for each in servers:
        loop.call_soon_threadsafe(each.close)
    asyncio.run_coroutine_threadsafe(_settle(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def _settle() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@pytest.mark.parametrize(("security", "at_once"), [("starttls", False), ("tls", True)])
@pytest.mark.parametrize("username", ["", "carillon"])
def test_it_encrypts_and_logs_in_as_the_secret_says(
    mail_server, security, at_once, username
) -> None:
    store = mail_server(
        at_once=at_once, security=security, username=username, password=username and "secret"
    )
    sent = smtp.send(outgoing("email"))
    (arrived,) = store.messages()
    assert sent.provider_message_id == arrived["provider_message_id"]
    assert len(store.requests()) == 1


@pytest.mark.parametrize(("security", "at_once"), [("starttls", False), ("tls", True)])
def test_a_certificate_of_no_trust_stops_the_channel(mail_server, security, at_once) -> None:
    store = mail_server(at_once=at_once, security=security, trusted=False)
    error = failed()
    assert (error.failure, error.code) == (CONFIG, "certificate")
    assert not store.requests()


def test_a_server_that_offers_no_encryption_gets_no_password(scripted) -> None:
    told = scripted({"security": "starttls", "username": "carillon", "password": "secret"})
    assert failed().failure is CONFIG
    assert told.verbs == ["EHLO"]


def test_a_server_that_only_speaks_in_the_clear_is_not_spoken_to(scripted, quick) -> None:
    told = scripted({"security": "tls"})
    assert failed().failure is RETRY
    assert not told.mails


def test_a_wrong_password_stops_the_channel_and_sends_nothing(mail_server) -> None:
    store = mail_server(security="starttls", username="carillon", password="wrong")
    error = failed()
    assert (error.failure, error.code) == (CONFIG, "535 5.7.8")
    assert not store.requests()


@pytest.mark.parametrize(
    ("words", "failure"),
    [("454 4.7.0 Temporary authentication failure", RETRY), ("421 4.7.0 Too many", THROTTLE)],
)
def test_a_log_in_that_fails_for_now_is_tried_again(scripted, words, failure) -> None:
    ehlo = "250-mx.test\r\n250 AUTH PLAIN"
    told = scripted({"username": "carillon", "password": "p"}, EHLO=ehlo, AUTH=words)
    assert failed().failure is failure
    assert "MAIL" not in told.verbs


@pytest.mark.parametrize(
    "secret",
    [
        {"security": "ssl"},
        {"port": 0},
        {"port": "smtp"},
        {"host": ""},
        {"password": "päss"},
        {"user": "carillon"},
    ],
    ids=str,
)
def test_an_unusable_secret_is_our_side_s_fault_and_connects_nowhere(scripted, secret) -> None:
    told = scripted(secret)
    assert failed().failure is CONFIG
    assert not told.said
