"""Lambda: functions as template.yaml has them, and the processes that run them.

On Lambda each process runs one invocation at a time and keeps what its module remembers between
them. Here they share one interpreter, so every cache of the product is made one per process, and
what a library keeps for the whole interpreter changes hands with the turn.
"""

import functools
import json
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from aws_lambda_powertools.event_handler.api_gateway import BaseRouter

import carillon
from carillon import settings as settings_module
from simulation.scheduler import Scheduler, Task
from simulation.stack import Resource, Stack

JSON = dict[str, Any]
STATELESS = frozenset(
    {
        "carillon.rendering",
        "carillon.schemas",
        "carillon.signed",
        "carillon.bill",
        "carillon.prices",
        "carillon.spending",
        "carillon.log",
        "carillon.storage",
    }
)
"""Modules whose caches hold what follows from the code alone, or a connection: costly, shared."""
SHARED = frozenset({"_session", "sns", "sqs", "ssm", "s3", "functions", "ses", "texts"})
"""Clients of carillon.aws."""


class Process:
    """What one process of a function remembers."""

    def __init__(self, function: "Function", number: int) -> None:
        self.function, self.number = function, number
        self.name = f"{function.short}.{number}"
        self.caches: dict[Any, Any] = {}
        self.firebase: dict[str, Any] = {}
        self.event: Any = None
        self.context: Any = None
        self.routing: dict[str, Any] = {}

    def take_over(self) -> None:
        """Make this process's state the interpreter's."""
        BaseRouter.current_event, BaseRouter.lambda_context = self.event, self.context
        if self.function.app is not None:
            self.function.app.context = self.routing
        if firebase := sys.modules.get("firebase_admin"):
            firebase._apps = self.firebase

    def give_up(self) -> None:
        """Keep what the interpreter has of it."""
        self.event = getattr(BaseRouter, "current_event", None)
        self.context = getattr(BaseRouter, "lambda_context", None)


