"""What is told of a notification, and what a caller may change of it."""

from collections.abc import Callable
from typing import Any

import pytest
from providers import failing

from carillon.delivery import Sent
from carillon.errors import Failure
from carillon.identity import Scope
from carillon.models import State
from carillon.tables import Delivery, Notification

Json = dict[str, Any]
PATH = "/api/v1/notifications"


@pytest.fixture
def posted(prepared, ask) -> Callable[..., str]:
    """Return a sender that returns the path of the new notification."""

    def post(*channels: str, **change: Any) -> str:
        body = {"user_id": "ada", "channels": list(channels) or ["email"], "message": "Hello"}
        reply = ask("POST", PATH, body | change)
        assert reply.status == 202
        return f"{PATH}/{reply.data['notification_id']}"

    return post


def test_g1_the_state_is_read_by_id(posted, ask, deliver) -> None:
    path = posted("email", "sms")
    assert ask("GET", path).data["status"] == "accepted"
    deliver("email")
    assert ask("GET", path).data["status"] == "processing"
    deliver("sms")
    assert ask("GET", path).data["status"] == "completed"


def test_g3_a_delivery_says_its_provider_id_or_its_error(posted, ask, deliver) -> None:
    path = posted("email", "sms")
    deliver("email")
    deliver("sms", failing(Failure.RECIPIENT, code="21211"))
    email, sms = ask("GET", path).data["deliveries"]
    assert (email["provider"], email["provider_message_id"]) == ("fake", "id-1")
    assert sms["error"] == {
        "code": "21211",
        "message": "no to +14155552671",
        "failure": "recipient",
    }


def test_an_unchanged_notification_is_not_sent_again(posted, ask, deliver) -> None:
    path = posted()
    tag = ask("GET", path).headers["ETag"]
    assert ask("GET", path, headers={"If-None-Match": tag}).status == 304
    deliver("email")
    changed = ask("GET", path, headers={"If-None-Match": tag})
    assert (changed.status, changed.data["status"]) == (200, "completed")


def test_g5_a_timeline_tells_what_happened_in_order(posted, ask, deliver) -> None:
    ask("PUT", "/api/v1/users/ada/preferences", {"channels": {"sms": False}})
    path = posted("email", "sms")
    deliver("email", failing(Failure.PERMANENT))
    events = ask("GET", f"{path}/events").data
    assert [(e["seq"], e["type"], e["target"], e["actor"]) for e in events] == [
        (1, "accepted", None, events[0]["actor"]),
        (2, "queued", "email", "intake"),
        (3, "suppressed", "sms", "intake"),
        (4, "failed", "email", "worker"),
    ]
    assert (events[3]["from"], events[3]["to"]) == ("sending", "failed")
    assert events[3]["data"] == {"attempt": 1, "code": "code-1", "failure": "permanent"}
    assert events[2]["data"] == {"reason": "channel-opt-out"}


def test_an_outage_is_one_line_of_the_timeline_however_often_it_is_met(
    posted, ask, deliver, prepared
) -> None:
    path = posted()
    for _ in range(5):
        deliver("email", failing(Failure.THROTTLE))
        make_visible(prepared)
    deliver("email")
    types = [event["type"] for event in ask("GET", f"{path}/events").data]
    assert types == ["accepted", "queued", "retrying", "sent"]


def make_visible(prepared: Any) -> None:
    """Send what waits for its next attempt again at once."""
    for record in Notification.scan():
        prepared.sqs.send_message(QueueUrl=prepared.queues["email"], MessageBody=record.message)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_a_timeline_has_pages(posted, ask, deliver, limit) -> None:
    path = posted("email", "sms")
    deliver("email")
    whole = ask("GET", f"{path}/events").data
    pages, query = [], {"limit": str(limit)}
    while True:
        reply = ask("GET", f"{path}/events", query=query)
        pages += reply.data
        if not reply.body["meta"]["has_next"]:
            break
        query["cursor"] = reply.body["meta"]["next_cursor"]
    assert pages == whole
    assert len(whole) == 4


def test_what_was_sent_can_be_read_again(posted, ask, deliver) -> None:
    path = posted("push", title="Lunch", message="is ready")
    deliver("push")
    content = ask("GET", f"{path}/content").data["content"]
    assert content["push"]["parts"] == {"title": "Lunch", "body": "is ready"}
    assert len(content["push"]["sha256"]) == 64
    assert ask("GET", f"{path}/content", query={"channel": "push"}).data["content"] == content
    assert ask("GET", f"{path}/content", query={"channel": "sms"}).status == 400


