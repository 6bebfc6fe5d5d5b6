"""Sends notifications as fast as the API takes them, and looks at what came of each."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from offline import cloud
from offline.fetch import Answer, fetch
from offline.problems import OfflineError
from offline.stack import Stack

from .workload import ADDRESS, PARTS, TEMPLATE, USER, request_body

# A pass that stands still for this long has lost something.
PATIENCE_SECONDS = 60.0
_REQUEST_SECONDS = 40.0
# The sandbox tells the time of each arrival, so looking seldom costs no exactness.
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Post:
    """One request and its answer; `began` is the time of day, for comparing with arrivals."""

    began: float
    seconds: float
    status: int
    notification_id: str

    @property
    def ended(self) -> float:
        """When the answer was there."""
        return self.began + self.seconds


@dataclass(frozen=True)
class Outcome:
    """What became of a pass: exact, whatever the figures are."""

    refused: int = 0
    lost: int = 0
    doubled: int = 0
    strangers: int = 0

    @property
    def exact(self) -> bool:
        """Whether each request was accepted and arrived once, and nothing else did."""
        return not (self.refused or self.lost or self.doubled or self.strangers)


@dataclass(frozen=True)
class Pass:
    """The posts of a pass and, by notification, when each arrived at the provider."""

    concurrency: int
    posts: list[Post]
    arrivals: dict[str, list[float]] = field(default_factory=dict)

    @property
    def first(self) -> float:
        """When the first request was sent."""
        return min(post.began for post in self.posts)

    @property
    def accepted_per_second(self) -> float:
        """First request to last answer."""
        return len(self.posts) / (max(post.ended for post in self.posts) - self.first)

    @property
    def delivered_per_second(self) -> float:
        """First request to last arrival."""
        moments = [moment for moments in self.arrivals.values() for moment in moments]
        return len(self.arrivals) / (max(moments) - self.first) if moments else 0.0

    @property
    def end_to_end(self) -> list[float]:
        """Seconds from sending each request to its arrival."""
        began = {post.notification_id: post.began for post in self.posts}
        return [
            min(moments) - began[notification]
            for notification, moments in self.arrivals.items()
            if notification in began
        ]


def register(stack: Stack) -> str:
    """Make the client, the template and the user of the bench; returns the client's token."""
    return register_client(stack)[0]


def register_client(stack: Stack) -> tuple[str, str]:
    """Make the same; returns the client's token and its id."""
    reply = _expect(
        _call(stack, "POST", "clients", stack.admin_token, {"service_name": "bench"})
    ).json()
    token: str = reply["data"]["api_token"]
    client_id: str = reply["data"]["client_id"]
    template = {"code": TEMPLATE, "language": "en", "parts": {"email": dict(PARTS)}}
    _expect(_call(stack, "POST", "templates", token, template))
    user = {"email": ADDRESS, "full_name": "Reader", "locale": "en", "timezone": "UTC"}
    _expect(_call(stack, "PUT", f"users/{USER}", token, user))
    return token, client_id


async def post_all(
    stack: Stack, token: str, prefix: str, count: int, concurrency: int
) -> list[Post]:
    """Send `count` notifications, each with a key of its own, never more than so many at once."""
    numbers = iter(range(count))
    url = f"{stack.api}/api/v1/notifications"

    async def one_caller(session: ClientSession) -> list[Post]:
        return [
            await _post(session, url, f"{prefix}-{number}", request_body(number))
            for number in numbers
        ]

    async with _session(token, concurrency) as session:
        callers = [one_caller(session) for _ in range(concurrency)]
        return [post for posts in await asyncio.gather(*callers) for post in posts]


async def post_batches(  # noqa: PLR0913, PLR0917 - as post_all, and how many go together
    stack: Stack, token: str, prefix: str, count: int, size: int, concurrency: int
) -> list[Post]:
    """Send `count` notifications, so many in one request; each is told with its request's times."""
    starts = iter(range(0, count, size))
    url = f"{stack.api}/api/v1/notifications/batch"

    async def one_caller(session: ClientSession) -> list[Post]:
        return [
            post
            for start in starts
            for post in await _post_batch(
                session, url, f"{prefix}-{start}", range(start, min(start + size, count))
            )
        ]

    async with _session(token, concurrency) as session:
        callers = [one_caller(session) for _ in range(concurrency)]
        return [post for posts in await asyncio.gather(*callers) for post in posts]


def strangers(stack: Stack, count: int) -> tuple[list[float], list[float]]:
    """Return the seconds of a short list asked for by a token's first request, and by its second.

    The first asks the authorizer; API Gateway remembers its answer for the second.
    """
    first, second = [], []
    for number in range(count):
        name = {"service_name": f"stranger-{number}"}
        made = _expect(_call(stack, "POST", "clients", stack.admin_token, name)).json()
        token = made["data"]["api_token"]
        first.append(_list_seconds(stack, token))
        second.append(_list_seconds(stack, token))
    return first, second


def _list_seconds(stack: Stack, token: str) -> float:
    began = time.perf_counter()
    _expect(
        fetch(
            "GET",
            f"{stack.api}/api/v1/notifications?limit=1",
            headers={"Authorization": f"Bearer {token}"},
        )
    )
    return time.perf_counter() - began


def run_pass(stack: Stack, token: str, prefix: str, count: int, concurrency: int) -> Pass:
    """Send, and wait until everything has arrived or nothing comes any more."""
    before = arrived(stack)
    posts = asyncio.run(post_all(stack, token, prefix, count, concurrency))
    return finish(stack, posts, concurrency, before)


