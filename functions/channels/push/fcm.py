"""Push through Firebase Cloud Messaging (HTTP v1), to Android, Apple and web devices.

Errors: https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
"""

import json
from contextlib import suppress
from functools import cache

import firebase_admin
from firebase_admin import credentials, exceptions, messaging
from google.auth.exceptions import GoogleAuthError
from requests import RequestException
from requests.adapters import HTTPAdapter

from carillon.aws import PROVIDER_TIMEOUT, secret
from carillon.delivery import Outgoing, Sent, configured
from carillon.errors import Failure, ProviderError, by_status
from carillon.settings import settings

PROVIDER = "fcm"
FAILURES = {
    messaging.UnregisteredError: Failure.RECIPIENT,
    messaging.SenderIdMismatchError: Failure.RECIPIENT,
    messaging.QuotaExceededError: Failure.THROTTLE,
    messaging.ThirdPartyAuthError: Failure.CONFIG,
    exceptions.UnauthenticatedError: Failure.CONFIG,
    exceptions.PermissionDeniedError: Failure.CONFIG,
    exceptions.NotFoundError: Failure.CONFIG,  # no FCM detail: the project is wrong
    exceptions.ResourceExhaustedError: Failure.THROTTLE,
}


def send(outgoing: Outgoing) -> Sent:
    """Send to one device in one request; raises ProviderError."""
    app = configured(_app)
    push = messaging.Message(
        token=outgoing.address,
        notification=messaging.Notification(
            title=outgoing.content["title"], body=outgoing.content["body"]
        ),
        data={
            "notification_id": outgoing.message.notification_id,
            "category": outgoing.message.category,
        },
    )
    try:
        name = messaging.send(push, app=app)
    except exceptions.FirebaseError as error:
        raise _failed(error) from error
    except GoogleAuthError as error:
        # Without an access token no request went to FCM.
        _forget()
        raise ProviderError(Failure.CONFIG, type(error).__name__, "no access token") from error
    except (KeyError, TypeError, ValueError, RequestException) as error:
        raise ProviderError(Failure.UNKNOWN, type(error).__name__, "unreadable reply") from error
    return Sent(PROVIDER, name)


def _failed(error: exceptions.FirebaseError) -> ProviderError:
    reply = error.http_response
    if reply is None:
        never = "NewConnectionError" in repr(error.cause) or "ConnectTimeout" in repr(error.cause)
        failure = Failure.RETRY if never else Failure.UNKNOWN
        return ProviderError(failure, error.code, "FCM did not answer")
    failure = FAILURES.get(type(error), by_status(reply.status_code))
    if isinstance(error, exceptions.InvalidArgumentError) and "registration token" in str(error):
        failure = Failure.RECIPIENT
    wait = reply.headers.get("Retry-After", "")
    if failure is Failure.CONFIG:
        _forget()
    return ProviderError(
        failure,
        _code(error),
        str(error),
        retry_after=float(wait) if wait.isascii() and wait.isdecimal() else None,
    )


def _code(error: exceptions.FirebaseError) -> str:
    """Return FCM's own error code where it gives one, such as UNREGISTERED."""
    try:
        details = error.http_response.json()["error"]["details"]
        return str(next(each["errorCode"] for each in details if "errorCode" in each))
    except (KeyError, StopIteration, TypeError, ValueError):
        return str(error.code)


@cache
def _app() -> firebase_admin.App:
    account = json.loads(secret(f"{settings().required('secrets_prefix')}/fcm"))
    app = firebase_admin.initialize_app(
        credentials.Certificate(account), {"httpTimeout": PROVIDER_TIMEOUT}
    )
    try:
        _send_once(app)
    except Exception:
        firebase_admin.delete_app(app)
        raise
    return app


def _forget() -> None:
    """Begin anew with the account as it is kept now."""
    secret.cache_clear()
    _app.cache_clear()
    with suppress(ValueError):
        firebase_admin.delete_app(firebase_admin.get_app())


def _send_once(app: firebase_admin.App) -> None:
    """Take the SDK's retries away: it posts again after a reset, a 500 and a 503.

    It has no public setting for that, nor for its address (firebase-admin 7.7); the tests count
    requests on the wire and fail should these names change.
    """
    service = messaging._get_messaging_service(app)  # noqa: SLF001
    session = service._client.session  # noqa: SLF001
    for prefix in list(session.adapters):
        session.mount(prefix, HTTPAdapter(max_retries=0))
    session._refresh_status_codes = ()  # noqa: SLF001 - nor after a 401
    base = settings().fcm_base_url
    if base:
        service._fcm_url = f"{base}/v1/projects/{app.project_id}/messages:send"  # noqa: SLF001
