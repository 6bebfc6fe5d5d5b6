"""What goes wrong, and when: drawn once per seed, so that every seed has a climate of its own.

Each seed leaves some faults out altogether, so that the others come in purer mixtures ("swarm
testing"), and all faults end at ``heals_at``: what is left then must come to its end.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

STEP_FAULTS = {"crash": 0.008, "pause": 0.008, "freeze": 0.002}
"""At each step of a process: it dies, stands still for a while, or for longer than it may live."""
CALL_FAULTS = {
    "throttled": 0.06,  # refused, not done
    "failed": 0.03,  # answered 500, not done
    "lost": 0.03,  # never arrives
    "unanswered": 0.04,  # done, but the answer never comes
    "late": 0.02,  # done after the caller has given up waiting
}
QUEUE_FAULTS = {"twice": 0.15, "ghost": 0.08, "delayed": 0.15, "vanish": 0.03}
"""A message is put into the queue twice; comes again after it was deleted; comes late; or never."""
PROVIDER_FAULTS = {
    "refused": 0.12,  # any error of the provider's own table
    "silent": 0.06,  # no answer, accepted or not
    "reset": 0.03,
    "empty": 0.02,
    "proxy": 0.02,
    "unreachable": 0.04,
}
SPELLS = {
    "store": (20, 200),
    "topic": (60, 240),
    "provider-down": (60, 2400),
    "provider-config": (60, 1800),
    "secrets": (30, 300),
    "stream": (60, 2400),
}
"""What may be away for a while, and for how many seconds."""


@dataclass(frozen=True, slots=True)
class Spell:
    """Something is away from one moment to another; ``of`` names a provider."""

    kind: str
    of: str
    begin: float
    end: float


@dataclass
class Weather:
    """The climate of a seed."""

    chance: random.Random
    heals_at: float = 0.0
    rates: dict[str, float] = field(default_factory=dict)
    spells: list[Spell] = field(default_factory=list)
    stale: float = 0.0
    most_receives: int | None = None  # of every queue, in place of the template's

    @classmethod
    def draw(cls, seed: int, busy_until: float, providers: Sequence[str]) -> "Weather":
        """Return the climate of a seed whose last request comes at ``busy_until`` seconds."""
        chance = random.Random(f"weather {seed}")
        made = cls(chance, heals_at=busy_until + chance.uniform(300, 1800))
        for kind, faults in (
            ("step", STEP_FAULTS),
            ("call", CALL_FAULTS),
            ("queue", QUEUE_FAULTS),
            ("provider", PROVIDER_FAULTS),
        ):
            strength = chance.choice([0.0, 0.4, 1.0, 2.0, 4.0])
            for name, most in faults.items():
                on = chance.random() < 0.65
                made.rates[f"{kind}-{name}"] = on * strength * most * chance.uniform(0.3, 1.0)
        for kind, (least, most) in SPELLS.items():
            if chance.random() < 0.25:
                begin = chance.uniform(0, busy_until)
                end = min(begin + chance.uniform(least, most), made.heals_at)
                made.spells.append(Spell(kind, chance.choice(list(providers)), begin, end))
        made.stale = chance.choice([0.0, 0.3])
        made.most_receives = chance.choice([3, 5]) if chance.random() < 0.12 else None
        return made

    def strikes(self, fault: str, now: float) -> bool:
        """Tell whether a fault happens here."""
        rate = self.rates.get(fault, 0.0)
        return rate > 0 and now < self.heals_at and self.chance.random() < rate

    def one_of(self, kind: str, now: float) -> str | None:
        """Return which of a kind's faults happens here, if one does."""
        if now >= self.heals_at:
            return None
        drawn = self.chance.random()
        for name in _FAULTS[kind]:
            drawn -= self.rates.get(f"{kind}-{name}", 0.0)
            if drawn < 0:
                return name
        return None

    def away(self, kind: str, now: float, of: str = "") -> bool:
        """Tell whether something is away."""
        return any(
            each.kind == kind and each.begin <= now < each.end and of in ("", each.of)
            for each in self.spells
        )


_FAULTS = {"call": CALL_FAULTS, "provider": PROVIDER_FAULTS, "queue": QUEUE_FAULTS}
