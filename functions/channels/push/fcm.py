"""Push through Firebase Cloud Messaging (HTTP v1), to Android, Apple and web devices.

Errors: https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode and
https://firebase.google.com/docs/cloud-messaging/error-codes; what else Google's APIs answer:
https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
"""

import json
from contextlib import suppress
from datetime import datetime
from functools import cache, partial

import firebase_admin
from firebase_admin import credentials, exceptions, messaging
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.requests import Request
from requests import RequestException, Response, Session
from requests.adapters import HTTPAdapter

from carillon.aws import PROVIDER_TIMEOUT, secret
from carillon.delivery import Outgoing, Sent, configured
from carillon.errors import Failure, ProviderError
from carillon.failures import answered, attempt, not_answered, retry_after
from carillon.messages import Message
from carillon.models import now
from carillon.settings import settings

PROVIDER = "fcm"
FAILURES = {
    "INVALID_ARGUMENT": Failure.PERMANENT,
    "UNREGISTERED": Failure.RECIPIENT,
    # Another project's token. It stays: were it ours that is the wrong one, all would go.
    "SENDER_ID_MISMATCH": Failure.PERMANENT,
    "QUOTA_EXCEEDED": Failure.THROTTLE,
    "THIRD_PARTY_AUTH_ERROR": Failure.CONFIG,  # the APNs key, or the one of web push
    "APNS_AUTH_ERROR": Failure.CONFIG,
    "UNAVAILABLE": Failure.UNKNOWN,
    "INTERNAL": Failure.UNKNOWN,
    "UNAUTHENTICATED": Failure.CONFIG,
    "PERMISSION_DENIED": Failure.CONFIG,
    "NOT_FOUND": Failure.CONFIG,  # no FCM detail: the project is wrong
    "FAILED_PRECONDITION": Failure.CONFIG,
    "RESOURCE_EXHAUSTED": Failure.THROTTLE,
    "OUT_OF_RANGE": Failure.PERMANENT,
    "DEADLINE_EXCEEDED": Failure.UNKNOWN,
    "CANCELLED": Failure.UNKNOWN,
    "ABORTED": Failure.UNKNOWN,
    "DATA_LOSS": Failure.UNKNOWN,
    "UNKNOWN": Failure.UNKNOWN,
    # Without a body of theirs: by the HTTP status, as of a path that is no project's.
    "401": Failure.CONFIG,
    "403": Failure.CONFIG,
    "404": Failure.CONFIG,
    "500": Failure.UNKNOWN,
    "502": Failure.UNKNOWN,
    "503": Failure.UNKNOWN,
    "504": Failure.UNKNOWN,
}
NO_TOKEN = "registration token is not a valid"  # noqa: S105 - FCM's words
ONE_PLATFORM = frozenset({"THIRD_PARTY_AUTH_ERROR", "APNS_AUTH_ERROR"})
URGENT = 5
"""From this priority on a device is woken for it; below it may wait until somebody looks."""
LONGEST_LIFE = 2_419_200
"""Seconds that FCM keeps a message: four weeks."""
MAX_COLLAPSE_ID = 64


def _hang_up() -> None:
    if _app.cache_info().currsize:
        _session(_app()).close()


@attempt(PROVIDER, _hang_up)
def send(outgoing: Outgoing) -> Sent:
    """Send to one device in one request; raises ProviderError."""
    app = configured(_app)
    _authorise(app)
    try:
        name = messaging.send(_push(outgoing), app=app)
    except exceptions.FirebaseError as error:
        raise _failed(error) from error
    except (AttributeError, LookupError, TypeError, ValueError, RequestException) as error:
        raise ProviderError(Failure.UNKNOWN, type(error).__name__, "unreadable reply") from error
    return Sent(PROVIDER, name)


def _push(outgoing: Outgoing) -> messaging.Message:
    message = outgoing.message
    blocks = {"android": _android, "ios": _apple, "web": _web}
    wanted = [outgoing.platform] if outgoing.platform in blocks else list(blocks)
    named = {"android": "android", "ios": "apns", "web": "webpush"}
    return messaging.Message(
        token=outgoing.address,
        notification=messaging.Notification(
            title=outgoing.content["title"], body=outgoing.content["body"]
        ),
        data={"notification_id": message.notification_id, "category": message.category},
        **{named[platform]: blocks[platform](message) for platform in wanted},
    )


