"""AWS calls of the hot path: JSON, a signature, urllib3, and nothing in between.

A boto3 client takes 0.6 to 0.9 ms of CPU for a call beside what the network takes, and loads its
service's model at the first: most of what a notification cost us, and of a cold start
(docs/adr/0024-signed-calls.md). Credentials and errors are botocore's own, so nobody has to know
which way a call went. What is called seldom goes through boto3 (aws.py).
"""

import base64
import hmac
import json
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import botocore.session
import urllib3
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectionError,  # noqa: A004 - botocore's name for it
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    ReadTimeoutError,
    SSLError,
)
from urllib3 import exceptions as wire

from carillon.settings import endpoint, region, trace_header

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Json = dict[str, Any]
_UNANSWERED = (HTTPClientError, ConnectionError)
Parts = tuple[str, dict[str, str], bytes]
"""A request's path, headers (their names in lower case) and body."""

# What botocore's standard mode takes for throttling and for passing faults.
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_AGAIN = frozenset(
    {
        *("Throttling", "ThrottlingException", "ThrottledException", "Throttled"),
        *("RequestThrottledException", "RequestThrottled", "TooManyRequestsException"),
        *("ProvisionedThroughputExceededException", "RequestLimitExceeded", "SlowDown"),
        *("TransactionInProgressException", "PriorRequestNotComplete", "RequestTimeout"),
        *("RequestTimeoutException", "InternalServerError", "ServiceUnavailable"),
    }
)
_SERVER_ERROR = 500
_REFUSED = 300
_PAUSE_BASE, _PAUSE_FACTOR = 0.1, 4.0
# Parameters that are maps: the query protocol spells a map otherwise than a structure.
_MAPS = frozenset({"MessageAttributes"})
_SNS_VERSION = "2010-03-31"


@cache
def botocore_session() -> botocore.session.Session:
    """Return the session that all AWS calls share: a second one costs 76 ms of cold start."""
    return botocore.session.get_session()


@dataclass(frozen=True, slots=True)
class Service:
    """An AWS service as it is spoken to; ``name`` is boto3's, times are in seconds."""

    name: str
    host: str
    signing_name: str
    write: Callable[[str, Json], Parts]
    read: Callable[[bytes], Json]
    connect_timeout: float
    read_timeout: float
    attempts: int


@dataclass(slots=True)
class Client:
    """Calls of one service, on connections that are kept."""

    service: Service
    _pool: urllib3.HTTPConnectionPool | None = field(default=None)

    def call(self, operation: str, params: Json) -> Json:
        """Return the answer, its fields as boto3 names them.

        Raises ClientError, with what the service said, and the BotoCoreErrors of a client that
        gets no answer.
        """
        if operation == "TransactWriteItems":
            # The same for each attempt: a transaction is made once (as boto3 does).
            params.setdefault("ClientRequestToken", str(uuid.uuid4()))
        parts = self.service.write(operation, params)
        for attempt in range(1, self.service.attempts):
            try:
                return self._once(operation, parts)
            except (ClientError, *_UNANSWERED) as error:
                if not _may_pass(error):
                    raise
            time.sleep(random.uniform(0, _PAUSE_BASE * _PAUSE_FACTOR**attempt))  # noqa: S311
        return self._once(operation, parts)

    def _make_api_call(self, operation: str, params: Json) -> Json:
        """Call, by the one name that pynamodb knows."""
        return self.call(operation, params)

    def close(self) -> None:
        """Close the connections that are kept."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _once(self, operation: str, parts: Parts) -> Json:
        path, headers, body = parts
        base = _base(self.service)
        told = headers | {"host": base.partition("://")[2]}
        signed = sign(path, told, body, self.service.signing_name)
        if trace := trace_header():
            # Not signed: proxies change it. By it traces go on, and Lambda sees its own loops.
            signed["x-amzn-trace-id"] = trace
        status, answered, content = self.exchange(base, path, signed, body)
        if status >= _REFUSED:
            raise _refusal(operation, status, answered, content)
        return self.service.read(content) | {
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": answered}
        }

    def exchange(
        self, base: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a signed request once; return its answer's status, headers and content."""
        if self._pool is None:
            self._pool = self._connect(base)
        try:
            answer = self._pool.urlopen("POST", path, body=body, headers=headers, retries=False)
        except (wire.HTTPError, OSError) as error:
            raise _not_answered(error, base) from error
        return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.data

    def _connect(self, base: str) -> urllib3.HTTPConnectionPool:
        secure: Json = {"cert_reqs": "CERT_REQUIRED"} if base.startswith("https") else {}
        patience = urllib3.Timeout(
            connect=self.service.connect_timeout, read=self.service.read_timeout
        )
        return urllib3.connection_from_url(base, maxsize=10, timeout=patience, **secure)


