"""SMS through Twilio.

Error codes: https://www.twilio.com/docs/api/errors, those that creating a message can meet; the
30000s are rather told of later, to the status callback.
"""

import json
import threading
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from carillon.aws import PROVIDER_TIMEOUT, secret
from carillon.delivery import Outgoing, Sent, configured
from carillon.errors import Failure, ProviderError
from carillon.failures import answered, attempt, not_answered, retry_after
from carillon.models import now
from carillon.settings import settings

if TYPE_CHECKING:
    import requests
    from twilio.base.exceptions import TwilioRestException, TwilioServiceException
    from twilio.rest import Client

PROVIDER = "twilio"
FAILURES = {
    "10001": Failure.CONFIG,  # account not active
    "10002": Failure.CONFIG,  # not for a trial account
    "20001": Failure.PERMANENT,  # invalid parameter
    "20003": Failure.CONFIG,  # authentication failed
    "20004": Failure.CONFIG,  # method not allowed
    "20005": Failure.CONFIG,  # account suspended
    "20006": Failure.CONFIG,  # access denied
    "20008": Failure.CONFIG,  # test credentials
    "20107": Failure.CONFIG,  # a signing key that is not allowed
    "20404": Failure.CONFIG,  # no such account or service
    "20429": Failure.THROTTLE,
    "20500": Failure.UNKNOWN,
    "20503": Failure.UNKNOWN,
    "14107": Failure.THROTTLE,  # too many to this recipient
    "14108": Failure.CONFIG,  # the sender cannot send texts
    "21211": Failure.RECIPIENT,  # not a phone number
    "21212": Failure.CONFIG,  # the sender is not a phone number
    "21217": Failure.RECIPIENT,  # not a phone number
    "21219": Failure.CONFIG,  # a trial account sends to verified numbers alone
    "21265": Failure.RECIPIENT,  # a short code
    "21266": Failure.PERMANENT,  # the sender itself
    "21267": Failure.CONFIG,  # a trial account has no alphanumeric sender
    "21408": Failure.PERMANENT,  # region not enabled
    "21601": Failure.CONFIG,  # the sender cannot send texts
    "21602": Failure.PERMANENT,  # no text
    "21603": Failure.CONFIG,  # no sender
    "21604": Failure.PERMANENT,  # no recipient
    "21605": Failure.PERMANENT,  # text too long
    "21606": Failure.CONFIG,  # the sender is not ours
    "21607": Failure.CONFIG,  # the sender is not that of the trial
    "21608": Failure.CONFIG,  # a trial account sends to verified numbers alone
    "21609": Failure.CONFIG,  # the address of our callback is no URL
    "21610": Failure.RECIPIENT,  # the recipient said STOP
    "21611": Failure.THROTTLE,  # the sender's queue is full
    "21612": Failure.PERMANENT,  # no route from this sender
    "21614": Failure.RECIPIENT,  # not a mobile number
    "21616": Failure.CONFIG,  # the sender is ambiguous
    "21617": Failure.PERMANENT,  # text too long
    "21618": Failure.PERMANENT,  # a text that cannot be sent
    "21619": Failure.PERMANENT,  # no text
    "21620": Failure.PERMANENT,  # media
    "21621": Failure.CONFIG,  # the sender cannot send media
    "21622": Failure.CONFIG,
    "21623": Failure.PERMANENT,
    "21624": Failure.PERMANENT,  # validity period
    "21635": Failure.RECIPIENT,  # a landline
    "21654": Failure.CONFIG,  # content templates
    "21655": Failure.CONFIG,
    "21656": Failure.PERMANENT,
    "21657": Failure.CONFIG,
    "21658": Failure.PERMANENT,
    "21659": Failure.CONFIG,  # the sender is not a Twilio number
    "21660": Failure.CONFIG,  # the sender is another account's
    "21661": Failure.CONFIG,  # the sender cannot send texts
    "21662": Failure.CONFIG,
    "21701": Failure.CONFIG,  # no such messaging service
    "21702": Failure.CONFIG,
    "21703": Failure.CONFIG,  # the messaging service has no sender
    "21704": Failure.CONFIG,
    "21705": Failure.CONFIG,
    "30001": Failure.THROTTLE,  # queue overflow
    "30002": Failure.CONFIG,  # account suspended
    "30007": Failure.PERMANENT,  # filtered
    "30010": Failure.PERMANENT,  # dearer than allowed
    "30022": Failure.THROTTLE,  # the campaign's rate
    "30023": Failure.THROTTLE,  # the brand's daily number
    "30032": Failure.CONFIG,  # toll-free number not verified
    "30034": Failure.CONFIG,  # sender not registered
    "30035": Failure.CONFIG,  # sender being registered
    "30038": Failure.PERMANENT,  # a one-time password, which this account may not send
    "30039": Failure.PERMANENT,  # a loop
    "30450": Failure.PERMANENT,  # blocked as fraud
    "63038": Failure.THROTTLE,  # the account's daily number
    # Without a code of Twilio's: by the HTTP status.
    "401": Failure.CONFIG,
    "403": Failure.CONFIG,
    "404": Failure.CONFIG,
    "500": Failure.UNKNOWN,
    "502": Failure.UNKNOWN,
    "503": Failure.UNKNOWN,
    "504": Failure.UNKNOWN,
}
LONGEST_VALIDITY = 36_000
"""Seconds that Twilio keeps a message in its queue."""
_seen = threading.local()


