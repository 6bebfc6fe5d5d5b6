"""Erasing a user: out of reach at once, and everything that is personal gone soon after.

The request deletes the profile, so nothing is accepted for the user any more; a job does the
rest, and can be begun again at any point. A quarter of an hour later it looks once more, at what
was under way when the request came: accepted a moment before, or being sent.
"""

import json
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from carillon import devices, exports, idempotency, inbox, jobs, letters, logins, users
from carillon.errors import precondition_failed, too_many_writers
from carillon.history import recipient_user
from carillon.jobs import JobState, Kind, Task
from carillon.ledger import Stop, stop
from carillon.messages import Inline
from carillon.models import State, timestamp
from carillon.status import message_of
from carillon.storage import deleting, saving, transact
from carillon.tables import Delivery, Job, Notification, Preferences, PushDevice, user_items

LAST_LOOK = 900
"""Seconds until the last look: as long as SQS delays a message."""
UNDER_WAY = timedelta(seconds=30)
"""How long a request that read the user before may go on: API Gateway waits for 29 seconds."""
ERASED = "erased"
_AT_ONCE = 100
_KEPT_OF_A_LINE = ("attempt", "code", "failure", "free")


def request(tenant: str, user_id: str, expected: users.Versions = None) -> Job:
    """Put the user out of reach and begin the rest; raises Problem (404, 412).

    While that is going on, the same again is the same job.
    """
    for _ in range(users.WRITE_ATTEMPTS):
        before = jobs.current(tenant, user_id, Kind.ERASE)
        if before is not None and before.state == JobState.PENDING:
            jobs.again_if_lost(tenant, user_id, before)
            return before
        profile = users.profile(tenant, user_id)
        if expected is not None and profile.version not in expected:
            raise precondition_failed()
        job = jobs.renewed(tenant, user_id, Kind.ERASE, before)
        if transact(deleting(profile), saving(job)):
            jobs.enqueue(jobs.task_of(tenant, user_id, job))
            return job
    raise too_many_writers()


def run(task: Task) -> None:
    """Erase what is kept of the user; harmless to repeat."""
    tenant, user_id = task.tenant, task.user_id
    if task.look > 1:
        # The id may belong to somebody new by now: only what was before the request is theirs.
        until = timestamp(datetime.fromisoformat(task.requested_at) + UNDER_WAY)
        inbox.erase(tenant, user_id, until)
        _erase_notifications(task, until)
        return
    if jobs.take(task) is None:
        return
    logins.forget(tenant, user_id)
    _erase_kept(tenant, user_id)
    exports.erase(tenant, user_id)
    idempotency.erase(tenant, user_id)
    inbox.erase(tenant, user_id)
    _erase_notifications(task)
    jobs.enqueue(task.model_copy(update={"look": 2}), LAST_LOOK)
    jobs.end(task, JobState.READY)


def _erase_kept(tenant: str, user_id: str) -> None:
    for item in user_items(tenant, user_id):
        if isinstance(item, PushDevice):
            devices.forget(tenant, user_id, item)
        elif isinstance(item, Preferences) or item.part == f"job#{Kind.EXPORT}":
            item.delete(add_version_condition=False)


def _erase_notifications(task: Task, until: str | None = None) -> None:
    """Redact what was sent to the user; where each notification stands, and when, stays.

    What is redacted is found under the job from then on, for the last look at its deliveries.
    """
    user, gone = recipient_user(task.tenant, task.user_id), f"{task.tenant}#{ERASED}#{task.job_id}"
    before = Notification.accepted <= until if until else None
    found = Notification.by_recipient.query(user, before)
    while places := [record.place for record in islice(found, _AT_ONCE)]:
        for record in Notification.batch_get(places):
            _stop(record)
            _redact(record, user, gone)
    for record in Notification.by_recipient.query(gone):
        letters.erase(record.notification_id)
        for delivery in Delivery.query(record.notification_id, consistent_read=True):
            _redact_delivery(delivery)


def _stop(record: Notification) -> None:
    """Let nothing more leave: what waits in a queue has the addresses with it."""
    for target in record.targets:
        stop(record, target, Stop(ERASED, state=State.SUPPRESSED))


def _redact(record: Notification, user: str, gone: str) -> None:
    message = message_of(record)
    said: dict[str, Any] = {
        "user_id": None,
        "correlation_id": record.notification_id,
        "targets": {},
        "inline": message.inline and Inline(message=ERASED),
        "variables": {},
        "metadata": {},
    }
    redacted = message.model_copy(update=said)
    record.amend(
        [
            Notification.message.set(
                redacted.model_dump_json(exclude_none=True, exclude_defaults=True)
            ),
            Notification.erased.set(True),
            Notification.recipient.set(gone),
            # The caller's own words may name somebody; the place is made of them already.
            Notification.request_id.set(record.notification_id),
        ],
        # The index may be behind its table, where the place is another's by now.
        (Notification.notification_id == record.notification_id) & (Notification.recipient == user),
    )


def _redact_delivery(delivery: Delivery) -> None:
    """Forget a provider's words and a caller's; codes and times stay."""
    for _ in range(users.WRITE_ATTEMPTS):
        lines = [_codes_alone(line) for line in delivery.history or ()]
        changes = [Delivery.history.set(lines)] if lines else []
        if delivery.error_message is not None:
            changes.append(Delivery.error_message.set(ERASED))
        if delivery.content_hash is not None:
            # A short text can be guessed, and its hash would tell when the guess is right.
            changes.append(Delivery.content_hash.remove())
        same = Delivery.updated_at == delivery.updated_at
        if not changes or delivery.amend(changes, same):
            return
        delivery.refresh(consistent_read=True)
    raise too_many_writers()


def _codes_alone(line: str) -> str:
    told = json.loads(line)
    told["data"] = {name: told["data"][name] for name in _KEPT_OF_A_LINE if name in told["data"]}
    return json.dumps(told)
