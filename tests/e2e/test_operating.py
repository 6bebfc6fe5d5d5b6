"""What operators do, on the real stack: dead letters sent again, a switch set and lifted."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import PATIENCE, until

from carillon_client import Carillon, NotEnded
from carillon_client.models import DeadLetter, Registration
from offline import cloud
from offline.stack import Stack

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parent.parent.parent
FLAKY = "+15005550070"
"""Twilio's 503, the first time for each notification."""
Json = dict[str, Any]


@pytest.fixture(scope="module")
def admin(stack: Stack) -> Iterator[Carillon]:
    with Carillon(stack.api, stack.admin_token) as client:
        yield client


@pytest.fixture(scope="module")
def registered(admin: Carillon) -> Registration:
    """An application of the administrator's tenant."""
    return admin.register_client(f"operating-{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="module")
def shop(stack: Stack, registered: Registration) -> Iterator[Carillon]:
    with Carillon(stack.api, registered.api_token) as client:
        yield client


@pytest.fixture
def sqs(stack: Stack) -> Iterator[Any]:
    with cloud.client("sqs", stack.cloud) as client:
        yield client


def queue(sqs: Any, channel: str, name: str) -> str:
    urls = sqs.list_queues()["QueueUrls"]
    (url,) = [u for u in urls if f"{channel}Channel" in u and f"-{name}-" in u]
    return str(url)


@pytest.fixture
def impatient(sqs) -> Iterator[None]:
    """Let SQS give a text message up when it was received once, not a hundred times."""
    url = queue(sqs, "Sms", "Queue")
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
    before = told["Attributes"]["RedrivePolicy"]
    once = json.dumps(json.loads(before) | {"maxReceiveCount": 1})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": once})
    yield
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": before})


def standing(admin: Carillon, **wanted: Any) -> list[DeadLetter]:
    return list(admin.dead_letters(**wanted))


@pytest.fixture(scope="module")
def waiting(admin: Carillon, shop: Carillon, registered: Registration) -> str:
    """An email that met a kill switch, which has been lifted since."""
    scope = f"client:{registered.client_id}"
    admin.switch_on(scope, reason="it sends in a loop")

    def held() -> str:
        sent = shop.send(channels=["email"], to={"email": "ada@example.com"}, message="Hello")
        try:
            # Workers know of a switch within five seconds; what one has in hand is sent.
            shop.wait(sent.notification_id, timeout=3)
        except NotEnded:
            return sent.notification_id
        return ""

    found = str(until(held))
    assert shop.get(found).deliveries[0].status == "queued"
    assert [each.scope for each in admin.switches()] == [scope]
    admin.switch_off(scope)
    return found


def test_f13_what_was_given_up_is_found_grouped_sent_again_and_delivered(
    waiting, stack, admin, shop, sqs, impatient
) -> None:
    flaky = shop.send(channels=["sms"], to={"phone": FLAKY}, message="Hello").notification_id
    (letter,) = until(lambda: standing(admin, notification_id=flaky))
    assert (letter.channel, letter.targets, letter.attempts) == ("sms", ["sms"], 1)
    assert shop.get(flaky).deliveries[0].status == "dead_lettered"
    groups = admin.dead_letter_groups(channel="sms").groups
    assert letter.fingerprint in {each.fingerprint for each in groups}

    one = {"fingerprint": letter.fingerprint, "notification_id": flaky}
    assert admin.redrive(one, dry_run=True).total == 1
    assert len(standing(admin, notification_id=flaky)) == 1
    done = _cli(stack, "dlq", "redrive", "--id", flaky, "--fingerprint", letter.fingerprint, "-y")
    assert "redrive done  1 of 1" in done
    ended = shop.wait(flaky)
    assert (ended.status, ended.deliveries[0].attempts) == ("completed", 1)
    assert standing(admin, notification_id=flaky) == []
    assert [(e.before, e.after, e.actor) for e in shop.events(flaky)][-2:] == [
        ("dead_lettered", "retrying", "admin"),
        ("sending", "sent", "worker"),
    ]


def _cli(stack: Stack, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "carillon_client.cli", *words],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "client"),
            "CARILLON_URL": stack.api,
            "CARILLON_TOKEN": stack.admin_token,
            "NO_PROXY": "127.0.0.1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_f13_poison_that_still_is_comes_back_and_is_put_away(waiting, admin, sqs) -> None:
    body = json.dumps({"schema_version": 99, "of": uuid.uuid4().hex})
    sqs.send_message(QueueUrl=queue(sqs, "Sms", "Queue"), MessageBody=body)
    poison = {"channel": "sms", "code": "malformed-schema-version"}
    (first,) = until(lambda: standing(admin, **poison))
    job = admin.redrive(poison)
    *_, done = admin.watch_job(str(job.job_id))
    assert (done.done, done.failed) == (1, 0)
    (second,) = until(lambda: [x for x in standing(admin, **poison) if x != first])
    assert second.fingerprint == first.fingerprint
    job = admin.discard(poison, reason="written by a test")
    *_, done = admin.watch_job(str(job.job_id))
    assert done.done == 1
    assert standing(admin, **poison) == []
    dead = queue(sqs, "Sms", "DeadLetterQueue")
    assert "Messages" not in sqs.receive_message(QueueUrl=dead)


