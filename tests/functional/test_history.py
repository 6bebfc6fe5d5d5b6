"""GET /notifications: what is found, in which order, by whom, at which cost."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from providers import failing

from carillon import history
from carillon.errors import Failure
from carillon.identity import APPLICATION

Json = dict[str, Any]
START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PATH = "/api/v1/notifications"
OTHER_CLIENT = {
    "client_id": "somebody-else",
    "tenant": "default",
    "scope": " ".join(sorted(APPLICATION)),
}


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


@pytest.fixture
def post(prepared, ask, clock) -> Callable[..., str]:
    """Return a sender that returns the new notification's id; a second passes with each."""

    def post(change: Json | None = None, **how: Any) -> str:
        clock.shift(timedelta(seconds=1))
        body = {"user_id": "ada", "channels": ["email"], "message": "Hello"} | (change or {})
        given = {name: value for name, value in body.items() if value is not None}
        reply = ask("POST", PATH, given, **how)
        assert reply.status == 202, reply.body
        return str(reply.data["notification_id"])

    return post


@pytest.fixture
def search(ask) -> Callable[..., list[str]]:
    """Return a search that follows every cursor, and returns the ids found."""

    def search(query: Json | None = None, **how: Any) -> list[str]:
        found: list[str] = []
        cursor: Json = {}
        while True:
            reply = ask("GET", PATH, query=(query or {}) | cursor, **how)
            assert reply.status == 200, reply.body
            found += [each["notification_id"] for each in reply.data]
            if not reply.body["meta"]["has_next"]:
                return found
            cursor = {"cursor": reply.body["meta"]["next_cursor"]}

    return search


def test_g17_notifications_are_listed_newest_first(post, search) -> None:
    sent = [post() for _ in range(5)]
    assert search() == sent[::-1]


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8])
def test_pages_join_to_the_whole_and_end_where_it_ends(post, search, ask, limit) -> None:
    sent = [post() for _ in range(7)]
    assert search({"limit": str(limit)}) == sent[::-1]
    first = ask("GET", PATH, query={"limit": str(limit)})
    assert len(first.data) == min(limit, 7)
    assert first.body["meta"]["has_next"] is (limit < 7)
    assert ("Link" in first.headers) is (limit < 7)


def test_two_of_the_same_millisecond_are_both_listed(prepared, ask, clock, search) -> None:
    body = {"user_id": "ada", "channels": ["email"], "message": "Hello"}
    sent = {ask("POST", PATH, body).data["notification_id"] for _ in range(5)}
    assert set(search({"limit": "2"})) == sent


def test_a_list_says_where_each_delivery_stands(post, ask, deliver) -> None:
    first = post({"channels": ["email", "sms"]})
    deliver("email")
    (listed,) = ask("GET", PATH).data
    assert listed == {
        "notification_id": first,
        "status": "processing",
        "user_id": "ada",
        "category": "general",
        "template_code": None,
        "created_at": "2026-11-21T12:00:01.000Z",
        "deliveries": [
            {"channel": "email", "target": "email", "status": "sent", "reason": None},
            {"channel": "sms", "target": "sms", "status": "queued", "reason": None},
        ],
    }


def test_g16_what_was_withheld_is_listed_with_its_reason(post, ask) -> None:
    ask("PUT", "/api/v1/users/ada/preferences", {"channels": {"sms": False}})
    post({"channels": ["sms"]})
    (listed,) = ask("GET", PATH).data
    assert listed["status"] == "suppressed"
    assert listed["deliveries"] == [
        {"channel": "sms", "target": "sms", "status": "suppressed", "reason": "channel-opt-out"}
    ]


@pytest.mark.parametrize(
    ("change", "query"),
    [
        ({"category": "promo"}, {"category": "promo"}),
        ({"channels": ["push", "inapp"]}, {"channel": "push"}),
        ({"channels": ["push", "inapp"]}, {"channel": "in_app"}),
        ({"user_id": "grace"}, {"user_id": "grace"}),
        ({"user_id": None, "to": {"email": "g@example.com"}}, {"to": "g@example.com"}),
        ({"user_id": "grace", "category": "promo"}, {"user_id": "grace", "category": "promo"}),
        (
            {"message": None, "template_code": "hello"},
            {"template_code": "hello"},
        ),
    ],
)
def test_g17_each_filter_finds_its_own(post, search, ask, change, query) -> None:
    assert ask("PUT", "/api/v1/users/grace", {"email": "grace@example.com"}).status == 201
    assert ask("POST", "/api/v1/templates", {"code": "hello", "content": "Hello"}).status == 201
    post()
    wanted = post(change)
    post()
    assert search(query) == [wanted]
    assert search(query | {"limit": "1"}) == [wanted]


