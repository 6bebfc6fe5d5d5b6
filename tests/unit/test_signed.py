"""Signed calls: they look as botocore's do, and end as botocore's do."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest
import time_machine
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import exceptions as wire

from carillon import signed

Json = dict[str, Any]
MOMENT = datetime(2026, 11, 21, 12, tzinfo=UTC)
BASE = "https://dynamodb.us-east-1.amazonaws.com"
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> signed.Client:
    monkeypatch.setattr("time.sleep", lambda _: None)
    return signed.dynamodb()


class Line:
    """Gives answers in their turn, and keeps what was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = iter(answers)
        self.asked: list[tuple[str, Json, bytes]] = []

    def __call__(self, base: str, path: str, headers: Json, body: bytes) -> Any:
        self.asked.append((base + path, dict(headers), body))
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        status, told = answer
        return status, {}, told if isinstance(told, bytes) else json.dumps(told).encode()


def at(client: signed.Client, monkeypatch: pytest.MonkeyPatch, *answers: Any) -> Line:
    line = Line(*answers)
    monkeypatch.setattr(signed.Client, "exchange", lambda _, *asked: line(*asked))
    return line


@given(body=st.binary(max_size=200), path=st.sampled_from(["/", "/v2/email/outbound-emails"]))
@pytest.mark.parametrize("token", [None, "a-session"])
def test_it_signs_as_botocore_does(body: bytes, path: str, token: str | None) -> None:
    mine = Credentials("AKID", "secret", token)
    with time_machine.travel(MOMENT, tick=False), pytest.MonkeyPatch.context() as patched:
        patched.setenv("AWS_REGION", "eu-west-1")
        patched.setattr(signed, "_credentials", mine.get_frozen_credentials)
        headers = {"content-type": "application/json", "host": "email.eu-west-1.amazonaws.com"}
        ours = signed.sign(path, headers, body, "ses")
        request = AWSRequest("POST", f"https://{headers['host']}{path}", headers, body)
        SigV4Auth(mine, "ses", "eu-west-1").add_auth(request)
    theirs = {name.lower(): value for name, value in request.headers.items()}
    assert ours == theirs


@given(
    told=st.fixed_dictionaries({"Message": TEXTS}),
    attributes=st.dictionaries(st.sampled_from(["channel", "lane"]), TEXTS),
)
def test_it_writes_a_publish_as_botocore_does(told: Json, attributes: dict[str, str]) -> None:
    params = told | {
        "TopicArn": "arn:aws:sns:us-east-1:1:t",
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()
        },
    }
    assert _form("Publish", params) == _botocores("Publish", params)


def test_it_writes_a_batch_as_botocore_does() -> None:
    entry = {
        "Message": "{}",
        "MessageAttributes": {"lane": {"DataType": "String", "StringValue": "normal"}},
    }
    entries = [{"Id": str(number), **entry} for number in range(3)]
    params = {"TopicArn": "arn:aws:sns:us-east-1:1:t", "PublishBatchRequestEntries": entries}
    assert _form("PublishBatch", params) == _botocores("PublishBatch", params)


def _form(operation: str, params: Json) -> Json:
    _, _, body = signed._query(operation, params)
    return dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))


def _botocores(operation: str, params: Json) -> Json:
    """Return what botocore makes of it."""
    model = signed.botocore_session().get_service_model("sns")
    serializer = create_serializer("query", include_validation=True)
    body: Json = serializer.serialize_to_request(params, model.operation_model(operation))["body"]
    return body


def test_bytes_go_and_come_as_bytes(client: signed.Client, monkeypatch) -> None:
    item = {"digest": {"B": b"\x00\xff"}, "B": {"S": "x"}}
    line = at(client, monkeypatch, (200, {"Item": {"digest": {"B": "AP8="}, "B": {"S": "x"}}}))
    assert client.call("PutItem", {"Item": item})["Item"] == item
    (asked,) = line.asked
    assert json.loads(asked[2])["Item"]["digest"] == {"B": "AP8="}
    assert asked[1]["x-amz-target"] == "DynamoDB_20120810.PutItem"


def test_a_refusal_is_botocores_with_all_that_was_said(client: signed.Client, monkeypatch) -> None:
    said = {
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed",
        "Item": {"state": {"S": "sent"}},
    }
    at(client, monkeypatch, (400, said))
    with pytest.raises(ClientError) as raised:
        client.call("UpdateItem", {})
    assert raised.value.response["Error"] == {
        "Code": "ConditionalCheckFailedException",
        "Message": "The conditional request failed",
    }
    assert raised.value.response["Item"] == {"state": {"S": "sent"}}  # type: ignore[typeddict-item]


