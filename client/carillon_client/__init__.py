"""The Python client of Carillon, the notification API."""

from carillon_client.client import AsyncCarillon, Carillon
from carillon_client.errors import (
    ApiError,
    CarillonError,
    Conflict,
    Forbidden,
    Invalid,
    NotEnded,
    NotFound,
    PreconditionFailed,
    RateLimited,
    TransportError,
    Unauthorized,
    Unavailable,
    UnreadableAnswer,
)

__all__ = [
    "ApiError",
    "AsyncCarillon",
    "Carillon",
    "CarillonError",
    "Conflict",
    "Forbidden",
    "Invalid",
    "NotEnded",
    "NotFound",
    "PreconditionFailed",
    "RateLimited",
    "TransportError",
    "Unauthorized",
    "Unavailable",
    "UnreadableAnswer",
]
