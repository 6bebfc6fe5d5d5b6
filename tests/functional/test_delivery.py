"""A channel's worker: claims, outcomes, poison, partial failures."""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from providers import Provider, failing

from carillon import breaker, claims, delivery, templates
from carillon.delivery import Outgoing, Sent, consumer
from carillon.errors import Failure, ProviderError
from carillon.messages import target_of
from carillon.models import Channel, State
from carillon.settings import settings
from carillon.tables import Delivery, Template
from functions.channels.inapp import handler as inapp

Json = dict[str, Any]


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def queue(prepared, monkeypatch, sample) -> "Queue":
    """The email channel's queue with one sample message received from it."""
    monkeypatch.setenv("QUEUE_URL", prepared.queues["email"])
    monkeypatch.setenv("DEAD_LETTER_QUEUE_URL", prepared.dead_letters["email"])
    settings.cache_clear()
    return Queue(prepared, json.loads(sample("email-batch")["Records"][0]["body"]))


@dataclass
class Queue:
    cloud: Any
    message: Json
    waits: list[int] = field(default_factory=list)

    def batch(self, *bodies: str) -> Json:
        """Send the bodies and receive them as Lambda would hand them over."""
        url = self.cloud.queues["email"]
        self.cloud.published("email")  # earlier copies that came again meanwhile
        for body in bodies:
            self.cloud.sqs.send_message(QueueUrl=url, MessageBody=body)
        return {"Records": [record(m) for m in self.cloud.published("email")]}

    def one(self, **change: Any) -> Json:
        return self.batch(json.dumps(self.message | change))


def record(message: Json) -> Json:
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
    }


@pytest.fixture
def work(provider, context) -> Iterator[Callable[[Json], list[Json]]]:
    """The worker; where something is to come again, the clock goes on until it may."""
    handler = consumer(Channel.EMAIL, {"fake": provider})
    with time_machine.travel(datetime.now(UTC), tick=True) as clock:

        def once(event: Json) -> list[Json]:
            failures: list[Json] = handler(event, context)["batchItemFailures"]
            if failures:
                clock.shift(1000)
            return failures

        yield once


def stored(message: Json) -> Delivery:
    return Delivery.get(message["notification_id"], "email")


def test_a_delivery_is_sent_rendered_and_recorded(queue, work, provider) -> None:
    assert work(queue.one()) == []
    (call,) = provider.calls
    assert call.address == "ada@example.com"
    assert call.content["subject"] == "Your order A-1042 is on its way"
    done = stored(queue.message)
    assert (done.state, done.attempts, done.provider) == (State.SENT, 1, "fake")
    assert done.provider_message_id == "id-1"


def test_a_message_delivered_again_after_success_makes_no_call_a_q01(queue, work, provider) -> None:
    for _ in range(3):
        assert work(queue.one()) == []
    assert len(provider.calls) == 1


def test_a_worker_that_dies_after_recording_sent_is_not_repeated_a_q03(
    queue, work, provider
) -> None:
    """Its message is never deleted, so it comes again once the visibility timeout is over."""
    assert work(queue.one()) == []
    again = [{**record, "messageId": "again"} for record in queue.one()["Records"]]
    assert work({"Records": again}) == []
    assert len(provider.calls) == 1
    assert stored(queue.message).attempts == 1


def test_a_message_published_twice_is_sent_once_a_d07(queue, work, provider) -> None:
    """The publisher died before it noted that it had published: two messages, two ids."""
    body = json.dumps(queue.message)
    assert work(queue.batch(body, body)) == []
    assert len(provider.calls) == 1


def test_every_other_message_of_the_batch_is_sent_when_one_is_poison_a_q04(
    queue, work, provider
) -> None:
    good = [json.dumps(queue.message | {"notification_id": f"ntf_{n}"}) for n in range(9)]
    assert work(queue.batch(*good[:3], "not json", *good[3:])) == []
    assert len(provider.calls) == 9
    (parked,) = queue.cloud.parked("email")
    assert parked["Body"] == "not json"
    assert "JSON" in parked["MessageAttributes"]["reason"]["StringValue"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema_version": 99}, "schema_version"),
        ({"targets": {"fax": ["1"]}}, "targets"),
        ({"targets": {"sms": ["+14155552671"]}}, "no target for email"),
        ({"notification_id": None}, "notification_id"),
        ({"template": None}, "either a template or a text"),
        ({"targets": {"email": ["a@example.com", "b@example.com"]}}, "only push"),
        ({"targets": {"email": ["a@example.com\r\nBcc: b@example.com"]}}, "targets"),
        ({"targets": {"email": []}}, "targets"),
    ],
)
def test_a_message_nobody_understands_is_parked_with_its_reason_a_q13(
    queue, work, provider, change, reason
) -> None:
    assert work(queue.one(**change)) == []
    assert not provider.calls
    (parked,) = queue.cloud.parked("email")
    assert reason in parked["MessageAttributes"]["reason"]["StringValue"]