def _hang_up() -> None:
    if _client.cache_info().currsize:
        _client().http_client.session.close()


@attempt(PROVIDER, _hang_up)
def send(outgoing: Outgoing) -> Sent:
    """Send one text message in one request; raises ProviderError."""
    import requests  # noqa: PLC0415 - with the next, 76 ms, for whom Twilio serves
    from twilio.base.exceptions import (  # noqa: PLC0415
        TwilioException,
        TwilioRestException,
        TwilioServiceException,
    )

    client, sender = configured(lambda: (_client(), _sender()))
    _seen.headers = {}
    try:
        reply = client.messages.create(
            to=outgoing.address,
            body=outgoing.content["text"],
            **sender,
            **_validity(outgoing.message.expires_at),
            **_status_callback(outgoing.message.notification_id),
        )
    except (TwilioRestException, TwilioServiceException) as error:
        raise _answered(error) from error
    except (requests.RequestException, TwilioException, ValueError) as error:
        raise not_answered(error, "Twilio") from error
    return Sent(PROVIDER, reply.sid or "")


def _validity(expires_at: str | None) -> dict[str, int]:
    """How long Twilio may keep it: nobody wants it later."""
    if expires_at is None:
        return {}
    left = int((datetime.fromisoformat(expires_at) - now()).total_seconds())
    return {"validity_period": min(max(left, 1), LONGEST_VALIDITY)}


def _status_callback(notification_id: str) -> dict[str, str]:
    """Where Twilio reports to; it takes no tag, so the id travels in the address."""
    base = settings().public_url
    if not base:
        return {}
    query = urlencode({"notification_id": notification_id})
    return {"status_callback": f"{base}/api/v1/hooks/twilio?{query}"}


def _sender() -> dict[str, str]:
    account = _account()
    if account.get("messaging_service_sid"):
        return {"messaging_service_sid": account["messaging_service_sid"]}
    return {"from_": account["from"]}


def _answered(error: "TwilioRestException | TwilioServiceException") -> ProviderError:
    code = "" if error.code in (None, error.status) else str(error.code)
    words = getattr(error, "msg", "") or getattr(error, "detail", "") or ""
    failed = answered(FAILURES, error.status, [code], words, wait=retry_after(_seen.headers))
    if failed.failure is Failure.CONFIG:
        for cached in (secret, _account, _client):
            cached.cache_clear()
    return failed


@cache
def _account() -> dict[str, str]:
    account: dict[str, str] = json.loads(secret(f"{settings().required('secrets_prefix')}/twilio"))
    return account


@cache
def _client() -> "Client":
    """The client: with a timeout, which it lacks of itself, and no retries."""
    from twilio.http.http_client import TwilioHttpClient  # noqa: PLC0415 - as above
    from twilio.rest import Client  # noqa: PLC0415

    account = _account()
    client = Client(
        account["account_sid"],
        account["auth_token"],
        http_client=TwilioHttpClient(
            timeout=PROVIDER_TIMEOUT, max_retries=0, request_hooks={"response": _note}
        ),
    )
    if settings().twilio_base_url:
        client.api.base_url = settings().twilio_base_url
    return client


def _note(reply: "requests.Response", *_: Any, **__: Any) -> None:
    """Keep an answer's headers: the SDK's exceptions drop them, Retry-After included."""
    _seen.headers = reply.headers
