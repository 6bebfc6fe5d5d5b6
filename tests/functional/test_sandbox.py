"""The provider sandbox, driven by the providers' real SDKs."""

import json
import os
import subprocess
import sys
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from email.message import EmailMessage
from functools import cache, partial
from http.client import HTTPConnection
from pathlib import Path
from smtplib import SMTP, SMTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

import boto3
import firebase_admin
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from firebase_admin import credentials, messaging
from firebase_admin.exceptions import FirebaseError
from requests.adapters import HTTPAdapter
from twilio.base.exceptions import (  # type: ignore[import-untyped,unused-ignore]
    TwilioRestException,
)
from twilio.http.http_client import (  # type: ignore[import-untyped,unused-ignore]
    TwilioHttpClient,
)
from twilio.rest import Client  # type: ignore[import-untyped,unused-ignore]

ROOT = Path(__file__).parents[2]
if str(ROOT / "localstack") not in sys.path:
    sys.path.insert(0, str(ROOT / "localstack"))

from sandbox.addresses import ADDRESSES, as_markdown, find_agreed  # noqa: E402
from sandbox.mailroom import Mailroom, Message  # noqa: E402
from sandbox.outcomes import (  # noqa: E402
    KEPT,
    Agreed,
    Channel,
    FailureClass,
    Provider,
    Reaction,
)
from sandbox.twilio import count_segments  # noqa: E402

# Registration tokens are what most devices have, though the SDK would rather see installation ids.
pytestmark = pytest.mark.filterwarnings("ignore:Message.token is deprecated:DeprecationWarning")

PROJECT = "carillon-test"
ACCOUNT = "AC" + "0" * 32
PATIENCE = 0.4
BY_ADDRESS = [pytest.param(row, id=f"{row.provider}-{row.address}") for row in ADDRESSES]


@dataclass(frozen=True)
class Seen:
    """What the sender saw: an id, an error by the provider, or neither."""

    status: int | None = None
    code: str | None = None
    message_id: str | None = None


