"""One run: everything that a seed decides, put together, and what came of it."""

import datetime as dt
import json
import os
import random
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any
from unittest.mock import patch

from botocore.client import BaseClient
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

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
from simulation.cloud import PROVIDERS, Cloud, record_of
from simulation.lambdas import (
    EVENTS,
    Context,
    Function,
    Process,
    functions_of,
    processes,
    request,
    routes,
)
from simulation.mail import ACCOUNT, served
from simulation.oracle import Oracle, Violation
from simulation.queues import Message, Queue
from simulation.scheduler import Killed, Scheduler
from simulation.senders import PROVIDERS as SENDERS
from simulation.stack import Stack
from simulation.store import Store, Table
from simulation.story import Story
from simulation.threads import taken_over
from simulation.verdict import Verdict
from simulation.weather import Weather
from simulation.wire import Wire, wired

JSON = dict[str, Any]
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "simulation",
    "AWS_SECRET_ACCESS_KEY": "simulation",
    "AWS_DEFAULT_REGION": "us-east-1",
    "POWERTOOLS_LOG_LEVEL": "CRITICAL",
    "POWERTOOLS_METRICS_DISABLED": "true",
}
BEGIN = dt.datetime(2026, 11, 21, 9, 30, tzinfo=dt.UTC)
PARAMETERS = {
    "Stage": "simulation",
    "SenderEmail": "carillon@example.com",
    "RateLimitPerMinute": 0,  # the callers are few and insist
    "LogLevel": "ERROR",
}
DAYS = 86_400.0
LONGEST = 8 * DAYS
WATCHED, SELDOM = 1200.0, 3600.0
REDRIVES = 4
ADMIN_TOKEN = "nk_admin_" + "a" * 43
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
API_PATIENCE = 31.0
WORKERS = 3
"""Invocations of a channel's function at one time, at most."""


@dataclass
class Result:
    """What one seed came to."""

    seed: int
    counts: dict[str, int] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    story: Story | None = None


EMAIL = ("ses", "ses", "ses,smtp", "smtp,sendgrid", "sendgrid", "sendgrid,ses", "smtp")
SMS = ("twilio", "twilio", "aws", "twilio,aws", "aws,twilio")


@cache
def stack(email: str, sms: str) -> Stack:
    """Return the stack, from template.yaml, with the providers it is to use."""
    return Stack("template.yaml", PARAMETERS | {"EmailProvider": email, "SmsProvider": sms})


