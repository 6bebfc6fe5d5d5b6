"""The providers, as they are on the wire: SES, Twilio, FCM and Google's tokens.

Requests are taken where urllib3 would write them to a socket, so the SDKs run whole, their own
retries included. Replies and errors are worded as the sandbox has them (localstack/sandbox).
"""

import datetime as dt
import io
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import format_datetime
from typing import Any, ClassVar
from urllib.parse import parse_qs

import urllib3
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ReadTimeoutError

from sandbox.outcomes import EMAIL_ADDRESSES, PUSH_ADDRESSES, SMS_ADDRESSES, Agreed, Fault
from simulation.weather import Weather

JSON = dict[str, Any]
MARK = re.compile(r"\bN\d{4}\b")
PROXY_PAGE = "<html><head><title>Sign in</title></head><body>Corporate proxy</body></html>"
CONNECT_SECONDS = 3.0
FREE, REFUSED = {"THROTTLE", "CONFIG"}, {"PERMANENT", "RECIPIENT"}


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


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back over the wire."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Provider:
    """What the providers have in common; each knows its own words."""

    name = ""
    channel = ""
    hosts: tuple[str, ...] = ()
    errors: tuple[Agreed, ...] = ()

    def read(self, url: str, body: Any) -> tuple[str, str]:
        """Return the address and the text of a request."""
        raise NotImplementedError

    def accepted(self, message_id: str) -> Reply:
        """Return the answer to what was accepted."""
        raise NotImplementedError

    def refused(self, fault: Fault) -> Reply:
        """Return an error in the provider's own words."""
        raise NotImplementedError


class Ses(Provider):
    """Amazon SES v2."""

    name, channel, errors = "ses", "email", EMAIL_ADDRESSES
    hosts = ("email.us-east-1.amazonaws.com",)

    def read(self, url: str, body: Any) -> tuple[str, str]:
        """Read SendEmail."""
        assert url == "/v2/email/outbound-emails", url
        told = json.loads(body)
        simple = told["Content"]["Simple"]
        text = json.dumps([simple["Subject"], simple["Body"]])
        return told["Destination"]["ToAddresses"][0], text

    def accepted(self, message_id: str) -> Reply:
        """Answer SendEmail."""
        return Reply(200, json.dumps({"MessageId": message_id}))

    def refused(self, fault: Fault) -> Reply:
        """Put the error's type in a header, its text in the body."""
        body = json.dumps({"message": fault.message})
        return Reply(fault.status, body, {"x-amzn-ErrorType": fault.code})


class Twilio(Provider):
    """Twilio's Messages."""

    name, channel, errors = "twilio", "sms", SMS_ADDRESSES
    hosts = ("api.twilio.com",)

    def read(self, url: str, body: Any) -> tuple[str, str]:
        """Read a new message's form."""
        assert url.endswith("/Messages.json"), url
        form = parse_qs(body if isinstance(body, str) else body.decode())
        return form["To"][0], form["Body"][0]

    def accepted(self, message_id: str) -> Reply:
        """Answer with the message."""
        return Reply(201, json.dumps({"sid": message_id, "status": "queued", "error_code": None}))

    def refused(self, fault: Fault) -> Reply:
        """Answer with the error's number."""
        told = {"code": int(fault.code), "message": fault.message, "status": fault.status}
        return Reply(fault.status, json.dumps(told))


class Fcm(Provider):
    """Firebase Cloud Messaging, HTTP v1."""

    name, channel, errors = "fcm", "push", PUSH_ADDRESSES
    hosts = ("fcm.googleapis.com",)
    statuses: ClassVar = {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        403: "PERMISSION_DENIED",
        404: "NOT_FOUND",
        429: "RESOURCE_EXHAUSTED",
        500: "INTERNAL",
        503: "UNAVAILABLE",
    }
    detailed: ClassVar = {
        "UNREGISTERED",
        "QUOTA_EXCEEDED",
        "INTERNAL",
        "UNAVAILABLE",
        "THIRD_PARTY_AUTH_ERROR",
    }

    def read(self, url: str, body: Any) -> tuple[str, str]:
        """Read messages:send."""
        assert url.endswith("messages:send"), url
        told = json.loads(body)["message"]
        return told["token"], json.dumps(told["notification"])

    def accepted(self, message_id: str) -> Reply:
        """Answer with the message's name."""
        return Reply(200, json.dumps({"name": message_id}))

    def refused(self, fault: Fault) -> Reply:
        """Answer as Google's APIs do."""
        error: JSON = {
            "code": fault.status,
            "message": fault.message,
            "status": self.statuses[fault.status],
        }
        if fault.code in self.detailed:
            kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
            error["details"] = [{"@type": kind, "errorCode": fault.code}]
        return Reply(fault.status, json.dumps({"error": error}))


