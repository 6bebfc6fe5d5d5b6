"""Accounts of users: registering and logging in, by email address and password."""

import uuid
from dataclasses import dataclass

from carillon import attempts, logins, passwords, sessions, users
from carillon.credentials import LoginRequest, RegisterRequest
from carillon.errors import Fault, Problem
from carillon.models import now, timestamp
from carillon.people import UserRequest
from carillon.sessions import Pair
from carillon.storage import create_all
from carillon.tables import Account, Profile, replace_password


@dataclass(frozen=True, slots=True)
class Entered:
    """Who has entered, with the tokens of their session."""

    user_id: str
    email: str
    full_name: str | None
    tokens: Pair


def register(tenant: str, request: RegisterRequest) -> Entered:
    """Create a user with an account, and open a session; raises Problem (409)."""
    user_id, key = str(uuid.uuid4()), logins.place(tenant, request.email)
    password = passwords.hashed(request.password.get_secret_value())
    profile = UserRequest(email=request.email, full_name=request.full_name)
    session, pair = sessions.new(tenant, user_id)
    created = create_all(
        Account(
            key,
            user_id=user_id,
            email=request.email,
            password=password,
            created_at=timestamp(now()),
        ),
        logins.owner(tenant, user_id, key),
        session,
        *users.new_items(tenant, user_id, profile, request.preferences),
    )
    if not created:
        text = "There is an account with this email address already"
        raise Problem(409, "email-taken", text, faults=[Fault("#/email", text)])
    return Entered(user_id, request.email, request.full_name, pair)


def login(request: LoginRequest, address: str) -> Entered:
    """Open a session; raises Problem: 401 for any wrong pair, 429 after too many of them.

    ``address`` is where the request came from. Unknown and wrong take the same path: one hash.
    """
    key, password = logins.place(request.tenant, request.email), request.password.get_secret_value()
    attempt = attempts.count(key, address)
    account = logins.find(key)
    if not passwords.is_right(password, account.password if account else None) or account is None:
        raise _refused()
    profile = _profile(request.tenant, account.user_id)
    attempts.succeeded(attempt)
    if passwords.is_outdated(account.password):
        replace_password(account, passwords.hashed(password))
    pair = sessions.begin(request.tenant, account.user_id, rotates=request.rotate)
    return Entered(account.user_id, account.email, profile.full_name, pair)


def _profile(tenant: str, user_id: str) -> Profile:
    """Return the profile of who has given the right password; without one they are no user."""
    try:
        return users.profile(tenant, user_id)
    except Problem:
        raise _refused() from None


def _refused() -> Problem:
    text = "Email address and password do not belong together"
    return Problem(401, "invalid-credentials", text, faults=[Fault("#", text)])
