"""The providers, as they are on the wire: SES, Twilio, FCM and Google's tokens.

Requests are taken where urllib3 would write them to a socket, so the SDKs run whole, their own
retries included. Replies and errors are worded as the sandbox has them (localstack/sandbox).
"""

import datetime as dt
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any

import urllib3
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ReadTimeoutError

from sandbox.outcomes import Fault
from simulation.senders import PROVIDERS, OverHttp, Provider, Reply, class_of, errors
from simulation.weather import Weather

JSON = dict[str, Any]
MARK = re.compile(r"\bN\d{4}\b")
PROXY_PAGE = "<html><head><title>Sign in</title></head><body>Corporate proxy</body></html>"
CONNECT_SECONDS = 3.0
HOPELESS, BUSY, BUSY_TIMES = "hopeless", "busy", 7
KINDS = ("THROTTLE", "THROTTLE", "UNKNOWN", "UNKNOWN", "RETRY", "CONFIG", "PERMANENT", "RECIPIENT")
TOLD = {
    "THROTTLE": "free",
    "CONFIG": "free",
    "PERMANENT": "refused",
    "RECIPIENT": "refused",
    "UNKNOWN": "unsure",
    "RETRY": "unsent",
}
TOKENS = "oauth2.googleapis.com"


@dataclass(slots=True)
class Request:
    """One request to send a message, and what became of it.

    ``told`` is what the caller could know: ``accepted`` (with an id), ``unsure``, ``free`` (asked
    to slow down, or our side is broken), ``refused`` or ``unsent``.
    """

    provider: str
    channel: str
    address: str
    mark: str
    at: float
    task: Any
    accepted: bool = False
    told: str = "unsure"
    message_id: str = ""
    answer: str = ""
    error: str = ""
    wait: float = 0.0  # seconds, as the answer asked for
    answered_at: float | None = None  # when its caller had the answer


