"""What a user wants: kept as given, pointed at when wrong, obeyed when something is sent."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from carillon.models import Channel
from carillon.recipients import Recipient
from functions.api.notifications import handler as notifications
from functions.api.templates import handler as templates
from functions.api.users import handler

NIGHT = {"start": "22:00", "end": "07:00"}
WHOLE = {
    "channels": {"sms": False},
    "categories": {"promo": {"sms": False}, "*": False},
    "quiet_hours": {
        "windows": [NIGHT | {"days": ["mon", "sun"]}, {"start": "12:00", "end": "13:00"}],
        "timezone": "Europe/Paris",
    },
    "timezone": "America/New_York",
    "locale": "pt_BR",
}
NOTHING = {"channels": {}, "categories": {}, "quiet_hours": None, "timezone": None, "locale": None}


@pytest.fixture
def ask(cloud, call, sample) -> Callable[..., Any]:
    """Return a caller of ada's preferences."""
    assert call(handler, sample("users-put")).status == 201

    def ask(method, body=None):
        event = sample("users-put-preferences") | {"httpMethod": method}
        return call(handler, event, raw="" if body is None else json.dumps(body))

    return ask


def test_c4_preferences_are_read_as_they_were_put(ask) -> None:
    kept = WHOLE | {"locale": "pt-BR"}
    kept["quiet_hours"] = {
        "windows": [
            NIGHT | {"days": ["mon", "sun"]},
            {"start": "12:00", "end": "13:00", "days": None},
        ],
        "timezone": "Europe/Paris",
    }
    assert ask("PUT", WHOLE).data == kept
    assert ask("GET").data == kept
    assert ask("PUT", {}).data == NOTHING


@pytest.mark.parametrize("field", sorted(WHOLE))
def test_a_patch_replaces_the_member_it_names_and_no_other(ask, field) -> None:
    before = ask("PUT", WHOLE).data
    other = {
        "channels": {"email": False},
        "categories": {"news": True},
        "quiet_hours": {"windows": [], "timezone": None},
        "timezone": "Asia/Tokyo",
        "locale": "de",
    }
    assert ask("PATCH", {field: other[field]}).data == before | {field: other[field]}


@pytest.mark.parametrize("field", ["quiet_hours", "timezone", "locale"])
def test_c7_null_empties_what_may_be_empty(ask, field) -> None:
    before = ask("PUT", WHOLE).data
    assert ask("PATCH", {field: None}).data == before | {field: None}


@pytest.mark.parametrize("field", ["channels", "categories"])
def test_null_is_no_answer_to_a_channel_or_category(ask, field) -> None:
    before = ask("PUT", WHOLE).data
    reply = ask("PATCH", {field: None})
    assert (reply.status, reply.body["errors"][0]["pointer"]) == (422, f"#/{field}")
    assert ask("GET").data == before


@pytest.mark.parametrize(
    ("windows", "pointer"),
    [
        ([{"start": "22:00", "end": "22:00"}], "#/quiet_hours/windows/0"),
        ([NIGHT, {"start": "24:00", "end": "07:00"}], "#/quiet_hours/windows/1/start"),
        ([{"start": "7:00", "end": "08:00"}], "#/quiet_hours/windows/0/start"),
        ([{"start": "22:60", "end": "08:00"}], "#/quiet_hours/windows/0/start"),
        ([{"start": "２２:00", "end": "08:00"}], "#/quiet_hours/windows/0/start"),
        ([{"start": "22:00\n", "end": "08:00"}], "#/quiet_hours/windows/0/start"),
        ([{"start": 22, "end": "08:00"}], "#/quiet_hours/windows/0/start"),
        ([{"start": "22:00"}], "#/quiet_hours/windows/0/end"),
        ([NIGHT | {"days": []}], "#/quiet_hours/windows/0/days"),
        ([NIGHT | {"days": ["mon", "mon"]}], "#/quiet_hours/windows/0/days"),
        ([NIGHT | {"days": ["Monday"]}], "#/quiet_hours/windows/0/days/0"),
        ([NIGHT | {"day": "mon"}], "#/quiet_hours/windows/0/day"),
        ([NIGHT] * 15, "#/quiet_hours/windows"),
    ],
)
def test_c7_quiet_hours_that_are_none_are_pointed_at(ask, windows, pointer) -> None:
    reply = ask("PUT", {"quiet_hours": {"windows": windows}})
    assert (reply.status, reply.body["errors"][0]["pointer"]) == (422, pointer)
    assert ask("GET").data == NOTHING


