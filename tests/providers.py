"""Stand-ins for a channel's ``send``."""

from collections.abc import Callable
from dataclasses import dataclass, field

from carillon.delivery import Outgoing, Sent
from carillon.errors import Failure, ProviderError

Send = Callable[[Outgoing], Sent]


@dataclass
class Provider:
    """Counts calls and does what the test says."""

    does: Send = lambda _: Sent("fake", "id-1")
    calls: list[Outgoing] = field(default_factory=list)

    def __call__(self, outgoing: Outgoing) -> Sent:
        self.calls.append(outgoing)
        return self.does(outgoing)


def failing(failure: Failure, retry_after: float | None = None, code: str = "code-1") -> Send:
    """Return a ``send`` that fails."""

    def fail(out: Outgoing) -> Sent:
        raise ProviderError(failure, code, f"no to {out.address}", retry_after=retry_after)

    return fail
