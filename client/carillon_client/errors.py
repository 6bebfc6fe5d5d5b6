"""What can go wrong, as one tree.

CarillonError
├── TransportError           no answer: refused, reset, timed out
├── UnreadableAnswer         an answer that is not this API's
├── NotEnded                 ``wait`` ran out of time; ``latest`` is the last state seen
└── ApiError                 a refusal: status, code, detail, errors, correlation_id
    ├── Invalid              400, 413, 415, 422   ``errors`` says where
    ├── Unauthorized         401
    ├── Forbidden            403
    ├── NotFound             404, 410
    ├── Conflict             409
    ├── PreconditionFailed   412, 428             somebody else changed it
    ├── RateLimited          429                  ``retry_after`` seconds
    └── Unavailable          5xx
"""

from collections.abc import Sequence
from dataclasses import dataclass

from carillon_client.models import DeadLetterJob, NotificationStatus


class CarillonError(Exception):
    """The root of the tree."""


class TransportError(CarillonError):
    """No answer came; ``sent`` tells whether the request may have reached the API."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class UnreadableAnswer(CarillonError):
    """Something answered, but not with this API's JSON: mostly a wrong address."""


class NotEnded(CarillonError):
    """Some delivery, or a job, has still not ended; ``latest`` is the last state seen."""

    def __init__(self, latest: NotificationStatus | DeadLetterJob) -> None:
        name = latest.job_id if isinstance(latest, DeadLetterJob) else latest.notification_id
        super().__init__(f"{name} is still {latest.status}")
        self.latest = latest


@dataclass(frozen=True, slots=True)
class Fault:
    """One place in a request that is wrong: ``#/to/email``, ``header:Name``, ``query:name``."""

    pointer: str
    message: str


class ApiError(CarillonError):
    """The API refused: an HTTP status, a stable code for programs, a sentence for people."""

    def __init__(  # noqa: PLR0913 - all that a problem document says
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[Fault] = (),
        correlation_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{detail} ({status} {code})" if code else f"{detail} ({status})")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.correlation_id = correlation_id
        self.retry_after = retry_after


class Invalid(ApiError):
    """The request is malformed, too large, or cannot be acted upon."""


class Unauthorized(ApiError):
    """The token is missing, wrong, expired or revoked."""


class Forbidden(ApiError):
    """The token is good, but not for this."""


class NotFound(ApiError):
    """There is no such thing, or it is somebody else's."""


class Conflict(ApiError):
    """It exists already, is in use, or has gone too far for this."""


class PreconditionFailed(ApiError):
    """It is not the version that the change was meant for."""


class RateLimited(ApiError):
    """Too many requests; ``retry_after`` is in seconds, None when the API did not say."""


class Unavailable(ApiError):
    """The service, or something it needs, is not well."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    412: PreconditionFailed,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    428: PreconditionFailed,
    429: RateLimited,
}


def kind_of(status: int) -> type[ApiError]:
    """Return the error that stands for an HTTP status."""
    return _BY_STATUS.get(status, Unavailable if status >= 500 else ApiError)  # noqa: PLR2004