def test_c7_two_windows_on_each_day_are_the_most(ask) -> None:
    assert ask("PUT", {"quiet_hours": {"windows": [NIGHT] * 14}}).status == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"timezone": "Mars/Olympus"}, "#/timezone"),
        ({"quiet_hours": {"windows": [], "timezone": "CEST"}}, "#/quiet_hours/timezone"),
        ({"locale": "english please"}, "#/locale"),
        ({"quiet_hour": None}, "#/quiet_hour"),
        ({"categories": {"**": True}}, "#/categories/**"),
        ({"categories": {"": True}}, "#/categories/"),
    ],
)
def test_a_preference_that_is_none_is_pointed_at(ask, body, pointer) -> None:
    reply = ask("PUT", body)
    assert (reply.status, reply.body["errors"][0]["pointer"]) == (422, pointer)


@pytest.mark.parametrize(
    ("categories", "category", "channel", "refused"),
    [
        ({"*": False}, "news", Channel.EMAIL, True),
        ({"*": False, "news": True}, "news", Channel.EMAIL, False),
        ({"*": True, "news": False}, "news", Channel.EMAIL, True),
        ({"*": {"sms": False}}, "news", Channel.SMS, True),
        ({"*": {"sms": False}}, "news", Channel.EMAIL, False),
        # A category that is named is not one of the others, silent as it may be of a channel.
        ({"*": False, "news": {"sms": False}}, "news", Channel.EMAIL, False),
        ({"*": False, "news": {"sms": False}}, "news", Channel.SMS, True),
        ({}, "news", Channel.EMAIL, False),
    ],
)
def test_c4_the_star_stands_for_each_category_not_named(
    categories, category, channel, refused
) -> None:
    recipient = Recipient({}, categories=categories)
    assert (recipient.refusal(channel, category) is not None) is refused


def test_c3_a_channel_opted_out_of_stays_out_whatever_a_category_says(ask) -> None:
    kept = ask("PUT", {"channels": {"sms": False}, "categories": {"news": {"sms": True}}}).data
    recipient = Recipient({}, channels=kept["channels"], categories=kept["categories"])
    assert recipient.refusal(Channel.SMS, "news") == "channel-opt-out"
    assert recipient.refusal(Channel.EMAIL, "news") is None


def test_c3_nothing_is_queued_for_a_channel_opted_out_of(prepared, call, sample, send) -> None:
    body = {"channels": {"sms": False}, "categories": {"*": {"push": False}}}
    assert call(handler, sample("users-put-preferences"), body=body).status == 200
    decided = send().data["deliveries"]
    assert {d["channel"]: d["reason"] for d in decided if d["status"] == "suppressed"} == {
        "sms": "channel-opt-out",
        "push": "category-opt-out",
    }
    assert not prepared.published("sms") + prepared.published("push")


def test_the_preferred_locale_wins_over_the_profile_s(prepared, call, sample, send) -> None:
    template = json.loads(sample("templates-create")["body"])
    french = {"language": "fr", "parts": {"inapp": {"title": "Envoyé", "body": "Bonjour"}}}
    path = f"/api/v1/templates/{template['code']}"
    change = sample("templates-create") | {"httpMethod": "PUT", "path": path}
    tag = call(templates, change | {"httpMethod": "GET"}, raw="").headers["ETag"]
    assert call(templates, change, body=french, headers={"If-Match": tag}).status == 200
    assert call(handler, sample("users-put-preferences"), body={"locale": "fr"}).status == 200
    sent = send({"channels": ["inapp"]}).data["notification_id"]
    read = call(notifications, sample("notifications-read"), path={"notification_id": sent}).data
    assert read["locale"] == "fr"
