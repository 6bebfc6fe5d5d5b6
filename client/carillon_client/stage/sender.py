"""The address that emails come from: an identity of SES, verified by its owner.

https://docs.aws.amazon.com/ses/latest/dg/creating-identities.html
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sesv2.type_defs import GetAccountResponseTypeDef

LOOK_SECONDS = 3


class Verification(StrEnum):
    """What SES knows of an identity."""

    VERIFIED = "verified"
    PENDING = "pending"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Standing:
    """What SES lets the account do; in its sandbox it sends to verified addresses alone."""

    sending: bool
    sandbox: bool
    per_day: float
    per_second: float


def verification(ses: "SESV2Client", address: str) -> Verification:
    """Return whether ``address`` may send: by itself, or by its domain."""
    found = [_of(ses, identity) for identity in (address, address.rpartition("@")[2])]
    for state in (Verification.VERIFIED, Verification.PENDING):
        if state in found:
            return state
    return Verification.MISSING


def begin(ses: "SESV2Client", identity: str) -> list[str]:
    """Ask SES to verify an address or a domain; return the DNS records that a domain needs.

    To an address SES writes a mail with a link.
    """
    made = ses.create_email_identity(EmailIdentity=identity)
    tokens = made.get("DkimAttributes", {}).get("Tokens", []) if "@" not in identity else []
    return [f"{token}._domainkey.{identity} CNAME {token}.dkim.amazonses.com" for token in tokens]


def await_verified(ses: "SESV2Client", address: str, seconds: float) -> Verification:
    """Look until the address is verified or the time is over."""
    look = Retrying(
        retry=retry_if_result(lambda state: state is not Verification.VERIFIED),
        stop=stop_after_delay(seconds),
        wait=wait_fixed(min(LOOK_SECONDS, seconds)),
        retry_error_callback=lambda last: last.outcome.result() if last.outcome else None,
    )
    return Verification(look(verification, ses, address))


def standing(ses: "SESV2Client") -> Standing:
    """Return what SES lets the account do."""
    return standing_of(ses.get_account())


def standing_of(account: "GetAccountResponseTypeDef") -> Standing:
    """Return what SES's answer says of it."""
    quota = account.get("SendQuota", {})
    return Standing(
        sending=account.get("SendingEnabled", False),
        sandbox=not account.get("ProductionAccessEnabled", False),
        per_day=quota.get("Max24HourSend", 0),
        per_second=quota.get("MaxSendRate", 0),
    )


def ask_for_production(ses: "SESV2Client", website: str) -> None:
    """Ask AWS to take the account out of SES's sandbox.

    https://docs.aws.amazon.com/ses/latest/dg/request-production-access.html
    """
    ses.put_account_details(
        MailType="TRANSACTIONAL",
        WebsiteURL=website,
        ContactLanguage="EN",
        ProductionAccessEnabled=True,
    )


def _of(ses: "SESV2Client", identity: str) -> Verification:
    try:
        found = ses.get_email_identity(EmailIdentity=identity)
    except ses.exceptions.NotFoundException:
        return Verification.MISSING
    verified = found.get("VerifiedForSendingStatus", False)
    return Verification.VERIFIED if verified else Verification.PENDING
