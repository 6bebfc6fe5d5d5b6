"""The bodies of the auth routes. A password is never shown: not in a log, not in an error."""

from typing import Annotated

from pydantic import Field, SecretStr, StrictBool

from carillon.addresses import EmailAddress
from carillon.identity import Scope
from carillon.models import Line, Name, Strict
from carillon.people import PreferencesRequest
from carillon.tokens import MAX_TOKEN

MAX_PASSWORD = 1_024
NewPassword = Annotated[SecretStr, Field(min_length=8, max_length=MAX_PASSWORD)]
Password = Annotated[SecretStr, Field(min_length=1, max_length=MAX_PASSWORD)]


class RegisterRequest(Strict):
    """POST /auth/register: a user who can log in and be notified."""

    email: EmailAddress
    password: NewPassword
    full_name: Line | None = None
    preferences: PreferencesRequest | None = None


class LoginRequest(Strict):
    """POST /auth/login. What does not rotate is one refresh token, good until it expires."""

    email: EmailAddress
    password: Password
    tenant: Name = "default"
    rotate: StrictBool = True


class RefreshRequest(Strict):
    """POST /auth/refresh and /auth/logout."""

    refresh: Annotated[str, Field(max_length=MAX_TOKEN)]


class TokenRequest(Strict):
    """POST /auth/token: fewer scopes than the API token's, or all of them."""

    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))] | None = None
