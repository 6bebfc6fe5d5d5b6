"""Email through SendGrid's API, version 3: no SDK, the runtime's urllib3 does.

Errors: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors (which name the wrong
field, but have no codes), https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/errors
and .../rate-limits (X-RateLimit-Reset).
"""

import json
from functools import cache
from typing import Any

import urllib3

from carillon.aws import PROVIDER_TIMEOUT, secret
from carillon.delivery import Outgoing, Sent, configured
from carillon.errors import Failure, ProviderError
from carillon.failures import answered, attempt, not_answered, retry_after
from carillon.settings import settings
from functions.channels.email.sender import Sender, sender

PROVIDER = "sendgrid"
API = "https://api.sendgrid.com"
ACCEPTED = 202
FAILURES = {
    "400": Failure.PERMANENT,
    "401": Failure.CONFIG,  # the key, or no credits left
    "403": Failure.CONFIG,  # the key's permissions, the sender, a temporary block
    "404": Failure.CONFIG,
    "405": Failure.CONFIG,
    "406": Failure.CONFIG,
    "413": Failure.PERMANENT,
    "415": Failure.CONFIG,
    "429": Failure.THROTTLE,
    "451": Failure.CONFIG,  # a region that may not serve us
    "500": Failure.UNKNOWN,
    "502": Failure.UNKNOWN,
    "503": Failure.UNKNOWN,
    "504": Failure.UNKNOWN,
}
RESET = "X-RateLimit-Reset"


def _hang_up() -> None:
    if _pool.cache_info().currsize:
        _pool().clear()


@attempt(PROVIDER, _hang_up)
def send(outgoing: Outgoing) -> Sent:
    """Send one email in one request; raises ProviderError."""
    key, ours = configured(lambda: (_key(), sender()))
    base = settings().sendgrid_base_url or API
    try:
        reply = _pool().request(
            "POST",
            f"{base}/v3/mail/send",
            body=json.dumps(_mail(outgoing, ours)),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            redirect=False,
        )
    except urllib3.exceptions.HTTPError as error:
        raise not_answered(error, "SendGrid") from error
    if reply.status != ACCEPTED:
        raise _refused(reply)
    return Sent(PROVIDER, reply.headers.get("X-Message-Id", ""))


def _mail(outgoing: Outgoing, ours: Sender) -> dict[str, Any]:
    content = outgoing.content
    kinds = {"text/plain": content.get("text"), "text/html": content.get("html")}
    named = {"name": ours.name} if ours.name else {}
    return {
        "personalizations": [
            {
                "to": [{"email": outgoing.address}],
                "custom_args": {"notification_id": outgoing.message.notification_id},
            }
        ],
        "from": {"email": ours.address, **named},
        "subject": content["subject"],
        "content": [{"type": kind, "value": text} for kind, text in kinds.items() if text],
    }


def _refused(reply: "urllib3.BaseHTTPResponse") -> ProviderError:
    if reply.status < 400:  # noqa: PLR2004
        # 200 is for what is valid and not queued; or it is somebody else who answers.
        return ProviderError(Failure.UNKNOWN, str(reply.status), "not the answer of SendGrid")
    field, words = _first_error(reply.data)
    wait = retry_after(reply.headers, reset=RESET)
    codes = [f"{reply.status} {field}"] if field else []
    failed = answered(FAILURES, reply.status, codes, words, wait=wait)
    if failed.failure is Failure.PERMANENT and field.startswith("personalizations.0.to"):
        failed.failure = Failure.RECIPIENT
    if failed.failure is Failure.PERMANENT and field.partition(".")[0] == "from":
        failed.failure = Failure.CONFIG
    if failed.failure is Failure.CONFIG:
        for cached in (secret, _key):
            cached.cache_clear()
    return failed


def _first_error(body: bytes) -> tuple[str, str]:
    """Return the field that is wrong, and what is wrong with it."""
    try:
        error = json.loads(body)["errors"][0]
        return str(error.get("field") or ""), str(error.get("message") or "")
    except (AttributeError, LookupError, TypeError, ValueError):
        return "", ""


@cache
def _key() -> str:
    account = json.loads(secret(f"{settings().required('secrets_prefix')}/sendgrid"))
    return str(account["api_key"])


@cache
def _pool() -> urllib3.PoolManager:
    timeout = urllib3.Timeout(connect=3, read=PROVIDER_TIMEOUT)
    return urllib3.PoolManager(retries=False, timeout=timeout)
