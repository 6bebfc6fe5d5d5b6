"""Email addresses, phone numbers and push tokens: checked, and brought to one spelling."""

import re
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

MAX_PUSH_TOKEN = 4_096
_INTERNATIONAL = re.compile(r"\+[0-9][0-9 ().-]{4,28}[0-9]")


def email_address(text: str) -> str:
    """Return the address as SES takes it; raises ValueError.

    SES has no SMTPUTF8 (SES developer guide, "Amazon SES and internationalized addresses"), so
    only ASCII local parts. ``.test`` is let through: it is reserved for testing (RFC 2606) and
    never resolves.
    """
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415 - 48 ms to load

    try:
        checked = validate_email(
            text, check_deliverability=False, allow_smtputf8=False, test_environment=True
        )
    except EmailNotValidError as error:
        raise ValueError(f"not an email address: {error}") from None
    return checked.ascii_email or checked.normalized


def phone_number(text: str) -> str:
    """Return the number in E.164 (``+14155552671``); raises ValueError.

    Only the international form is taken: without a leading ``+`` the country would be a guess.
    """
    import phonenumbers  # noqa: PLC0415 - 52 ms to load

    if not _INTERNATIONAL.fullmatch(text):
        raise ValueError("not a phone number in international form, such as +14155552671")
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        raise ValueError("not a phone number in international form") from None
    if not phonenumbers.is_possible_number(number):
        raise ValueError("no phone number can look like this")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def takes_texts(number: str) -> bool:
    """Tell whether a number in E.164 can be one of a mobile phone; what is not known may be."""
    import phonenumbers  # noqa: PLC0415 - 52 ms to load

    kinds = phonenumbers.PhoneNumberType
    deaf = {kinds.FIXED_LINE, kinds.TOLL_FREE, kinds.PREMIUM_RATE, kinds.SHARED_COST, kinds.PAGER}
    return phonenumbers.number_type(phonenumbers.parse(number)) not in deaf


EmailAddress = Annotated[str, StringConstraints(max_length=254), AfterValidator(email_address)]
PhoneNumber = Annotated[str, StringConstraints(max_length=32), AfterValidator(phone_number)]
PushToken = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_PUSH_TOKEN, pattern=r"^[!-~]+$")
]
