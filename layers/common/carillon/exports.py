"""All that is kept of a user, as one JSON document behind a link.

It is written to a temporary file first: a long history does not have to fit into memory.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from itertools import islice
from typing import IO, Any

from carillon import history, inbox, jobs, logins, users
from carillon.aws import s3
from carillon.errors import too_many_writers
from carillon.jobs import JobState, Kind, Task
from carillon.models import now, timestamp
from carillon.settings import settings
from carillon.status import message_of
from carillon.storage import saving, transact
from carillon.tables import (
    Job,
    Notification,
    Preferences,
    Profile,
    PushDevice,
    UserItem,
    user_items,
)

HANDED_OUT = timedelta(hours=1)
"""How long an export is handed out again before another is made."""
FAILED_FOR = timedelta(minutes=1)
LINK_SECONDS = 900
_AT_ONCE = 100
# How it is stored is nobody's but ours.
_INTERNAL = frozenset(
    {"key", "part", "kind", "version", "user", "position", "unread", "expires_at"}
)


def request(tenant: str, user_id: str) -> Job:
    """Return the user's export, begun now unless there is a recent one; raises Problem (404)."""
    for _ in range(users.WRITE_ATTEMPTS):
        users.profile(tenant, user_id)
        before = jobs.current(tenant, user_id, Kind.EXPORT)
        if before is not None and _still_good(before):
            if before.state == JobState.PENDING:
                jobs.again_if_lost(tenant, user_id, before)
            return before
        job = jobs.renewed(tenant, user_id, Kind.EXPORT, before)
        if transact(saving(job), users.existing(tenant, user_id)):
            jobs.enqueue(jobs.task_of(tenant, user_id, job))
            return job
    raise too_many_writers()


def _still_good(job: Job) -> bool:
    if job.state == JobState.PENDING:
        return True
    return jobs.age(job.ended_at) < (HANDED_OUT if job.state == JobState.READY else FAILED_FOR)


def link(tenant: str, user_id: str, job: Job) -> str | None:
    """Return a link to a ready export, good for LINK_SECONDS."""
    if job.state != JobState.READY:
        return None
    return s3().generate_presigned_url(
        "get_object",
        Params={
            "Bucket": settings().required("exports_bucket"),
            "Key": _name(tenant, user_id, job.job_id),
            "ResponseContentDisposition": 'attachment; filename="export.json"',
        },
        ExpiresIn=LINK_SECONDS,
    )


def run(task: Task) -> None:
    """Make the export of a task; nothing is left of it when the user was erased meanwhile."""
    if jobs.take(task) is None:
        return
    bucket, name = (
        settings().required("exports_bucket"),
        _name(task.tenant, task.user_id, task.job_id),
    )
    with tempfile.TemporaryFile() as file:
        for chunk in _document(task.tenant, task.user_id):
            file.write(chunk.encode())
        _upload(file, bucket, name)
    if not jobs.end(task, JobState.READY):
        current = jobs.current(task.tenant, task.user_id, Kind.EXPORT)
        if current is None or current.job_id != task.job_id:
            s3().delete_object(Bucket=bucket, Key=name)


def _upload(file: IO[bytes], bucket: str, name: str) -> None:
    file.seek(0)
    s3().put_object(Bucket=bucket, Key=name, Body=file, ContentType="application/json")


def erase(tenant: str, user_id: str) -> None:
    """Delete every export of a user."""
    bucket = settings().required("exports_bucket")
    pages = (
        s3()
        .get_paginator("list_objects_v2")
        .paginate(Bucket=bucket, Prefix=_folder(tenant, user_id))
    )
    for found in (each for page in pages for each in page.get("Contents", ())):
        s3().delete_object(Bucket=bucket, Key=found["Key"])


def _name(tenant: str, user_id: str, job_id: str) -> str:
    return f"{_folder(tenant, user_id)}{job_id}.json"


def _folder(tenant: str, user_id: str) -> str:
    # Names of objects turn up in logs; whose they are is not to be read there.
    return hashlib.sha256(json.dumps([tenant, user_id]).encode()).hexdigest() + "/"


def _document(tenant: str, user_id: str) -> Iterator[str]:
    """Yield the document in pieces."""
    kept = list(user_items(tenant, user_id))
    yield f'{{"user_id": {json.dumps(user_id)}, "exported_at": {json.dumps(timestamp(now()))}'
    yield f', "profile": {_json(_first(kept, Profile))}'
    yield f', "preferences": {_json(_first(kept, Preferences))}'
    account = logins.of_user(tenant, user_id)
    told = {"email": account.email, "created_at": account.created_at} if account else None
    yield f', "account": {_json(told)}'
    devices = (_plain(item) for item in kept if isinstance(item, PushDevice))
    yield from _list("devices", devices)
    yield from _list("inbox", (_plain(item) for item in inbox.entries(tenant, user_id)))
    yield from _list("notifications", _notifications(tenant, user_id))
    yield "}\n"


def _list(name: str, items: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    yield f', "{name}": ['
    for place, item in enumerate(items):
        yield f"{', ' if place else ''}{_json(item)}"
    yield "]"


def _json(value: Mapping[str, Any] | None) -> str:
    return json.dumps(value, ensure_ascii=False)


def _first(kept: Iterable[UserItem], kind: type[UserItem]) -> dict[str, Any] | None:
    return next((_plain(item) for item in kept if isinstance(item, kind)), None)


def _plain(item: Any) -> dict[str, Any]:
    """Return what an item says of its user."""
    return {name: value for name, value in item.attribute_values.items() if name not in _INTERNAL}


def _notifications(tenant: str, user_id: str) -> Iterator[dict[str, Any]]:
    theirs = history.recipient_user(tenant, user_id)
    found = history.all_of_user(tenant, user_id)
    while places := [record.place for record in islice(found, _AT_ONCE)]:
        records = [each for each in Notification.batch_get(places) if each.recipient == theirs]
        for entry in history.entries(sorted(records, key=lambda each: str(each.accepted))):
            message = message_of(entry.record)
            said = {"template", "inline", "variables", "metadata"}
            yield {
                **history.listed(entry).model_dump(mode="json", exclude={"user_id"}),
                "addresses": message.model_dump(mode="json")["targets"],
                **message.model_dump(mode="json", include=said),
            }