def test_f13_two_orders_at_once_send_each_letter_once(waiting, admin, sqs) -> None:
    """Poison comes back as often as it was sent."""
    url, letters = queue(sqs, "Push", "Queue"), 20
    for _ in range(letters):
        sqs.send_message(QueueUrl=url, MessageBody="[]")
    poison = {"channel": "push", "code": "malformed"}
    before = until(lambda: _all(admin, letters, **poison))
    jobs = [admin.redrive(poison, rate_per_second=100) for _ in range(2)]
    ended = [list(admin.watch_job(str(job.job_id)))[-1] for job in jobs]
    assert sum(job.done for job in ended) == letters
    after = until(lambda: _all(admin, letters, **poison))
    assert {x.letter_id for x in before}.isdisjoint(x.letter_id for x in after)
    job = admin.discard(poison, reason="written by a test")
    assert list(admin.watch_job(str(job.job_id)))[-1].done == letters


def _all(admin: Carillon, letters: int, **wanted: Any) -> list[DeadLetter]:
    """Return the letters once so many stand, and no message is on its way."""
    found = standing(admin, **wanted)
    return found if len(found) == letters else []


def test_f12_what_failed_is_sent_again_as_it_was(admin, shop) -> None:
    body = {"channels": ["email"], "message": "Hello"}
    failed = shop.send(to={"email": "rejected@sandbox.test"}, **body).notification_id
    assert shop.wait(failed).status == "failed"
    again = admin.replay(failed, "exact")
    assert again.replay_of == failed
    assert shop.wait(again.notification_id).status == "failed"  # as before, to the same address
    first, *_ = shop.events(again.notification_id)
    assert (first.actor, first.data["replay_of"]) == ("admin", failed)


def test_g6_a_notification_is_told_as_it_stood(shop) -> None:
    sent = shop.send(channels=["sms"], to={"phone": FLAKY}, message="Hello").notification_id
    now = shop.wait(sent, timeout=PATIENCE)
    told = list(shop.events(sent))
    assert [each.after for each in told] == [None, "queued", "retrying", "sent"]
    stood = [shop.get(sent, as_of=each.at).deliveries[0] for each in told[1:]]
    assert [(each.status, each.attempts) for each in stood] == [
        ("queued", 0),
        ("retrying", 1),
        ("sent", 2),
    ]
    assert shop.get(sent, as_of=told[-1].at) == now


def test_h10_what_a_switch_held_goes_on_when_it_is_lifted(waiting, shop) -> None:
    ended = shop.wait(waiting, timeout=PATIENCE)
    assert (ended.status, ended.deliveries[0].attempts) == ("completed", 1)
