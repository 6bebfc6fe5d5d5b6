"""What stands, found and grouped."""

from collections.abc import Callable
from typing import Any

import pytest
from functional.conftest import ADMIN_CALLER, APPLICATION_CALLER
from functional.letters.conftest import Bury, groups, listed

from carillon import triage

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"channel": "email"}, {"email-1", "email-2"}),
        ({"channel": "sms"}, {"sms-1"}),
        ({"channel": "push"}, set()),
        ({"code": "no-outcome"}, {"email-1", "sms-1"}),
        ({"template": "order-shipped"}, {"email-1", "sms-1"}),
        ({"channel": "email", "code": "not-json"}, {"email-2"}),
        ({"since": "2026-11-21T00:00:00Z"}, {"email-1", "email-2", "sms-1"}),
        ({"until": "2026-11-21T00:00:00Z"}, set()),
        ({"since": "2100-01-01T00:00:00Z"}, set()),
    ],
)
def test_f13_letters_are_found_by_what_they_have(
    bury, exhausted, ask, query, found, time_machine
) -> None:
    time_machine.move_to("2026-11-21T09:30:00Z", tick=False)
    _three(bury, exhausted)
    assert {letter["letter_id"] for letter in listed(ask, **query)} == found


def _three(bury: Bury, exhausted: Callable[..., Json]) -> None:
    bury("email", exhausted() | {"messageId": "email-1"})
    bury("email", exhausted() | {"messageId": "email-2", "body": "not json"})
    bury("sms", exhausted(channel="sms") | {"messageId": "sms-1"})


def test_f13_letters_are_found_by_their_notification_and_fingerprint(bury, exhausted, ask) -> None:
    _three(bury, exhausted)
    for letter in listed(ask):
        assert letter in listed(ask, fingerprint=letter["fingerprint"])
        if letter["notification_id"]:
            assert listed(ask, notification_id=letter["notification_id"]) == [letter]


@pytest.mark.parametrize("narrow", [{}, {"channel": "email"}, {"by": "fingerprint"}, {"by": "id"}])
def test_f13_pages_lead_to_every_letter_once_newest_first(
    bury, exhausted, ask, narrow, time_machine
) -> None:
    record = exhausted()
    for n in range(7):
        time_machine.move_to(f"2026-11-21T09:30:0{n // 2}Z", tick=False)
        bury("email", record | {"messageId": f"m-{n}"})
    first = listed(ask)[0]
    query = {
        "fingerprint": {"fingerprint": first["fingerprint"]},
        "id": {"notification_id": first["notification_id"]},
    }.get(narrow.get("by", ""), narrow)
    seen, cursor = [], None
    while True:
        told = query | {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = ask("GET", "/api/v1/ops/dlq", query=told, caller=ADMIN_CALLER)
        seen += [letter["letter_id"] for letter in page.data]
        cursor = page.body["meta"]["next_cursor"]
        if not cursor:
            break
    assert seen == [f"m-{n}" for n in reversed(range(7))]


def test_f13_a_page_that_looked_at_enough_is_short_and_leads_on(
    bury, exhausted, ask, monkeypatch
) -> None:
    monkeypatch.setattr(triage, "EVALUATED", 2)
    _three(bury, exhausted)
    found, cursor = [], None
    for _ in range(3):
        query = {"channel": "email"} | ({"cursor": cursor} if cursor else {})
        page = ask("GET", "/api/v1/ops/dlq", query=query, caller=ADMIN_CALLER)
        found += page.data
        cursor = page.body["meta"]["next_cursor"]
        if not cursor:
            break
    assert [letter["letter_id"] for letter in found] == ["email-2", "email-1"]


def test_f13_a_foreign_cursor_is_refused(ask, prepared) -> None:
    answer = ask("GET", "/api/v1/ops/dlq", query={"cursor": "x"}, caller=ADMIN_CALLER)
    assert (answer.status, answer.body["code"]) == (400, "bad-cursor")


def test_f13_letters_are_grouped_by_channel_error_and_template(
    bury, exhausted, ask, time_machine
) -> None:
    record = exhausted()
    for n in range(3):
        time_machine.move_to(f"2026-11-21T09:30:0{n}Z", tick=False)
        bury("email", record | {"messageId": f"m-{n}"})
    bury("email", record | {"body": "not json", "messageId": "poison"})
    told = groups(ask)
    assert (told["letters"], told["complete"]) == (4, True)
    many, one = told["groups"]
    assert (many["count"], many["code"], many["template_code"]) == (
        3,
        "no-outcome",
        "order-shipped",
    )
    assert (many["oldest"], many["newest"]) == (
        "2026-11-21T09:30:00.000Z",
        "2026-11-21T09:30:02.000Z",
    )
    assert many["sample"]["letter_id"] == "m-2"
    assert (one["count"], one["code"], one["template_code"]) == (1, "not-json", None)
    assert [each["code"] for each in groups(ask, code="not-json")["groups"]] == ["not-json"]


def test_f13_groups_say_when_they_are_not_all(bury, exhausted, ask, monkeypatch) -> None:
    monkeypatch.setattr(triage, "MOST_GROUPED", 2)
    _three(bury, exhausted)
    assert groups(ask)["complete"] is False


def test_b4_operators_see_their_own_tenant_s_letters_alone(bury, exhausted, ask) -> None:
    _three(bury, exhausted)
    foreign = ADMIN_CALLER | {"tenant": "other"}
    for query in ({}, {"notification_id": listed(ask)[0]["notification_id"] or "x"}):
        assert ask("GET", "/api/v1/ops/dlq", query=query or None, caller=foreign).data == []
    assert ask("GET", "/api/v1/ops/dlq/groups", caller=foreign).data["letters"] == 0


def test_b8_an_application_sees_no_dead_letters(ask) -> None:
    assert ask("GET", "/api/v1/ops/dlq", caller=APPLICATION_CALLER).status == 403
