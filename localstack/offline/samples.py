"""What the sample events speak of, put where a throwaway stack keeps it: so each of them works.

`python -m offline.samples` writes what the API would give other names than the events do; its
environment is that of a function of the stack, with the package carillon on its path.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from offline import cloud, deploy
from offline.environment import ROOT, offline_path, tool_environment
from offline.functions import configured
from offline.problems import OfflineError

if TYPE_CHECKING:
    from offline.stack import Stack

EVENTS = ROOT / "events"
ADMIN_TOKEN = "nk_admin_" + "a" * 43
"""As in events/clients-register.json."""
ACCOUNT = "auth-register"
DAY = 86_400

Json = dict[str, Any]


def put(stack: "Stack") -> None:
    """Put the samples' client, notification and job; then their template, user and account."""
    from offline import demo  # noqa: PLC0415 - it shows what a stack does, and so knows stacks

    variables = configured(stack.cloud, "UsersFunction").variables
    path = os.pathsep.join(str(ROOT / place) for place in ("localstack", "layers/common"))
    told = offline_path() | tool_environment(stack.cloud) | dict(variables) | {"PYTHONPATH": path}
    subprocess.run([sys.executable, "-m", "offline.samples"], env=told, check=True)
    for name in demo.BEFORE:
        demo.expect(demo.replay(stack.api, name, api_token()), name)
    demo.expect(demo.replay(stack.api, ACCOUNT, ADMIN_TOKEN), ACCOUNT)
    _put_notification(stack.cloud, variables["NOTIFICATIONS_TABLE"])
    _fill_inbox(stack.cloud)


def event(name: str) -> Json:
    """Return a sample event."""
    return dict(json.loads((EVENTS / f"{name}.json").read_text()))


def fitted(event: Json, variables: Mapping[str, str]) -> Json:
    """Return an event as if it came from a stack's own queue, by which a dead letter is known."""
    queues = json.loads(variables.get("CHANNEL_QUEUES", "{}"))
    own = {f"{channel}-dead": urls[-1].rpartition("/")[2] for channel, urls in queues.items()}
    records = []
    for record in event.get("Records", ()):
        account, _, queue = record.get("eventSourceARN", "").rpartition(":")
        known = {"eventSourceARN": f"{account}:{own[queue]}"} if queue in own else {}
        records.append(record | known)
    return event | ({"Records": records} if records else {})


def api_token() -> str:
    """Return the API token that the samples show."""
    return str(event("authorizer-token")["authorizationToken"]).removeprefix("Bearer ")


def _put_notification(endpoint: str, table: str) -> None:
    (record,) = event("counting-accepted")["Records"]
    lasts = {"expires_at": {"N": str(int(time.time()) + DAY)}}
    with cloud.client("dynamodb", endpoint) as dynamodb:
        dynamodb.put_item(TableName=table, Item=record["dynamodb"]["NewImage"] | lasts)


def _fill_inbox(endpoint: str) -> None:
    """Let the worker of the in-app channel deliver the notification."""
    arn = configured(endpoint, "InappFunction").arn
    payload = (EVENTS / "inapp-batch.json").read_bytes()
    with cloud.client("lambda", endpoint) as functions:
        answer = functions.invoke(FunctionName=arn, Payload=payload)
    said = answer["Payload"].read().decode(errors="replace")
    if "FunctionError" in answer or json.loads(said) != {"batchItemFailures": []}:
        raise OfflineError(f"{deploy.STACK}: events/inapp-batch.json was answered {said}")


def main() -> None:
    """Write the samples' client with its token, and the job that events/jobs-batch.json does."""
    from carillon.identity import APPLICATION  # noqa: PLC0415 - only this process has the package
    from carillon.models import now, timestamp  # noqa: PLC0415
    from carillon.tables import ApiKey, Client, ClientName, Job  # noqa: PLC0415

    caller = event("templates-read")["requestContext"]["authorizer"]
    client_id, tenant, token = caller["client_id"], caller["tenant"], api_token()
    key_id, moment = token.split("_")[2], timestamp(now())
    scopes = sorted(APPLICATION)
    key = {"key_id": key_id, "label": None, "scopes": scopes, "mode": "live"}
    Client(
        f"client#{client_id}",
        tenant=tenant,
        service_name="samples",
        notification_types=[],
        keys=[key | {"created_at": moment, "revoked_at": None}],
        created_at=moment,
        updated_at=moment,
    ).save()
    ClientName(f"name#{tenant}#samples", client_id=client_id).save()
    ApiKey(
        f"key#{key_id}",
        digest=hashlib.sha256(token.encode()).digest(),
        client_id=client_id,
        tenant=tenant,
        scopes=" ".join(scopes),
    ).save()
    task = json.loads(event("jobs-batch")["Records"][0]["body"])
    Job(
        f"{task['tenant']}#{task['user_id']}",
        f"job#{task['kind']}",
        job_id=task["job_id"],
        state="pending",
        requested_at=moment,
        queued_at=moment,
        expires_at=int(time.time()) + DAY,
    ).save()


if __name__ == "__main__":
    main()