def _base(service: Service) -> str:
    """Return where a service is, without a path."""
    given = endpoint(service.name)
    if given:
        return given.rstrip("/")
    where = region()
    if not where:
        raise NoRegionError
    suffix = "amazonaws.com.cn" if where.startswith("cn-") else "amazonaws.com"
    return f"https://{service.host}.{where}.{suffix}"


def sign(path: str, headers: Mapping[str, str], body: bytes, service: str) -> dict[str, str]:
    """Return the headers with a signature of them and of the body, Signature Version 4.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    Raises NoCredentialsError.
    """
    mine, where, moment = _credentials(), region(), datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    told = {**headers, "x-amz-date": moment}
    if mine.token:
        told["x-amz-security-token"] = mine.token
    names = ";".join(sorted(told))
    lines = "".join(f"{name}:{told[name]}\n" for name in sorted(told))
    request = f"POST\n{path}\n\n{lines}\n{names}\n{sha256(body).hexdigest()}"
    scope = f"{moment[:8]}/{where}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{sha256(request.encode()).hexdigest()}"
    key = _signing_key(mine.secret_key, moment[:8], where, service)
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    told["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={mine.access_key}/{scope},"
        f" SignedHeaders={names}, Signature={signature}"
    )
    return told


def _credentials() -> ReadOnlyCredentials:
    found = botocore_session().get_credentials()
    if found is None:
        raise NoCredentialsError
    return found.get_frozen_credentials()


