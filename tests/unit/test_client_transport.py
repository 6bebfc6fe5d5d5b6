"""What goes over the wire: keys, retries, errors, cursors; and the same of both clients."""

import asyncio
import json
import logging
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from carillon_client import (
    ApiError,
    AsyncCarillon,
    Carillon,
    CarillonError,
    Conflict,
    Forbidden,
    Invalid,
    NotEnded,
    NotFound,
    PreconditionFailed,
    RateLimited,
    TransportError,
    Unauthorized,
    Unavailable,
    UnreadableAnswer,
)
from carillon_client.calls import Call
from carillon_client.retries import PATIENCE

TOKEN = "nk_live_0123456789ab_" + "s" * 43
ID = "ntf_xs7grgx6tyosd2mhcozaajqbfp4kq2ha"
ACCEPTED = {
    "notification_id": ID,
    "request_id": "welcome",
    "status": "accepted",
    "deliveries": [{"channel": "email", "status": "queued", "reason": None}],
    "links": {"self": f"/api/v1/notifications/{ID}"},
}
Answer = httpx.Response | Exception
Handle = Callable[[httpx.Request], Answer]


def envelope(data: Any, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"success": True, "data": data}, headers=headers)


def problem(status: int, code: str = "some-code", **headers: str) -> httpx.Response:
    body = {
        "status": status,
        "code": code,
        "detail": "It is so",
        "errors": [{"pointer": "#/channels/0", "message": "not a channel"}],
        "correlation_id": "cor-1",
    }
    return httpx.Response(status, json=body, headers=headers)


def standing(*states: str) -> httpx.Response:
    """The state of a notification with a delivery in each of ``states``."""
    deliveries = [
        {"channel": "push", "target": f"push#{n}", "to": "device", "status": state}
        for n, state in enumerate(states)
    ]
    return envelope(
        {
            "notification_id": ID,
            "request_id": "welcome",
            "status": "processing",
            "category": "general",
            "priority": 5,
            "created_at": "2026-11-21T05:43:57.900Z",
            "deliveries": deliveries,
        }
    )


class Wire:
    """A server that gives the answers it was told, in turn, and a clock only sleeping moves."""

    def __init__(self, *answers: Answer, **options: Any) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.slept: list[float] = []
        self.options = options

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)

    def client(self) -> Carillon:
        return Carillon(
            "https://notify.example.com/live",
            TOKEN,
            transport=httpx.MockTransport(self.answer),
            sleep=self.slept.append,
            **self.options,
        )

    def async_client(self) -> AsyncCarillon:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        return AsyncCarillon(
            "https://notify.example.com/live",
            TOKEN,
            transport=httpx.MockTransport(self.answer),
            sleep=sleep,
            **self.options,
        )

    @property
    def keys(self) -> list[str | None]:
        return [request.headers.get("Idempotency-Key") for request in self.requests]


def hello(client: Any, **more: Any) -> Any:
    return client.send(to={"email": "ada@example.com"}, channels=["email"], message="Hi", **more)


@pytest.fixture(params=["blocking", "async"])
def run(request: pytest.FixtureRequest) -> Callable[[Wire, Callable[[Any], Any]], Any]:
    """Return what does something with a client of either kind, and closes it."""

    def blocking(wire: Wire, act: Callable[[Any], Any]) -> Any:
        with wire.client() as client:
            found = act(client)
            return found if not hasattr(found, "__next__") else list(found)

    async def awaited(wire: Wire, act: Callable[[Any], Any]) -> Any:
        async with wire.async_client() as client:
            found = act(client)
            return [each async for each in found] if hasattr(found, "__anext__") else await found

    if request.param == "blocking":
        return blocking
    return lambda wire, act: asyncio.run(awaited(wire, act))


def test_i3_a_notification_is_sent_with_token_key_and_only_what_was_given(run) -> None:
    wire = Wire(envelope(ACCEPTED, 202))
    accepted = run(wire, lambda client: hello(client, idempotency_key="welcome", priority="high"))
    (request,) = wire.requests
    assert (request.method, request.url) == (
        "POST",
        "https://notify.example.com/live/api/v1/notifications",
    )
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.headers["Idempotency-Key"] == "welcome"
    assert json.loads(request.content) == {
        "to": {"email": "ada@example.com"},
        "channels": ["email"],
        "message": "Hi",
        "priority": "high",
    }
    assert (accepted.notification_id, accepted.replayed) == (ID, False)
    assert accepted.deliveries[0].status == "queued"


