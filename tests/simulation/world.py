"""One run: everything that a seed decides, put together, and what came of it."""

import datetime as dt
import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from carillon import pages
from carillon.history import sender
from simulation.callers import (
    APPLICATIONS,
    CATEGORIES,
    DEVICES,
    OPERATOR,
    USERS,
    WISHES,
    Callers,
    caller,
    plans,
)
from simulation.cloud import Cloud
from simulation.ground import ADMIN_TOKEN, BEGIN, EMAIL, SMS, accounts, ruled, stack
from simulation.lambdas import EVENTS, Context, Function, Process, functions_of, request, routes
from simulation.mapping import Mappings
from simulation.oracle import Oracle
from simulation.queues import Queue
from simulation.records import Violation
from simulation.scheduler import Killed, Scheduler
from simulation.senders import PROVIDERS as SENDERS
from simulation.store import Item, Store, Table
from simulation.story import Story
from simulation.streams import Streams
from simulation.verdict import Verdict
from simulation.weather import Weather
from simulation.wire import Wire

JSON = dict[str, Any]
DAYS = 86_400.0
LONGEST = 8 * DAYS
WATCHED, SELDOM = 1200.0, 3600.0
REDRIVES = 4
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
API_PATIENCE = 31.0


@dataclass
class Result:
    """What one seed came to."""

    seed: int
    counts: dict[str, int] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    story: Story | None = None


