"""What is tried again, and when: exponential back-off with full jitter, never before Retry-After.

Tried again are a request that got no answer, 429, 502, 503 and 504. It is the very same request,
idempotency key included, so that whatever the first one did is not done twice. One more refusal is
none: 409 ``in-progress``, where an earlier try that got no answer is still at work.
"""

from collections.abc import Iterator
from time import monotonic
from typing import Any

from tenacity import RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from carillon_client.errors import ApiError, RateLimited, TransportError

PATIENCE = 60.0
"""The longest Retry-After, in seconds, that is waited for; a longer one is the caller's."""
IN_PROGRESS = "in-progress"
PASSING = frozenset({502, 503, 504})
FIRST_POLL, LAST_POLL, GROWTH = 0.1, 2.0, 1.5

_backoff = wait_random_exponential(multiplier=0.5, max=20)


def policy(retries: int, *, repeatable: bool) -> dict[str, Any]:
    """Return what tenacity's Retrying and AsyncRetrying are told alike."""
    return {
        "stop": stop_after_attempt(retries + 1),
        "wait": _pause,
        "retry": retry_if_exception(lambda error: _passing(error, repeatable=repeatable)),
        "reraise": True,
    }


def polls(timeout: float) -> Iterator[float]:
    """Yield how long to sleep after each look, for ``timeout`` seconds; the last time 0."""
    deadline, pause = monotonic() + timeout, FIRST_POLL
    while (left := deadline - monotonic()) > 0:
        yield min(pause, left)
        pause = min(pause * GROWTH, LAST_POLL)
    yield 0


def _passing(error: BaseException, *, repeatable: bool) -> bool:
    if isinstance(error, TransportError):
        return repeatable or not error.sent
    if not isinstance(error, ApiError) or (error.retry_after or 0) > PATIENCE:
        return False
    if isinstance(error, RateLimited) or error.code == IN_PROGRESS:
        return True
    return repeatable and error.status in PASSING


def _pause(state: RetryCallState) -> float:
    error = state.outcome and state.outcome.exception()
    asked = error.retry_after if isinstance(error, ApiError) else None
    return max(_backoff(state), asked or 0)