def test_g17_a_state_is_found(post, search, deliver) -> None:
    done = post()
    deliver("email")
    failed = post()
    deliver("email", failing(Failure.PERMANENT))
    waiting = post()
    assert search({"status": "completed"}) == [done]
    assert search({"status": "failed"}) == [failed]
    assert search({"status": "accepted"}) == [waiting]
    assert search({"status": "expired"}) == []


def test_a_span_of_time_holds_both_of_its_ends(post, search) -> None:
    sent = [post() for _ in range(5)]  # at 12:00:01 … 12:00:05
    at = [f"2026-11-21T12:00:0{n}Z" for n in range(7)]
    assert search({"from": at[2], "to_time": at[4]}) == [sent[3], sent[2], sent[1]]
    assert search({"from": at[4]}) == [sent[4], sent[3]]
    assert search({"to_time": at[1]}) == [sent[0]]
    assert search({"from": at[2], "to_time": at[4], "limit": "1"}) == [sent[3], sent[2], sent[1]]
    assert search({"from": "2026-11-21T13:00:02+01:00", "to_time": at[2]}) == [sent[1]]
    assert search({"from": at[5], "to_time": at[4]}) == []


@pytest.mark.parametrize(
    "query",
    [
        {"cursor": "nonsense"},
        {"cursor": "IjIwMjYi"},
        {"limit": "0"},
        {"limit": "101"},
        {"status": "gone"},
        {"channel": "fax"},
        {"from": "yesterday"},
        {"from": "2026-11-21T12:00:00"},
        {"to_time": "0.5"},
        {"user_id": ""},
    ],
)
def test_a_query_that_makes_no_sense_is_refused(prepared, ask, query) -> None:
    reply = ask("GET", PATH, query=query)
    assert (reply.status, reply.body["errors"][0]["pointer"]) == (400, f"query:{next(iter(query))}")


def test_nobody_sees_another_client_s_notifications_a_s05(post, search) -> None:
    ours = post()
    theirs = post(caller=OTHER_CLIENT)
    assert search() == [ours]
    assert search({"user_id": "ada"}) == [ours]
    assert search(caller=OTHER_CLIENT) == [theirs]


def test_what_is_gone_is_not_listed_and_hides_nothing(post, search, ask, cloud) -> None:
    sent = [post() for _ in range(6)]
    for gone in (sent[1], sent[4], sent[5]):
        cloud.dynamodb.delete_item(TableName="NotificationsTable", Key={"place": {"S": gone[4:30]}})
    assert search({"limit": "1"}) == search() == [sent[3], sent[2], sent[0]]


def test_a_key_that_lapsed_lists_what_it_stands_for_now(post, search, clock) -> None:
    key = {"Idempotency-Key": "order-1"}
    post(headers=key)
    clock.shift(timedelta(days=8))
    later = post({"message": "Again"}, headers=key)
    assert search() == [later]


def test_a_list_is_behind_while_the_stream_stands_still(post, search, cloud) -> None:
    first = post()
    cloud.standstill = True
    second = post()
    assert search() == [first]
    assert search({"user_id": "ada"}) == [second, first]
    cloud.standstill = False
    cloud.listed()
    assert search() == [second, first]


def test_a_cursor_leads_into_nobody_else_s_list_a_s05(post, ask) -> None:
    for _ in range(3):
        post()
    cursor = ask("GET", PATH, query={"limit": "1"}).body["meta"]["next_cursor"]
    reply = ask("GET", PATH, query={"cursor": cursor}, caller=OTHER_CLIENT)
    assert (reply.status, reply.data) == (200, [])


def test_a_rare_match_is_found_over_short_pages(post, search, ask, monkeypatch) -> None:
    monkeypatch.setattr(history, "EVALUATED", 4)
    monkeypatch.setattr(history, "_CHUNK", 2)
    rare = post({"category": "rare"})
    for _ in range(9):
        post()
    page = ask("GET", PATH, query={"category": "rare"})
    assert (page.data, page.body["meta"]["has_next"]) == ([], True)
    assert search({"category": "rare"}) == [rare]


def test_a_foreign_event_and_content_are_as_missing_ones(post, ask) -> None:
    known = post()
    for suffix in ("", "/events", "/content"):
        foreign = ask("GET", f"{PATH}/{known}{suffix}", caller=OTHER_CLIENT)
        missing = ask("GET", f"{PATH}/{known[:-1]}{'a' if known[-1] != 'a' else 'b'}{suffix}")
        assert (foreign.status, foreign.body["code"]) == (404, "notification-not-found")
        assert foreign.body["errors"] == missing.body["errors"]
        assert missing.status == 404
