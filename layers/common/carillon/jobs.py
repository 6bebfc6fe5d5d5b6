"""Work on a user that outlasts its request: an item tells where it stands, a queue starts it.

There is one item of each kind for a user, where one read finds it. The queue may bring a task
twice, or late: a task counts only while the item bears its id and is pending.
"""

import uuid
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict
from pynamodb.expressions.condition import Condition

from carillon.aws import sqs
from carillon.errors import Problem
from carillon.models import Shape, now, timestamp
from carillon.settings import settings
from carillon.storage import Step, requiring
from carillon.tables import Job, tenant_key

KEPT_PENDING = timedelta(days=30)
"""How long unfinished work is known: longer than its dead letters are kept."""
KEPT_ENDED = timedelta(days=1)
LOST_AFTER = timedelta(seconds=30)
"""Work that nobody has begun by then is queued again by whoever asks for it."""


class Kind(StrEnum):
    """What there is to do."""

    ERASE = "erase"
    EXPORT = "export"


class JobState(StrEnum):
    """Where a job stands."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class Task(Shape):
    """A message of the jobs' queue. ``look`` 2 is the erasure's last look at what came late."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = 1
    kind: Kind
    tenant: str
    user_id: str
    job_id: str
    requested_at: str
    look: int = 1


def current(tenant: str, user_id: str, kind: Kind) -> Job | None:
    """Return the latest job of a kind, if there was one within its time."""
    try:
        return Job.get(tenant_key(tenant, user_id), _part(kind), consistent_read=True)
    except Job.DoesNotExist:
        return None


def renewed(tenant: str, user_id: str, kind: Kind, before: Job | None) -> Job:
    """Return a new pending job, not yet written, in the place of the one ``before``."""
    job = before or Job(tenant_key(tenant, user_id), _part(kind))
    job.job_id = str(uuid.uuid4())
    job.state = JobState.PENDING
    job.requested_at = job.queued_at = timestamp(now())
    job.started_at = job.ended_at = None
    job.expires_at = int((now() + KEPT_PENDING).timestamp())
    return job


def task_of(tenant: str, user_id: str, job: Job) -> Task:
    """Return the task that a job is."""
    return Task(
        kind=Kind(job.part.removeprefix("job#")),
        tenant=tenant,
        user_id=user_id,
        job_id=job.job_id,
        requested_at=job.requested_at,
    )


def enqueue(task: Task, delay: int = 0) -> None:
    """Queue a task, to be seen after ``delay`` seconds, 900 at most."""
    sqs().send_message(
        QueueUrl=settings().required("jobs_queue_url"),
        MessageBody=task.model_dump_json(),
        DelaySeconds=delay,
    )


def take(task: Task) -> Job | None:
    """Return the job of a task, marked as begun; None when there is nothing to do any more."""
    job = current(task.tenant, task.user_id, task.kind)
    if job is None or job.job_id != task.job_id or job.state != JobState.PENDING:
        return None
    job.started_at = timestamp(now())
    return job if job.amend([Job.started_at.set(job.started_at)], _pending(task)) else None


def end(task: Task, state: JobState) -> bool:
    """Record how a job ended; False when it has been replaced or removed meanwhile."""
    ended = now()
    changes = [
        Job.state.set(state),
        Job.ended_at.set(timestamp(ended)),
        Job.expires_at.set(int((ended + KEPT_ENDED).timestamp())),
    ]
    return Job(tenant_key(task.tenant, task.user_id), _part(task.kind)).amend(
        changes, _pending(task)
    )


def again_if_lost(tenant: str, user_id: str, job: Job) -> None:
    """Queue a pending job anew that nobody has begun: its first message may never have left."""
    if job.started_at is None and age(job.queued_at) > LOST_AFTER:
        task = task_of(tenant, user_id, job)
        if job.amend([Job.queued_at.set(timestamp(now()))], _pending(task)):
            enqueue(task)


def age(moment: str) -> timedelta:
    """Return how long ago a recorded moment was."""
    return now() - datetime.fromisoformat(moment)


def refuse_while_erased(tenant: str, user_id: str) -> None:
    """Raise Problem (409) while a user is being erased: a new one would be erased with them."""
    job = current(tenant, user_id, Kind.ERASE)
    if job is not None and job.state == JobState.PENDING:
        text = "What was kept of this user is being erased; try again"
        raise Problem(409, "user-being-erased", text, retry_after=5)


def not_erasing(tenant: str, user_id: str) -> Step:
    """Step of a transaction: write nothing of a user who is being erased."""
    idle = Job.state.does_not_exist() | (Job.state != JobState.PENDING)
    return requiring(idle, Job, tenant_key(tenant, user_id), _part(Kind.ERASE))


def _pending(task: Task) -> Condition:
    held: Condition = (Job.job_id == task.job_id) & (Job.state == JobState.PENDING)
    return held


def _part(kind: Kind) -> str:
    return f"job#{kind}"