def test_poison_that_cannot_be_parked_stays_in_the_queue(queue, work, monkeypatch) -> None:
    monkeypatch.delenv("DEAD_LETTER_QUEUE_URL")
    settings.cache_clear()
    event = queue.batch("not json")
    assert work(event) == [{"itemIdentifier": event["Records"][0]["messageId"]}]


@pytest.mark.parametrize("failure", [Failure.PERMANENT, Failure.RECIPIENT])
def test_a_refused_message_has_failed_and_is_not_tried_again(
    queue, work, provider, failure
) -> None:
    provider.does = failing(failure)
    assert work(queue.one()) == []
    done = stored(queue.message)
    assert (done.state, done.failure, done.error_code) == (State.FAILED, failure, "code-1")
    assert work(queue.one()) == []
    assert len(provider.calls) == 1


@pytest.mark.parametrize("failure", [Failure.RETRY, Failure.UNKNOWN])
def test_a_failed_attempt_is_made_again_until_the_retries_are_spent(
    queue, work, provider, failure, monkeypatch
) -> None:
    monkeypatch.setattr(breaker, "LASTING", math.inf)  # no outage: others would go through
    provider.does = failing(failure)
    for attempt in range(1, 4):
        assert len(work(queue.one())) == 1
        assert (stored(queue.message).state, stored(queue.message).attempts) == (
            State.RETRYING,
            attempt,
        )
    assert work(queue.one()) == []
    ended = {Failure.RETRY: State.FAILED, Failure.UNKNOWN: State.UNKNOWN}[failure]
    assert (stored(queue.message).state, len(provider.calls)) == (ended, 4)


@pytest.mark.parametrize("failure", [Failure.THROTTLE, Failure.CONFIG])
def test_what_is_not_the_message_s_fault_spends_no_attempt(queue, work, provider, failure) -> None:
    provider.does = failing(failure)
    for _ in range(6):
        assert len(work(queue.one())) == 1
    assert stored(queue.message).attempts == 0
    provider.does = lambda _: Sent("fake", "id-2")
    assert work(queue.one()) == []
    done = stored(queue.message)
    assert (done.state, done.attempts, done.failure) == (State.SENT, 1, None)


def test_only_the_failed_message_is_reported_and_made_invisible(
    queue, work, provider, monkeypatch
) -> None:
    provider.does = lambda out: (
        failing(Failure.THROTTLE, retry_after=180)(out)
        if out.message.notification_id == "ntf_1"
        else Sent("fake", "id")
    )
    event = queue.batch(
        *(json.dumps(queue.message | {"notification_id": f"ntf_{n}"}) for n in range(3))
    )
    bad = next(r for r in event["Records"] if '"ntf_1"' in r["body"])
    seen = []
    sqs = delivery.sqs()
    monkeypatch.setattr(sqs, "change_message_visibility", lambda **told: seen.append(told))
    assert work(event) == [{"itemIdentifier": bad["messageId"]}]
    (told,) = seen
    assert told["ReceiptHandle"] == bad["receiptHandle"]
    assert told["VisibilityTimeout"] >= 180


def test_a_reply_without_a_message_id_is_no_proof(queue, work, provider) -> None:
    provider.does = lambda _: Sent("fake", "")
    assert len(work(queue.one())) == 1
    done = stored(queue.message)
    assert (done.state, done.failure, done.maybe_sent) == (State.RETRYING, Failure.UNKNOWN, True)


def test_an_exception_nobody_foresaw_may_have_come_after_the_request(queue, work, provider) -> None:
    provider.does = lambda _: 1 / 0
    assert len(work(queue.one())) == 1
    assert stored(queue.message).failure == Failure.UNKNOWN


def test_maybe_sent_is_kept_when_a_later_attempt_is_refused_a_q10(queue, work, provider) -> None:
    provider.does = failing(Failure.UNKNOWN)
    work(queue.one())
    provider.does = failing(Failure.PERMANENT)
    assert work(queue.one()) == []
    assert stored(queue.message).state == State.UNKNOWN


def test_a_claimed_delivery_is_left_alone_while_its_lease_lasts(queue, work, provider) -> None:
    _claimed(queue.message, lease_until=int(time.time()) + 60)
    assert len(work(queue.one())) == 1
    assert not provider.calls


