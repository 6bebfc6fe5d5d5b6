"""Asks for accounts at the providers; whatever the environment tells is not asked for.

Secrets are taken from the environment or typed unseen: an argument would be in the shell's history.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import typer

from carillon_client.errors import CarillonError
from carillon_client.stage import accounts

NONE = "none"


@dataclass(frozen=True, slots=True)
class Questions:
    """Asks for what was not given; without a person, takes what is given or the default."""

    asks: bool

    def answer(self, text: str, given: str | None, default: str = "", *, hide: bool = False) -> str:
        """Return what is given, or else what the person types."""
        if given is not None or not self.asks:
            return (default if given is None else given).strip()
        return str(typer.prompt(text, default=default, hide_input=hide, err=True)).strip()

    def required(self, text: str, *names: str, default: str = "", hide: bool = False) -> str:
        """Return the first of these variables that is set, or what the person types."""
        given = next((os.environ[name] for name in names if os.environ.get(name)), None)
        told = self.answer(text, given, default, hide=hide)
        if not told:
            raise CarillonError(f"no {text}: set {names[0]}")
        return told


def account(asked: Questions, name: str) -> accounts.Account:
    """Return the account that is to be stored under ``name``."""
    match name:
        case "twilio":
            return _twilio(asked)
        case "fcm":
            path = asked.required(
                "Firebase service account's file", "GOOGLE_APPLICATION_CREDENTIALS"
            )
            return accounts.Firebase.read(Path(path).expanduser())
        case "sendgrid":
            return accounts.Sendgrid(
                asked.required("SendGrid API key", "SENDGRID_API_KEY", hide=True)
            )
        case "smtp":
            return _smtp(asked)
        case _:
            raise CarillonError(f"there is no provider {name}")


def _twilio(asked: Questions) -> accounts.Twilio:
    return accounts.Twilio(
        asked.required("Twilio account SID", "TWILIO_ACCOUNT_SID"),
        asked.required("Twilio auth token", "TWILIO_AUTH_TOKEN", hide=True),
        asked.required(
            "Twilio messaging service SID (MG…) or number (+…)",
            *("TWILIO_MESSAGING_SERVICE_SID", "TWILIO_PHONE_NUMBER"),
        ),
    )


def _smtp(asked: Questions) -> accounts.Smtp:
    port = asked.required("mail server's port", "SMTP_PORT", default="587")
    if not port.isdecimal():
        raise CarillonError(f"{port} is not a port")
    return accounts.Smtp(
        host=asked.required("mail server", "SMTP_HOST"),
        port=int(port),
        username=asked.required("user on the mail server", "SMTP_USER"),
        password=asked.required("password on the mail server", "SMTP_PASS", hide=True),
        security="tls" if port == "465" else "starttls",
    )
