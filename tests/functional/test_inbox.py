"""The inbox: paged newest first, filtered, counted; entries marked read and archived."""

import hashlib
import json
from base64 import b32encode
from collections.abc import Callable
from typing import Any

import pytest

from carillon import inbox
from carillon.tables import InboxItem
from functions.api.inbox import handler
from functions.api.users import handler as users
from functions.channels.inapp import handler as inapp

INBOX = "/api/v1/users/ada/notifications"


@pytest.fixture
def ask(cloud, call, sample) -> Callable[..., Any]:
    """Return a caller of ada's inbox, and of another's."""
    assert call(users, sample("users-put")).status == 201

    def ask(method, path="", body=None, user="ada", query=None):
        event = sample("inbox-read") | {"httpMethod": method}
        event["path"] = INBOX.replace("ada", user) + (f"/{path}" if path else "")
        raw = "" if body is None else json.dumps(body)
        asked = {**(query or {})}
        if method == "GET" and "channel" not in asked:
            asked["channel"] = "inapp"
        return call(handler, event, raw=raw, query=asked)

    return ask


@pytest.fixture
def deliver(cloud, sample, context) -> Callable[..., list[str]]:
    """Return a deliverer of in-app notifications, by the channel's own worker; oldest first."""

    def deliver(count, user="ada", **change: Any):
        (record,) = sample("inapp-batch")["Records"]
        body = json.loads(record["body"]) | change
        body |= {"user_id": user, "targets": {"inapp": [user]}, "inline": {"message": "Hello"}}
        del body["template"]
        ids = [_id(f"{user} {n} {change}") for n in range(count)]
        records = [
            record
            | {
                "messageId": name,
                "body": json.dumps(body | {"notification_id": name, "accepted_at": _at(n)}),
            }
            for n, name in enumerate(ids)
        ]
        done = inapp.lambda_handler({"Records": records}, context)
        assert done == {"batchItemFailures": []}
        return ids

    return deliver


def _id(seed):
    return "ntf_" + b32encode(hashlib.sha256(seed.encode()).digest()).decode().lower()[:32]


def _at(n):
    return f"2026-01-31T09:{n // 60:02d}:{n % 60:02d}.000Z"


def _ids(reply):
    return [entry["notification_id"] for entry in reply.data]


def _pages(ask, limit, **query: str):
    seen, cursor = [], {}
    while True:
        reply = ask("GET", query=query | {"limit": str(limit)} | cursor)
        assert reply.status == 200
        assert len(reply.data) <= limit
        seen += _ids(reply)
        meta = reply.body["meta"]
        assert meta["has_next"] is bool(meta["next_cursor"]) is ("Link" in reply.headers)
        if not meta["has_next"]:
            return seen
        cursor = {"cursor": meta["next_cursor"]}


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 100])
def test_g4_the_inbox_is_paged_newest_first_without_gaps(ask, deliver, limit) -> None:
    ids = deliver(5)
    assert _pages(ask, limit) == ids[::-1]


def test_a_page_that_is_the_last_leads_nowhere(ask, deliver) -> None:
    deliver(4)
    for limit in ("4", "5"):
        reply = ask("GET", query={"limit": limit})
        assert (len(reply.data), reply.body["meta"]["has_next"]) == (4, False)


def test_the_link_to_the_next_page_keeps_the_filters(ask, deliver) -> None:
    deliver(3, category="a")
    reply = ask("GET", query={"limit": "2", "category": "a", "unread": "true"})
    cursor = reply.body["meta"]["next_cursor"]
    link = f'</dev{INBOX}?limit=2&category=a&unread=true&channel=inapp&cursor={cursor}>; rel="next"'
    assert reply.headers["Link"] == link


