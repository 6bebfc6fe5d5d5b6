"""Who uses the API: what each seed's callers ask for, and how they insist."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from simulation.oracle import Oracle
from simulation.scheduler import Scheduler
from simulation.wire import BUSY, HOPELESS

JSON = dict[str, Any]
SCOPES = "content:read read send status:write templates users"
APPLICATIONS = ("Shop", "Bank")
CODES = "codes"
CATEGORIES: list[JSON] = [
    {"name": "orders"},
    {"name": "news"},
    {"name": CODES, "mandatory": True, "dedupe": "at_most_once"},
]
NOTIFICATIONS = "/api/v1/notifications"
USERS: dict[str, JSON] = {
    "ada": {"email": "ada@example.com", "phone": "+14155552671"},
    "bob": {"email": "bob@example.com", "phone": "+14155552672"},
    "cyd": {"email": "cyd@example.com", "phone": "+14155552673"},
    "eve": {"email": "eve@example.com", "phone": "+14155552674"},
}
DEVICES = {"ada": ["ada-phone", "ada-tablet"], "bob": ["bob-phone"]}
WISHES: dict[str, JSON] = {
    "bob": {"channels": {"sms": False}},
    "cyd": {"categories": {"news": False}},
}
OK, ACCEPTED, LIMITED, SERVER_ERROR = 200, 202, 429, 500
PATIENCE = 80
"""Times a caller asks again."""


def caller(client_id: str, scopes: str = SCOPES) -> dict[str, str]:
    """Return what the authorizer tells of a client."""
    return {"client_id": client_id, "tenant": "default", "scope": scopes}


OPERATOR = caller("admin", "admin ops users")


@dataclass(slots=True)
class Plan:
    """One request that a caller will make, and what follows it."""

    mark: str
    at: float
    client: int
    key: str
    body: JSON
    cancel_after: float | None = None
    report_after: float | None = None
    patience: int = PATIENCE
    luck: str = ""  # its providers fail it each time, or are busy the first few times

    @property
    def at_most_once(self) -> bool:
        """Whether the caller is promised that it is never repeated in doubt."""
        usual = "at_most_once" if self.body["category"] == CODES else "at_least_once"
        return bool(self.body.get("dedupe", usual) == "at_most_once")


@dataclass
class Callers:
    """The callers of one run; ``ask`` makes a request and returns status and body."""

    scheduler: Scheduler
    oracle: Oracle
    ask: Any
    chance: random.Random
    clients: tuple[str, ...]
    luck: dict[str, str]
    left: int = 0
    unserved: list[str] = field(default_factory=list)

    def begin(self, plans: list[Plan]) -> None:
        """Let every plan take its course."""
        for plan in plans:
            self.oracle.at_most_once[plan.mark] = plan.at_most_once
            self.luck[plan.mark] = plan.luck
            self.do(plan.at, f"caller {plan.mark}", partial(self._live, plan))

    def do(self, at: float, name: str, work: Callable[[], None]) -> None:
        """Let somebody do something in a while."""
        self.left += 1

        def live() -> None:
            try:
                work()
            finally:
                self.left -= 1

        self.scheduler.at(at, lambda: self.scheduler.spawn(name, live) and None)

    def _live(self, plan: Plan) -> None:
        who = caller(self.clients[plan.client])
        headers = {"Idempotency-Key": plan.key}
        key = f"{plan.client}/{plan.key}"

        def hear(status: int, body: JSON) -> None:
            self.oracle.answered(key, plan.mark, status, body)

        answer = self.insist(
            "POST", NOTIFICATIONS, {}, plan.body, headers, who, plan.patience, hear
        )
        if answer is None:
            if plan.patience == PATIENCE:
                self.unserved.append(plan.mark)
            return
        if answer[0] != ACCEPTED:
            return
        named = {"notification_id": str(answer[1]["data"]["notification_id"])}
        if plan.cancel_after is not None:
            self.scheduler.wait(plan.cancel_after)
            body = {"reason": "changed my mind"}
            self.ask("POST", NOTIFICATIONS + "/{notification_id}/cancel", named, body, {}, who)
        if plan.report_after is not None:
            self.scheduler.wait(plan.report_after)
            self._report(plan, named, who)

    def _report(self, plan: Plan, named: JSON, who: Mapping[str, str]) -> None:
        """Tell of what was sent that it arrived, or came back."""
        status, body = self.ask("GET", NOTIFICATIONS + "/{notification_id}", named, None, {}, who)
        told = body["data"]["deliveries"] if status == OK else []
        for delivery in told:
            if delivery["status"] == "sent":
                heard = {
                    "status": self.chance.choice(["delivered", "delivered", "failed"]),
                    "channel": delivery["channel"],
                    "target": delivery["target"],
                }
                route = NOTIFICATIONS + "/{notification_id}/status"
                self.oracle.reports(named["notification_id"], delivery["target"])
                self.ask("PATCH", route, named, heard, {}, who)

    def insist(
        self,
        method: str,
        route: str,
        named: JSON,
        body: Any,
        headers: Mapping[str, str],
        who: Mapping[str, str],
        patience: int = PATIENCE,
        hear: Callable[[int, JSON], None] = lambda *_: None,
    ) -> tuple[int, JSON] | None:
        """Ask until there is an answer that is no excuse; None when patience ends."""
        for again in range(patience):
            status, answer = self.ask(method, route, named, body, headers, who)
            hear(status, answer)
            if status < SERVER_ERROR and status != LIMITED:
                return status, answer
            self.scheduler.wait(min(2.0 * 2**again, 60) * self.chance.uniform(0.5, 1.5))
        return None

    def change_of_mind(self, at: float) -> None:
        """Let eve say that she wants no more emails."""

        def change() -> None:
            who, named = caller(self.clients[0]), {"user_id": "eve"}
            route = "/api/v1/users/{user_id}/preferences"
            body = {"channels": {"email": False}}
            answer = self.insist("PATCH", route, named, body, {}, who)
            if answer and answer[0] == OK:
                self.oracle.forbid("email", "@eve")

        self.do(at, "eve", change)


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
        if chance.random() < 0.1:
            plan.report_after = chance.uniform(1, 60)
        if chance.random() < 0.08:
            plan.patience = 1
        if chance.random() < 0.08:
            plan.luck = chance.choice([HOPELESS, BUSY])
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
    body: JSON = {"channels": channels, "category": chance.choice(["orders", "news", CODES])}
    body["priority"] = chance.choice([1, 5, 8, 10])
    if len(channels) > 1 and chance.random() < 0.4:
        body["routing"] = "fallback"
        body["fallback_after_seconds"] = chance.choice([30, 60, 300])
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
    if chance.random() < 0.3:
        body["dedupe"] = chance.choice(["at_most_once", "at_least_once"])
    if chance.random() < 0.15:
        body["expires_in"] = at + chance.choice([5, 60, 600])
    return body
