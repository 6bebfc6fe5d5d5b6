"""What can go wrong, as one tree.

CarillonError
├── SettingMissingError      a function was deployed without a variable it needs
├── Problem                  a request we refuse; becomes problem+json (RFC 9457) in one place
├── NotModified             a request that needs no answer but 304
├── RenderError              a template and its variables do not make a message
├── PublishError            SNS did not take a notification (publishing.py)
├── PoisonMessageError       a queue message nobody can process; parked in the dead-letter queue
└── ProviderError            a provider call that did not end in a message id
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class CarillonError(Exception):
    """The root of the tree."""


class SettingMissingError(CarillonError):
    """A variable that this function needs is not set."""

    def __init__(self, variable: str) -> None:
        super().__init__(f"{variable} is not set for this function")


@dataclass(frozen=True, slots=True)
class Fault:
    """One place in a request that is wrong.

    ``pointer`` is a JSON Pointer fragment into the body (``#/to/email``), or ``header:Name``,
    ``query:name``, ``path:name`` for the other parts of a request.
    """

    pointer: str
    message: str


class Problem(CarillonError):  # noqa: N818 - RFC 9457 calls it a problem
    """A refusal: an HTTP status, a stable code for programs, a sentence for people."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        faults: Sequence[Fault] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.faults = tuple(faults)
        self.retry_after = retry_after


def bad_field(pointer: str, message: str, *, code: str = "invalid-request") -> Problem:
    """Return the 422 for one wrong field."""
    return Problem(422, code, message, faults=[Fault(pointer, message)])


def not_found(what: str, pointer: str = "") -> Problem:
    """Return the 404 for ``what``; a foreign resource gets exactly the same answer."""
    faults = [Fault(pointer, f"No such {what}")] if pointer else []
    return Problem(404, f"{what}-not-found", f"There is no such {what}", faults=faults)


def precondition_failed() -> Problem:
    """Return the 412 for a resource that is no longer what ``If-Match`` says."""
    return Problem(
        412,
        "precondition-failed",
        "The resource has changed since; read it again",
        faults=[Fault("header:If-Match", "does not match")],
    )


def too_many_writers() -> Problem:
    """Return the 409 for a change that others were quicker than, every time it was tried."""
    text = "Others keep changing this; try again"
    return Problem(409, "too-many-writers", text, retry_after=1)


class NotModified(CarillonError):  # noqa: N818 - HTTP calls it so, and it is no error
    """The caller has the current representation already (304)."""

    def __init__(self, etag: str) -> None:
        super().__init__(etag)
        self.etag = etag


class RenderError(CarillonError):
    """A template that does not render; ``variable`` names what was missing, when that is why."""

    def __init__(self, message: str, variable: str = "") -> None:
        super().__init__(message)
        self.variable = variable


class PoisonMessageError(CarillonError):
    """A queue message that no retry can mend; ``code`` is its kind."""

    def __init__(self, reason: str, code: str) -> None:
        super().__init__(reason)
        self.code = code


class Failure(StrEnum):
    """What a failed provider call means for the delivery (docs/guarantees.md)."""

    RETRY = "retry"  # surely not sent
    UNKNOWN = "unknown"  # may have been sent
    THROTTLE = "throttle"  # asked to slow down: spends no attempt
    PERMANENT = "permanent"  # this message can never go
    RECIPIENT = "recipient"  # this address is dead
    CONFIG = "config"  # our side is broken: spends no attempt


class ProviderError(CarillonError):
    """A provider call without a message id: its class, the provider's own code, its words.

    ``retry_after`` is the provider's wish in seconds, when it stated one. ``listed`` is False when
    the provider's table has no such answer. ``platform_only``: it is about the platform of the
    device alone, the other platforms are well.
    """

    def __init__(  # noqa: PLR0913 - what is known of a failure
        self,
        failure: Failure,
        code: str,
        message: str,
        *,
        retry_after: float | None = None,
        listed: bool = True,
        platform_only: bool = False,
    ) -> None:
        super().__init__(message)
        self.failure = failure
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.listed = listed
        self.platform_only = platform_only


def by_status(status: int) -> Failure:
    """Class of an answer that no provider table lists: 4xx permanent, all else may have gone."""
    return Failure.PERMANENT if 400 <= status < 500 else Failure.UNKNOWN  # noqa: PLR2004