def test_the_link_of_a_user_whose_id_is_not_ascii_is(ask, deliver, call, sample) -> None:
    call(users, sample("users-put"), path={"user_id": "Zoë"})
    deliver(2, user="Zoë")
    link = ask("GET", user="Zoë", query={"limit": "1"}).headers["Link"]
    assert link.startswith("</dev/api/v1/users/Zo%C3%AB/notifications?")


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_g4_filtered_pages_have_no_gaps_either(ask, deliver, limit) -> None:
    ids = deliver(12)
    for name in ids[::3]:
        ask("PATCH", name, {"read": True})
    for name in ids[1::3]:
        ask("PATCH", name, {"archived": True})
    newest = ids[::-1]
    read, archived = ids[::3], ids[1::3]
    assert _pages(ask, limit) == [n for n in newest if n not in archived]
    assert _pages(ask, limit, unread="true") == [n for n in newest if n not in read + archived]
    assert _pages(ask, limit, unread="false") == [n for n in newest if n in read]
    assert _pages(ask, limit, archived="true") == [n for n in newest if n in archived]
    assert _pages(ask, limit, archived="true", unread="true") == archived[::-1]
    assert _pages(ask, limit, archived="true", unread="false") == []


@pytest.mark.parametrize("unread", [{}, {"unread": "true"}])
def test_g4_a_category_is_found_among_others(ask, deliver, unread) -> None:
    few, many = deliver(2, category="few"), deliver(9, category="many")
    assert _pages(ask, 1, category="few", **unread) == few[::-1]
    assert _pages(ask, 4, category="many", **unread) == many[::-1]
    assert _pages(ask, 4, category="none", **unread) == []


def test_a_page_looks_at_so_much_and_leads_on(ask, deliver, monkeypatch) -> None:
    monkeypatch.setattr(inbox, "MAX_EXAMINED", 4)
    wanted = deliver(1, category="old")
    deliver(9, category="new")
    first = ask("GET", query={"category": "old"})
    assert (first.data, first.body["meta"]["has_next"]) == ([], True)
    assert _pages(ask, 1, category="old") == wanted


@pytest.mark.parametrize("spelling", ["inapp", "in_app", "in-app"])
def test_the_inbox_may_be_asked_for_by_name(ask, deliver, spelling) -> None:
    ids = deliver(1)
    assert _ids(ask("GET", query={"channel": spelling})) == ids


def test_e5_an_entry_is_read_archived_and_back_again(ask, deliver) -> None:
    (name,) = deliver(1)
    entry = ask("GET").data[0]
    assert (entry["read_at"], entry["archived_at"]) == (None, None)
    read = ask("PATCH", name, {"read": True})
    assert read.status == 200
    assert read.data == entry | {"read_at": read.data["read_at"]}
    assert read.data["read_at"] > entry["created_at"]
    assert ask("GET").data == [read.data]
    # Once more changes nothing, its time included.
    assert ask("PATCH", name, {"read": True}).data == read.data
    archived = ask("PATCH", name, {"archived": True}).data
    assert archived == read.data | {"archived_at": archived["archived_at"]}
    assert ask("GET").data == []
    assert ask("GET", query={"archived": "true"}).data == [archived]
    assert ask("PATCH", name, {"read": False, "archived": False}).data == entry
    assert ask("GET", query={"unread": "true"}).data == [entry]


def _unread(ask):
    return ask("GET", query={"limit": "1"}).body["meta"]["unread"]


def test_e5_unread_counts_what_is_neither_read_nor_archived(ask, deliver) -> None:
    assert _unread(ask) == 0
    one, two, *_ = deliver(4)
    assert _unread(ask) == 4
    counts = []
    for name, change in [
        (one, {"read": True}),
        (two, {"archived": True}),
        (two, {"read": True}),
        (two, {"archived": False}),
        (two, {"read": False}),
        (one, {"archived": True}),
        (one, {"read": False}),
        (one, {"archived": False}),
    ]:
        ask("PATCH", name, change)
        counts.append(_unread(ask))
    assert counts == [3, 2, 2, 2, 3, 3, 3, 4]


def test_e5_unread_is_counted_so_far_and_no_further(ask, deliver, monkeypatch) -> None:
    deliver(5)
    monkeypatch.setattr(inbox, "MAX_UNREAD", 3)
    assert _unread(ask) == 3


def test_e5_read_all_marks_what_is_unread(ask, deliver) -> None:
    first, second, third = deliver(3)
    before = ask("PATCH", first, {"read": True}).data
    ask("PATCH", second, {"archived": True})
    done = ask("POST", "read-all")
    assert (done.status, done.body) == (204, {})
    assert _unread(ask) == 0
    listed = {entry["notification_id"]: entry for entry in ask("GET").data}
    assert listed[first] == before
    assert listed[third]["read_at"] > before["read_at"][:10]
    assert ask("GET", query={"archived": "true"}).data[0]["read_at"] is None
    assert ask("POST", "read-all").status == 204