class Wire:
    """Every request the product makes over HTTP."""

    def __init__(self, cloud: Any, weather: Weather, story: Any, heard: Any) -> None:
        self.cloud, self.weather, self.story, self.heard = cloud, weather, story, heard
        self.scheduler = cloud.scheduler
        self.by_host = {
            host: each for each in PROVIDERS if isinstance(each, OverHttp) for host in each.hosts
        }
        self.requests: list[Request] = []
        self.luck: dict[str, str] = {}

    def request(self, pool: HTTPConnectionPool, url: str, body: Any, timeout: Any) -> Reply:
        """Answer a request, or raise what a socket would."""
        if pool.host == TOKENS:
            return self._token(pool, url, timeout)
        provider = self.by_host[pool.host]
        address, text = provider.read(url, body)
        mark = MARK.search(text)
        made, fate, fault = self.ask(provider, address, mark[0] if mark else "?")
        reply = self._answer(pool, url, timeout, provider, made, fate, fault)
        made.answered_at = self.scheduler.seconds
        return reply

    def ask(self, provider: Provider, address: str, mark: str) -> tuple[Request, str, Fault | None]:
        """Hear of a request to send, and settle what becomes of it."""
        task = self.scheduler.current
        made = Request(provider.name, provider.channel, address, mark, 0.0, task)
        self.requests.append(made)
        self.cloud.step(self.weather.chance.uniform(0.01, 0.1))
        made.at = self.scheduler.seconds
        self.heard.asked(made)
        fate, fault = self._lucky(provider, made) or self._fate(
            provider, own=mark.lower() in address.lower()
        )
        self._decide(made, fate, fault)
        self.story.tell(f"{provider.name} {made.mark} {address}", made.answer)
        return made, fate, fault

    def _lucky(self, provider: Provider, made: Request) -> tuple[str, Fault | None] | None:
        """Return the fate of a message that was born with one."""
        luck = self.luck.get(made.mark)
        before = sum(
            each.mark == made.mark and each.address == made.address for each in self.requests
        )
        if luck == BUSY and before <= BUSY_TIMES:
            return "refused", self.weather.chance.choice(errors(provider, "THROTTLE"))
        if luck == HOPELESS:
            kinds = [kind for kind in ("UNKNOWN", "RETRY") if errors(provider, kind)]
            return "refused", self.weather.chance.choice(errors(provider, kinds[0]))
        return None

    def is_away(self, provider: Provider) -> bool:
        """Tell whether a provider is down."""
        now = self.scheduler.seconds
        return now < self.weather.heals_at and self.weather.away(
            "provider-down", now, provider.name
        )

    def _fate(self, provider: Provider, *, own: bool) -> tuple[str, Fault | None]:
        """Draw what becomes of a request; an address of many messages (not its own) dies seldom."""
        now, chance = self.scheduler.seconds, self.weather.chance
        if self.is_away(provider):
            return chance.choice(["unreachable", "unreachable", "silent", "refused-500"]), None
        if now < self.weather.heals_at and self.weather.away("provider-config", now, provider.name):
            return "refused", chance.choice(errors(provider, "CONFIG"))
        fate = self.weather.one_of("provider", now)
        if fate != "refused":
            return fate or "accepted", None
        kinds = [kind for kind in KINDS if errors(provider, kind)]
        kind = chance.choice(kinds)
        if kind == "RECIPIENT" and not own and chance.random() < 0.8:
            kind = "PERMANENT"
        return "refused", chance.choice(errors(provider, kind))

    def _decide(self, made: Request, fate: str, fault: Fault | None) -> None:
        """Settle what the provider does with it, and what its caller can know."""
        chance = self.weather.chance
        made.message_id = f"{made.provider}-{len(self.requests):04d}"
        made.answer = fate
        if fate == "refused" and fault:
            kind = class_of(made.provider, fault)
            made.answer = f"{fault.status} {fault.code}"
            made.error = fault.code
            made.told = TOLD[kind]
            # A server that answers 5xx may have taken the message all the same.
            made.accepted = made.told == "unsure" and chance.random() < 0.3
        elif fate == "unreachable":
            made.told = "unsent"
        elif fate == "accepted":
            made.told, made.accepted = "accepted", True
        else:
            made.accepted = fate == "empty" or (fate != "proxy" and chance.random() < 0.5)
            made.answer += ", accepted" if made.accepted else ", not accepted"

    def _answer(
        self,
        pool: HTTPConnectionPool,
        url: str,
        timeout: Any,
        provider: OverHttp,
        made: Request,
        fate: str,
        fault: Fault | None,
    ) -> Reply:
        chance = self.weather.chance
        match fate:
            case "unreachable":
                self.cloud.step(chance.uniform(0.01, CONNECT_SECONDS))
                raise _unreachable(pool, chance.random())
            case "silent":
                patience = getattr(timeout, "read_timeout", None)
                self.cloud.step(float(patience) if isinstance(patience, int | float) else 1e6)
                raise ReadTimeoutError(pool, url, "Read timed out.")
            case "reset":
                self.cloud.step(chance.uniform(0.01, 1))
                raise ConnectionResetError(104, "Connection reset by peer")
        self.cloud.step(chance.uniform(0.05, 1.5))
        if fate == "empty":
            return Reply(provider.accepted("x").status, "")
        if fate == "proxy":
            return Reply(200, PROXY_PAGE, {"Content-Type": "text/html"})
        if fate == "refused" and fault:
            return self._with_wait(provider.refused(fault), made)
        if fate == "refused-500":
            return Reply(503, "Service Unavailable", {"Content-Type": "text/plain"})
        return provider.accepted(made.message_id)

    def _with_wait(self, reply: Reply, made: Request) -> Reply:
        """Return a refusal, now and then with a wish when to come again."""
        chance, scheduler = self.weather.chance, self.scheduler
        if reply.status not in (429, 503) or chance.random() < 0.5:
            return reply
        moment = dt.datetime.fromtimestamp(scheduler.epoch + scheduler.seconds + 180, dt.UTC)
        date = format_datetime(moment, usegmt=True)
        wish, made.wait = chance.choice(
            [("1", 1.0), ("30", 30.0), ("180", 180.0), ("-5", 0.0), ("soon", 0.0), (date, 178.0)]
        )
        return Reply(reply.status, reply.body, {**reply.headers, "Retry-After": wish})

    def _token(self, pool: HTTPConnectionPool, url: str, timeout: Any) -> Reply:
        """Answer for Google's access tokens; that sends nothing."""
        chance, now = self.weather.chance, self.scheduler.seconds
        self.cloud.step(chance.uniform(0.02, 0.2))
        fate = self.weather.one_of("provider", now) if not self.cloud.calm else None
        self.story.tell("access token", fate or "granted")
        match fate:
            case "unreachable" | "reset":
                raise _unreachable(pool, chance.random())
            case "silent":
                patience = getattr(timeout, "read_timeout", None)
                self.cloud.step(float(patience) if isinstance(patience, int | float) else 1e6)
                raise ReadTimeoutError(pool, url, "Read timed out.")
            case "refused":
                return Reply(400, json.dumps({"error": "invalid_grant"}))
            case "empty" | "proxy":
                return Reply(200, PROXY_PAGE, {"Content-Type": "text/html"})
        token = {"access_token": "ya29.simulated", "expires_in": 3600, "token_type": "Bearer"}
        return Reply(200, json.dumps(token))


def _unreachable(pool: HTTPConnectionPool, drawn: float) -> Exception:
    connection = pool.ConnectionCls(host=pool.host, port=pool.port)
    if drawn < 0.4:
        return ConnectTimeoutError(connection, f"Connection to {pool.host} timed out.")
    why = "Connection refused" if drawn < 0.7 else "Name or service not known"
    return NewConnectionError(connection, f"Failed to establish a new connection: {why}")


@contextmanager
def wired(wire: Wire) -> Iterator[None]:
    """Answer every request of urllib3 here."""
    original = HTTPConnectionPool._make_request

    def ours(
        self: HTTPConnectionPool,
        conn: Any,
        method: str,
        url: str,
        body: Any = None,
        headers: Any = None,
        retries: Any = None,
        timeout: Any = None,
        chunked: bool = False,
        response_conn: Any = None,
        preload_content: bool = True,
        decode_content: bool = True,
        enforce_content_length: bool = True,
    ) -> urllib3.BaseHTTPResponse:
        reply = wire.request(self, url, body, timeout)
        return urllib3.HTTPResponse(
            body=io.BytesIO(reply.body.encode()),
            headers={"Content-Type": "application/json", **reply.headers},
            status=reply.status,
            preload_content=preload_content,
            decode_content=decode_content,
            request_method=method,
            request_url=url,
            connection=response_conn,
            pool=self,
            retries=retries,
        )

    HTTPConnectionPool._make_request = ours  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        HTTPConnectionPool._make_request = original  # type: ignore[method-assign]