def test_a_lapsed_lease_is_taken_over_and_flagged_a_q02(queue, work, provider) -> None:
    _claimed(queue.message, lease_until=int(time.time()) - 1)
    assert work(queue.one()) == []
    done = stored(queue.message)
    assert (done.state, done.attempts, done.maybe_sent) == (State.SENT, 2, True)
    assert len(provider.calls) == 1


def test_what_must_not_go_twice_is_not_tried_again_after_a_worker_s_death_a_q02(
    queue, work, provider
) -> None:
    _claimed(queue.message, lease_until=int(time.time()) - 1)
    assert work(queue.one(at_most_once=True)) == []
    done = stored(queue.message)
    assert (done.state, done.attempts, done.maybe_sent) == (State.UNKNOWN, 1, True)
    assert not provider.calls


def test_what_must_not_go_twice_is_not_tried_again_after_a_doubtful_answer(
    queue, work, provider
) -> None:
    provider.does = failing(Failure.UNKNOWN)
    assert work(queue.one(at_most_once=True)) == []
    assert work(queue.one(at_most_once=True)) == []
    assert (stored(queue.message).state, len(provider.calls)) == (State.UNKNOWN, 1)


def test_a_late_success_is_recorded_though_the_lease_has_passed_on(queue, work, provider) -> None:
    """Worker A stalls, B takes over and fails; A's success is a fact all the same."""

    def stall(_: Outgoing) -> Sent:
        Delivery(queue.message["notification_id"], "email").update(
            actions=[Delivery.owner.set("worker-b"), Delivery.state.set(State.FAILED)]
        )
        return Sent("fake", "from-a")

    provider.does = stall
    assert work(queue.one()) == []
    done = stored(queue.message)
    assert (done.state, done.provider_message_id) == (State.SENT, "from-a")


@pytest.mark.parametrize("failure", Failure)
def test_a_success_of_another_is_never_undone_by_ours_a_q14(queue, work, provider, failure) -> None:
    """Worker A's lease lapsed and we took over; A reports success while our call fails."""
    _claimed(queue.message, lease_until=int(time.time()) - 1)

    def fail(out: Outgoing) -> Sent:
        Delivery(queue.message["notification_id"], "email").update(
            actions=[
                Delivery.state.set(State.SENT),
                Delivery.provider_message_id.set("from-a"),
            ]
        )
        raise ProviderError(failure, "x", f"no mail to {out.address}")

    provider.does = fail
    work(queue.one())
    done = stored(queue.message)
    assert (done.state, done.provider_message_id) == (State.SENT, "from-a")


@pytest.mark.parametrize(
    ("meanwhile", "code"), [(State.DELIVERED, None), (State.FAILED, "reported")]
)
def test_no_late_success_undoes_what_was_reported_meanwhile(
    queue, work, provider, meanwhile, code
) -> None:
    def stall(_: Outgoing) -> Sent:
        told = [Delivery.error_code.set(code)] if code else []
        Delivery(queue.message["notification_id"], "email").update(
            actions=[Delivery.state.set(meanwhile), *told]
        )
        return Sent("fake", "id-1")

    provider.does = stall
    assert work(queue.one()) == []
    assert stored(queue.message).state == meanwhile


def test_a_delivery_that_was_sent_meanwhile_is_not_taken_over(
    queue, work, provider, monkeypatch
) -> None:
    """Between our reading the lapsed lease and our update, its holder reports success."""
    _claimed(queue.message, lease_until=int(time.time()) - 1)
    take_over = claims._take_over

    def too_late(*told: Any) -> Any:
        Delivery(queue.message["notification_id"], "email").update(
            actions=[Delivery.state.set(State.SENT)]
        )
        return take_over(*told)

    monkeypatch.setattr(claims, "_take_over", too_late)
    assert len(work(queue.one())) == 1
    assert not provider.calls
    assert stored(queue.message).state == State.SENT


def test_workers_that_die_in_every_call_spend_the_attempts_too(queue, work, provider) -> None:
    for _ in range(12):
        _lapse(queue.message)
        work(queue.one())
        # As if the process had died in the call: the claim stays as it was.
        if stored(queue.message).state == State.SENT:
            Delivery(queue.message["notification_id"], "email").update(
                actions=[Delivery.state.set(State.SENDING)]
            )
    assert len(provider.calls) == 4
    assert stored(queue.message).state == State.UNKNOWN