# ---------------------------------------------------------------- the server and its clients


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Run the sandbox as people do, on a free port."""
    command = [sys.executable, "-m", "sandbox", "--port", "0", "--smtp-port", "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "localstack")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout
        yield server.stdout.readline().split()[-1]
        server.terminate()


@pytest.fixture
def notification_id() -> str:
    return uuid.uuid4().hex


@cache
def _aws(url: str, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=PATIENCE),
    )


@cache
def _twilio(url: str) -> Client:
    client = Client(ACCOUNT, "any", http_client=TwilioHttpClient(timeout=PATIENCE))
    client.api.base_url = url
    return client


@cache
def _private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@cache
def _firebase(url: str) -> firebase_admin.App:
    account = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key": _private_key(),
        "client_email": f"sender@{PROJECT}.iam.gserviceaccount.com",
        "token_uri": f"{url}/token",
    }
    app = firebase_admin.initialize_app(
        credentials.Certificate(account), {"httpTimeout": PATIENCE}, name=url
    )
    service = messaging._get_messaging_service(app)
    service._fcm_url = f"{url}/v1/projects/{PROJECT}/messages:send"
    session = service._client.session
    session.mount("http://", HTTPAdapter(max_retries=0))
    # A 401 would otherwise fetch a new token and send twice more.
    session._max_refresh_attempts = 0
    return app


# ---------------------------------------------------------------- sending


def _email(subject: str = "Hello", **body: str) -> dict[str, object]:
    parts = {kind: {"Data": text} for kind, text in (body or {"Text": "Hi"}).items()}
    return {"Simple": {"Subject": {"Data": subject}, "Body": parts}}


def send_email(url: str, to: str, tag: str, content: dict[str, object] | None = None) -> Seen:
    try:
        answer = _aws(url, "sesv2").send_email(
            FromEmailAddress="Carillon <sender@sandbox.test>",
            Destination={"ToAddresses": [to]},
            Content=content or _email(),
            EmailTags=[{"Name": "notification_id", "Value": tag}],
            ConfigurationSetName="carillon",
        )
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return Seen(status, error.response["Error"]["Code"])
    except HTTPClientError:
        return Seen()
    return Seen(answer["ResponseMetadata"]["HTTPStatusCode"], None, answer.get("MessageId"))


def send_by_smtp(url: str, to: str, tag: str) -> Seen:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "Hello", "sender@sandbox.test", to
    mail.set_content("Hi")
    host, port = url.removeprefix("http://").partition(":")[0], ask(url, "/health")["smtp_port"]
    try:
        with SMTP(host, port, timeout=PATIENCE) as server:
            server.ehlo()
            status, words = server.mail("sender@sandbox.test", [f"ENVID={tag}"])
            for say in (partial(server.rcpt, to), partial(server.data, mail.as_bytes())):
                status, words = say()
                if status != 250:
                    return Seen(status, words.decode().split()[0]) if status > 0 else Seen()
    except (SMTPException, OSError):
        return Seen()
    return Seen(status, None, words.decode().rpartition(" ")[2])


def send_by_sendgrid(url: str, to: str, tag: str, **change: Any) -> Seen:
    mail = {
        "personalizations": [{"to": [{"email": to}], "custom_args": {"notification_id": tag}}],
        "from": {"email": "sender@sandbox.test"},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "Hi"}],
    }
    headers = {"Authorization": "Bearer SG.any"}
    try:
        reply = requests.post(
            f"{url}/v3/mail/send", json=mail | change, headers=headers, timeout=PATIENCE
        )
    except requests.RequestException:
        return Seen()
    if reply.status_code == 202:
        return Seen(202, None, reply.headers.get("X-Message-Id"))
    try:
        return Seen(reply.status_code, reply.json()["errors"][0]["field"] or "")
    except ValueError:
        return Seen()


def send_by_aws(url: str, to: str, tag: str, body: str = "Hi") -> Seen:
    try:
        sent = _aws(url, "pinpoint-sms-voice-v2").send_text_message(
            DestinationPhoneNumber=to, MessageBody=body, Context={"notification_id": tag}
        )
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        reason = error.response.get("Reason")
        code = error.response["Error"]["Code"]
        return Seen(status, f"{code}:{reason}" if reason else code)
    except HTTPClientError:
        return Seen()
    return Seen(200, None, sent.get("MessageId"))


def send_sms(url: str, to: str, tag: str, body: str = "Hi") -> Seen:
    callback = f"https://example.com/receipts/sms?{urlencode({'notification_id': tag})}"
    try:
        sent = _twilio(url).messages.create(
            to=to, from_="+15005550006", body=body, status_callback=callback
        )
    except TwilioRestException as error:
        return Seen(error.status, str(error.code))
    except (requests.RequestException, ValueError):
        return Seen()
    return Seen(201, None, sent.sid)


def send_push(url: str, to: str, tag: str, body: str = "Hi", **data: str) -> Seen:
    message = messaging.Message(
        token=to,
        notification=messaging.Notification(title="Hello", body=body),
        data={"notification_id": tag, **data},
    )
    try:
        name = messaging.send(message, app=_firebase(url))
    except FirebaseError as error:
        return _seen_by_firebase(error)
    except ValueError:
        return Seen()
    return Seen(200, None, name)


def _seen_by_firebase(error: FirebaseError) -> Seen:
    response = error.http_response
    try:
        told = response.json()["error"] if response is not None else {}
    except ValueError:
        return Seen()
    codes = [detail["errorCode"] for detail in told.get("details", [])]
    status = response.status_code if response is not None else None
    return Seen(status, codes[0] if codes else told.get("status"))


SEND: dict[Provider, Callable[[str, str, str], Seen]] = {
    Provider.SES: send_email,
    Provider.SMTP: send_by_smtp,
    Provider.SENDGRID: send_by_sendgrid,
    Provider.TWILIO: send_sms,
    Provider.AWS: send_by_aws,
    Provider.FCM: send_push,
}
PLAIN = {
    Channel.EMAIL: "anna@example.com",
    Channel.SMS: "+4915112345678",
    Channel.PUSH: "fcm-token-of-anna",
}


# ---------------------------------------------------------------- asking


def ask(url: str, path: str, **query: str) -> Any:
    with urllib.request.urlopen(f"{url}{path}?{urlencode(query)}", timeout=5) as answer:  # noqa: S310
        return json.load(answer)


def post(url: str, path: str, body: bytes, **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(f"{url}{path}", body, headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def only(url: str, tag: str) -> dict[str, Any]:
    (message,) = ask(url, "/messages", notification_id=tag)
    return dict(message)


# ---------------------------------------------------------------- accepted messages


def test_it_is_healthy(url: str) -> None:
    told = ask(url, "/health")
    assert told == {"status": "ok", "smtp_port": told["smtp_port"]}


@pytest.mark.parametrize("provider", Provider)
def test_any_other_address_is_accepted(url: str, provider: Provider, notification_id: str) -> None:
    seen = SEND[provider](url, PLAIN[provider.channel], notification_id)
    message = only(url, notification_id)
    assert message["provider_message_id"] == seen.message_id
    assert (message["channel"], message["provider"]) == (provider.channel, provider)
    assert (message["to"], message["body"].strip()) == (PLAIN[provider.channel], "Hi")


def test_an_email_keeps_its_subject_text_html_and_sender(url: str, notification_id: str) -> None:
    content = _email("Grüße", Text="Hallo", Html="<p>Hallo</p>")
    send_email(url, "anna@example.com", notification_id, content)
    message = only(url, notification_id)
    assert (message["subject"], message["body"]) == ("Grüße", "Hallo")
    assert message["html"] == "<p>Hallo</p>"
    assert message["sender"] == "Carillon <sender@sandbox.test>"
    assert message["title"] is None


def test_a_raw_email_is_parsed(url: str, notification_id: str) -> None:
    mail = EmailMessage()
    mail["Subject"] = "Straße"
    mail.set_content("Guten Tag")
    mail.add_alternative("<b>Guten Tag</b>", subtype="html")
    mail.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="a.pdf")
    send_email(url, "anna@example.com", notification_id, {"Raw": {"Data": mail.as_bytes()}})
    message = only(url, notification_id)
    assert message["subject"] == "Straße"
    assert message["body"].strip() == "Guten Tag"
    assert message["html"].strip() == "<b>Guten Tag</b>"


def test_a_raw_email_may_name_its_own_recipient(url: str) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@sandbox.test", "only-raw@example.com", "Hi"
    mail.set_content("Hi")
    _aws(url, "sesv2").send_email(Content={"Raw": {"Data": mail.as_bytes()}})
    assert ask(url, "/messages", to="only-raw@example.com")[0]["sender"] == "a@sandbox.test"


def test_ses_ids_look_like_those_of_ses(url: str, notification_id: str) -> None:
    seen = send_email(url, "anna@example.com", notification_id)
    region_and_time, *middle, end = str(seen.message_id).split("-")
    assert len(region_and_time) == 16
    assert [len(part) for part in middle] == [8, 4, 4, 4, 12]
    assert end == "000000"


def test_twilio_answers_with_the_whole_resource(url: str) -> None:
    sent = _twilio(url).messages.create(to=PLAIN[Channel.SMS], from_="+15005550006", body="Hi")
    assert (sent.status, sent.direction, sent.num_segments) == ("queued", "outbound-api", "1")
    assert (sent.account_sid, sent.error_code) == (ACCOUNT, None)
    assert sent.date_created is not None
    assert sent.uri == f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{sent.sid}.json"


def test_a_messaging_service_picks_its_sender_later(url: str) -> None:
    service = "MG" + "1" * 32
    sent = _twilio(url).messages.create(
        to=PLAIN[Channel.SMS], messaging_service_sid=service, body="Hi"
    )
    assert (sent.status, sent.from_, sent.messaging_service_sid) == ("accepted", None, service)


@pytest.mark.parametrize(
    ("body", "segments"),
    [("a" * 160, 1), ("a" * 161, 2), ("€" * 80, 1), ("€" * 81, 2), ("😀" * 35, 1), ("ж" * 71, 2)],
)
def test_segments_are_counted_by_alphabet(body: str, segments: int) -> None:
    assert count_segments(body) == segments


def test_a_push_keeps_its_title_and_body(url: str, notification_id: str) -> None:
    seen = send_push(url, PLAIN[Channel.PUSH], notification_id, "Your parcel is here")
    message = only(url, notification_id)
    assert (message["title"], message["body"]) == ("Hello", "Your parcel is here")
    assert str(seen.message_id).startswith(f"projects/{PROJECT}/messages/0:")


def test_a_push_may_go_to_an_installation_id(url: str, notification_id: str) -> None:
    data = {"notification_id": notification_id}
    messaging.send(messaging.Message(fid="c1tpYVWLTh2uXqJ0", data=data), app=_firebase(url))
    message = only(url, notification_id)
    assert (message["to"], message["title"]) == ("c1tpYVWLTh2uXqJ0", None)


def test_messages_are_listed_newest_last_with_their_time(url: str, notification_id: str) -> None:
    send_email(url, "first@example.com", notification_id)
    send_sms(url, PLAIN[Channel.SMS], notification_id)
    first, second = ask(url, "/messages", notification_id=notification_id)
    assert (first["channel"], second["channel"]) == ("email", "sms")
    assert first["received_at"] <= second["received_at"]
    assert first["received_at"].endswith("Z")


def test_messages_are_selected_by_channel_and_recipient(url: str, notification_id: str) -> None:
    send_email(url, "anna@example.com", notification_id)
    send_email(url, "bert@example.com", notification_id)
    send_push(url, PLAIN[Channel.PUSH], notification_id)
    emails = ask(url, "/messages", notification_id=notification_id, channel="email")
    to_bert = ask(url, "/messages", notification_id=notification_id, to="bert@example.com")
    assert [message["to"] for message in emails] == ["anna@example.com", "bert@example.com"]
    assert len(to_bert) == 1


# ---------------------------------------------------------------- agreed addresses


@pytest.mark.parametrize("row", BY_ADDRESS)
def test_every_agreed_address_does_what_its_row_says(
    url: str, row: Agreed, notification_id: str
) -> None:
    seen = SEND[row.provider](url, row.address, notification_id)
    if row.fault:
        assert (seen.status, seen.code) == (row.fault.status, row.fault.code)
    assert bool(seen.message_id) == (row.reaction is Reaction.ACCEPTED)
    kept = ask(url, "/messages", notification_id=notification_id)
    assert len(kept) == (1 if row.reaction in KEPT else 0)


@pytest.mark.parametrize("row", BY_ADDRESS)
def test_every_agreed_address_leaves_one_request(
    url: str, row: Agreed, notification_id: str
) -> None:
    SEND[row.provider](url, row.address, notification_id)
    (request,) = ask(url, "/requests", notification_id=notification_id)
    expected = Reaction.REFUSED if row.reaction is Reaction.FLAKY else row.reaction
    told = (request["channel"], request["provider"], request["to"])
    assert told == (row.channel, row.provider, row.address)
    assert request["outcome"] == expected
    if row.fault:
        assert request["status"] == row.fault.status
    if row.reaction in {Reaction.NO_REPLY, Reaction.RESET}:
        assert request["status"] is None


@pytest.mark.parametrize("provider", Provider)
def test_every_provider_can_fail_in_every_way(provider: Provider) -> None:
    rows = [row for row in ADDRESSES if row.provider is provider]
    # Of one HTTP request nothing can tell that it was not sent, once it was.
    over_http = provider is not Provider.SMTP
    classes = set(FailureClass) - ({FailureClass.RETRY} if over_http else set())
    reactions = set(Reaction) - ({Reaction.DROPPED} if over_http else set())
    assert {row.failure_class for row in rows} >= classes
    assert {row.reaction for row in rows} >= reactions - {Reaction.ACCEPTED}


@pytest.mark.parametrize(
    "row",
    [row for row in ADDRESSES if row.reaction is Reaction.FLAKY],
    ids=lambda row: row.provider,
)
def test_a_flaky_address_accepts_the_second_time(
    url: str, row: Agreed, notification_id: str
) -> None:
    first, second = (SEND[row.provider](url, row.address, notification_id) for _ in range(2))
    assert (first.status, first.message_id) == (row.fault and row.fault.status, None)
    assert second.message_id == only(url, notification_id)["provider_message_id"]
    outcomes = [r["outcome"] for r in ask(url, "/requests", notification_id=notification_id)]
    assert outcomes == ["refused", "accepted"]


def test_a_flaky_address_fails_anew_for_each_notification(url: str) -> None:
    assert send_sms(url, "+15005550070", uuid.uuid4().hex).status == 503
    assert send_sms(url, "+15005550070", uuid.uuid4().hex).status == 503


@pytest.mark.parametrize(
    ("provider", "to", "expected"),
    [
        (Provider.SES, "flaky+anna@sandbox.test", "flaky@sandbox.test"),
        (Provider.SES, "Anna <Reset@mail.Sandbox.test>", "reset@sandbox.test"),
        (Provider.SES, "a@example.com, paused@sandbox.test", "paused@sandbox.test"),
        (Provider.SES, "bounce+7@simulator.amazonses.com", "bounce@simulator.amazonses.com"),
        (Provider.SES, "flaky@notsandbox.test", None),
        (Provider.SES, "flaky@simulator.amazonses.com", None),
        (Provider.SMTP, "flaky+anna@sandbox.test", "flaky@sandbox.test"),
        (Provider.SMTP, "mail-from@sandbox.test", None),
        (Provider.TWILIO, "+150055500011", None),
        (Provider.AWS, "+15005550042", "+15005550042"),
        (Provider.TWILIO, "+15005550042", None),
        (Provider.FCM, "sandbox-server-error-anna", "sandbox-server-error"),
        (Provider.FCM, "sandbox-resetting", None),
        (Provider.FCM, "my-sandbox-reset", None),
    ],
)
def test_agreed_addresses_are_recognised(provider: Provider, to: str, expected: str | None) -> None:
    row = find_agreed(provider, to)
    assert (row.address if row else None) == expected


def test_addresses_are_listed_as_json(url: str) -> None:
    listed = ask(url, "/addresses")
    assert [row["address"] for row in listed] == [row.address for row in ADDRESSES]
    assert all(row["happens"] for row in listed)


def test_the_table_in_the_docs_is_the_one_the_code_obeys() -> None:
    text = (ROOT / "docs" / "sandbox.md").read_text(encoding="utf-8")
    table = text.split("<!-- generated: addresses -->\n")[1].split("\n<!-- end -->")[0]
    assert table == as_markdown(), "run: PYTHONPATH=localstack python -m sandbox --addresses"


# ---------------------------------------------------------------- errors as the providers put them


def test_ses_names_its_error_in_a_header(url: str, notification_id: str) -> None:
    with pytest.raises(ClientError) as caught:
        _aws(url, "sesv2").send_email(
            FromEmailAddress="sender@sandbox.test",
            Destination={"ToAddresses": ["throttled@sandbox.test"]},
            Content=_email(),
            EmailTags=[{"Name": "notification_id", "Value": notification_id}],
        )
    assert isinstance(caught.value, _aws(url, "sesv2").exceptions.TooManyRequestsException)
    assert caught.value.response["Error"]["Message"] == "Maximum sending rate exceeded."
    assert caught.value.response["ResponseMetadata"]["RequestId"]


def test_twilio_links_to_its_error(url: str) -> None:
    path = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    body = urlencode({"To": "+15005550004", "From": "+15005550006", "Body": "Hi"}).encode()
    status, error = post(url, path, body, Authorization="Basic YTpi")
    assert (status, error["code"], error["status"]) == (400, 21610, 400)
    assert error["more_info"] == "https://www.twilio.com/docs/errors/21610"


@pytest.mark.parametrize(
    ("token", "error"),
    [
        ("sandbox-unregistered", messaging.UnregisteredError),
        ("sandbox-throttled", messaging.QuotaExceededError),
        ("sandbox-credentials", messaging.ThirdPartyAuthError),
    ],
)
def test_the_firebase_sdk_recognises_the_errors_of_fcm(
    url: str, token: str, error: type[FirebaseError]
) -> None:
    with pytest.raises(error):
        messaging.send(messaging.Message(token=token), app=_firebase(url))


def test_a_missing_project_is_not_taken_for_a_dead_token(url: str) -> None:
    with pytest.raises(FirebaseError) as caught:
        messaging.send(messaging.Message(token="sandbox-project-missing"), app=_firebase(url))
    assert caught.value.code == "NOT_FOUND"
    assert not isinstance(caught.value, messaging.UnregisteredError)


def test_fcm_says_when_to_come_back(url: str) -> None:
    with pytest.raises(messaging.QuotaExceededError) as caught:
        messaging.send(messaging.Message(token="sandbox-throttled"), app=_firebase(url))
    assert caught.value.http_response is not None
    assert caught.value.http_response.headers["Retry-After"] == "60"


# ---------------------------------------------------------------- requests at fault themselves


def test_ses_wants_a_signature(url: str) -> None:
    status, error = post(url, "/v2/email/outbound-emails", b"{}")
    assert (status, error) == (403, {"message": "Missing Authentication Token"})


@pytest.mark.parametrize(
    "change",
    [
        {"Content": {}},
        {"Content": {"Simple": {"Subject": {"Data": "No body"}}}},
        {"Destination": {}},
        {"FromEmailAddress": None},
    ],
    ids=["content", "body", "recipient", "sender"],
)
def test_ses_refuses_an_incomplete_email(url: str, change: dict[str, object]) -> None:
    whole = {
        "FromEmailAddress": "sender@sandbox.test",
        "Destination": {"ToAddresses": ["anna@example.com"]},
        "Content": _email(),
    }
    body = json.dumps(whole | change).encode()
    headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=any"}
    assert post(url, "/v2/email/outbound-emails", body, **headers)[0] == 400


def test_twilio_wants_credentials(url: str, notification_id: str) -> None:
    form = {
        "To": "+4915112345678",
        "StatusCallback": f"https://a/?notification_id={notification_id}",
    }
    path = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    status, error = post(url, path, urlencode(form).encode())
    (request,) = ask(url, "/requests", notification_id=notification_id)
    assert (status, error["code"]) == (401, 20003)
    assert request["outcome"] == "unauthenticated"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"To": ""}, 21604),
        ({"To": "0151 1234"}, 21211),
        ({"From": ""}, 21603),
        ({"Body": ""}, 21602),
        ({"Body": "a" * 1601}, 21617),
    ],
    ids=lambda value: str(value)[:20],
)
def test_twilio_refuses_an_incomplete_message(url: str, change: dict[str, str], code: int) -> None:
    form = {"To": "+4915112345678", "From": "+15005550006", "Body": "Hi"} | change
    path = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    status, error = post(url, path, urlencode(form).encode(), Authorization="Basic YTpi")
    assert (status, error["code"]) == (400, code)


def test_fcm_wants_a_token(url: str) -> None:
    body = json.dumps({"message": {"token": "any"}}).encode()
    status, answer = post(url, f"/v1/projects/{PROJECT}/messages:send", body)
    assert (status, answer["error"]["status"]) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    "message",
    [{}, {"token": "any", "data": {"count": 1}}, {"token": "any", "data": []}],
    ids=["recipient", "number", "list"],
)
def test_fcm_refuses_a_malformed_message(url: str, message: dict[str, object]) -> None:
    body = json.dumps({"message": message}).encode()
    path = f"/v1/projects/{PROJECT}/messages:send"
    status, answer = post(url, path, body, Authorization="Bearer any")
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_fcm_refuses_a_payload_above_4096_bytes(url: str, notification_id: str) -> None:
    fits = send_push(url, PLAIN[Channel.PUSH], notification_id, filler="x" * 3900)
    too_big = send_push(url, PLAIN[Channel.PUSH], notification_id, filler="x" * 4100)
    assert fits.message_id
    assert (too_big.status, too_big.code) == (400, "INVALID_ARGUMENT")


def test_payloads_are_measured_in_bytes(url: str, notification_id: str) -> None:
    seen = send_push(url, PLAIN[Channel.PUSH], notification_id, filler="é" * 2100)
    assert seen.status == 400


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}, "invalid_grant"),
    ],
)
def test_the_token_endpoint_wants_an_assertion(url: str, form: dict[str, str], error: str) -> None:
    status, answer = post(url, "/token", urlencode(form).encode())
    assert (status, answer["error"]) == (400, error)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"message": 1}', b'{"Destination": 1}'])
def test_nonsense_is_a_bad_request(url: str, body: bytes) -> None:
    ses = post(url, "/v2/email/outbound-emails", body, Authorization="AWS4-HMAC-SHA256 any")
    fcm = post(url, f"/v1/projects/{PROJECT}/messages:send", body, Authorization="Bearer any")
    assert (ses[0], fcm[0]) == (400, 400)


# ---------------------------------------------------------------- page, events and memory


def test_the_page_fetches_nothing_from_elsewhere(url: str) -> None:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
        page, policy = answer.read().decode(), answer.headers["Content-Security-Policy"]
    assert "Carillon sandbox" in page
    assert "innerHTML" not in page
    assert not [word for word in ("src=", "@import", "url(http") if word in page]
    assert policy.startswith("default-src 'none'; connect-src 'self'")


def test_messages_are_streamed_as_they_come(url: str, notification_id: str) -> None:
    host = url.removeprefix("http://")
    with closing(HTTPConnection(host, timeout=5)) as connection:
        connection.request("GET", "/events")
        stream = connection.getresponse()
        assert stream.readline() == b"retry: 1000\n"
        sending = threading.Thread(target=send_push, args=(url, "streamed", notification_id))
        sending.start()
        lines = [stream.readline().decode() for _ in range(3)]
        sending.join()
    assert lines[1] == "event: message\n"
    assert json.loads(lines[2].removeprefix("data: "))["notification_id"] == notification_id


def test_the_store_keeps_the_newest_messages() -> None:
    mailroom = Mailroom(newest=3)
    for number in range(5):
        mailroom.keep(Message(Provider.TWILIO, f"+{number}", f"SM{number}"))
    assert [message["to"] for message in mailroom.messages()] == ["+2", "+3", "+4"]
    assert mailroom.counts() == {"messages": 5, "requests": 0}


def test_a_listener_that_cannot_keep_up_is_hung_up_on() -> None:
    mailroom = Mailroom()
    with mailroom.listen() as news:
        for number in range(news.maxsize + 1):
            mailroom.keep(Message(Provider.TWILIO, "+1", f"SM{number}"))
        assert news.get_nowait() is None


def test_what_was_tried_first_is_forgotten_in_time() -> None:
    mailroom = Mailroom(newest=2)
    assert [mailroom.first_time(key) for key in ("a", "a", "b", "c", "a")] == [
        True, False, True, True, True,
    ]  # fmt: skip


def test_emptying_forgets_everything(url: str, notification_id: str) -> None:
    send_sms(url, "+15005550070", notification_id)
    request = urllib.request.Request(f"{url}/messages", method="DELETE")  # noqa: S310
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
        assert answer.status == 204
    assert ask(url, "/messages") == ask(url, "/requests") == []
    assert ask(url, "/counts") == {"messages": 0, "requests": 0}
    assert send_sms(url, "+15005550070", notification_id).status == 503
