"""Orders to send dead letters again, or to put them away: jobs, at a pace, however many there are.

A job goes on in steps, each a message of its queue; a step does ten seconds' worth. A letter is
claimed before anything is done with it, and its end is written together with the job's count: so it
is sent by one job, and counted once. Only a job that dies between sending a letter and writing so
sends it twice, which the delivery's own claim makes harmless.
"""

import math
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from botocore.exceptions import ClientError
from pydantic import ConfigDict

from carillon import legs, letters, messages, queues, triage
from carillon.aws import sqs
from carillon.errors import PoisonMessageError, not_found, too_many_writers
from carillon.identity import Caller
from carillon.ledger import lay_back, put_away, state_of, take_up
from carillon.letters import Letter, LetterJob, LetterState
from carillon.log import logger
from carillon.models import Channel, Shape, now, timestamp
from carillon.settings import settings
from carillon.storage import transact, updating
from carillon.tables import Delivery
from carillon.triage import DiscardRequest, LetterFilter, RedriveRequest

WINDOW = 10
"""Seconds that a step's share is for."""
MARGIN = 15.0
"""Seconds a step leaves itself for its last letter."""
LEASE = 120
"""Seconds a claimed letter is left alone: longer than its function lives."""
LOST_AFTER = timedelta(seconds=30)
"""A job that nobody has begun by then is queued again by whoever looks at it."""
KEPT = timedelta(days=30)
RACES = 5
REFUSED = frozenset({"InvalidMessageContents", "InvalidParameterValue"})
"""What SQS says of a message that it will never take."""


class Kind(StrEnum):
    """What there is to do."""

    REDRIVE = "redrive"
    DISCARD = "discard"


class Progress(StrEnum):
    """Where a job stands."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"


class Task(Shape):
    """A message of the queue: one step of a job."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = 1
    tenant: str
    job_id: str


class LetterJobOut(Shape):
    """How far a job is. ``failed`` letters stand as before; SQS does not take them."""

    job_id: str | None
    kind: Kind
    status: Progress
    total: int
    done: int
    failed: int
    rate_per_second: int | None
    requested_at: str | None
    ended_at: str | None


def count(caller: Caller, wanted: LetterFilter) -> int:
    """Return how many letters fit now."""
    return sum(1 for _ in triage.standing(caller.tenant, wanted))


def dry(caller: Caller, request: RedriveRequest | DiscardRequest) -> LetterJobOut:
    """Return what a job would have to do; nothing is written."""
    return LetterJobOut(
        job_id=None,
        kind=_kind(request),
        status=Progress.PENDING,
        total=count(caller, request.filter),
        done=0,
        failed=0,
        rate_per_second=_rate(request),
        requested_at=None,
        ended_at=None,
    )


def begin(caller: Caller, request: RedriveRequest | DiscardRequest) -> LetterJob:
    """Record a job for what fits now and queue its first step."""
    moment = now()
    job = LetterJob(
        *_key(caller.tenant, job_id := str(uuid.uuid4())),
        job_id=job_id,
        tenant=caller.tenant,
        kind=_kind(request),
        wanted=request.filter.model_dump(mode="json", exclude_none=True),
        rate_per_second=_rate(request) or 0,
        note=request.reason if isinstance(request, DiscardRequest) else None,
        actor=caller.client_id,
        state=Progress.PENDING,
        total=count(caller, request.filter),
        requested_at=timestamp(moment),
        queued_at=timestamp(moment),
        expires_at=int((moment + KEPT).timestamp()),
    )
    job.save()
    told = {"job_id": job_id, "kind": job.kind, "actor": job.actor, "letters": job.total}
    logger().warning("dead letters ordered", extra=told | {"filter": job.wanted})
    enqueue(Task(tenant=caller.tenant, job_id=job_id))
    return job


def _kind(request: RedriveRequest | DiscardRequest) -> Kind:
    return Kind.REDRIVE if isinstance(request, RedriveRequest) else Kind.DISCARD


def _rate(request: RedriveRequest | DiscardRequest) -> int | None:
    return request.rate_per_second if isinstance(request, RedriveRequest) else None


