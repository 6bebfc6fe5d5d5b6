"""Accounts at the providers: what is stored of them, and whether they are good.

Each check asks the provider itself and sends no message.
"""

import json
import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx

from carillon_client.errors import CarillonError

TIMEOUT = 10
TWILIO = "https://api.twilio.com"
TWILIO_MESSAGING = "https://messaging.twilio.com"
SENDGRID = "https://api.sendgrid.com"
FCM_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
Parameters = Mapping[str, str]


class AccountError(CarillonError):
    """A provider does not take what was given, or it is not of its shape."""


class Account(Protocol):
    """What the store keeps under a provider's name."""

    def secret(self) -> dict[str, Any]:
        """Return it as the functions read it."""
        ...

    def check(self, parameters: Parameters) -> str:
        """Return in a few words what the provider says; raises AccountError.

        ``parameters`` are the stage's: some lead to another server.
        """
        ...


@dataclass(frozen=True, slots=True)
class Twilio:
    """An account, and the messaging service or the number that texts come from."""

    account_sid: str
    auth_token: str
    sender: str

    def secret(self) -> dict[str, Any]:
        """Return it as functions/channels/sms/twilio.py reads it."""
        kind = "messaging_service_sid" if self.sender.startswith("MG") else "from"
        return {"account_sid": self.account_sid, "auth_token": self.auth_token, kind: self.sender}

    def check(self, parameters: Parameters) -> str:
        """Ask for the account, and for the messaging service.

        https://www.twilio.com/docs/iam/api/account and
        https://www.twilio.com/docs/messaging/api/service-resource
        """
        base = parameters.get("TwilioBaseUrl")
        credentials = httpx.BasicAuth(self.account_sid, self.auth_token)
        account = f"{base or TWILIO}/2010-04-01/Accounts/{self.account_sid}.json"
        status = _asked("Twilio", account, auth=credentials).get("status")
        if status != "active":
            raise AccountError(f"Twilio says that the account is {status}")
        if self.sender.startswith("MG"):
            service = f"{base or TWILIO_MESSAGING}/v1/Services/{self.sender}"
            _asked("Twilio", service, auth=credentials)
        return f"account {self.account_sid} is active"


@dataclass(frozen=True, slots=True)
class Firebase:
    """A service account, as the Firebase console gives it."""

    told: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Firebase":
        """Return what the file holds; raises AccountError."""
        try:
            told = json.loads(path.read_text())
        except OSError as error:
            raise AccountError(f"{path} cannot be read: {error.strerror}") from None
        except ValueError:
            raise AccountError(f"{path} is not JSON") from None
        if not isinstance(told, dict) or told.get("type") != "service_account":
            raise AccountError(f"{path} is not a service account's key")
        return cls(told)

    def secret(self) -> dict[str, Any]:
        """Return it as it was given."""
        return self.told

    def check(self, parameters: Parameters) -> str:  # noqa: ARG002 - the key names its own server
        """Have Google issue a token for it.

        https://firebase.google.com/docs/cloud-messaging/auth-server
        """
        import urllib3  # noqa: PLC0415 - only whoever checks this needs it
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415
        from google.auth.transport.urllib3 import Request  # noqa: PLC0415
        from google.oauth2.service_account import Credentials  # noqa: PLC0415

        try:
            account = Credentials.from_service_account_info(self.told, scopes=[FCM_SCOPE])  # type: ignore[no-untyped-call]
            account.refresh(Request(urllib3.PoolManager(timeout=TIMEOUT, retries=False)))  # type: ignore[no-untyped-call]
        except (GoogleAuthError, ValueError) as error:
            raise AccountError(f"Google does not take the service account: {error}") from None
        return f"project {self.told.get('project_id')} gives tokens"


@dataclass(frozen=True, slots=True)
class Sendgrid:
    """A key that may send."""

    api_key: str

    def secret(self) -> dict[str, Any]:
        """Return it as functions/channels/email/sendgrid.py reads it."""
        return {"api_key": self.api_key}

    def check(self, parameters: Parameters) -> str:
        """Ask what the key may do.

        https://www.twilio.com/docs/sendgrid/api-reference/api-key-permissions
        """
        base = parameters.get("SendgridBaseUrl") or SENDGRID
        headers = {"Authorization": f"Bearer {self.api_key}"}
        scopes = _asked("SendGrid", f"{base}/v3/scopes", headers=headers).get("scopes", [])
        if "mail.send" not in scopes:
            raise AccountError("SendGrid says that the key may not send (mail.send)")
        return "the key may send"


@dataclass(frozen=True, slots=True)
class Smtp:
    """A mail server, and who we are there."""

    host: str
    port: int
    username: str
    password: str
    security: str

    def secret(self) -> dict[str, Any]:
        """Return it as functions/channels/email/smtp.py reads it."""
        return {name: getattr(self, name) for name in self.__slots__}

    def check(self, parameters: Parameters) -> str:  # noqa: ARG002 - the secret names the server
        """Log in."""
        try:
            with self._connected() as server:
                if self.security == "starttls":
                    server.starttls(context=ssl.create_default_context())
                if self.username:
                    server.login(self.username, self.password)
        except (OSError, smtplib.SMTPException) as error:
            raise AccountError(
                f"{self.host}:{self.port} does not take the log-in: {type(error).__name__}"
            ) from None
        return f"{self.host} takes the log-in"

    def _connected(self) -> smtplib.SMTP:
        if self.security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, timeout=TIMEOUT, context=context)
        return smtplib.SMTP(self.host, self.port, timeout=TIMEOUT)


def _asked(who: str, url: str, **told: Any) -> dict[str, Any]:
    """Return what a provider answers to GET; raises AccountError, which names no secret."""
    try:
        answer = httpx.get(url, timeout=TIMEOUT, **told)
    except httpx.HTTPError as error:
        raise AccountError(f"{who} is not reached: {type(error).__name__}") from None
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise AccountError(f"{who} refuses these credentials ({answer.status_code})")
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise AccountError(f"{who} does not know {url.rpartition('/')[2]}")
    try:
        found = answer.raise_for_status().json()
    except (httpx.HTTPStatusError, ValueError):
        raise AccountError(f"{who} answers {answer.status_code}") from None
    return found if isinstance(found, dict) else {}
