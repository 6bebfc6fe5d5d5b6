"""A notification as it stood: folded from what had happened by then."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carillon import ledger, messages
from carillon.claims import NotNowError, claim
from carillon.errors import Failure, Problem, ProviderError
from carillon.ledger import Report, Stop
from carillon.models import Channel, State
from carillon.status import full, recorded
from carillon.storage import transact
from carillon.tables import Delivery, Notification

Json = dict[str, Any]
BEGIN = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
WORDS = {"message", "provider", "provider_message_id"}
"""What an error, or a provider, says is not in the history."""


def then(ask: Any, path: str, moment: datetime) -> Any:
    return ask("GET", path, query={"as_of": moment.isoformat()})


@pytest.fixture
def lived(prepared, send, ask, deliver, time_machine) -> str:
    """A notification with a past: tried in vain at 9:31, reported as sent at 9:40."""
    from providers import failing  # noqa: PLC0415

    time_machine.move_to(BEGIN, tick=False)
    sent = send({"channels": ["email", "sms"]}).data["notification_id"]
    time_machine.move_to(BEGIN + timedelta(minutes=1), tick=False)
    deliver("email", failing(Failure.RETRY))
    time_machine.move_to(BEGIN + timedelta(minutes=10), tick=False)
    path = f"/api/v1/notifications/{sent}"
    told = {"channel": "email", "status": "sent", "message_id": "m-1"}
    assert ask("PATCH", f"{path}/status", told).status == 200
    return path


def test_g6_a_notification_is_told_as_it_stood(lived, ask) -> None:
    stood = [
        then(ask, lived, BEGIN + timedelta(minutes=minute)).data["deliveries"][0]
        for minute in (0, 1, 9, 10, 60)
    ]
    assert [each["status"] for each in stood] == ["queued", "retrying", "retrying", "sent", "sent"]
    assert [each["attempts"] for each in stood] == [0, 1, 1, 1, 1]
    assert [each["error"] and each["error"]["code"] for each in stood] == [
        None,
        "code-1",
        "code-1",
        None,
        None,
    ]
    assert [each["provider_message_id"] for each in stood] == [None, None, None, "m-1", "m-1"]
    assert stood[1]["error"]["failure"] == "retry"


def test_g6_the_whole_notification_is_summed_up_as_it_stood(lived, ask) -> None:
    found = [then(ask, lived, BEGIN + timedelta(minutes=minute)).data for minute in (0, 5, 10)]
    assert [each["status"] for each in found] == ["accepted", "processing", "processing"]
    assert found[-1] == ask("GET", lived).data


def test_g6_events_are_told_up_to_then(lived, ask) -> None:
    every = ask("GET", f"{lived}/events").data
    for minute, known in ((0, 3), (5, 4), (10, 5), (60, 5)):
        found = then(ask, f"{lived}/events", BEGIN + timedelta(minutes=minute)).data
        assert found == every[:known]


def test_g6_before_it_was_accepted_there_was_none(lived, ask) -> None:
    for path in (lived, f"{lived}/events"):
        answer = then(ask, path, BEGIN - timedelta(milliseconds=1))
        assert (answer.status, answer.body["code"]) == (404, "notification-not-found")
        assert answer.body["errors"][0]["pointer"] == "query:as_of"


def test_g6_the_future_is_as_now(lived, ask) -> None:
    now, future = ask("GET", lived), then(ask, lived, BEGIN + timedelta(days=10_000))
    assert (future.status, future.data) == (200, now.data)


@pytest.mark.parametrize("as_of", ["yesterday", "2026-11-21", "2026-11-21T09:30:00", "1795253400"])
def test_g6_a_moment_has_a_date_a_time_and_a_zone(lived, ask, as_of) -> None:
    answer = ask("GET", lived, query={"as_of": as_of})
    assert (answer.status, answer.body["errors"][0]["pointer"]) == (400, "query:as_of")


def test_g6_pages_of_the_past_lead_on_in_the_past(lived, ask) -> None:
    moment = (BEGIN + timedelta(minutes=5)).isoformat()
    first = ask("GET", f"{lived}/events", query={"as_of": moment, "limit": "3"})
    cursor = first.body["meta"]["next_cursor"]
    query = {"as_of": moment, "limit": "3", "cursor": cursor}
    second = ask("GET", f"{lived}/events", query=query)
    assert [each["type"] for each in first.data + second.data] == [
        "accepted",
        "queued",
        "queued",
        "retrying",
    ]
    assert second.body["meta"]["next_cursor"] is None


# --- whatever happens to a delivery ----------------------------------------------------------

STEPS = st.lists(
    st.sampled_from(
        [
            *(f"fail-{failure.value}" for failure in Failure),
            *("sent", "expire", "withhold", "died", "reported sent", "reported delivered"),
            *("reported failed", "cancel", "lay aside", "take up", "put away"),
        ]
    ),
    max_size=7,
)


def step(name: str, record: Notification) -> None:
    """Do what somebody does to the email's delivery, where its state allows that."""
    kind, _, what = name.partition(" ")
    if kind == "reported":
        ledger.report(record, "email", Report(State(what), "client", "m-1", "they said so"))
    elif name == "cancel":
        ledger.stop(record, "email", Stop("client", "sold out"))
    elif name == "take up":
        ledger.take_up(record.notification_id, "email", "admin", {"letter": "m"})
    elif name == "put away":
        ledger.put_away(record.notification_id, "email", "admin", "old")
    elif name == "lay aside":
        delivery = Delivery(record.notification_id, "email")
        before = ledger.state_of(delivery)
        laid = ledger.lay_aside(delivery, before, record, {"reason": "given up"}, once=False)
        if laid:
            assert transact(laid)
    else:
        work(name, record)


