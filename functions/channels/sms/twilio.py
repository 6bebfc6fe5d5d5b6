"""SMS through Twilio.

Error codes: https://www.twilio.com/docs/api/errors
"""

import json
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from carillon.aws import PROVIDER_TIMEOUT, secret
from carillon.delivery import Outgoing, Sent, configured
from carillon.errors import Failure, ProviderError, by_status
from carillon.settings import settings

if TYPE_CHECKING:
    import requests
    from twilio.base.exceptions import TwilioRestException
    from twilio.rest import Client

PROVIDER = "twilio"
FAILURES = {
    20003: Failure.CONFIG,  # authentication failed
    20404: Failure.CONFIG,  # no such account or service
    20005: Failure.CONFIG,  # account suspended
    20429: Failure.THROTTLE,
    14107: Failure.THROTTLE,
    30001: Failure.THROTTLE,  # queue overflow
    21606: Failure.CONFIG,  # the sender is not ours
    21703: Failure.CONFIG,  # the messaging service has no sender
    21211: Failure.RECIPIENT,  # not a phone number
    21610: Failure.RECIPIENT,  # the recipient said STOP
    21614: Failure.RECIPIENT,  # not a mobile number
    21408: Failure.PERMANENT,  # region not enabled
    21612: Failure.PERMANENT,  # no route from this sender
    21617: Failure.PERMANENT,  # text too long
}


def send(outgoing: Outgoing) -> Sent:
    """Send one text message in one request; raises ProviderError."""
    import requests  # noqa: PLC0415 - with the next, 76 ms, for whom Twilio serves
    from twilio.base.exceptions import TwilioException, TwilioRestException  # noqa: PLC0415

    client, sender = configured(lambda: (_client(), _sender()))
    try:
        reply = client.messages.create(
            to=outgoing.address,
            body=outgoing.content["text"],
            **sender,
            **_status_callback(outgoing.message.notification_id),
        )
    except TwilioRestException as error:
        raise _answered(error) from error
    except requests.ConnectionError as error:
        raise _not_answered(error) from error
    except (requests.RequestException, TwilioException, ValueError) as error:
        raise ProviderError(Failure.UNKNOWN, type(error).__name__, "no answer") from error
    return Sent(PROVIDER, reply.sid or "")


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


def _answered(error: "TwilioRestException") -> ProviderError:
    failure = FAILURES.get(error.code or 0)
    if failure is None:
        failure = Failure.THROTTLE if error.status == 429 else by_status(error.status)  # noqa: PLR2004
    if failure is Failure.CONFIG:
        for cached in (secret, _account, _client):
            cached.cache_clear()
    return ProviderError(failure, str(error.code or error.status), error.msg)


def _not_answered(error: "requests.ConnectionError") -> ProviderError:
    """A connection that never came to be sent nothing; one that broke may have."""
    import requests  # noqa: PLC0415 - loaded by now

    reason = getattr(error.args[0] if error.args else None, "reason", None)
    never = isinstance(error, requests.ConnectTimeout) or "NewConnectionError" in repr(reason)
    failure = Failure.RETRY if never else Failure.UNKNOWN
    return ProviderError(failure, type(error).__name__, "Twilio did not answer")


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
        http_client=TwilioHttpClient(timeout=PROVIDER_TIMEOUT, max_retries=0),
    )
    if settings().twilio_base_url:
        client.api.base_url = settings().twilio_base_url
    return client