@lru_cache(maxsize=16)
def _signing_key(secret: str, day: str, where: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, where, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _may_pass(error: Exception) -> bool:
    if not isinstance(error, ClientError):
        return not isinstance(error, SSLError)
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status >= _SERVER_ERROR or error.response["Error"].get("Code") in _AGAIN


def _not_answered(error: Exception, url: str) -> Exception:
    """Return what botocore makes of an error of urllib3 (botocore/httpsession.py)."""
    match error:
        case wire.SSLError():
            return SSLError(endpoint_url=url, error=error)
        case wire.NewConnectionError():
            return EndpointConnectionError(endpoint_url=url, error=error)
        case wire.ConnectTimeoutError():
            return ConnectTimeoutError(endpoint_url=url, error=error)
        case wire.ReadTimeoutError():
            return ReadTimeoutError(endpoint_url=url, error=error)
        case wire.ProtocolError() | OSError():
            return ConnectionClosedError(endpoint_url=url, error=error, request=None)
    return HTTPClientError(error=error)


def _refusal(
    operation: str, status: int, headers: Mapping[str, str], content: bytes
) -> ClientError:
    told = _error_of(content)
    named = headers.get("x-amzn-errortype") or told.pop("__type", "") or told.pop("code", "")
    code = str(named).partition(":")[0].rpartition("#")[2] or str(status)
    message = told.pop("message", None) or told.pop("Message", None) or ""
    about = {"HTTPStatusCode": status, "HTTPHeaders": dict(headers)}
    response = told | {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": about | {"RequestId": headers.get("x-amzn-requestid", "")},
    }
    return ClientError(response, operation)  # type: ignore[arg-type] # it is what boto3 makes


def _error_of(content: bytes) -> Json:
    """Return what an error says, JSON or XML; nothing when it is neither: a proxy's page, say."""
    try:
        if content.lstrip().startswith(b"<"):
            found = {each.tag.rpartition("}")[2]: each.text for each in _parsed(content).iter()}
            return {"__type": found.get("Code") or "", "message": found.get("Message") or ""}
        told = json.loads(content, object_hook=_decoded)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


# ---------------------------------------------------------------------------- protocols


def _json(version: str, target: str) -> Callable[[str, Json], Parts]:
    """Return what writes a call in an AWS JSON protocol.

    https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html
    """

    def write(operation: str, params: Json) -> Parts:
        headers = {
            "content-type": f"application/x-amz-json-{version}",
            "x-amz-target": f"{target}.{operation}",
        }
        return "/", headers, json.dumps(params, default=_encoded).encode()

    return write


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _decoded(told: Json) -> Json:
    """Return an attribute's value with its bytes as bytes."""
    if len(told) == 1 and isinstance(text := told.get("B"), str):
        return {"B": base64.b64decode(text)}
    return told


def _items(content: bytes) -> Json:
    read: Json = json.loads(content or b"{}", object_hook=_decoded)
    return read


def _email(operation: str, params: Json) -> Parts:
    if operation != "SendEmail":
        raise LookupError(operation)
    headers = {"content-type": "application/json"}
    return "/v2/email/outbound-emails", headers, json.dumps(params).encode()


def _sent(content: bytes) -> Json:
    """Return what SES says; nothing when that cannot be read: then it names no message."""
    try:
        read = json.loads(content or b"{}")
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _query(operation: str, params: Json) -> Parts:
    """Write a call in the query protocol.

    https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
    """
    told = {"Action": operation, "Version": _SNS_VERSION, **dict(_flat(params, ""))}
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    return "/", headers, urlencode(told).encode()


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    match value:
        case dict() if name.rpartition(".")[2] in _MAPS:
            for number, (key, each) in enumerate(value.items(), start=1):
                yield f"{name}.entry.{number}.Name", key
                yield from _flat(each, f"{name}.entry.{number}.Value")
        case dict():
            for key, each in value.items():
                yield from _flat(each, f"{name}.{key}" if name else key)
        case list():
            for number, each in enumerate(value, start=1):
                yield from _flat(each, f"{name}.member.{number}")
        case _:
            yield name, str(value)


def _published(content: bytes) -> Json:
    """Return which messages of a batch were taken and which were not; by their ids."""
    result = _parsed(content)
    return {
        kind: [
            {each.tag.rpartition("}")[2]: each.text or "" for each in member}
            for found in result.iter()
            if found.tag.rpartition("}")[2] == kind
            for member in found
        ]
        for kind in ("Successful", "Failed")
    }


def _parsed(content: bytes) -> "Element":
    """Return a document; raises ValueError when it is none."""
    from xml.etree import ElementTree as ET  # noqa: PLC0415 - 5 ms; most answers are not read

    try:
        return ET.fromstring(content)  # noqa: S314 - AWS's own, over TLS
    except ET.ParseError as error:
        raise ValueError(str(error)) from None


def dynamodb() -> Client:
    """Return a client of DynamoDB; worst case nine seconds, so that a function lives to tell."""
    return Client(_patient("dynamodb", _json("1.0", "DynamoDB_20120810"), _items))


def ssm() -> Client:
    """Return a client of Systems Manager."""
    return Client(_patient("ssm", _json("1.1", "AmazonSSM"), _items))


def sns() -> Client:
    """Return a client of SNS."""
    return Client(_patient("sns", _query, _published))


def _patient(
    name: str, write: Callable[[str, Json], Parts], read: Callable[[bytes], Json]
) -> Service:
    return Service(name, name, name, write, read, connect_timeout=1, read_timeout=2, attempts=3)


def ses(timeout: float) -> Client:
    """Return a client of SES, which sends every request once and waits ``timeout`` seconds.

    One attempt is one HTTP request: boto3 would send the mail again after a read timeout.
    """
    return Client(Service("sesv2", "email", "ses", _email, _sent, 3, timeout, 1))
