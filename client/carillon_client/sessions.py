"""Users' sessions: register, log in, stay logged in; short-lived tokens for applications."""

from collections.abc import Mapping, Sequence
from typing import Any

from carillon_client.calls import Call, given, nothing, one
from carillon_client.models import AccessToken, Login, NewUser, Tokens
from carillon_client.transport import Operation

AUTH = "/auth"


def _register_user(
    email: str,
    password: str,
    *,
    full_name: str | None = None,
    preferences: Mapping[str, Any] | None = None,
) -> Call[NewUser]:
    """Create a user with a password, in the tenant of this client's token."""
    body = given(email=email, password=password, full_name=full_name, preferences=preferences)
    return Call("POST", f"{AUTH}/register", one(NewUser), body=body)


def _login(email: str, password: str, *, tenant: str | None = None) -> Call[Login]:
    """Return a user's tokens; ``with_options(token=login.access)`` then acts as the user."""
    body = given(email=email, password=password, tenant=tenant)
    return Call("POST", f"{AUTH}/login", one(Login), body=body)


def _refresh(refresh: str) -> Call[Tokens]:
    """Return the next tokens; ``refresh`` is spent by it."""
    # Sent twice, a refresh token counts as stolen, and ends the session.
    body = {"refresh": refresh}
    return Call("POST", f"{AUTH}/refresh", one(Tokens), body=body, repeatable=False)


def _logout(refresh: str) -> Call[None]:
    """End the session; access tokens live on until they expire."""
    return Call("POST", f"{AUTH}/logout", nothing, body={"refresh": refresh})


def _exchange_token(*, scopes: Sequence[str] | None = None) -> Call[AccessToken]:
    """Return a short-lived token for this client's API token, with all its scopes or fewer."""
    body = given(scopes=scopes and list(scopes))
    return Call("POST", f"{AUTH}/token", one(AccessToken), body=body)


class Sessions:
    """What a client does about users' sessions and short-lived tokens."""

    register_user = Operation(_register_user)
    login = Operation(_login)
    refresh = Operation(_refresh)
    logout = Operation(_logout)
    exchange_token = Operation(_exchange_token)