def work(name: str, record: Notification) -> None:
    """Do what a worker does that takes the delivery in hand, if it may."""
    message = messages.read(record.message)
    target = messages.target_of(Channel.EMAIL, message.targets[Channel.EMAIL][0])
    try:
        held = claim(message, target, {"text": "Hi"}, 5, 1)
        if isinstance(held, State) or name == "died":
            return
        if name == "sent":
            held.sent("fake", "id-1")
        elif name == "expire":
            held.expire()
        elif name == "withhold":
            held.withhold("opted-out")
        else:
            failure = Failure(name.removeprefix("fail-"))
            held.fail(ProviderError(failure, f"code-{failure.value}", "no"))
    except NotNowError:
        return


@pytest.fixture
def record(prepared, send, time_machine) -> Notification:
    """A notification just accepted."""
    time_machine.move_to(BEGIN, tick=False)
    return recorded(send({"channels": ["email"]}).data["notification_id"])


@given(steps=STEPS)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_g6_as_of_each_event_it_stands_as_it_stood(steps, record, time_machine) -> None:
    """Whatever the order: and as of the last event as it stands now."""
    # Each time another one, of which nothing is recorded yet.
    before, record.notification_id = record.notification_id, f"ntf_{next(_NAMES)}"
    record.message = record.message.replace(before, record.notification_id)
    seen = [(BEGIN, full(record))]
    for place, name in enumerate(steps, 1):
        moment = BEGIN + timedelta(hours=place)
        time_machine.move_to(moment, tick=False)
        step(name, record)
        seen.append((moment, full(record)))
    for moment, stood in seen:
        # That a worker had it in hand is no event.
        if stood.deliveries[0].status is not State.SENDING:
            assert known(full(record, moment)) == known(stood), (moment, steps)
    assert full(record, seen[-1][0]) == full(record)
    with pytest.raises(Problem):
        full(record, BEGIN - timedelta(seconds=1))


_NAMES = count()


def known(status: Any) -> Json:
    """What a history can tell: no provider's words."""
    (email,) = status.model_dump()["deliveries"]
    error = email["error"] and {k: v for k, v in email["error"].items() if k not in WORDS}
    kept = {k: v for k, v in email.items() if k not in WORDS | {"updated_at", "error"}}
    return kept | {"error": error}
