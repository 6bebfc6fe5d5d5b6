"""Two thin transports, one blocking and one not, and the descriptors that give both their methods.

An operation is a function that describes a call. As an attribute of a client it becomes a method:
``client.get(id)`` of a blocking client returns what the call reads, of an async one an awaitable.
"""

import copy
import inspect
import time
from asyncio import sleep as async_sleep
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Generic, ParamSpec, Self, TypeVar, get_args, overload
from uuid import uuid4

import httpx
from tenacity import AsyncRetrying, Retrying

from carillon_client.calls import PREFIX, Call, Reply, Slice
from carillon_client.errors import Fault, TransportError, UnreadableAnswer, kind_of
from carillon_client.retries import policy

P = ParamSpec("P")
T = TypeVar("T")
H = TypeVar("H", httpx.Client, httpx.AsyncClient)


@dataclass(frozen=True, slots=True)
class Options:
    """What every request of a client has in common."""

    base_url: str
    token: str | None = field(repr=False)
    correlation_id: str | None
    retries: int


class Client(Generic[H]):
    """What both clients share: everything but waiting."""

    _http: H

    def __init__(self, options: Options, http: H) -> None:
        self._options = options
        self._http = http

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._options.base_url!r})"

    def with_options(self, *, token: str | None = None, correlation_id: str | None = None) -> Self:
        """Return this client with another token or correlation id, on the same connections."""
        options = self._options
        other = copy.copy(self)
        other._options = replace(  # noqa: SLF001 - it is one of us
            options,
            token=token or options.token,
            correlation_id=correlation_id or options.correlation_id,
        )
        return other

    def _request(self, call: Call[Any]) -> httpx.Request:
        """Return the request of a call. It is made once, so a repeat bears the same key."""
        options = self._options
        headers = {"Authorization": f"Bearer {options.token}"} if options.token else {}
        if options.correlation_id:
            headers["X-Correlation-ID"] = options.correlation_id
        if call.method in ("POST", "PATCH"):
            headers["Idempotency-Key"] = str(uuid4())
        return self._http.build_request(
            call.method,
            PREFIX + call.path,
            params=dict(call.query) or None,
            json=call.body,
            headers=headers | dict(call.headers),
        )

    def _policy(self, call: Call[Any]) -> dict[str, Any]:
        return policy(self._options.retries, repeatable=call.repeatable)


class Sync(Client[httpx.Client]):
    """A client whose methods return when the answer is there."""

    def __init__(  # noqa: PLR0913 - documented where it is called by name
        self,
        base_url: str,
        token: str | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 3,
        correlation_id: str | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        options = Options(_address(base_url), token, correlation_id, retries)
        http = httpx.Client(
            base_url=options.base_url, timeout=timeout, headers=_AGENT, transport=transport
        )
        super().__init__(options, http)
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def run(self, call: Call[T]) -> T:
        """Make a call; raises CarillonError."""
        request = self._request(call)
        trying = Retrying(sleep=self._sleep, **self._policy(call))
        return _read(call, trying(self._once, request))

    def run_pages(self, call: Call[Slice[T]]) -> Iterator[T]:
        """Make a call for each page, as the items are asked for; raises CarillonError."""
        following: Call[Slice[T]] | None = call
        while following:
            found = self.run(following)
            yield from found.items
            following = _next(call, found)

    def _once(self, request: httpx.Request) -> Reply:
        with _no_answer():
            response = self._http.send(request)
        return _reply(response)


class Async(Client[httpx.AsyncClient]):
    """A client whose methods are awaited."""

    def __init__(  # noqa: PLR0913 - documented where it is called by name
        self,
        base_url: str,
        token: str | None = None,
        *,
        timeout: float = 30.0,
        retries: int = 3,
        correlation_id: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = async_sleep,
    ) -> None:
        options = Options(_address(base_url), token, correlation_id, retries)
        http = httpx.AsyncClient(
            base_url=options.base_url, timeout=timeout, headers=_AGENT, transport=transport
        )
        super().__init__(options, http)
        self._sleep = sleep

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def run(self, call: Call[T]) -> T:
        """Make a call; raises CarillonError."""
        request = self._request(call)
        trying = AsyncRetrying(sleep=self._sleep, **self._policy(call))
        return _read(call, await trying(self._once, request))

    async def run_pages(self, call: Call[Slice[T]]) -> AsyncIterator[T]:
        """Make a call for each page, as the items are asked for; raises CarillonError."""
        following: Call[Slice[T]] | None = call
        while following:
            found = await self.run(following)
            for item in found.items:
                yield item
            following = _next(call, found)

    async def _once(self, request: httpx.Request) -> Reply:
        with _no_answer():
            response = await self._http.send(request)
        return _reply(response)


class Method(Generic[P, T]):
    """A function that describes a call, with the signature its method has on a client."""

    def __init__(self, build: Callable[P, Call[Any]]) -> None:
        self.build = build
        self.__doc__ = build.__doc__
        described = inspect.signature(build)
        (result,) = get_args(described.return_annotation)
        self.signature = described.replace(return_annotation=result)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def _named(self, bound: Callable[..., Any]) -> Any:
        bound.__name__, bound.__doc__ = self.name, self.__doc__
        bound.__signature__ = self.signature  # type: ignore[attr-defined]
        return bound


class Operation(Method[P, T]):
    """A call with one answer."""

    def __init__(self, build: Callable[P, Call[T]]) -> None:
        super().__init__(build)

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Sync, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: Async, owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, client: Sync | Async | None, owner: type) -> Any:
        if client is None:
            return self
        run: Callable[[Call[T]], Any] = client.run
        return self._named(lambda *args, **named: run(self.build(*args, **named)))


