"""Who uses the API: what each seed's callers ask for, and how they insist."""

import random
from dataclasses import dataclass, field
from typing import Any

from simulation.oracle import Oracle
from simulation.scheduler import Scheduler

JSON = dict[str, Any]
CLIENTS = ("3f1c2c1e-6a55-4a5e-9d0b-0c6f0a4f2d11", "8a0d5e3b-14c7-4b0e-8a52-c0f7e2b8f111")
SCOPES = "content:read read send status:write templates users"
NOTIFICATIONS = "/api/v1/notifications"
USERS: dict[str, JSON] = {
    "ada": {"email": "ada@example.com", "phone": "+14155552671"},
    "bob": {"email": "bob@example.com", "phone": "+14155552672"},
    "cyd": {"email": "cyd@example.com", "phone": "+14155552673"},
}
DEVICES = {"ada": ["ada-phone", "ada-tablet"], "bob": ["bob-phone"]}
WISHES: dict[str, JSON] = {
    "bob": {"channels": {"sms": False}},
    "cyd": {"categories": {"news": False}},
}
PATIENCE = 80
"""Times a caller asks again."""


def caller(client: int = 0) -> dict[str, str]:
    """Return what the authorizer tells of a client."""
    return {"client_id": CLIENTS[client], "tenant": "default", "scope": SCOPES}


@dataclass(slots=True)
class Plan:
    """One request that a caller will make, and what follows it."""

    mark: str
    at: float
    client: int
    key: str
    body: JSON
    cancel_after: float | None = None


@dataclass
class Callers:
    """The callers of one run; ``ask`` makes a request and returns status and body."""

    scheduler: Scheduler
    oracle: Oracle
    ask: Any
    chance: random.Random
    left: int = 0
    unserved: list[str] = field(default_factory=list)

    def begin(self, plans: list[Plan]) -> None:
        """Let every plan take its course."""
        for plan in plans:
            self.left += 1
            self.scheduler.at(plan.at, self._starter(plan))

    def _starter(self, plan: Plan) -> Any:
        return lambda: (
            self.scheduler.spawn(f"caller {plan.mark}", lambda: self._live(plan)) and None
        )

    def _live(self, plan: Plan) -> None:
        try:
            accepted = self._insist(plan)
            if accepted and plan.cancel_after is not None:
                self.scheduler.wait(plan.cancel_after)
                self._cancel(plan, accepted)
        finally:
            self.left -= 1

    def _insist(self, plan: Plan) -> str | None:
        """Ask until there is an answer; return the notification's id."""
        for again in range(PATIENCE):
            status, body = self.ask(
                "POST",
                NOTIFICATIONS,
                {},
                plan.body,
                {"Idempotency-Key": plan.key},
                caller(plan.client),
            )
            self.oracle.answered(f"{plan.client}/{plan.key}", plan.mark, status, body)
            if status == 202:
                return str(body["data"]["notification_id"])
            if status < 500 and status != 429:
                return None
            self.scheduler.wait(min(2.0 * 2**again, 60) * self.chance.uniform(0.5, 1.5))
        self.unserved.append(plan.mark)
        return None

    def _cancel(self, plan: Plan, notification_id: str) -> None:
        named = {"notification_id": notification_id}
        route = NOTIFICATIONS + "/{notification_id}/cancel"
        self.ask("POST", route, named, {"reason": "changed my mind"}, {}, caller(plan.client))


def plans(seed: int) -> list[Plan]:
    """Return what the callers of a seed ask for."""
    chance = random.Random(f"callers {seed}")
    count, span = chance.randint(12, 40), chance.choice([20, 200, 600])
    made: list[Plan] = []
    for number in range(count):
        mark = f"N{number:04d}"
        at = chance.uniform(0, span)
        plan = Plan(mark, at, chance.randrange(2), f"key-{mark}", _body(chance, number, mark, at))
        if chance.random() < 0.08:
            plan.cancel_after = chance.choice([0.0, chance.uniform(0, 10), chance.uniform(0, 300)])
        made.append(plan)
        if chance.random() < 0.2:
            later = chance.choice([0.0, chance.uniform(0, 2), chance.uniform(0, 400)])
            made.append(Plan(mark, at + later, plan.client, plan.key, plan.body))
        if chance.random() < 0.06:
            other = f"N{number + 5000:04d}"
            body = _body(chance, number, other, at)
            made.append(Plan(other, at + chance.uniform(0, 5), plan.client, plan.key, body))
    return made


def _body(chance: random.Random, number: int, mark: str, at: float) -> JSON:
    channels = chance.sample(["email", "sms", "push", "inapp"], chance.choice([1, 1, 2, 4]))
    body: JSON = {"channels": channels, "category": chance.choice(["orders", "news"])}
    if "inapp" in channels or chance.random() < 0.5:
        body["user_id"] = chance.choice(list(USERS))
    if "user_id" not in body or chance.random() < 0.3:
        every = {
            "email": f"{mark.lower()}@example.com",
            "phone": f"+1415555{1000 + number % 5000:04d}",
            "push_token": f"device-{mark}",
        }
        named = {"email": "email", "sms": "phone", "push": "push_token"}
        to = {named[each]: every[named[each]] for each in channels if each in named}
        if to:
            body["to"] = to
    if chance.random() < 0.6:
        body["message"] = f"{mark} is for you"
        body["title"] = "News"
    else:
        order = {"number": mark, "arrives": "Monday", "lines": [{"count": 1, "name": "Card"}]}
        body |= {"template_code": "order-shipped", "variables": {"name": "Ada", "order": order}}
    if chance.random() < 0.25:
        body["dedupe"] = "at_most_once"
    if chance.random() < 0.15:
        body["expires_in"] = at + chance.choice([5, 60, 600])
    return body