class Context:
    """The Lambda context of one invocation."""

    function_name = "simulated"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:simulated"

    def __init__(self, request_id: str, deadline: int, scheduler: Scheduler) -> None:
        self.aws_request_id = request_id
        self._deadline, self._scheduler = deadline, scheduler

    def get_remaining_time_in_millis(self) -> int:
        """Return the time left, as the wall clock has it."""
        return max(0, (self._deadline - self._scheduler.now) // 1000)


class Function:
    """One function: its handler, its environment, its processes."""

    def __init__(self, resource: Resource, globals_: Mapping[str, Any]) -> None:
        told = resource.properties
        self.name = resource.name
        self.short = resource.name.removesuffix("Function").lower()
        self.module_name = told["CodeUri"].replace("/", ".") + ".handler"
        self.timeout = float(told.get("Timeout", globals_.get("Timeout", 3)))
        own = (told.get("Environment") or {}).get("Variables", {})
        variables = {**globals_.get("Environment", {}).get("Variables", {}), **own}
        self.settings = settings_module.from_environment(
            {name: str(value) for name, value in variables.items()}
        )
        self.events: JSON = told.get("Events", {})
        self.queues = [e["Properties"] for e in self.events.values() if e["Type"] == "SQS"]
        self.idle: list[Process] = []
        self.count = 0

    @functools.cached_property
    def module(self) -> ModuleType:
        """The handler's module."""
        return import_module(self.module_name)

    @functools.cached_property
    def app(self) -> Any:
        """The module's resolver, when it answers HTTP."""
        found = getattr(self.module, "app", None)
        return found if hasattr(found, "append_context") else None

    def process(self, chance: Callable[[], float] | None) -> Process:
        """Return a process for an invocation: one that is warm, or a new one."""
        if self.idle and (chance is None or chance() < 0.9):
            place = 0 if chance is None else int(chance() * len(self.idle))
            return self.idle.pop(place)
        self.count += 1
        return Process(self, self.count)


def functions_of(stack: Stack) -> dict[str, Function]:
    """Return the stack's functions, by name."""
    globals_ = stack.resolve(stack.template["Globals"])["Function"]
    return {each.name: Function(each, globals_) for each in stack.of("AWS::Serverless::Function")}


class _OfProcess:
    """A cache of the product, one for each process."""

    def __init__(self, original: Any, here: Callable[[], Process]) -> None:
        self.__wrapped__ = original.__wrapped__
        self._size = original.cache_parameters()["maxsize"]
        self._here = here
        functools.update_wrapper(self, original.__wrapped__)

    def _cache(self) -> Any:
        caches = self._here().caches
        if self not in caches:
            caches[self] = functools.lru_cache(self._size)(self.__wrapped__)
        return caches[self]

    def __call__(self, *told: Any, **named: Any) -> Any:
        return self._cache()(*told, **named)

    def cache_clear(self) -> None:
        """Forget what this process remembers."""
        self._cache().cache_clear()

    def cache_info(self) -> Any:
        """Tell of this process's."""
        return self._cache().cache_info()


@contextmanager
def processes(functions: Mapping[str, Function], here: Callable[[], Process]) -> Iterator[None]:
    """Give each process its own copy of every cache that the product's modules keep."""
    for function in functions.values():
        _ = function.module
    # What is imported late would keep the caches of the world it was imported in.
    for found in pkgutil.walk_packages(carillon.__path__, "carillon."):
        import_module(found.name)
    replaced: dict[int, Any] = {id(settings_module.settings): _SettingsOf(here)}
    undo: list[tuple[ModuleType, str, Any]] = []
    kind = type(settings_module.settings)
    for name, module in list(sys.modules.items()):
        if not name.startswith(("carillon", "functions.")) or name.startswith("carillon_client"):
            continue
        for attribute, value in list(vars(module).items()):
            if not isinstance(value, kind) or _is_shared(value):
                continue
            if id(value) not in replaced:
                replaced[id(value)] = _OfProcess(value, here)
            undo.append((module, attribute, value))
            setattr(module, attribute, replaced[id(value)])
    try:
        yield
    finally:
        for module, attribute, value in undo:
            setattr(module, attribute, value)


def _is_shared(cached: Any) -> bool:
    owner = cached.__wrapped__.__module__
    return owner in STATELESS or (owner == "carillon.aws" and cached.__wrapped__.__name__ in SHARED)


class _SettingsOf:
    """Settings, as template.yaml tells them to the process's function."""

    def __init__(self, here: Callable[[], Process]) -> None:
        self._here = here

    def __call__(self) -> Any:
        return self._here().function.settings

    def cache_clear(self) -> None:
        """Do nothing: an environment does not change."""


EVENTS = Path(__file__).parents[2] / "events"
EVENT = json.loads((EVENTS / "notifications-send.json").read_text())


def request(
    method: str,
    route: str,
    parameters: Mapping[str, str],
    body: Any,
    headers: Mapping[str, str],
    caller: Mapping[str, str],
) -> JSON:
    """Return API Gateway's event of a request."""
    path = route
    for name, value in parameters.items():
        path = path.replace(f"{{{name}}}", value)
    kept = {
        name: value for name, value in EVENT["headers"].items() if name != "Idempotency-Key"
    } | dict(headers)
    return {
        **EVENT,
        "resource": route,
        "path": path,
        "httpMethod": method,
        "headers": kept,
        "multiValueHeaders": {name: [value] for name, value in kept.items()},
        "pathParameters": dict(parameters) or None,
        "requestContext": {
            **EVENT["requestContext"],
            "resourcePath": route,
            "httpMethod": method,
            "authorizer": dict(caller),
        },
        "body": "" if body is None else json.dumps(body),
    }


def routes(functions: Mapping[str, Function]) -> dict[tuple[str, str], Function]:
    """Return who answers a method and a path's template."""
    return {
        (event["Properties"]["Method"], event["Properties"]["Path"]): function
        for function in functions.values()
        for event in function.events.values()
        if event["Type"] == "Api"
    }


def task_process(task: Task | None) -> Process | None:
    """Return the process a task is, if it is one."""
    return task.process if task is not None else None