class Listing(Method[P, T]):
    """A call whose answer comes in pages; on a client, an iterator over all of them."""

    def __init__(self, build: Callable[P, Call[Slice[T]]]) -> None:
        super().__init__(build)

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Sync, owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, client: Async, owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, client: Sync | Async | None, owner: type) -> Any:
        if client is None:
            return self
        run: Callable[[Call[Slice[T]]], Any] = client.run_pages
        return self._named(lambda *args, **named: run(self.build(*args, **named)))


def _agent() -> dict[str, str]:
    try:
        return {"User-Agent": f"carillon-client/{version('carillon-client')}"}
    except PackageNotFoundError:
        return {"User-Agent": "carillon-client"}


_AGENT = _agent()


def _address(base_url: str) -> str:
    """Return where the API is; raises ValueError for what is no address."""
    url = httpx.URL(base_url)
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"not an address that begins with http:// or https://: {base_url}")
    return base_url.rstrip("/")


def _next(call: Call[Slice[T]], found: Slice[T]) -> Call[Slice[T]] | None:
    if found.next_cursor is None:
        return None
    return replace(call, query={**call.query, "cursor": found.next_cursor})


@contextmanager
def _no_answer() -> Iterator[None]:
    """Turn the transport's errors into ours."""
    try:
        yield
    except httpx.TransportError as error:
        # A connection that was never made took no request with it.
        unsent = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
        reason = str(error) or type(error).__name__
        text = f"No answer from {error.request.url.host}: {reason}"
        raise TransportError(text, sent=not isinstance(error, unsent)) from error


def _reply(response: httpx.Response) -> Reply:
    """Return a success; raises ApiError for any other answer."""
    if not response.is_success:
        raise _refusal(response)
    if not response.content:
        return Reply(response.headers)
    body = _json(response)
    if not isinstance(body, dict) or "data" not in body:
        raise UnreadableAnswer(f"{response.url.host} does not answer as this API does")
    return Reply(response.headers, body["data"], body.get("meta") or {})


def _refusal(response: httpx.Response) -> Exception:
    body = _json(response)
    problem = body if isinstance(body, dict) else {}
    detail = problem.get("detail")
    return kind_of(response.status_code)(
        response.status_code,
        str(problem.get("code") or ""),
        detail if isinstance(detail, str) else response.reason_phrase,
        errors=list(_faults(problem.get("errors"))),
        correlation_id=response.headers.get("X-Correlation-ID") or problem.get("correlation_id"),
        retry_after=_seconds(response.headers.get("Retry-After", "")),
    )


def _faults(errors: Any) -> Iterator[Fault]:
    # Who refuses may be a proxy in between, whose JSON is anything.
    for each in errors if isinstance(errors, list) else []:
        if isinstance(each, dict) and "pointer" in each:
            yield Fault(str(each["pointer"]), str(each.get("message", "")))


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _seconds(retry_after: str) -> float | None:
    """Read Retry-After: a number of seconds, or an HTTP date (RFC 9110, 10.2.3)."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def _read(call: Call[T], reply: Reply) -> T:
    try:
        return call.read(reply)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableAnswer(f"{call.method} {call.route}: {error!r}") from error
