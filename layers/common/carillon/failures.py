"""What the failures of all providers have in common; each provider's table stands in its own file.

An answer is classed by the provider's own code, then by its HTTP status. What no table lists is
permanent (4xx) or may have gone (5xx), and is counted as unclassified. Without an answer it counts
whether a connection ever was: only then may something have been sent.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from email.utils import parsedate_to_datetime
from functools import wraps
from threading import Thread
from typing import Protocol, TypeVar

from botocore import exceptions as aws
from urllib3 import exceptions as wire

from carillon import metrics
from carillon.aws import PROVIDER_TIMEOUT
from carillon.errors import Failure, ProviderError, by_status
from carillon.log import logger, trace

SEND_TIMEOUT = 2 * PROVIDER_TIMEOUT
"""Seconds a ``send`` may take in all, however slowly the provider trickles: FCM asks for an access
token first."""
IDLE_SECONDS = 20.0
"""How long a connection is kept for the next attempt: less than any provider keeps it."""
LONGEST_WAIT = 3_600.0
"""Seconds: no provider is believed that it will be away for longer."""

# RFC 9110 and RFC 6585: what an answer of any server means, whatever its body says.
BY_STATUS = {408: Failure.RETRY, 429: Failure.THROTTLE}

# https://docs.aws.amazon.com/awssupport/latest/APIReference/CommonErrors.html, which every service
# repeats, and the older names that botocore still retries on.
AWS = {
    "AccessDenied": Failure.CONFIG,
    "AccessDeniedException": Failure.CONFIG,
    "ExpiredToken": Failure.CONFIG,
    "ExpiredTokenException": Failure.CONFIG,
    "IncompleteSignature": Failure.CONFIG,
    "InvalidClientTokenId": Failure.CONFIG,
    "InvalidSignatureException": Failure.CONFIG,
    "MissingAuthenticationToken": Failure.CONFIG,
    "MissingAuthenticationTokenException": Failure.CONFIG,
    "NotAuthorized": Failure.CONFIG,
    "OptInRequired": Failure.CONFIG,
    "RequestExpired": Failure.CONFIG,
    "RequestTimeTooSkewed": Failure.CONFIG,
    "SignatureDoesNotMatch": Failure.CONFIG,
    "UnknownOperationException": Failure.CONFIG,
    "UnrecognizedClientException": Failure.CONFIG,
    "MalformedHttpRequestException": Failure.PERMANENT,
    "RequestEntityTooLargeException": Failure.PERMANENT,
    "SerializationException": Failure.PERMANENT,
    "ValidationError": Failure.PERMANENT,
    "ValidationException": Failure.PERMANENT,
    "RequestLimitExceeded": Failure.THROTTLE,
    "RequestThrottled": Failure.THROTTLE,
    "SlowDown": Failure.THROTTLE,
    "Throttling": Failure.THROTTLE,
    "ThrottlingException": Failure.THROTTLE,
    "TooManyRequestsException": Failure.THROTTLE,
    "RequestAbortedException": Failure.UNKNOWN,
    "RequestTimeoutException": Failure.RETRY,
    "InternalFailure": Failure.UNKNOWN,
    "InternalServerException": Failure.UNKNOWN,
    "InternalServiceErrorException": Failure.UNKNOWN,
    "ServiceUnavailable": Failure.UNKNOWN,
    "ServiceUnavailableException": Failure.UNKNOWN,
    "500": Failure.UNKNOWN,
    "502": Failure.UNKNOWN,
    "503": Failure.UNKNOWN,
    "504": Failure.UNKNOWN,
}
_NOT_SENT = (aws.EndpointConnectionError, aws.ConnectTimeoutError, aws.ProxyConnectionError)
_NO_CREDENTIALS = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.CredentialRetrievalError,
    aws.NoRegionError,
)
_NEVER_CONNECTED = (wire.NewConnectionError, wire.ConnectTimeoutError)


def answered(  # noqa: PLR0913 - what an answer consists of
    table: Mapping[str, Failure],
    status: int,
    codes: Sequence[str],
    message: str,
    *,
    wait: float | None = None,
    platform_only: bool = False,
) -> ProviderError:
    """Return what an answer means: by the first of ``codes`` the table knows, or by its status."""
    known = [table[code] for code in (*codes, str(status)) if code in table]
    failure = known[0] if known else BY_STATUS.get(status)
    return ProviderError(
        failure or by_status(status),
        next(filter(None, codes), str(status)),
        message,
        retry_after=wait,
        listed=failure is not None,
        platform_only=platform_only,
    )


def not_answered(error: Exception, who: str) -> ProviderError:
    """Return what the lack of an answer means, for an error of requests or urllib3."""
    told = f"{who} did not answer"
    if any(isinstance(cause, _NEVER_CONNECTED) for cause in _causes(error)):
        return ProviderError(Failure.RETRY, type(error).__name__, told)
    if "CERTIFICATE_VERIFY_FAILED" in repr(error):
        # Somebody else answers in its place, or it is not trusted here; nothing was said to it.
        return ProviderError(Failure.CONFIG, "certificate", f"{who} has a certificate of no trust")
    return ProviderError(Failure.UNKNOWN, type(error).__name__, told)


def _causes(error: object) -> list[object]:
    """Return the error and what it was made of: requests wraps urllib3's, which wrap each other."""
    found: list[object] = []
    while isinstance(error, Exception) and error not in found:
        found.append(error)
        inner = getattr(error, "reason", None) or next(iter(error.args), None)
        error = inner if isinstance(inner, Exception) else error.__cause__
    return found


