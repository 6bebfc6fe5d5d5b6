"""Raise what saturates first, then what saturates next, and say what each gains."""

from typing import Any

from .model import UNLIMITED, Outcome, Plan, run

Json = dict[str, Any]
STEPS = 12


def climb(count: int, channel: str, mode: str, limits: Json, work: Json) -> Json:
    """Return each step: what was raised, how long it takes since, and what holds it up now."""
    values = {name: float(each["value"]) for name, each in limits.items()}
    raises = {name: list(each["raises"]) for name, each in limits.items()}
    steps: list[Json] = []
    raised: Json = {"limit": None, "to": None, "how": "as deployed"}
    while len(steps) < STEPS:
        outcome = run(Plan(count, channel, mode, values, work))
        steps.append(raised | _told(outcome))
        name = outcome.bottleneck
        if not raises[name]:
            break
        value, how = raises[name].pop(0)
        values = values | {name: UNLIMITED if value is None else float(value)}
        raised = {"limit": name, "to": value, "how": how}
    return {"channel": channel, "mode": mode, "steps": steps}


def _told(outcome: Outcome) -> Json:
    return {
        "accepted_s": round(outcome.accepted, 1),
        "gone_s": round(outcome.gone, 1),
        "bottleneck": outcome.bottleneck,
        "needed_s": round(outcome.needed[outcome.bottleneck], 1),
    }