def test_giving_up_loses_to_who_was_quicker_and_keeps_the_message(
    queue, work, provider, monkeypatch
) -> None:
    _claimed(queue.message, lease_until=int(time.time()) - 1)
    Delivery(queue.message["notification_id"], "email").update(
        actions=[Delivery.attempts.set(delivery.settings().max_retries + 1)]
    )
    take_over = claims._take_over

    def too_late(*told: Any) -> Any:
        Delivery(queue.message["notification_id"], "email").update(
            actions=[Delivery.state.set(State.RETRYING)]
        )
        return take_over(*told)

    monkeypatch.setattr(claims, "_take_over", too_late)
    assert len(work(queue.one())) == 1
    assert stored(queue.message).state == State.RETRYING


def test_a_claim_whose_answer_was_lost_is_ours_all_the_same(
    queue, work, provider, monkeypatch
) -> None:
    update = claims.update

    def lose_the_answer(*told: Any) -> bool:
        monkeypatch.setattr(claims, "update", update)
        assert update(*told)
        return False

    monkeypatch.setattr(claims, "update", lose_the_answer)
    assert work(queue.one()) == []
    done = stored(queue.message)
    assert (done.state, done.attempts, done.maybe_sent) == (State.SENT, 1, None)


def test_a_copy_that_finds_the_attempt_just_failed_stays_in_the_queue(
    queue, work, provider, monkeypatch
) -> None:
    provider.does = failing(Failure.RETRY)
    assert len(work(queue.one())) == 1
    update = claims.update

    def too_early(*told: Any) -> bool:
        monkeypatch.setattr(claims, "update", update)
        return False

    monkeypatch.setattr(claims, "update", too_early)
    assert len(work(queue.one())) == 1
    assert stored(queue.message).state == State.RETRYING


def test_a_claim_whose_request_arrives_twice_is_taken_once(
    queue, work, provider, monkeypatch
) -> None:
    update, made = claims.update, []

    def note(*told: Any) -> bool:
        made.append(told)
        return update(*told)

    monkeypatch.setattr(claims, "update", note)
    provider.does = failing(Failure.THROTTLE)
    assert len(work(queue.one())) == 1
    assert not update(*made[0])
    done = stored(queue.message)
    assert (done.state, done.attempts) == (State.RETRYING, 0)


def test_time_lost_in_the_claim_starts_no_call(queue, provider, context, monkeypatch) -> None:
    claim = delivery.claim

    def slow(*told: Any) -> Any:
        context.remaining_ms = 1000
        return claim(*told)

    monkeypatch.setattr(delivery, "claim", slow)
    assert consumer(Channel.EMAIL, {"fake": provider})(queue.one(), context)["batchItemFailures"]
    assert not provider.calls
    assert stored(queue.message).attempts == 0


def test_the_longest_wait_of_several_devices_counts(queue, context, provider, monkeypatch) -> None:
    provider.does = lambda out: failing(
        Failure.THROTTLE if out.address == "a" else Failure.RETRY,
        180 if out.address == "a" else None,
    )(out)
    seen: list[Json] = []
    monkeypatch.setattr(delivery.sqs(), "change_message_visibility", lambda **t: seen.append(t))
    consumer(Channel.PUSH, {"fake": provider})(queue.one(targets={"push": ["a", "b"]}), context)
    assert seen[0]["VisibilityTimeout"] >= 180


def test_an_account_that_cannot_be_read_is_no_doubt_about_the_message(
    queue, work, provider
) -> None:
    def send(_: Outgoing) -> Sent:
        return delivery.configured(lambda: {}["account"])

    provider.does = send
    assert len(work(queue.one())) == 1
    done = stored(queue.message)
    assert (done.failure, done.attempts, done.maybe_sent) == (Failure.CONFIG, 0, None)


def test_a_failure_is_not_recorded_by_who_no_longer_owns_the_claim(queue, work, provider) -> None:
    def stall(_: Outgoing) -> Sent:
        Delivery(queue.message["notification_id"], "email").update(
            actions=[Delivery.owner.set("worker-b"), Delivery.state.set(State.SENT)]
        )
        raise ProviderError(Failure.PERMANENT, "x", "x")

    provider.does = stall
    work(queue.one())
    assert stored(queue.message).state == State.SENT


def test_a_failure_is_not_recorded_over_the_claim_of_another(queue, work, provider) -> None:
    def stall(_: Outgoing) -> Sent:
        Delivery(queue.message["notification_id"], "email").update(
            actions=[Delivery.owner.set("worker-b")]
        )
        raise ProviderError(Failure.RETRY, "x", "x")

    provider.does = stall
    assert len(work(queue.one())) == 1
    done = stored(queue.message)
    assert (done.state, done.owner, done.failure) == (State.SENDING, "worker-b", None)


