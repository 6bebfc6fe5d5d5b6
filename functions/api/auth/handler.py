"""Users register, log in and out; applications get short-lived tokens for their API tokens."""

from typing import Annotated, Literal, TypeVar

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body

from carillon import accounts, http, sessions, tokens
from carillon.credentials import LoginRequest, RefreshRequest, RegisterRequest, TokenRequest
from carillon.identity import Scope
from carillon.models import Answer, Shape
from carillon.sessions import Pair

T = TypeVar("T")

app = http.api()


class AccessOut(Shape):
    """A token for the API and the seconds it is good for."""

    access: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a word of RFC 6750
    expires_in: int


class PairOut(AccessOut):
    """The same, with the refresh token that gets the next pair, once."""

    refresh: str


class RegisteredOut(PairOut):
    """The new user, with their first tokens."""

    user_id: str
    email: str
    full_name: str | None


class LoggedInOut(PairOut):
    """Tokens, and whose."""

    class User(Shape):
        """Who has logged in."""

        id: str
        email: str
        full_name: str | None

    user: User


REFUSALS = (400, 401, 413, 415, 422, 429, 503)


@app.post(
    "/api/v1/auth/register",
    status_code=201,
    summary="Register a user",
    tags=["Auth"],
    responses=http.responses(Answer[RegisteredOut], *REFUSALS, 403, 409, status=201),
)
def register(request: Annotated[RegisterRequest, Body()]) -> Response[Answer[RegisteredOut]]:
    """Create a user with a password, in the tenant of the API token that is given."""
    made = accounts.register(http.registrar(app, Scope.USERS).tenant, request)
    data = RegisteredOut(
        user_id=made.user_id, email=made.email, full_name=made.full_name, **_pair(made.tokens)
    )
    where = http.location(app, f"/api/v1/users/{made.user_id}")
    return _secret(data, "User registered", status=201, Location=where)


@app.post(
    "/api/v1/auth/login",
    summary="Log in",
    tags=["Auth"],
    responses=http.responses(Answer[LoggedInOut], *REFUSALS),
)
def login(request: Annotated[LoginRequest, Body()]) -> Response[Answer[LoggedInOut]]:
    """Open a session; a wrong password and an unknown address get the same answer."""
    address = app.current_event.request_context.identity.source_ip or "unknown"
    who = accounts.login(request, address)
    user = LoggedInOut.User(id=who.user_id, email=who.email, full_name=who.full_name)
    return _secret(LoggedInOut(user=user, **_pair(who.tokens)), "Logged in")


@app.post(
    "/api/v1/auth/refresh",
    summary="Get the next tokens",
    tags=["Auth"],
    responses=http.responses(Answer[PairOut], *REFUSALS),
)
def refresh(request: Annotated[RefreshRequest, Body()]) -> Response[Answer[PairOut]]:
    """Replace the refresh token; one that was used before ends the session."""
    return _secret(PairOut(**_pair(sessions.refresh(request.refresh))), "Refreshed")


@app.post(
    "/api/v1/auth/logout",
    status_code=204,
    summary="Log out",
    tags=["Auth"],
    responses=http.no_content(*REFUSALS),
)
def logout(request: Annotated[RefreshRequest, Body()]) -> Response[None]:
    """End the session; access tokens live on until they expire."""
    sessions.end(request.refresh)
    return http.nothing(app)


@app.post(
    "/api/v1/auth/token",
    summary="Exchange an API token for a short-lived one",
    tags=["Auth"],
    responses=http.responses(Answer[AccessOut], *REFUSALS, 403),
)
def exchange(
    request: Annotated[TokenRequest | None, Body()] = None,
) -> Response[Answer[AccessOut]]:
    """Return a JWT of the same client, with the scopes asked for or all that it has."""
    who = http.bearer(app)
    access, seconds = tokens.exchange(who, request.scopes if request else None)
    return _secret(AccessOut(access=access, expires_in=seconds), "Token issued")


def _pair(pair: Pair) -> dict[str, str | int]:
    return {"access": pair.access, "refresh": pair.refresh, "expires_in": pair.expires_in}


def _secret(data: T, message: str, *, status: int = 200, **headers: str) -> Response[Answer[T]]:
    """Answer with tokens, which nothing on the way may keep (RFC 6749, section 5.1)."""
    kept_by_nobody = {"Cache-Control": "no-store", **headers}
    return http.answer(app, data, message, status=status, headers=kept_by_nobody)


lambda_handler = http.handler(app)