def _key(tenant: str, job_id: str) -> tuple[str, str]:
    return f"job#{tenant}#{job_id}", "job"


def enqueue(task: Task, delay: int = 0) -> None:
    """Queue a step."""
    sqs().send_message(
        QueueUrl=settings().required("redrives_queue_url"),
        MessageBody=task.model_dump_json(),
        DelaySeconds=delay,
    )


def find(tenant: str, job_id: str) -> LetterJob:
    """Return a job; raises Problem (404). One whose first step was lost is queued again."""
    try:
        job = LetterJob.get(*_key(tenant, job_id), consistent_read=True)
    except LetterJob.DoesNotExist:
        raise not_found("job", "path:job_id") from None
    waited = now() - datetime.fromisoformat(job.queued_at)
    if job.state == Progress.PENDING and waited > LOST_AFTER:
        same = (LetterJob.queued_at == job.queued_at) & (LetterJob.state == Progress.PENDING)
        if job.amend([LetterJob.queued_at.set(timestamp(now()))], same):
            enqueue(Task(tenant=tenant, job_id=job_id))
    return job


def told(job: LetterJob) -> LetterJobOut:
    """Return what is told of a job."""
    return LetterJobOut(
        job_id=job.job_id,
        kind=Kind(job.kind),
        status=Progress(job.state),
        total=int(job.total),
        done=int(job.done),
        failed=int(job.failed),
        rate_per_second=int(job.rate_per_second) or None,
        requested_at=job.requested_at,
        ended_at=job.ended_at,
    )


class Outcome(StrEnum):
    """What came of a letter in a step."""

    DONE = "done"
    FAILED = "failed"
    GONE = "gone"  # somebody else was quicker
    HELD = "held"  # another has it in hand


def run(task: Task, remaining: Callable[[], float]) -> None:
    """Do a step of a job, and queue the next; harmless to repeat.

    ``remaining`` tells how many seconds the function has left.
    """
    job = _begun(task)
    if job is None:
        return
    began = time.monotonic()
    left = _step(job, remaining)
    if left is None:
        _end(job)
    else:
        enqueue(task, max(0, math.ceil(left - (time.monotonic() - began))))


def _begun(task: Task) -> LetterJob | None:
    """Return the job, marked as begun; None when there is nothing to do any more."""
    try:
        job = LetterJob.get(*_key(task.tenant, task.job_id), consistent_read=True)
    except LetterJob.DoesNotExist:
        return None
    if job.state == Progress.PENDING:
        started = [
            LetterJob.state.set(Progress.RUNNING),
            LetterJob.started_at.set(timestamp(now())),
        ]
        job.amend(started, LetterJob.state == Progress.PENDING)
    return job if job.state != Progress.DONE else None


def _step(job: LetterJob, remaining: Callable[[], float]) -> float | None:
    """Clear a share of the job's letters; return when the next begins, None when none is left."""
    share = int(job.rate_per_second) * WINDOW or math.inf
    cleared = held = 0
    for letter in triage.standing(job.tenant, _wanted(job)):
        if letter.refused_by == job.job_id:
            continue
        if cleared >= share:
            return WINDOW
        if remaining() < MARGIN:
            # Of what this second's share leaves: the pace is a limit, not a promise.
            return WINDOW if job.kind == Kind.REDRIVE else 0
        outcome = _clear(letter, job, cleared)
        cleared += outcome in (Outcome.DONE, Outcome.FAILED)
        held += outcome is Outcome.HELD
    return WINDOW if held else None


def _wanted(job: LetterJob) -> LetterFilter:
    """Return the job's filter: nothing that was given up after the order, by the job itself say."""
    wanted = LetterFilter.model_validate(job.wanted)
    asked = datetime.fromisoformat(job.requested_at)
    until = min(wanted.until, asked) if wanted.until else asked
    return wanted.model_copy(update={"until": until})