class World:
    """A run of one seed."""

    def __init__(
        self, seed: int, store: Store | None = None, clients: tuple[str, ...] = ()
    ) -> None:
        """``store`` is what it begins with, ``clients`` the applications in it."""
        self.seed = seed
        self.scheduler = Scheduler(BEGIN)
        self.story = Story(self.scheduler)
        self.plans = plans(seed) if clients else []
        busy_until = max((plan.at for plan in self.plans), default=0.0)
        self.weather = Weather.draw(seed, busy_until, [each.name for each in SENDERS])
        chance = random.Random(f"providers {seed}")
        self.stack = stack(chance.choice(EMAIL), chance.choice(SMS))
        tables = {each.name: Table(each) for each in self.stack.of("AWS::DynamoDB::Table")}
        self.store = store.copy() if store else Store(tables)
        self.functions = functions_of(self.stack)
        self.routes = routes(self.functions)
        settings = next(iter(self.functions.values())).settings
        self.oracle = Oracle(self.scheduler, self.story, settings.max_retries)
        self.cloud = Cloud(self.stack, self.store, self.scheduler, self.weather, self.story)
        self.cloud.parameters = accounts()
        self.wire = Wire(self.cloud, self.weather, self.story, self.oracle)
        chance = random.Random(f"insisting {seed}")
        self.callers = Callers(
            self.scheduler, self.oracle, self.ask, chance, clients, self.wire.luck
        )
        self.running: dict[str, int] = dict.fromkeys(self.functions, 0)
        self.outside = Process(self.functions["NotificationsFunction"], 0)
        self.mappings = Mappings(self)
        self.streams = Streams(self)
        self._listen()

    def _listen(self) -> None:
        store, weather = self.store, self.weather
        self.cloud.returned = self.oracle.returned
        store.clock = lambda: self.scheduler.now
        store.chance, store.stale = weather.chance.random, weather.stale
        store.delay = lambda: round(weather.chance.uniform(0, 2e6))
        store.heard = self._heard

    def _heard(self, table: str, old: Item | None, new: Item | None) -> None:
        self.oracle.wrote(table, old, new, self.cloud.actor)
        self.streams.heard(table, old, new)

    # ------------------------------------------------------------------ running

    def live(self) -> Result:
        """Let the callers ask and the workers work until all is quiet; then judge."""
        self.cloud.calm = False
        self.callers.begin(self.plans)
        self._disturb()
        self._schedule()
        self.scheduler.run(self._is_quiet, 30, LONGEST)
        for _ in range(REDRIVES):
            if not self._redriven():
                break
        self.scheduler.end()
        self.cloud.calm = True
        verdict = Verdict(self.oracle)
        verdict.judge(self.mappings.bodies(), self.store)
        for mark in self.callers.unserved:
            self.oracle.must(False, "callers-are-served", mark, "asked in vain")
        for poison in self.poison:
            verdict.parked(poison, self.store)
        verdict.listed(self._listed)
        for notification_id in self.oracle.recorded:
            verdict.told(notification_id, self._read(notification_id))
        counts = self.oracle.counts
        counts["notifications"] = len(self.oracle.promised)
        return Result(self.seed, dict(counts), self.oracle.violations, self.story)

    def _disturb(self) -> None:
        """Let a user change their mind, and strangers put what nobody understands into queues."""
        chance = random.Random(f"disturbing {self.seed}")
        last = max(plan.at for plan in self.plans)
        if chance.random() < 0.4:
            self.callers.change_of_mind(chance.uniform(0, last))
        self.poison = [f"poison {number}" for number in range(chance.choice([0, 0, 1, 3]))]
        for text in self.poison:
            name = chance.choice(["EmailChannel-Queue", "PushChannel-UrgentQueue"])
            body = chance.choice([text, json.dumps({"schema_version": 99, "text": text})])
            put = partial(_put, self.cloud.queues[name], body)
            self.scheduler.at(chance.uniform(0, last), put)

    def _schedule(self) -> None:
        """Let the clock begin what template.yaml says it begins."""
        for function in self.functions.values():
            for told in function.events.values():
                if told["Type"] == "Schedule":
                    (number, unit), *_ = _RATE.findall(told["Properties"]["Schedule"])
                    every = float(number) * {"minute": 60, "hour": 3600, "day": DAYS}[unit]
                    self.scheduler.at(every, partial(self._tick, function, every))

    def _tick(self, function: Function, every: float) -> None:
        if not self.running[function.name]:
            self.invoke(function, {}, lambda _: None)
        # When all is well it is enough to look now and then: a run takes up where the last ended.
        seldom = self.scheduler.seconds > self.weather.heals_at + WATCHED
        self.scheduler.at(max(every, SELDOM if seldom else 0), partial(self._tick, function, every))

    def _is_quiet(self) -> bool:
        if self.scheduler.seconds < self.weather.heals_at or self.callers.left:
            return False
        if any(self.running.values()):
            return False
        if not (self.mappings.are_empty() and self.streams.are_empty()):
            return False
        return not any(self.oracle.open_targets(each) for each in self.oracle.recorded.values())

    def _redriven(self) -> bool:
        """Let an operator send every dead letter again; False when there is none."""
        if not self.oracle.dead():
            return False
        route, body = "/api/v1/ops/dlq/redrive", {"filter": {}, "rate_per_second": 50}

        def order() -> None:
            self.callers.insist("POST", route, {}, body, {}, OPERATOR)

        self.callers.do(0, "operator", order)
        self.scheduler.run(self._is_quiet, 30, LONGEST)
        return True

    def _listed(self, client_id: str) -> list[str]:
        """Return what a client's pages have."""
        self.outside = Process(self.functions["NotificationsFunction"], 0)
        of_client = sender(caller(client_id)["tenant"], client_id)
        return [each.notification_id for each in pages.newest_first(of_client)]

    def _read(self, notification_id: str) -> JSON:
        """Return what the API tells of a notification."""
        recorded = self.oracle.recorded[notification_id]
        route = "/api/v1/notifications/{notification_id}"
        who = caller(recorded.client_id)
        self.outside = Process(self.routes["GET", route], 0)
        status, body = self.ask("GET", route, {"notification_id": notification_id}, None, {}, who)
        assert status == 200, body
        return dict(body["data"])

    def ask(
        self,
        method: str,
        route: str,
        parameters: Mapping[str, str],
        body: Any,
        headers: Mapping[str, str],
        who: Mapping[str, str],
    ) -> tuple[int, JSON]:
        """Make a request as API Gateway does; return status and body."""
        function = self.routes[method, route]
        if isinstance(body, dict) and "expires_in" in body:
            moment = BEGIN + dt.timedelta(seconds=body["expires_in"])
            body = {**body, "expires_at": moment.isoformat()}
            del body["expires_in"]
        event = request(method, route, parameters, body, headers, who)
        if self.cloud.calm:
            return _answer(function.module.lambda_handler(event, self._context(function)))
        found: list[JSON] = []
        task = self.invoke(function, event, found.append)
        self.story.tell(f"{method} {route}", "asked")
        status, answer = 504, {}
        if self.scheduler.join(task, API_PATIENCE):
            status, answer = _answer(found[0]) if found else (502, {})
        self.story.tell(f"{method} {route}", str(status))
        return status, answer

    def _context(self, function: Function) -> Context:
        deadline = self.scheduler.now + round(function.timeout * 1e6)
        return Context(self.cloud.new_id(), deadline, self.scheduler)

    def invoke(
        self,
        function: Function,
        event: JSON,
        answered: Callable[[JSON], None],
        ended: Callable[[], None] = lambda: None,
    ) -> Any:
        """Run a function in a process of its own, which may die."""
        process = function.process(self.weather.chance.random)
        self.running[function.name] += 1

        def work() -> None:
            task = self.scheduler.current
            assert task is not None
            try:
                answer = function.module.lambda_handler(event, self._context(function))
            except Killed:
                self.oracle.counts["crashes"] += 1
                raise
            except Exception as error:  # noqa: BLE001 - Lambda reports it and keeps the process
                self.story.tell("raised", f"{type(error).__name__}: {error}")
                self.oracle.counts["handler errors"] += 1
                process.give_up()
                function.idle.append(process)
            else:
                process.give_up()
                function.idle.append(process)
                task.process, task.deadline = None, None
                answered(answer)
            finally:
                self.running[function.name] -= 1
                ended()

        return self.scheduler.spawn(process.name, work, process=process, lives=function.timeout)

    # ------------------------------------------------------------------ ground

    def here(self) -> Process:
        """Return the process that runs now."""
        task = self.scheduler.current
        if task is None or task.process is None:
            return self.outside
        return task.process  # type: ignore[no-any-return]

    def switch(self, task: Any) -> None:
        """Let a task have what its process remembers."""
        process = task.process if task is not None else None
        if process is self._shown:
            return
        if self._shown is not None:
            self._shown.give_up()
        if process is not None:
            process.take_over()
        self._shown = process

    _shown: Process | None = None

    def furnish(self) -> tuple[str, ...]:
        """Make what the callers speak of: applications, a template, users; return the first."""
        clients = []
        for name in APPLICATIONS:
            told = {"service_name": name, "notification_types": CATEGORIES}
            bearer = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
            made = self._make("POST", "/api/v1/clients", {}, told, "nobody", bearer)
            clients.append(str(made["client_id"]))
        template = json.loads(_sample("templates-create")["body"])
        self._make("POST", "/api/v1/templates", {}, template, clients[0])
        for user_id, profile in USERS.items():
            named = {"user_id": user_id}
            self._make("PUT", "/api/v1/users/{user_id}", named, profile, clients[0])
            for device in DEVICES.get(user_id, []):
                told = {"fcm_token": device, "platform": "android"}
                self._make("POST", "/api/v1/users/{user_id}/push-tokens", named, told, clients[0])
            if wish := WISHES.get(user_id):
                self._make("PATCH", "/api/v1/users/{user_id}/preferences", named, wish, clients[0])
        return tuple(clients)

    def watch(self) -> None:
        """Run once what the clock begins: the first run of some looks far back."""
        for function in self.functions.values():
            if any(told["Type"] == "Schedule" for told in function.events.values()):
                self.outside = Process(function, 0)
                function.module.lambda_handler({}, self._context(function))

    def _make(
        self,
        method: str,
        route: str,
        parameters: JSON,
        body: JSON,
        client: str,
        headers: Mapping[str, str] | None = None,
    ) -> JSON:
        self.outside = Process(self.routes[method, route], 0)
        status, answer = self.ask(method, route, parameters, body, headers or {}, caller(client))
        assert status < 300, (method, route, answer)
        return dict(answer["data"])


def _put(queue: Queue, body: str) -> None:
    queue.send(body, {})


def _answer(answer: JSON) -> tuple[int, JSON]:
    return answer["statusCode"], json.loads(answer.get("body") or "{}")


def _sample(name: str) -> JSON:
    return dict(json.loads((EVENTS / f"{name}.json").read_text()))


@cache
def furnished() -> tuple[Store, tuple[str, ...]]:
    """Return the store that every run begins with, and the applications in it."""
    world = World(0)
    with ruled(world):
        clients = world.furnish()
        world.watch()
    return world.store, clients


def run(seed: int) -> Result:
    """Run one seed."""
    world = World(seed, *furnished())
    world.oracle.forbid("sms", "@bob")
    with ruled(world):
        return world.live()
