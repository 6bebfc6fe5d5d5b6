"""What was sent to a user by every channel, with what the inbox knows of it."""

import pytest

from functions.channels.inapp import handler as inapp

NOTIFICATIONS = "/api/v1/users/ada/notifications"


@pytest.fixture
def sent(prepared, send, context) -> dict[str, str]:
    """Three notifications, oldest first, by their channels; what was in-app has arrived."""
    ids = {}
    for name, channels in {"texts": ["sms"], "both": ["email", "inapp"], "mail": ["email"]}.items():
        key = {"Idempotency-Key": name}
        ids[name] = send({"channels": channels, "category": name}, headers=key).data[
            "notification_id"
        ]
    for message in prepared.published("inapp"):
        record = {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
        }
        assert inapp.lambda_handler({"Records": [record]}, context) == {"batchItemFailures": []}
    return ids


def test_g4_a_user_s_notifications_are_those_of_every_channel(api, sent) -> None:
    reply = api("GET", NOTIFICATIONS)
    mail, both, texts = reply.data
    assert [e["notification_id"] for e in reply.data] == [
        sent["mail"],
        sent["both"],
        sent["texts"],
    ]
    assert [e["channels"] for e in reply.data] == [["email"], ["email", "inapp"], ["sms"]]
    assert [e["status"] for e in reply.data] == ["accepted", "processing", "accepted"]
    assert both["title"]
    assert both["body"]
    assert [mail["title"], mail["body"], texts["title"], texts["read_at"]] == [None] * 4
    assert reply.body["meta"]["unread"] == 1


def test_g4_what_is_read_in_the_inbox_is_read_in_the_list(api, sent) -> None:
    read = api("PATCH", f"{NOTIFICATIONS}/{sent['both']}", {"read": True}).data
    listed = {e["notification_id"]: e for e in api("GET", NOTIFICATIONS).data}
    assert listed[sent["both"]]["read_at"] == read["read_at"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("channel=email", ["mail", "both"]),
        ("channel=sms", ["texts"]),
        ("channel=push", []),
        ("channel=inapp", ["both"]),
        ("category=texts", ["texts"]),
        ("category=texts&channel=email", []),
        ("unread=true", ["both"]),
        ("unread=false", []),
        ("archived=false", ["both"]),
        ("archived=true", []),
    ],
)
def test_g4_a_user_s_notifications_are_filtered(api, sent, query, found) -> None:
    listed = api("GET", f"{NOTIFICATIONS}?{query}").data
    assert [e["notification_id"] for e in listed] == [sent[name] for name in found]


def test_g4_a_user_s_notifications_are_paged(api, sent) -> None:
    seen, cursor = [], ""
    for more in (True, True, False):
        page = api("GET", f"{NOTIFICATIONS}?limit=1{cursor}").body
        seen += [entry["notification_id"] for entry in page["data"]]
        assert page["meta"]["has_next"] is more
        cursor = f"&cursor={page['meta']['next_cursor']}"
    assert seen == [sent["mail"], sent["both"], sent["texts"]]


@pytest.mark.parametrize("channel", ["email", "sms", "push"])
@pytest.mark.parametrize("flag", ["unread=true", "archived=false"])
def test_what_was_mailed_is_not_read_or_archived(api, sent, channel, flag) -> None:
    reply = api("GET", f"{NOTIFICATIONS}?channel={channel}&{flag}")
    assert (reply.status, reply.body["errors"][0]["pointer"]) == (400, "query:channel")