def test_nothing_is_started_that_cannot_be_finished_a_q05(queue, provider, context) -> None:
    context.remaining_ms = (delivery.SEND_BUDGET - 1) * 1000
    event = queue.one()
    answer = consumer(Channel.EMAIL, {"fake": provider})(event, context)
    assert len(answer["batchItemFailures"]) == 1
    assert not provider.calls
    assert not queue.cloud.items("DeliveriesTable")


def test_the_lease_outlives_the_function(queue, provider, context) -> None:
    leases = []

    def look(_: Outgoing) -> Sent:
        leases.append(stored(queue.message).lease_until)
        return Sent("fake", "id")

    provider.does = look
    consumer(Channel.EMAIL, {"fake": provider})(queue.one(), context)
    assert leases[0] > time.time() + context.remaining_ms / 1000


def test_a_template_that_is_gone_fails_the_delivery_and_does_not_loop(
    queue, work, provider
) -> None:
    for item in Template.scan():
        item.delete()
    templates._version.cache_clear()
    assert work(queue.one()) == []
    done = stored(queue.message)
    assert (done.state, done.error_code) == (State.FAILED, "not-renderable")
    assert not provider.calls


def test_templates_that_do_not_answer_hold_no_claim_back(
    queue, work, provider, monkeypatch
) -> None:
    event = queue.one()
    monkeypatch.setenv("TEMPLATES_TABLE", "Gone")
    settings.cache_clear()
    assert len(work(event)) == 1
    assert not queue.cloud.items("DeliveriesTable")


def test_an_inbox_that_is_away_is_tried_again_without_doubt(queue, context, monkeypatch) -> None:
    event = queue.one()
    monkeypatch.setenv("INBOX_TABLE", "Gone")
    monkeypatch.setenv("QUEUE_URL", queue.cloud.queues["inapp"])
    settings.cache_clear()
    assert len(inapp.lambda_handler(event, context)["batchItemFailures"]) == 1
    delivered = Delivery.get(queue.message["notification_id"], "inapp")
    assert (delivered.failure, delivered.maybe_sent) == (Failure.RETRY, None)


def test_a_store_that_does_not_answer_loses_nothing(queue, work, provider, monkeypatch) -> None:
    event = queue.one()
    monkeypatch.setenv("DELIVERIES_TABLE", "Gone")
    settings.cache_clear()
    assert len(work(event)) == 1
    assert not provider.calls


def test_each_device_is_claimed_and_sent_by_itself(queue, context, provider) -> None:
    provider.does = lambda out: (
        Sent("fake", "ok") if out.address == "good" else failing(Failure.RECIPIENT)(out)
    )
    event = queue.one(targets={"push": ["good", "dead"]})
    assert consumer(Channel.PUSH, {"fake": provider})(event, context)["batchItemFailures"] == []
    states = {
        address: Delivery.get(
            queue.message["notification_id"], target_of(Channel.PUSH, address)
        ).state
        for address in ("good", "dead")
    }
    assert states == {"good": State.SENT, "dead": State.FAILED}


def test_backoff_grows_with_jitter_and_never_below_the_provider_s_wish() -> None:
    assert all(1 <= claims.retry_delay(n, 0) <= 5 * 4.0 ** (n - 1) for n in range(1, 4))
    assert max(claims.retry_delay(50, 0) for _ in range(99)) <= claims.BACKOFF_CAP
    assert claims.retry_delay(1, 180) >= 180
    assert claims.retry_delay(1, -5) >= 1
    assert len({claims.retry_delay(3, 0) for _ in range(9)}) == 9


def test_what_waits_for_a_provider_comes_back_after_it_and_not_all_at_once() -> None:
    waits = [claims.pause(3, 30) for _ in range(9)]
    assert len(set(waits)) == 9
    assert all(30 <= wait <= 30 + 16 for wait in waits)
    assert max(claims.pause(99, 0) for _ in range(99)) <= claims.BACKOFF_CAP


def test_no_address_gets_into_the_log(queue, work, provider, caplog) -> None:
    provider.does = failing(Failure.PERMANENT)
    work(queue.one())
    said = str([vars(line) for line in caplog.records])
    assert "ntf_" in said
    assert "ada@example.com" not in said


def _lapse(message: Json) -> None:
    try:
        held = stored(message)
    except Delivery.DoesNotExist:
        return
    held.update(actions=[Delivery.lease_until.set(1)])


def _claimed(message: Json, lease_until: int) -> None:
    Delivery(
        message["notification_id"],
        "email",
        state=State.SENDING,
        attempts=1,
        owner="worker-a",
        lease_until=lease_until,
        updated_at="2026-11-21T09:30:00.000Z",
        expires_at=int(time.time()) + 1000,
    ).save()