@pytest.mark.parametrize(
    ("method", "suffix", "scope"),
    [
        ("GET", "", Scope.READ),
        ("GET", "/events", Scope.READ),
        ("GET", "/content", Scope.CONTENT),
        ("PATCH", "/status", Scope.STATUS),
        ("POST", "/cancel", Scope.SEND),
    ],
)
def test_each_route_takes_its_own_scope(posted, ask, method, suffix, scope) -> None:
    path = posted()
    sender = ask("GET", path).body  # as the sample's client
    assert sender["success"]
    others = " ".join(sorted(set(Scope) - {scope, Scope.SELF}))
    caller = {"client_id": "c", "tenant": "default", "scope": others}
    body = {"status": "sent"} if method == "PATCH" else None
    assert ask(method, f"{path}{suffix}", body, caller=caller).status == 403


# --- reports -------------------------------------------------------------------------------


def test_g2_a_status_is_reported(posted, ask, deliver) -> None:
    path = posted()
    deliver("email")
    reply = ask("PATCH", f"{path}/status", {"channel": "email", "status": "delivered"})
    assert (reply.status, reply.data["status"]) == (200, "completed")
    assert reply.data["deliveries"][0]["status"] == "delivered"
    last = ask("GET", f"{path}/events").data[-1]
    assert (last["from"], last["to"]) == ("sent", "delivered")
    assert last["actor"] not in ("worker", "intake")


@pytest.mark.parametrize("status", ["sent", "delivered", "failed"])
def test_what_is_reported_before_it_left_is_not_sent(posted, ask, deliver, status) -> None:
    path = posted()
    told = {"status": status, "message_id": "m-1"}
    assert ask("PATCH", f"{path}/status", told).status == 200
    assert deliver("email").calls == []
    (delivery,) = ask("GET", path).data["deliveries"]
    assert (delivery["status"], delivery["provider_message_id"]) == (status, "m-1")


@pytest.mark.parametrize(
    ("steps", "last"),
    [
        (["delivered", "sent"], 409),
        (["delivered", "failed"], 409),
        (["failed", "sent"], 409),
        (["failed", "delivered"], 409),
        (["sent", "failed"], 200),
        (["sent", "delivered"], 200),
        (["sent", "sent"], 200),
        (["delivered", "delivered"], 200),
        (["failed", "failed"], 200),
    ],
)
def test_f16_states_only_advance(posted, ask, steps, last) -> None:
    path = posted()
    *before, final = steps
    for status in before:
        assert ask("PATCH", f"{path}/status", {"status": status}).status == 200
    reply = ask("PATCH", f"{path}/status", {"status": final})
    assert reply.status == last
    if last == 409:
        assert reply.body["code"] == "illegal-transition"
        assert ask("GET", path).data["deliveries"][0]["status"] == before[-1]


def test_a_report_twice_is_one_line_of_the_timeline(posted, ask) -> None:
    path = posted()
    for _ in range(3):
        ask("PATCH", f"{path}/status", {"status": "delivered"})
    assert [e["type"] for e in ask("GET", f"{path}/events").data].count("delivered") == 1


def test_a_failure_reported_late_is_not_undone_by_the_worker(posted, ask, deliver) -> None:
    """A bounce may come before the worker has written that the provider took it."""
    path = posted()

    def bounced_meanwhile(_: Any) -> Any:
        told = {"status": "failed", "error_message": "mailbox full"}
        assert ask("PATCH", f"{path}/status", told).status == 200
        return Sent("fake", "id-1")

    deliver("email", bounced_meanwhile)
    (delivery,) = ask("GET", path).data["deliveries"]
    assert (delivery["status"], delivery["error"]["message"]) == ("failed", "mailbox full")


def test_f16_a_receipt_that_comes_before_the_answer_is_not_undone(posted, ask, deliver) -> None:
    path = posted()

    def delivered_meanwhile(_: Any) -> Any:
        assert ask("PATCH", f"{path}/status", {"status": "delivered"}).status == 200
        return Sent("fake", "id-1")

    deliver("email", delivered_meanwhile)
    assert ask("GET", path).data["deliveries"][0]["status"] == "delivered"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"status": "queued"}, "#/status"),
        ({"status": "SENT"}, "#/status"),
        ({}, "#/status"),
        ({"status": "sent", "channel": "sms"}, "#/channel"),
        ({"status": "sent", "channel": "email", "target": "push#1"}, "#/channel"),
        ({"status": "sent", "message_id": "a b"}, "#/message_id"),
        ({"status": "sent", "state": "sent"}, "#/state"),
    ],
)
def test_a_report_that_names_nothing_is_refused(posted, ask, prepared, body, pointer) -> None:
    path = posted()
    reply = ask("PATCH", f"{path}/status", body)
    assert (reply.status, reply.body["errors"][0]["pointer"]) == (422, pointer)
    assert not prepared.items("DeliveriesTable")