def test_a_replay_is_told_from_the_first_time(run) -> None:
    wire = Wire(envelope(ACCEPTED, 202, **{"Idempotent-Replayed": "true"}))
    assert run(wire, hello).replayed


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadTimeout("slower"),
        httpx.RemoteProtocolError("reset"),
        problem(429),
        problem(502),
        problem(503),
        problem(504),
        httpx.Response(502, text="<html>Bad Gateway</html>"),
    ],
    ids=repr,
)
def test_i3_what_may_pass_is_tried_again_with_the_same_key(run, failure) -> None:
    wire = Wire(failure, failure, envelope(ACCEPTED, 202))
    assert run(wire, hello).notification_id == ID
    assert len(wire.requests) == 3
    assert wire.keys[0]
    assert len(set(wire.keys)) == 1
    assert len({request.content for request in wire.requests}) == 1
    assert len(wire.slept) == 2


def test_an_earlier_try_that_is_still_at_work_is_waited_for(run) -> None:
    busy = problem(409, "in-progress", **{"Retry-After": "1"})
    wire = Wire(httpx.ReadTimeout("slow"), busy, envelope(ACCEPTED, 202))
    assert run(wire, hello).notification_id == ID
    assert wire.slept[1] == 1
    assert len(set(wire.keys)) == 1


def test_a_refresh_token_is_not_sent_twice(run) -> None:
    wire = Wire(httpx.ReadTimeout("slow"))
    with pytest.raises(TransportError):
        run(wire, lambda client: client.refresh("spent"))
    assert len(wire.requests) == 1


def test_i3_what_must_not_be_done_twice_is_repeated_only_if_it_never_arrived(run) -> None:
    call = Call("POST", "/once", lambda reply: reply.data, repeatable=False)
    unsent = [httpx.ConnectError("refused"), httpx.ConnectTimeout("slow"), problem(429)]
    wire = Wire(*unsent, envelope("done"))
    assert run(wire, lambda client: client.run(call)) == "done"
    for failure in (httpx.ReadTimeout("slow"), problem(502), problem(503), problem(504)):
        wire = Wire(failure)
        with pytest.raises(CarillonError):
            run(wire, lambda client: client.run(call))
        assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("act", "keyed"),
    [
        (lambda client: client.get(ID), False),
        (lambda client: client.mark_read("ada", ID), True),
        (lambda client: client.put_user("ada"), False),
        (lambda client: client.archive_template("hello"), False),
        (lambda client: client.read_all("ada"), True),
    ],
)
def test_a_key_goes_with_every_post_and_patch(run, act, keyed) -> None:
    wire = Wire(problem(404))
    with pytest.raises(NotFound):
        run(wire, act)
    assert bool(wire.keys[0]) is keyed


def test_every_call_has_a_key_of_its_own(run) -> None:
    wire = Wire(envelope(ACCEPTED, 202))
    run(wire, hello)
    run(wire, hello)
    assert len(set(wire.keys)) == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, NotFound),
        (412, PreconditionFailed),
        (413, Invalid),
        (415, Invalid),
        (418, ApiError),
        (422, Invalid),
        (428, PreconditionFailed),
        (500, Unavailable),
        (501, Unavailable),
    ],
)
def test_i3_a_refusal_is_raised_at_once_with_all_it_says(run, status, kind) -> None:
    wire = Wire(problem(status, "refused"))
    with pytest.raises(kind) as caught:
        run(wire, hello)
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.detail) == (status, "refused", "It is so")
    assert [(fault.pointer, fault.message) for fault in error.errors] == [
        ("#/channels/0", "not a channel")
    ]
    assert error.correlation_id == "cor-1"
    assert str(error) == f"It is so ({status} refused)"
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"message": "Forbidden"}', "Forbidden (403)"),
        ('{"errors": ["no"], "detail": 5}', "Forbidden (403)"),
        ('{"errors": [{"reason": "no"}], "code": "x"}', "Forbidden (403 x)"),
        ('{"errors": "no"}', "Forbidden (403)"),
        ("[1]", "Forbidden (403)"),
        ("", "Forbidden (403)"),
        ("\ufeff<html>", "Forbidden (403)"),
    ],
)
def test_a_refusal_by_somebody_in_between_is_one_all_the_same(run, body, message) -> None:
    with pytest.raises(Forbidden) as caught:
        run(Wire(httpx.Response(403, text=body)), hello)
    assert str(caught.value) == message
    assert caught.value.errors == ()