NOT_FOUND = (
    b'<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error>'
    b"<Code>NotFound</Code><Message>Topic does not exist</Message></Error></ErrorResponse>"
)


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (
            NOT_FOUND,
            "NotFound",
            "Topic does not exist",
        ),
        (b"<html>a proxy", "400", ""),
        (b"[1]", "400", ""),
        (b"", "400", ""),
    ],
)
def test_a_refusal_is_read_whatever_it_is_written_in(
    client: signed.Client, monkeypatch, content: bytes, code: str, message: str
) -> None:
    at(client, monkeypatch, (400, content))
    with pytest.raises(ClientError) as raised:
        client.call("Publish", {})
    assert raised.value.response["Error"] == {"Code": code, "Message": message}


THROTTLED = (400, {"__type": "x#ProvisionedThroughputExceededException", "message": "slower"})
AWAY = EndpointConnectionError(endpoint_url=BASE)


@pytest.mark.parametrize(
    "passing", [THROTTLED, (503, b"<html>"), AWAY, ReadTimeoutError(endpoint_url=BASE)]
)
def test_what_may_pass_is_tried_three_times(client: signed.Client, monkeypatch, passing) -> None:
    line = at(client, monkeypatch, passing, passing, (200, {}))
    client.call("PutItem", {})
    assert len(line.asked) == 3
    at(client, monkeypatch, passing, passing, passing)
    with pytest.raises((ClientError, BotoCoreError)):
        client.call("PutItem", {})


def test_what_is_refused_is_not_tried_again(client: signed.Client, monkeypatch) -> None:
    line = at(client, monkeypatch, (400, {"__type": "x#ValidationException"}))
    with pytest.raises(ClientError):
        client.call("PutItem", {})
    assert len(line.asked) == 1


def test_a_transaction_keeps_its_token(client: signed.Client, monkeypatch) -> None:
    line = at(client, monkeypatch, AWAY, (200, {}))
    client.call("TransactWriteItems", {"TransactItems": []})
    first, second = (json.loads(body)["ClientRequestToken"] for _, _, body in line.asked)
    assert first == second


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (wire.NewConnectionError(None, "refused"), EndpointConnectionError),  # type: ignore[arg-type]
        (wire.ConnectTimeoutError("slow"), ConnectTimeoutError),
        (wire.ReadTimeoutError(None, "/", "slow"), ReadTimeoutError),  # type: ignore[arg-type]
        (wire.ProtocolError("reset"), ConnectionClosedError),
        (ConnectionResetError(104, "reset"), ConnectionClosedError),
    ],
)
def test_no_answer_is_what_botocore_calls_it(error: Exception, kind: type[Exception]) -> None:
    assert type(signed._not_answered(error, BASE)) is kind


def test_a_service_is_asked_where_it_is(monkeypatch) -> None:
    service = signed.ses(1).service
    assert signed._base(service) == "https://email.us-east-1.amazonaws.com"
    monkeypatch.setenv("AWS_REGION", "cn-north-1")
    assert signed._base(service) == "https://email.cn-north-1.amazonaws.com.cn"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566/")
    assert signed._base(service) == "http://127.0.0.1:4566"
    monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", "http://127.0.0.1:8025")
    assert signed._base(service) == "http://127.0.0.1:8025"


def test_a_batchs_answer_tells_what_was_not_taken() -> None:
    answer = (
        b'<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">'
        b"<PublishBatchResult><Failed><member><Id>1</Id><Code>InternalError</Code></member></Failed>"
        b"<Successful><member><Id>0</Id><MessageId>m</MessageId></member></Successful>"
        b"</PublishBatchResult></PublishBatchResponse>"
    )
    assert signed._published(answer) == {
        "Successful": [{"Id": "0", "MessageId": "m"}],
        "Failed": [{"Id": "1", "Code": "InternalError"}],
    }


def test_a_trace_goes_on_unsigned(client: signed.Client, monkeypatch) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-5759e988-bd862e3fe1be46a994272793")
    line = at(client, monkeypatch, (200, {}))
    client.call("PutItem", {})
    (_, headers, _), *_ = line.asked
    assert headers["x-amzn-trace-id"].startswith("Root=1-")
    assert "x-amzn-trace-id" not in headers["authorization"]