def test_a_report_says_which_of_several_channels(posted, ask) -> None:
    path = posted("email", "sms")
    reply = ask("PATCH", f"{path}/status", {"status": "sent"})
    assert (reply.status, reply.body["code"]) == (422, "channel-missing")


def test_a_report_on_push_is_about_every_device_or_the_one_named(posted, ask) -> None:
    another = {"fcm_token": "another-of-ada", "platform": "ios"}
    assert ask("POST", "/api/v1/users/ada/push-tokens", another).status == 201
    path = posted("push")
    targets = [each["target"] for each in ask("GET", path).data["deliveries"]]
    assert len(targets) == 2
    one = {"status": "failed", "channel": "push", "target": targets[0]}
    states = [d["status"] for d in ask("PATCH", f"{path}/status", one).data["deliveries"]]
    assert states == ["failed", "queued"]
    path = posted("push")
    every = {"status": "sent", "channel": "push"}
    states = [d["status"] for d in ask("PATCH", f"{path}/status", every).data["deliveries"]]
    assert states == ["sent", "sent"]


# --- cancelling ----------------------------------------------------------------------------


def test_a15_what_has_not_left_is_cancelled_and_never_sent(posted, ask, deliver) -> None:
    path = posted("email", "sms")
    deliver("sms")
    reply = ask("POST", f"{path}/cancel", {"reason": "changed my mind"})
    assert reply.status == 202
    assert [d["status"] for d in reply.data["deliveries"]] == ["cancelled", "sent"]
    assert reply.data["status"] == "partially_failed"
    assert deliver("email").calls == []
    last = ask("GET", f"{path}/events").data[-1]
    assert (last["type"], last["data"]) == ("cancelled", {"reason": "changed my mind"})


def test_a_cancel_needs_no_body_and_repeats_itself(posted, ask) -> None:
    path = posted()
    for _ in range(2):
        reply = ask("POST", f"{path}/cancel")
        assert (reply.status, reply.data["status"]) == (202, "cancelled")


def test_what_has_left_cannot_be_cancelled(posted, ask, deliver) -> None:
    path = posted()
    deliver("email")
    reply = ask("POST", f"{path}/cancel")
    assert (reply.status, reply.body["code"]) == (409, "nothing-to-cancel")
    assert ask("GET", path).data["status"] == "completed"


def test_a_delivery_that_may_have_gone_is_not_called_cancelled(posted, ask, deliver) -> None:
    path = posted()
    deliver("email", failing(Failure.UNKNOWN))
    reply = ask("POST", f"{path}/cancel")
    assert reply.status == 409
    assert ask("GET", path).data["deliveries"][0]["status"] == "unknown"


def test_a_delivery_under_way_is_not_cancelled(posted, ask, deliver) -> None:
    path = posted()
    tried = []

    def cancelled_meanwhile(_: Any) -> Any:
        tried.append(ask("POST", f"{path}/cancel").status)
        return Sent("fake", "id-1")

    deliver("email", cancelled_meanwhile)
    assert tried == [409]
    assert ask("GET", path).data["status"] == "completed"


# --- at most once --------------------------------------------------------------------------


def test_what_must_not_go_twice_is_not_tried_again_after_an_unknown_outcome(
    posted, ask, deliver, prepared
) -> None:
    path = posted(dedupe="at_most_once")
    assert len(deliver("email", failing(Failure.UNKNOWN)).calls) == 1
    make_visible(prepared)
    assert deliver("email").calls == []
    assert ask("GET", path).data["deliveries"][0]["status"] == "unknown"


def test_what_must_not_go_twice_is_tried_again_when_it_surely_did_not_go(
    posted, ask, deliver, prepared
) -> None:
    path = posted(dedupe="at_most_once")
    deliver("email", failing(Failure.RETRY))
    make_visible(prepared)
    assert len(deliver("email").calls) == 1
    assert ask("GET", path).data["status"] == "completed"


def test_what_must_not_go_twice_is_not_taken_over(posted, ask, deliver, prepared) -> None:
    """Its holder died between the request and the status write: nobody knows."""
    path = posted(dedupe="at_most_once")
    notification_id = path.rpartition("/")[2]
    Delivery(
        notification_id,
        "email",
        state=State.SENDING,
        attempts=1,
        owner="dead",
        lease_until=1,
        updated_at="2026-11-21T12:00:00.000Z",
        expires_at=9_999_999_999,
    ).save()
    assert deliver("email").calls == []
    (delivery,) = ask("GET", path).data["deliveries"]
    assert (delivery["status"], delivery["error"]["code"]) == ("unknown", "no-outcome")
