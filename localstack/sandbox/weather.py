"""The weather: a share of a provider's requests that fails, whomever they are for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

from .outcomes import Provider


@dataclass
class _Sky:
    failing: float
    as_if_to: Iterator[str]
    counter: float = 0.0


class Weather:
    """What the requests of each provider meet."""

    def __init__(self) -> None:
        """Begin with clear skies."""
        self._skies: dict[Provider, _Sky] = {}

    def change(self, provider: Provider, failing: float, as_if_to: Sequence[str]) -> None:
        """Let a share of the requests, from 0 to 1, fail as if they were to these addresses.

        The addresses take turns. Raises ValueError.
        """
        if not 0 <= failing <= 1 or not as_if_to:
            raise ValueError("failing is from 0 to 1, and as if to at least one address")
        self._skies[provider] = _Sky(failing, cycle(as_if_to))

    def strike(self, provider: Provider) -> str | None:
        """Return the agreed address whose fault the next request meets, if any."""
        sky = self._skies.get(provider)
        if sky is None:
            return None
        sky.counter += sky.failing
        if sky.counter < 1:
            return None
        sky.counter -= 1
        return next(sky.as_if_to)