def _clear(listed: Letter, job: LetterJob, place: int) -> Outcome:
    """Send a letter anew, or put it away; ``place`` is how many of the step came before."""
    letter = _claim(listed, job)
    if isinstance(letter, Outcome):
        return letter
    if job.kind == Kind.DISCARD:
        for target in letter.targets:
            put_away(letter.about, target, job.actor, str(job.note))
        _pass_on(letter)
        return _write(letter, job, LetterState.DISCARDED)
    for target in letter.targets:
        take_up(letter.about, target, job.actor, {"letter": letter.letter_id})
    if not _send(letter, place // int(job.rate_per_second)):
        return _give_back(letter, job)
    return _write(letter, job, LetterState.REDRIVEN)


def _pass_on(letter: Letter) -> None:
    """Begin the next channel's turn, where they take turns and this one has surely missed."""
    try:
        message = messages.read(letter.text)
    except PoisonMessageError:
        return
    channel = Channel(letter.channel)
    if message.fallback_after is None or channel not in message.targets:
        return
    targets = legs.targets_of(message, channel)
    if legs.missed(state_of(Delivery(letter.about, target)) for target in targets):
        legs.pass_on(message, channel)


def _claim(listed: Letter, job: LetterJob) -> Letter | Outcome:
    """Take a letter in hand and read it; or tell why not."""
    free = (Letter.state == LetterState.STANDING) | (
        (Letter.state == LetterState.MOVING) & (Letter.lease_until < int(time.time()))
    )
    mine = listed.amend(
        [
            Letter.state.set(LetterState.MOVING),
            Letter.job_id.set(job.job_id),
            Letter.lease_until.set(int(time.time()) + LEASE),
        ],
        free,
    )
    try:
        listed.refresh(consistent_read=True)
    except Letter.DoesNotExist:
        return Outcome.GONE
    if mine:
        return listed
    return Outcome.HELD if listed.state == LetterState.MOVING else Outcome.GONE


def _send(letter: Letter, delay: int) -> bool:
    """Put the message into its channel's queue; False when SQS will never take it.

    What was urgent once can wait behind what is urgent now.
    """
    try:
        sqs().send_message(
            QueueUrl=queues.of(Channel(letter.channel)).normal,
            MessageBody=letter.text,
            DelaySeconds=delay,
        )
    except ClientError as error:
        if error.response["Error"]["Code"] not in REFUSED:
            raise
        return False
    return True


def _write(letter: Letter, job: LetterJob, state: LetterState) -> Outcome:
    """Record a letter's end."""
    ended: list[Any] = [
        *letters.ended(state),
        Letter.ended_at.set(timestamp(now())),
        Letter.ended_by.set(job.actor),
        *([Letter.note.set(job.note)] if job.note else []),
    ]
    return _count(letter, ended, job, [LetterJob.done.add(1)], Outcome.DONE)


def _give_back(letter: Letter, job: LetterJob) -> Outcome:
    """Let a letter stand again that cannot be sent, and count it."""
    for target in letter.targets:
        lay_back(letter.about, target, {"letter": letter.letter_id, "code": "refused"})
    back = [Letter.state.set(LetterState.STANDING), Letter.refused_by.set(job.job_id)]
    return _count(letter, back, job, [LetterJob.failed.add(1)], Outcome.FAILED)


def _count(
    letter: Letter, ends: list[Any], job: LetterJob, counts: list[Any], outcome: Outcome
) -> Outcome:
    """Write a letter's end and the job's count together; raises Problem among many writers."""
    mine = (Letter.job_id == job.job_id) & (Letter.state == LetterState.MOVING)
    known = LetterJob.job_id == job.job_id
    for _ in range(RACES):
        if transact(updating(letter, ends, mine), updating(job, counts, known)):
            return outcome
        letter.refresh(consistent_read=True)
        if letter.job_id != job.job_id or letter.state != LetterState.MOVING:
            return Outcome.GONE
    raise too_many_writers()


def _end(job: LetterJob) -> None:
    """Record that all is done: some of what was counted at first may have gone otherwise."""
    job.refresh(consistent_read=True)
    ended = [
        LetterJob.state.set(Progress.DONE),
        LetterJob.ended_at.set(timestamp(now())),
        LetterJob.total.set(int(job.done) + int(job.failed)),
    ]
    if job.amend(ended, LetterJob.state == Progress.RUNNING):
        logger().warning("dead letters cleared", extra=told(job).model_dump(mode="json"))