@cache
def _accounts() -> dict[str, str]:
    """Return the providers' accounts. The key signs requests for tokens that nobody checks."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    firebase = {
        "type": "service_account",
        "project_id": "simulation",
        "private_key_id": "1",
        "private_key": key.decode(),
        "client_email": "carillon@simulation.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    twilio = {"account_sid": "AC" + "0" * 32, "auth_token": "t", "from": "+15005550006"}
    return {
        "/carillon/simulation/fcm": json.dumps(firebase),
        "/carillon/simulation/twilio": json.dumps(twilio),
        "/carillon/simulation/sendgrid": json.dumps({"api_key": "SG.simulation"}),
        "/carillon/simulation/admin-token": ADMIN_TOKEN,
        "/carillon/simulation/smtp": json.dumps(ACCOUNT),
    }


_load = serialization.load_pem_private_key


@cache
def _loaded(pem: bytes) -> Any:
    return _load(pem, None)


def _private_key(pem: bytes, *_: object, **__: object) -> Any:
    return _loaded(pem)


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
        self.cloud.parameters = _accounts()
        self.wire = Wire(self.cloud, self.weather, self.story, self.oracle)
        chance = random.Random(f"insisting {seed}")
        self.callers = Callers(
            self.scheduler, self.oracle, self.ask, chance, clients, self.wire.luck
        )
        self.running: dict[str, int] = dict.fromkeys(self.functions, 0)
        self.polling: dict[str, bool] = {}
        self.outside = Process(self.functions["NotificationsFunction"], 0)
        self._make_queues()
        self._listen()

    def _make_queues(self) -> None:
        for each in self.stack.of("AWS::SQS::Queue"):
            self.cloud.queues[each.name] = Queue(
                each, lambda: self.scheduler.seconds, self.cloud.new_id, self._heard, self._waiting
            )
        for queue in self.cloud.queues.values():
            policy = queue.resource.properties.get("RedrivePolicy")
            if policy:
                queue.dead_letters = self.cloud.queue_of(policy["deadLetterTargetArn"])
                queue.most_receives = self.weather.most_receives or queue.most_receives
        self.consumers: dict[str, tuple[Function, JSON]] = {}
        for function in self.functions.values():
            for told in function.queues:
                self.consumers[self.cloud.queue_of(told["Queue"]).name] = (function, told)

    def _listen(self) -> None:
        store, weather = self.store, self.weather
        self.cloud.returned = self.oracle.returned
        store.clock = lambda: self.scheduler.now
        store.chance, store.stale = weather.chance.random, weather.stale
        store.delay = lambda: round(weather.chance.uniform(0, 2e6))
        store.heard = lambda table, old, new: self.oracle.wrote(table, old, new, self.cloud.actor)

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
        verdict.judge(self._bodies(), self.store)
        for mark in self.callers.unserved:
            self.oracle.must(False, "callers-are-served", mark, "asked in vain")
        for poison in self.poison:
            verdict.parked(poison, self.store)
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
            self._invoke(function, {}, lambda _: None)
        # When all is well it is enough to look now and then: a run takes up where the last ended.
        seldom = self.scheduler.seconds > self.weather.heals_at + WATCHED
        self.scheduler.at(max(every, SELDOM if seldom else 0), partial(self._tick, function, every))

    def _is_quiet(self) -> bool:
        if self.scheduler.seconds < self.weather.heals_at or self.callers.left:
            return False
        if any(self.running.values()):
            return False
        if any(self.cloud.queues[name].messages for name in self.consumers):
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

    def _bodies(self) -> dict[str, list[str]]:
        """Return what the queues still hold, by channel."""
        found: dict[str, list[str]] = {}
        for queue in self.cloud.queues.values():
            channel = queue.name.partition("Channel")[0].lower()
            found.setdefault(channel, []).extend(each.body for each in queue.messages)
        return found

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
        task = self._invoke(function, event, found.append)
        self.story.tell(f"{method} {route}", "asked")
        status, answer = 504, {}
        if self.scheduler.join(task, API_PATIENCE):
            status, answer = _answer(found[0]) if found else (502, {})
        self.story.tell(f"{method} {route}", str(status))
        return status, answer

    def _context(self, function: Function) -> Context:
        deadline = self.scheduler.now + round(function.timeout * 1e6)
        return Context(self.cloud.new_id(), deadline, self.scheduler)

    def _invoke(
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

    # ------------------------------------------------------------------ the queues' side

    def _heard(self, what: str, queue: Queue, message: Message) -> None:
        if what in ("given up", "lapsed") or (what == "sent" and queue.name not in self.consumers):
            self.story.tell(f"{queue.name} {message.message_id}", what)
            self.oracle.counts[f"messages {what}"] += what != "sent"

    def _waiting(self, queue: Queue, delay: float) -> None:
        if queue.name in self.consumers:
            spread = self.weather.chance.uniform(0.001, 0.5)
            self.scheduler.at(delay + spread, lambda: self._poll(queue))

    def _poll(self, queue: Queue) -> None:
        function, told = self.consumers[queue.name]
        chance, now = self.weather.chance, self.scheduler.seconds
        if self.running[function.name] >= WORKERS:
            return
        visible = queue.visible()
        if not visible:
            return
        most = min(int(told.get("BatchSize", 10)), len(visible))
        chosen = chance.sample(visible, chance.randint(1, most))
        batch = [
            record_of(queue, each)
            for each in chosen
            if queue.receive(each, stays=self.weather.strikes("queue-twice", now))
        ]
        if batch:
            receipts = {each["messageId"]: each["receiptHandle"] for each in batch}
            task = self._invoke(
                function,
                {"Records": batch},
                lambda answer: self._settle(queue, receipts, answer),
                lambda: self._waiting(queue, 0.0),
            )
            self.story.lines.append(
                (self.scheduler.now, task.name, "takes", " ".join(sorted(receipts)))
            )
        if len(visible) > len(chosen):
            self._waiting(queue, 0.0)

    def _settle(self, queue: Queue, receipts: Mapping[str, str], answer: JSON) -> None:
        """Delete what the function is done with, as the event source mapping does."""
        self.scheduler.wait(self.weather.chance.uniform(0.001, 0.05))
        if self.weather.strikes("step-crash", self.scheduler.seconds):
            self.story.tell("the mapping dies", "nothing is deleted")
            return
        failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
        assert failed <= set(receipts), "a failure is reported of a message that was not handed out"
        for message_id, receipt in receipts.items():
            if message_id in failed:
                continue
            found = queue.find(receipt)
            queue.delete(receipt)
            if found and self.weather.strikes("queue-ghost", self.scheduler.seconds):
                self._haunt(queue, found)

    def _haunt(self, queue: Queue, message: Message) -> None:
        """Let a deleted message come again, as standard queues may."""

        def again() -> None:
            self.story.tell(f"{queue.name} {message.message_id}", "comes again though deleted")
            queue.send(message.body, message.attributes, sent_at=message.sent_at)

        self.scheduler.at(self.weather.chance.uniform(0.5, 90), again)

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


@contextmanager
def _ruled(world: World) -> Iterator[None]:
    """Let the world rule over time, chance and everything the product can reach."""
    scheduler = world.scheduler
    source = random.Random(f"bytes {world.seed}")
    real = BaseClient._make_api_call

    def api_call(self: Any, operation: str, told: JSON) -> JSON:
        if self.meta.service_model.service_name in PROVIDERS:
            return real(self, operation, told)
        return world.cloud.call(self, operation, told)

    def sleep(seconds: float) -> None:
        scheduler.wait(seconds)

    with ExitStack() as rules:
        rules.enter_context(scheduler)
        rules.enter_context(processes(world.functions, world.here))
        rules.enter_context(wired(world.wire))
        rules.enter_context(served(world.wire))
        rules.enter_context(taken_over(scheduler))
        rules.enter_context(patch.object(BaseClient, "_make_api_call", api_call))
        rules.enter_context(patch.object(random, "_urandom", source.randbytes))
        rules.enter_context(patch.object(os, "urandom", source.randbytes))
        rules.enter_context(patch.object(time, "sleep", sleep))
        rules.enter_context(patch.dict(os.environ, ENVIRONMENT))
        # Nothing connects, and nobody checks a signature: 20 and 30 ms per process for nothing.
        rules.enter_context(
            patch.object(ssl.SSLContext, "load_verify_locations", lambda *_, **__: None)
        )
        rules.enter_context(patch.object(serialization, "load_pem_private_key", _private_key))
        rules.enter_context(patch.object(time, "perf_counter", lambda: scheduler.seconds))
        random.seed(f"product {world.seed}")
        scheduler.on_switch = world.switch
        yield


@cache
def furnished() -> tuple[Store, tuple[str, ...]]:
    """Return the store that every run begins with, and the applications in it."""
    world = World(0)
    with _ruled(world):
        clients = world.furnish()
        world.watch()
    return world.store, clients


def run(seed: int) -> Result:
    """Run one seed."""
    world = World(seed, *furnished())
    world.oracle.forbid("sms", "@bob")
    with _ruled(world):
        return world.live()