PROVIDERS: tuple[Provider, ...] = (Ses(), Twilio(), Fcm())
TOKENS = "oauth2.googleapis.com"


class Wire:
    """Every request the product makes over HTTP."""

    def __init__(self, cloud: Any, weather: Weather, story: Any, heard: Any) -> None:
        self.cloud, self.weather, self.story, self.heard = cloud, weather, story, heard
        self.scheduler = cloud.scheduler
        self.by_host = {host: each for each in PROVIDERS for host in each.hosts}
        self.requests: list[Request] = []

    def request(self, pool: HTTPConnectionPool, url: str, body: Any, timeout: Any) -> Reply:
        """Answer a request, or raise what a socket would."""
        if pool.host == TOKENS:
            return self._token(pool, url, timeout)
        provider = self.by_host[pool.host]
        address, text = provider.read(url, body)
        mark = MARK.search(text)
        made = Request(
            provider.name,
            provider.channel,
            address,
            mark[0] if mark else "?",
            self.scheduler.seconds,
            self.scheduler.current,
        )
        self.requests.append(made)
        self.cloud.step(self.weather.chance.uniform(0.01, 0.1))
        made.at = self.scheduler.seconds
        self.heard.asked(made)
        fate, fault = self._fate(provider)
        self._decide(made, fate, fault)
        self.story.tell(f"{provider.name} {made.mark} {address}", made.answer)
        return self._answer(pool, url, timeout, provider, made, fate, fault)

    def _fate(self, provider: Provider) -> tuple[str, Fault | None]:
        now, chance = self.scheduler.seconds, self.weather.chance
        if now < self.weather.heals_at and self.weather.away("provider-down", now, provider.name):
            return chance.choice(["unreachable", "unreachable", "silent", "refused-500"]), None
        if now < self.weather.heals_at and self.weather.away("provider-config", now, provider.name):
            return "refused", chance.choice(_errors(provider, "CONFIG"))
        fate = self.weather.one_of("provider", now)
        if fate != "refused":
            return fate or "accepted", None
        kind = chance.choice(
            ["THROTTLE", "THROTTLE", "UNKNOWN", "UNKNOWN", "CONFIG", "PERMANENT", "RECIPIENT"]
        )
        return "refused", chance.choice(_errors(provider, kind))

    def _decide(self, made: Request, fate: str, fault: Fault | None) -> None:
        """Settle what the provider does with it, and what its caller can know."""
        chance = self.weather.chance
        made.message_id = f"{made.provider}-{len(self.requests):04d}"
        made.answer = fate
        if fate == "refused" and fault:
            kind = _class_of(made.provider, fault)
            made.answer = f"{fault.status} {fault.code}"
            made.error = fault.code
            made.told = "free" if kind in FREE else "refused" if kind in REFUSED else "unsure"
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
        provider: Provider,
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
            return _with_wait(provider.refused(fault), chance, self.scheduler)
        if fate == "refused-500":
            return Reply(503, "Service Unavailable", {"Content-Type": "text/plain"})
        return provider.accepted(made.message_id)

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


def _class_of(provider: str, fault: Fault) -> str:
    (found,) = {
        str(each.failure_class)
        for one in PROVIDERS
        if one.name == provider
        for each in one.errors
        if each.fault is fault
    }
    return found


def _errors(provider: Provider, kind: str) -> list[Fault]:
    return [
        each.fault
        for each in provider.errors
        if each.fault and each.failure_class == kind and each.reaction != "flaky"
    ]


def _with_wait(reply: Reply, chance: Any, scheduler: Any) -> Reply:
    """Return a refusal, now and then with a wish when to come again."""
    if reply.status not in (429, 503) or chance.random() < 0.5:
        return reply
    moment = dt.datetime.fromtimestamp(scheduler.epoch + scheduler.seconds + 180, dt.UTC)
    wish = chance.choice(["1", "30", "180", "-5", "soon", format_datetime(moment, usegmt=True)])
    return Reply(reply.status, reply.body, {**reply.headers, "Retry-After": wish})


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