def test_tries_end_and_the_last_failure_is_raised(run) -> None:
    wire = Wire(problem(503), retries=2)
    with pytest.raises(Unavailable):
        run(wire, hello)
    assert len(wire.requests) == 3
    wire = Wire(httpx.ReadTimeout("slow"), retries=0)
    with pytest.raises(TransportError, match=r"notify\.example\.com: slow"):
        run(wire, hello)
    assert (len(wire.requests), wire.slept) == (1, [])


def test_i3_retry_after_is_honoured(run) -> None:
    wire = Wire(problem(429, **{"Retry-After": "17"}), envelope(ACCEPTED, 202))
    run(wire, hello)
    assert wire.slept == [17]


def test_retry_after_may_be_a_date(run) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=30)
    wire = Wire(
        problem(503, **{"Retry-After": format_datetime(moment, usegmt=True)}),
        envelope(ACCEPTED, 202),
    )
    run(wire, hello)
    assert 20 < wire.slept[0] <= 30


@pytest.mark.parametrize("value", ["soon", "-5", "1e9", "", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_retry_after_that_says_nothing_of_use_is_passed_over(run, value) -> None:
    wire = Wire(problem(503, **{"Retry-After": value}), envelope(ACCEPTED, 202))
    run(wire, hello)
    assert 0 <= wire.slept[0] <= 0.5


def test_a_longer_wait_than_anybody_has_patience_for_is_the_caller_s(run) -> None:
    wire = Wire(problem(429, **{"Retry-After": str(int(PATIENCE) + 1)}))
    with pytest.raises(RateLimited) as caught:
        run(wire, hello)
    assert caught.value.retry_after == PATIENCE + 1
    assert len(wire.requests) == 1


def test_back_off_grows_and_is_bounded(run) -> None:
    longest = [0.0] * 8
    for _ in range(60):
        wire = Wire(problem(503), retries=8)
        with pytest.raises(Unavailable):
            run(wire, hello)
        longest = [max(pair) for pair in zip(longest, wire.slept, strict=True)]
    assert longest[0] <= 0.5 < longest[3] <= 4 < longest[7] <= 20


def test_i3_a_list_is_followed_page_by_page_as_it_is_read(run) -> None:
    def entry(n: int) -> dict[str, Any]:
        return {
            "notification_id": f"ntf_{n}",
            "title": "t",
            "body": "b",
            "category": "general",
            "created_at": "2026-11-21T05:43:57.900Z",
        }

    def page(numbers: list[int], cursor: str | None) -> httpx.Response:
        meta = {"limit": 2, "next_cursor": cursor, "has_next": cursor is not None}
        return httpx.Response(200, json={"data": [entry(n) for n in numbers], "meta": meta})

    wire = Wire(page([1, 2], "a=&b"), page([], "c"), page([3], None))
    found = run(wire, lambda client: client.inbox("ada/king", limit=2))
    assert [each.notification_id for each in found] == ["ntf_1", "ntf_2", "ntf_3"]
    assert [dict(request.url.params) for request in wire.requests] == [
        {"channel": "inapp", "limit": "2"},
        {"channel": "inapp", "limit": "2", "cursor": "a=&b"},
        {"channel": "inapp", "limit": "2", "cursor": "c"},
    ]
    assert wire.requests[0].url.raw_path.startswith(b"/live/api/v1/users/ada%2Fking/notifications?")


def test_nothing_is_asked_for_before_it_is_read() -> None:
    wire = Wire(problem(500))
    wire.client().inbox("ada")
    assert wire.requests == []


def test_i3_waiting_looks_again_until_every_delivery_ended(run) -> None:
    wire = Wire(standing("queued", "sent"), standing("retrying", "sent"), standing("sent", "sent"))
    status = run(wire, lambda client: client.wait(ID))
    assert status.ended
    assert len(wire.requests) == 3
    assert wire.slept == sorted(wire.slept)
    assert 0 < wire.slept[0] < wire.slept[1] < 2


def test_watching_yields_each_look(run) -> None:
    wire = Wire(standing("queued"), standing("sending"), standing("failed"))
    seen = run(wire, lambda client: client.watch(ID))
    assert [status.deliveries[0].status for status in seen] == ["queued", "sending", "failed"]
    assert [each.target for each in seen[-1].undelivered] == ["push#0"]


def test_waiting_ends_with_what_was_last_seen(run) -> None:
    wire = Wire(standing("queued"))
    with pytest.raises(NotEnded, match="still processing") as caught:
        run(wire, lambda client: client.wait(ID, timeout=0))
    assert caught.value.latest.deliveries[0].status == "queued"
    assert len(wire.requests) == 1


def test_an_entity_tag_comes_with_what_has_one_and_goes_with_its_change(run) -> None:
    template = {
        "id": 1,
        "code": "hello",
        "version": 1,
        "language": "en",
        "locales": {"en": {"sms": {"text": "Hi"}}},
        "created_at": "2026-11-21T05:43:57.900Z",
    }
    wire = Wire(envelope(template, ETag='"7"'))
    etag = run(wire, lambda client: client.get_template("hello")).etag
    run(wire, lambda client: client.update_template("hello", if_match=etag, content="Hi"))
    assert wire.requests[1].headers["If-Match"] == '"7"'


def test_a_field_that_is_new_is_there_in_raw(run) -> None:
    wire = Wire(envelope(ACCEPTED | {"lane": "fast"}, 202))
    assert run(wire, hello).raw["lane"] == "fast"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>Hello</html>"),
        httpx.Response(200, json=["a"]),
        httpx.Response(200, json={"status": "ok"}),
        envelope({"notification_id": ID}),
        envelope(None),
        envelope(ACCEPTED | {"deliveries": None}),
    ],
    ids=lambda answer: answer.text[:30],
)
def test_an_answer_that_is_not_this_api_s_is_told_apart(run, answer) -> None:
    with pytest.raises(UnreadableAnswer):
        run(Wire(answer), hello)


