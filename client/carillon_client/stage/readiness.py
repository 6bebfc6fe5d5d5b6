"""What a stage still needs before its notifications can leave."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from carillon_client.stage import accounts, sender
from carillon_client.stage.store import ADMIN_TOKEN, Store

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

SIGNING = frozenset({"jwt/private", "jwt/public"})
DEFAULTS = {"EmailProvider": "ses", "SmsProvider": "twilio"}
"""As template.yaml's; a test compares them."""


class State(StrEnum):
    """How much a finding matters: ``missing`` is in the way of everything."""

    OK = "ok"
    NOTE = "note"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at, and what to do about it."""

    what: str
    state: State
    says: str
    mend: str = ""


def findings(
    ses: "SESV2Client", store: Store, parameters: Mapping[str, str], *, secrets: bool = True
) -> list[Finding]:
    """Look at all of it: the sender, the secrets, the providers' accounts.

    Without ``secrets`` none is read, and so no account tried: that is what a pipeline may.
    """
    told = DEFAULTS | dict(parameters)
    setup = f"carillon setup --stage {store.stage}"
    stored = store.names()
    return [
        *_keys(stored, setup),
        *_email(ses, told, setup),
        *_providers(store if secrets else None, stored, told, setup),
    ]


def account(name: str, told: dict[str, Any]) -> accounts.Account:
    """Return a stored secret as the account it is; raises AccountError."""
    try:
        match name:
            case "twilio":
                source = told.get("messaging_service_sid") or told["from"]
                return accounts.Twilio(told["account_sid"], told["auth_token"], source)
            case "sendgrid":
                return accounts.Sendgrid(**told)
            case "smtp":
                return accounts.Smtp(**{"username": "", "password": "", **told})
            case _:
                return accounts.Firebase(told)
    except (KeyError, TypeError):
        raise accounts.AccountError("what is stored is not of its shape") from None


def _keys(stored: set[str], setup: str) -> Iterator[Finding]:
    for what, names in (("administrator", {ADMIN_TOKEN}), ("users' tokens", SIGNING)):
        if names <= stored:
            yield Finding(what, State.OK, "stored")
        else:
            yield Finding(what, State.MISSING, "no key is stored", setup)


def _email(ses: "SESV2Client", told: Mapping[str, str], setup: str) -> Iterator[Finding]:
    address = told.get("SenderEmail")
    if not address:
        yield Finding("sender", State.MISSING, "no address is chosen", setup)
        return
    if "ses" not in told["EmailProvider"].split(","):
        yield Finding("sender", State.OK, f"{address}, not by SES")
        return
    match sender.verification(ses, address):
        case sender.Verification.VERIFIED:
            yield Finding("sender", State.OK, f"{address} is verified")
        case sender.Verification.PENDING:
            yield Finding(
                "sender", State.MISSING, f"{address} is not verified yet", "follow SES's mail"
            )
        case sender.Verification.MISSING:
            yield Finding("sender", State.MISSING, f"SES does not know {address}", setup)
    yield _standing(sender.standing(ses))


def _standing(found: sender.Standing) -> Finding:
    if not found.sending:
        return Finding("SES", State.MISSING, "sending is paused", "see SES's account dashboard")
    if found.sandbox:
        says = "in its sandbox: mail reaches verified addresses alone"
        return Finding("SES", State.NOTE, says, "ask for production access: docs/deploy.md")
    return Finding("SES", State.OK, f"{found.per_day:,.0f} a day, {found.per_second:,.0f} a second")


def _providers(
    store: Store | None, stored: set[str], told: Mapping[str, str], setup: str
) -> Iterator[Finding]:
    chosen = [("email", name) for name in told["EmailProvider"].split(",")]
    chosen += [("sms", name) for name in told["SmsProvider"].split(",")]
    for channel, name in [*chosen, ("push", "fcm")]:
        if name == "aws":
            identity = told.get("SmsOriginationIdentity")
            state = State.OK if identity else State.NOTE
            yield Finding(f"{channel}: aws", state, identity or "no origination identity", setup)
        elif name in stored:
            stands = Finding(f"{channel}: {name}", State.OK, "stored")
            yield _asked(store, channel, name, told) if store else stands
        elif name != "ses":
            # A team without texts needs no Twilio; what is sent all the same waits and is seen.
            yield Finding(f"{channel}: {name}", State.NOTE, "no account: it sends nothing", setup)


def _asked(store: Store, channel: str, name: str, told: Mapping[str, str]) -> Finding:
    try:
        says = account(name, json.loads(store.read(name))).check(told)
    except (accounts.AccountError, ValueError) as error:
        return Finding(f"{channel}: {name}", State.MISSING, str(error), "store it anew")
    return Finding(f"{channel}: {name}", State.OK, says)