def test_e5_read_all_leaves_what_comes_after_it(ask, deliver) -> None:
    deliver(1)
    entry = next(iter(InboxItem.query("default#ada")))
    late = "2126-01-01T00:00:00.000Z#" + _id("late")
    InboxItem(
        entry.user,
        late,
        **{
            k: v
            for k, v in entry.attribute_values.items()
            if k not in ("user", "position", "unread")
        },
        unread=late,
    ).save()
    ask("POST", "read-all")
    assert _unread(ask) == 1


def test_e5_read_all_takes_so_many_at_once_the_newest_first(ask, deliver, monkeypatch) -> None:
    ids = deliver(5)
    monkeypatch.setattr(inbox, "MAX_UNREAD", 3)
    ask("POST", "read-all")
    assert _pages(ask, 9, unread="true") == ids[1::-1]
    ask("POST", "read-all")
    assert _unread(ask) == 0


def test_what_is_deleted_meanwhile_is_not_made_again(ask, deliver, cloud) -> None:
    deliver(1)
    item = next(iter(InboxItem.query("default#ada")))
    item.delete()
    inbox._mark_read("2026-11-21T10:00:00.000Z", item)
    assert cloud.items("InboxTable") == []


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("limit", ["0", "101", "-1", "many", "", "1.5"]),
        ("unread", ["", "yes", "1", "0", "True", "TRUE", "null", " true"]),
        ("archived", ["", "no", "1", "False"]),
        ("channel", ["", "fax", "INAPP"]),
        ("category", ["", "a b", "*", "x" * 65]),
        ("cursor", ["x" * 513]),
    ],
)
def test_a_bad_query_is_refused(ask, name, values) -> None:
    for value in values:
        reply = ask("GET", query={name: value})
        assert (reply.status, reply.body["errors"][0]["pointer"]) == (400, f"query:{name}"), value


@pytest.mark.parametrize("cursor", ["x", "!!", "W10", "eyJhIjogMX0", "é", "IiI"])
@pytest.mark.parametrize("unread", ["true", "false"])
def test_a_cursor_that_is_not_ours_is_refused(ask, cursor, unread) -> None:
    reply = ask("GET", query={"cursor": cursor, "unread": unread})
    assert (reply.status, reply.body["code"]) == (400, "bad-cursor")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#"),
        ({"read": None}, "#"),
        ({"read": "true"}, "#/read"),
        ({"archived": 1}, "#/archived"),
        ({"read": True, "seen": True}, "#/seen"),
    ],
)
def test_a_bad_mark_is_pointed_at(ask, deliver, body, pointer) -> None:
    (name,) = deliver(1)
    reply = ask("PATCH", name, body)
    assert (reply.status, reply.body["errors"][0]["pointer"]) == (422, pointer)


@pytest.mark.parametrize("name", ["ntf_x", "x", "read-all", "ntf_" + "a" * 32, "ntf_" + "A" * 32])
def test_a_notification_that_is_not_there_is_not_marked(ask, name, cloud) -> None:
    reply = ask("PATCH", name, {"read": True})
    assert (reply.status, reply.body["code"]) == (404, "notification-not-found")
    assert cloud.items("InboxTable") == []


def test_another_user_s_entry_is_as_one_that_is_not_there(ask, deliver, call, sample) -> None:
    call(users, sample("users-put"), path={"user_id": "Zoë"})
    (hers,) = deliver(1, user="Zoë")
    assert ask("PATCH", hers, {"read": True}).status == 404
    assert ask("GET", user="Zoë").data[0]["read_at"] is None
    assert ask("PATCH", hers, {"read": True}, user="Zoë").status == 200


def test_an_inbox_entry_is_put_once_however_often_it_is_delivered(ask, deliver, cloud) -> None:
    for _ in range(3):
        deliver(1)
    assert len(cloud.items("InboxTable")) == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("GET", "", None), ("POST", "read-all", None), ("PATCH", "ntf_" + "a" * 32, {"read": True})],
)
def test_an_inbox_needs_its_user(ask, deliver, method, path, body) -> None:
    deliver(1, user="nobody")
    reply = ask(method, path, body, user="nobody")
    assert (reply.status, reply.body["code"]) == (404, "user-not-found")