def _android(message: Message) -> messaging.AndroidConfig:
    return messaging.AndroidConfig(
        priority="high" if message.priority >= URGENT else "normal",
        ttl=_life(message),
        collapse_key=_collapse_key(message),
    )


def _apple(message: Message) -> messaging.APNSConfig:
    """Of two pushes of one collapse id the second replaces the first, so a repeat shows once."""
    headers = {
        "apns-priority": "10" if message.priority >= URGENT else "5",
        "apns-collapse-id": _collapse_key(message) or message.notification_id,
    }
    if message.expires_at:
        moment = datetime.fromisoformat(message.expires_at)
        headers["apns-expiration"] = str(int(moment.timestamp()))
    return messaging.APNSConfig(headers=headers)


def _web(message: Message) -> messaging.WebpushConfig:
    headers = {"Urgency": "high" if message.priority >= URGENT else "low"}
    life = _life(message)
    if life is not None:
        headers["TTL"] = str(life)
    return messaging.WebpushConfig(headers=headers)


def _life(message: Message) -> int | None:
    if message.expires_at is None:
        return None
    left = (datetime.fromisoformat(message.expires_at) - now()).total_seconds()
    return min(max(int(left), 0), LONGEST_LIFE)


def _collapse_key(message: Message) -> str | None:
    """The caller's own, in the metadata: FCM remembers four of a device, so none is made up."""
    key = message.metadata.get("collapse_key")
    if not isinstance(key, str) or not 0 < len(key) <= MAX_COLLAPSE_ID:
        return None
    return key if key.isascii() and key.isprintable() else None


def _authorise(app: firebase_admin.App) -> None:
    """Have an access token before FCM is called: whatever fails here sent nothing."""
    credential = app.credential.get_credential()
    if credential.valid:
        return
    try:
        # The SDK itself would fetch one with a timeout of 120 seconds.
        credential.refresh(partial(Request(), timeout=PROVIDER_TIMEOUT))
    except (TransportError, TypeError, ValueError) as error:
        raise ProviderError(Failure.RETRY, type(error).__name__, "no access token") from error
    except GoogleAuthError as error:
        failure = Failure.RETRY if error.retryable else Failure.CONFIG
        if failure is Failure.CONFIG:
            _forget()
        raise ProviderError(failure, _refused(error), "no access token") from error


def _refused(error: GoogleAuthError) -> str:
    """Return the token endpoint's own word, such as invalid_grant (RFC 6749, 5.2)."""
    told = error.args[1] if len(error.args) > 1 else None
    named = told.get("error") if isinstance(told, dict) else None
    return named if isinstance(named, str) else type(error).__name__


def _failed(error: exceptions.FirebaseError) -> ProviderError:
    reply = error.http_response
    if reply is None:
        return not_answered(error.cause or error, "FCM")
    codes = _codes(reply)
    failed = answered(
        FAILURES,
        reply.status_code,
        codes,
        str(error),
        wait=retry_after(reply.headers),
        platform_only=bool(ONE_PLATFORM.intersection(codes)),
    )
    if failed.code == "INVALID_ARGUMENT" and NO_TOKEN in str(error):
        failed.failure = Failure.RECIPIENT
    if failed.failure is Failure.CONFIG:
        _forget()
    return failed


def _codes(reply: Response) -> list[str]:
    """Return FCM's own code where there is one, such as UNREGISTERED, then Google's general one."""
    try:
        told = reply.json()["error"]
        details = told.get("details", ())
        codes = [detail["errorCode"] for detail in details if "errorCode" in detail]
        return [str(code) for code in (*codes, told.get("status", ""))]
    except (AttributeError, KeyError, TypeError, ValueError):
        return []


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
    """Take the SDK's retries away: it posts again after a reset, a 500, a 503 and a redirect.

    It has no public setting for that, nor for its address (firebase-admin 7.7); the tests count
    requests on the wire and fail should these names change.
    """
    session = _session(app)
    for prefix in list(session.adapters):
        session.mount(prefix, HTTPAdapter(max_retries=0))
    vars(session)["_refresh_status_codes"] = ()  # nor after a 401
    session.max_redirects = 0
    base = settings().fcm_base_url
    if base:
        service = messaging._get_messaging_service(app)  # noqa: SLF001
        service._fcm_url = f"{base}/v1/projects/{app.project_id}/messages:send"  # noqa: SLF001


def _session(app: firebase_admin.App) -> Session:
    session: Session = messaging._get_messaging_service(app)._client.session  # noqa: SLF001
    return session