def finish(stack: Stack, posts: list[Post], concurrency: int, before: int) -> Pass:
    """Wait until everything that was accepted has arrived, or nothing comes any more."""
    wanted = {post.notification_id for post in posts if post.notification_id}
    return Pass(concurrency, posts, await_arrivals(stack, wanted, before))


def await_arrivals(stack: Stack, wanted: set[str], others: int = 0) -> dict[str, list[float]]:
    """Return when each of these arrived; gives up once nothing has come for a while.

    Waits by a count, which costs the sandbox nothing; `others` are there already.
    """
    count, moved = -1, time.monotonic()
    while time.monotonic() - moved <= PATIENCE_SECONDS:
        before, count = count, arrived(stack)
        if count >= len(wanted) + others:
            seen = {name: moments for name, moments in arrivals(stack).items() if name in wanted}
            if len(seen) == len(wanted):
                return seen
        if count > before:
            moved = time.monotonic()
        time.sleep(_POLL_SECONDS)
    return {name: moments for name, moments in arrivals(stack).items() if name in wanted}


def arrived(stack: Stack) -> int:
    """Return how many messages the sandbox took since it was emptied."""
    return int(fetch("GET", f"{stack.sandbox}/counts").json()["messages"])


def empty_sandbox(stack: Stack) -> None:
    """Let the sandbox forget everything: it keeps only so many messages."""
    fetch("DELETE", f"{stack.sandbox}/messages")


def arrivals(stack: Stack) -> dict[str, list[float]]:
    """Return by notification when the sandbox took each message."""
    found: dict[str, list[float]] = {}
    for message in fetch("GET", f"{stack.sandbox}/messages").json():
        moment = datetime.fromisoformat(message["received_at"]).timestamp()
        found.setdefault(message["notification_id"], []).append(moment)
    return found


def provider_calls(stack: Stack) -> int:
    """Return how many requests reached a provider, whatever it answered."""
    return len(fetch("GET", f"{stack.sandbox}/requests").json())


def await_empty_queues(stack: Stack) -> int:
    """Wait until no message is left that could be delivered again; returns how many remain."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with cloud.client("sqs", stack.cloud) as sqs:
        queues = sqs.list_queues().get("QueueUrls", [])
        while (left := sum(_depth(sqs, queue) for queue in queues)) and (
            time.monotonic() < deadline
        ):
            time.sleep(_POLL_SECONDS)
    return left


def tally(posts: Iterable[Post], arrived: Mapping[str, Sequence[float]]) -> Outcome:
    """Hold what was sent against what arrived."""
    sent = list(posts)
    accepted = Counter(post.notification_id for post in sent if post.status == HTTPStatus.ACCEPTED)
    # Two requests with keys of their own that got one id would be one notification lost.
    return Outcome(
        refused=len(sent) - accepted.total(),
        lost=sum(count - 1 for count in accepted.values()) + len(accepted.keys() - arrived.keys()),
        doubled=sum(len(moments) - 1 for moments in arrived.values()),
        strangers=len(arrived.keys() - accepted.keys()),
    )


def _session(token: str, concurrency: int) -> ClientSession:
    return ClientSession(
        headers={"Authorization": f"Bearer {token}"},
        connector=TCPConnector(limit=concurrency),
        timeout=ClientTimeout(total=_REQUEST_SECONDS),
    )


async def _post(session: ClientSession, url: str, key: str, body: dict[str, Any]) -> Post:
    began, clock = time.time(), time.perf_counter()
    status, content = await _answer(session, url, key, body)
    seconds = time.perf_counter() - clock
    accepted = status == HTTPStatus.ACCEPTED
    name = json.loads(content)["data"]["notification_id"] if accepted else ""
    return Post(began, seconds, status, name)


async def _post_batch(
    session: ClientSession, url: str, key: str, numbers: Sequence[int]
) -> list[Post]:
    items = [request_body(number) for number in numbers]
    began, clock = time.time(), time.perf_counter()
    status, content = await _answer(session, url, key, {"items": items})
    seconds = time.perf_counter() - clock
    if status != HTTPStatus.ACCEPTED:
        return [Post(began, seconds, status, "") for _ in numbers]
    told = json.loads(content)["data"]["items"]
    return [
        Post(
            began, seconds, item["status"], (item["notification"] or {}).get("notification_id", "")
        )
        for item in told
    ]


async def _answer(
    session: ClientSession, url: str, key: str, body: dict[str, Any]
) -> tuple[int, bytes]:
    """Return the status and the body; 0 and nothing when there was no answer."""
    try:
        async with session.post(url, json=body, headers={"Idempotency-Key": key}) as answer:
            return answer.status, await answer.read()
    except (ClientError, TimeoutError):
        return 0, b""


def _call(stack: Stack, method: str, path: str, token: str, body: dict[str, Any]) -> Answer:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return fetch(
        method, f"{stack.api}/api/v1/{path}", headers=headers, body=json.dumps(body).encode()
    )


def _expect(answer: Answer) -> Answer:
    if not answer.ok:
        raise OfflineError(f"preparing was answered {answer.status}: {answer.body[:500]!r}")
    return answer


def _depth(sqs: Any, queue: str) -> int:
    names = ("", "NotVisible", "Delayed")
    wanted = [f"ApproximateNumberOfMessages{name}" for name in names]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=wanted)["Attributes"]
    return sum(int(value) for value in attributes.values())
