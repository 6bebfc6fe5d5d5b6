"""What the sandbox remembers: the newest messages it accepted and the requests it saw."""

import asyncio
import json
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Final

from .outcomes import Channel, Provider
from .weather import Weather

NEWEST: Final = 10_000
NEWS_BACKLOG: Final = 1_000

News = asyncio.Queue[str | None]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Message:
    """A message as the recipient would have received it."""

    provider: Provider
    to: str
    provider_message_id: str
    notification_id: str | None = None
    sender: str | None = None
    subject: str | None = None
    title: str | None = None
    body: str | None = None
    html: str | None = None
    received_at: str = field(default_factory=_now)

    @property
    def channel(self) -> Channel:
        """Return the channel of its provider."""
        return self.provider.channel


@dataclass(frozen=True, slots=True)
class Request:
    """A call that reached a provider, whether or not it was accepted."""

    provider: Provider
    to: str
    notification_id: str | None
    outcome: str
    status: int | None
    received_at: str = field(default_factory=_now)

    @property
    def channel(self) -> Channel:
        """Return the channel of its provider."""
        return self.provider.channel


Record = Message | Request


class Mailroom:
    """Keeps the newest messages and requests in memory and tells listeners about them."""

    def __init__(self, newest: int = NEWEST) -> None:
        """Start empty."""
        self.weather = Weather()
        self._newest = newest
        self._messages: deque[Message] = deque(maxlen=newest)
        self._requests: deque[Request] = deque(maxlen=newest)
        self._seen: dict[object, None] = {}
        self._listeners: set[News] = set()
        self._kept = self._noted = 0

    def keep(self, message: Message) -> None:
        """Keep an accepted message and tell whoever listens."""
        self._messages.append(message)
        self._kept += 1
        if self._listeners:
            self._tell(f"event: message\ndata: {json.dumps(_shown(message))}\n\n")

    def note(self, request: Request) -> None:
        """Note that a request was on the wire."""
        self._requests.append(request)
        self._noted += 1

    def counts(self) -> dict[str, int]:
        """Count the messages and requests since it was emptied, forgotten ones included."""
        return {"messages": self._kept, "requests": self._noted}

    def messages(self, **wanted: str) -> list[dict[str, object]]:
        """List accepted messages, newest last."""
        return _select(self._messages, wanted)

    def requests(self, **wanted: str) -> list[dict[str, object]]:
        """List requests, newest last."""
        return _select(self._requests, wanted)

    def first_time(self, key: object) -> bool:
        """Tell whether this key is new, and remember it."""
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > self._newest:
            del self._seen[next(iter(self._seen))]
        return True

    def empty(self) -> None:
        """Forget everything."""
        self._messages.clear()
        self._requests.clear()
        self._seen.clear()
        self._kept = self._noted = 0
        self._tell("event: emptied\ndata: {}\n\n")

    @contextmanager
    def listen(self) -> Iterator[News]:
        """Yield a queue of server-sent events; None means hang up."""
        news = News(NEWS_BACKLOG)
        self._listeners.add(news)
        try:
            yield news
        finally:
            self._listeners.discard(news)

    def close(self) -> None:
        """Hang up on every listener."""
        for news in list(self._listeners):
            self._hang_up(news)

    def _tell(self, event: str) -> None:
        for news in list(self._listeners):
            if news.full():
                self._hang_up(news)
            else:
                news.put_nowait(event)

    def _hang_up(self, news: News) -> None:
        # A page that cannot keep up reconnects and reads the whole list again.
        self._listeners.discard(news)
        while not news.empty():
            news.get_nowait()
        news.put_nowait(None)


def _select(records: Iterable[Record], wanted: dict[str, str]) -> list[dict[str, object]]:
    return [
        _shown(record)
        for record in records
        if all(getattr(record, name) == value for name, value in wanted.items())
    ]


def _shown(record: Record) -> dict[str, object]:
    return {"channel": record.channel, **asdict(record)}