def test_a_redirect_is_not_followed_with_the_token(run) -> None:
    wire = Wire(httpx.Response(307, headers={"Location": "https://elsewhere.example"}))
    with pytest.raises(ApiError, match="307"):
        run(wire, hello)
    assert len(wire.requests) == 1


@pytest.mark.parametrize("address", ["", "localhost:8000", "ftp://x", "//x", "http://", "x y"])
def test_what_is_no_address_is_refused_at_once(address) -> None:
    for kind in (Carillon, AsyncCarillon):
        with pytest.raises(ValueError, match="not an address"):
            kind(address)


def test_the_correlation_id_and_another_token_are_set_without_touching_the_first(run) -> None:
    wire = Wire(envelope(ACCEPTED, 202), correlation_id="all")
    run(wire, hello)
    run(wire, lambda client: hello(client.with_options(correlation_id="one", token="other")))
    assert [request.headers["X-Correlation-ID"] for request in wire.requests] == ["all", "one"]
    assert wire.requests[1].headers["Authorization"] == "Bearer other"
    client = wire.client()
    client.with_options(token="other")
    hello(client)
    assert wire.requests[2].headers["Authorization"] == f"Bearer {TOKEN}"


def test_no_token_is_shown_by_a_repr_a_log_or_a_traceback(run, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    secret = {"client_id": "c", "api_token": TOKEN}
    shown = []
    wire = Wire(envelope(secret, 201))
    shown.append(repr(run(wire, lambda client: client.register_client("shop"))))
    tokens = {"access": TOKEN, "refresh": TOKEN, "expires_in": 60}
    who = {"user": {"id": "ada", "email": "ada@example.com", "full_name": None}}
    wire = Wire(envelope(tokens | who))
    shown.append(repr(run(wire, lambda client: client.login("ada@example.com", TOKEN))))
    for client in (wire.client(), wire.async_client()):
        shown += [repr(client), repr(client._options), repr(client.send)]
    with pytest.raises(TransportError) as caught:
        run(Wire(httpx.ReadTimeout("slow")), hello)
    shown += traceback.format_exception(caught.value)
    assert TOKEN not in "".join(shown) + caplog.text