def of_aws(
    error: aws.ClientError | aws.BotoCoreError, table: Mapping[str, Failure], who: str
) -> ProviderError:
    """Return what an error of an AWS API means; ``table`` may name a code, or "code:reason"."""
    if isinstance(error, aws.ClientError):
        told = error.response["Error"]
        code = told.get("Code", "")
        reason = str(error.response.get("Reason", ""))
        reply = error.response["ResponseMetadata"]
        codes = [f"{code}:{reason}", code] if reason else [code]
        wait = retry_after(reply.get("HTTPHeaders", {}))
        return answered(
            AWS | dict(table), reply["HTTPStatusCode"], codes, told.get("Message", ""), wait=wait
        )
    code = type(error).__name__
    if isinstance(error, _NOT_SENT):
        return ProviderError(Failure.RETRY, code, f"{who} was not reached")
    if isinstance(error, _NO_CREDENTIALS):
        return ProviderError(Failure.CONFIG, code, "no credentials, or no region")
    if isinstance(error, aws.ParamValidationError):
        return ProviderError(Failure.PERMANENT, code, "the SDK refuses the request")
    return not_answered(error, who)


def retry_after(headers: Mapping[str, str], reset: str = "") -> float | None:
    """Return how many seconds to wait, as ``Retry-After`` says (RFC 9110: seconds or a date).

    ``reset`` names a header with the moment instead, in epoch seconds. What lies in the past is
    nought, what lies far ahead is shortened, and what cannot be read is no wish at all.
    """
    told = {name.lower(): value for name, value in headers.items()}
    wait = _wait(told.get("retry-after", ""))
    moment = _number(told.get(reset.lower(), ""))
    if wait is None and moment is not None:
        wait = moment - time.time()
    return None if wait is None else min(max(wait, 0.0), LONGEST_WAIT)


def _wait(text: str) -> float | None:
    seconds = _number(text)
    if seconds is not None:
        return seconds
    try:
        return parsedate_to_datetime(text).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number


class _HasAddress(Protocol):
    @property
    def address(self) -> str: ...


To = TypeVar("To", bound=_HasAddress)
Gets = TypeVar("Gets")


def attempt(
    provider: str, hang_up: Callable[[], None] | None = None
) -> Callable[[Callable[[To], Gets]], Callable[[To], Gets]]:
    """Make a ``send`` end in time, name no address in its errors, and count what is unclassified.

    A timeout of a socket is for one read of it: a reply that trickles would hold the worker
    beyond its lease. So the call runs in a thread, which is left behind when its time is over;
    what it sent by then, it may have sent.

    ``hang_up`` closes connections that were kept. A function is frozen between invocations and
    hears of no other side that left; a request on such a connection is lost, and nobody knows.
    """

    def bound(send: Callable[[To], Gets]) -> Callable[[To], Gets]:
        used = [time.time()]

        @wraps(send)
        def within_time(outgoing: To) -> Gets:
            if hang_up and time.time() - used[0] > IDLE_SECONDS:
                hang_up()
            try:
                return _await(send, outgoing)
            except ProviderError as error:
                error.message = error.message.replace(outgoing.address, "[address]")
                if not error.listed:
                    _count(provider, error.code)
                raise
            except Exception as error:
                _count(provider, type(error).__name__, error)
                raise ProviderError(
                    Failure.UNKNOWN, type(error).__name__, "unclassified", listed=False
                ) from error
            finally:
                used[0] = time.time()

        return within_time

    return bound


def _await(send: Callable[[To], Gets], outgoing: To) -> Gets:
    outcome: Future[Gets] = Future()

    def call() -> None:
        try:
            outcome.set_result(send(outgoing))
        except Exception as error:  # noqa: BLE001 - raised again where it is awaited
            outcome.set_exception(error)

    Thread(target=call, daemon=True, name="send").start()
    try:
        return outcome.result(SEND_TIMEOUT)
    except TimeoutError:
        if outcome.done():
            raise
        raise ProviderError(Failure.UNKNOWN, "deadline", "no answer in time") from None


def _count(provider: str, code: str, error: Exception | None = None) -> None:
    told = {"provider": provider, "error_code": code} | (trace(error) if error else {})
    logger().error("unclassified provider error", extra=told)
    metrics.count("unclassified_errors_total", provider=provider)
