"""Copies of a stage's tables, and what was lost brought back from them (docs/backup.md).

DynamoDB restores into a table of its own; from there items are copied into the stage's.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from carillon_client.errors import CarillonError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient

CONTROLS = "ControlsTable"
# A delivery comes before its notification: one without any would be sent anew.
TABLES = (
    *("ClientsTable", "TemplatesTable", "UsersTable", "AccountsTable"),
    *("DeliveriesTable", "NotificationsTable", "HistoryTable", "InboxTable"),
    *("DeadLettersTable", "AuditTable", "CountersTable", CONTROLS),
)
"""What is kept, in the order in which it is brought back."""
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]{2,39}")
OPEN = frozenset({"queued", "sending", "retrying"})
"""States of a delivery that a worker goes on with."""
STREAMED = ("DeliveriesTable", "NotificationsTable")
RESTORED = "restored"
"""Marks what was copied back: it was counted when it was new (carillon/aggregates.py)."""
LATE = "late"
"""What a sweep of then was to look at (carillon/pages.py)."""
LOOK_SECONDS = 5
LOOKS = 4 * 3600 // LOOK_SECONDS

Item = dict[str, Any]


class BackupError(CarillonError):
    """There is no such backup, or it is not of this stage."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of one table."""

    name: str
    table: str  # its name in the template
    arn: str
    made_at: datetime
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class Source:
    """What a table is restored from: a backup of that name, or a moment of the last 35 days."""

    backup: str | None = None
    at: datetime | None = None

    @property
    def label(self) -> str:
        """Return what the table that it is restored into is called after."""
        return self.backup or f"{self.at:%Y%m%dT%H%M%SZ}"


@dataclass(slots=True)
class Copied:
    """What became of the items of a copy."""

    looked_at: int = 0
    written: int = 0
    kept: int = 0  # the stage has one at that key, which stays
    left_out: int = 0  # lapsed, ended or revoked since


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of a deployed stage."""

    dynamodb: "DynamoDBClient"
    formation: "CloudFormationClient"
    stack: str

    def name(self, table: str) -> str:
        """Return the table's own name; raises ClientError."""
        told = self.formation.describe_stack_resource(StackName=self.stack, LogicalResourceId=table)
        return told["StackResourceDetail"]["PhysicalResourceId"]

    def back_up(self, name: str) -> list[str]:
        """Copy every table under a name; return which. Those that have such a copy keep it."""
        there = {each.table for each in self.backups() if each.name == name}
        wanted = [table for table in TABLES if table not in there]
        for table in wanted:
            self.dynamodb.create_backup(
                TableName=self.name(table), BackupName=f"{self.stack}.{table}.{name}"
            )
        return wanted

    def backups(self) -> list[Backup]:
        """Return the stage's backups, oldest first: those of tables that are gone included."""
        told: dict[str, Any] = {"BackupType": "USER"}
        found: list[Backup] = []
        while True:
            page = self.dynamodb.list_backups(**told)
            for each in page["BackupSummaries"]:
                stack, _, rest = each["BackupName"].partition(".")
                table, _, name = rest.partition(".")
                if stack == self.stack and table in TABLES:
                    made, size = each["BackupCreationDateTime"], each.get("BackupSizeBytes", 0)
                    found.append(Backup(name, table, each["BackupArn"], made, size))
            if "LastEvaluatedBackupArn" not in page:
                return sorted(found, key=lambda backup: backup.made_at)
            told["ExclusiveStartBackupArn"] = page["LastEvaluatedBackupArn"]

    def restore(self, table: str, source: Source) -> str:
        """Restore into a table beside the stage's, unless it is there; return its name.

        Raises BackupError, ClientError. It takes minutes; the larger the longer.
        """
        name = f"{self.stack}-{table}-restored-{source.label}"
        try:
            self.dynamodb.describe_table(TableName=name)
        except self.dynamodb.exceptions.ResourceNotFoundException:
            self._begin(table, source, name)
        self.dynamodb.get_waiter("table_exists").wait(
            TableName=name, WaiterConfig={"Delay": LOOK_SECONDS, "MaxAttempts": LOOKS}
        )
        return name

    def _begin(self, table: str, source: Source, name: str) -> None:
        if source.backup:
            arn = self._backup(table, source.backup)
            self.dynamodb.restore_table_from_backup(TargetTableName=name, BackupArn=arn)
        elif source.at:
            self.dynamodb.restore_table_to_point_in_time(
                SourceTableName=self.name(table),
                TargetTableName=name,
                RestoreDateTime=source.at,
            )

    def _backup(self, table: str, name: str) -> str:
        found = [each.arn for each in self.backups() if (each.table, each.name) == (table, name)]
        if not found:
            raise BackupError(f"there is no backup {name} of {table}")
        return found[-1]

    def forget(self, restored: str) -> None:
        """Delete a restored table."""
        self.dynamodb.delete_table(TableName=restored)


@dataclass(frozen=True, slots=True)
class Copy:
    """Items of a restored table on their way into the stage's.

    ``replace``: what the stage has is written over, too. ``prefix``: of the partition key.
    """

    tables: Tables
    table: str
    restored: str
    prefix: str = ""
    replace: bool = False
    dry_run: bool = False

    def run(self, pace: Callable[[], None]) -> Copied:
        """Copy what is missing. Nothing depends on where an earlier run stopped."""
        copied = Copied()
        name = self.tables.name(self.table)
        key = self._key(name)
        for item in self._items(key):
            copied.looked_at += 1
            if self._is_over(item, name):
                copied.left_out += 1
                continue
            pace()
            if self._write(name, key, item):
                copied.written += 1
            else:
                copied.kept += 1
        return copied

    def _key(self, name: str) -> Sequence[str]:
        table = self.tables.dynamodb.describe_table(TableName=name)["Table"]
        schema = sorted(table["KeySchema"], key=lambda part: part["KeyType"])  # HASH, RANGE
        return [part["AttributeName"] for part in schema]

    def _items(self, key: Sequence[str]) -> Iterator[Item]:
        told: dict[str, Any] = {"TableName": self.restored}
        if self.prefix:
            told |= {
                "FilterExpression": "begins_with(#key, :prefix)",
                "ExpressionAttributeNames": {"#key": key[0]},
                "ExpressionAttributeValues": {":prefix": {"S": self.prefix}},
            }
        for page in self.tables.dynamodb.get_paginator("scan").paginate(**told):
            yield from page["Items"]

    def _is_over(self, item: Item, name: str) -> bool:
        """Tell whether an item is over: its time, a session, a late page, a revoked token."""
        if "expires_at" in item and float(item["expires_at"]["N"]) < time.time():
            return True
        if self.table == "HistoryTable":
            return bool(item["sender"]["S"] == LATE)
        if self.table == "AccountsTable":
            return bool(item["key"]["S"].startswith("session#"))
        if self.table == "ClientsTable" and item["key"]["S"].startswith("key#"):
            return self._is_revoked(item, name)
        return False

    def _is_revoked(self, token: Item, name: str) -> bool:
        """Tell whether the stage knows the token's client, and the token no longer as its own."""
        place = {"key": {"S": f"client#{token['client_id']['S']}"}}
        reply = self.tables.dynamodb.get_item(TableName=name, Key=place, ConsistentRead=True)
        if "Item" not in reply:
            return False
        keys = json.loads(reply["Item"]["keys"]["S"])
        mine = token["key"]["S"].removeprefix("key#")
        return mine not in {each["key_id"] for each in keys if not each["revoked_at"]}

    def _write(self, name: str, key: Sequence[str], item: Item) -> bool:
        """Write an item where there is none, or over it; False where the stage's own stays."""
        dynamodb = self.tables.dynamodb
        place = {part: item[part] for part in key}
        if self.dry_run:
            there = "Item" in dynamodb.get_item(TableName=name, Key=place, ConsistentRead=True)
            return self.replace or not there
        try:
            dynamodb.put_item(
                TableName=name,
                Item=self._brought_back(item),
                ConditionExpression="attribute_not_exists(#key)",
                ExpressionAttributeNames={"#key": key[0]},
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            if self.replace:
                # Counted as the change it is: what the stage had was counted, too.
                dynamodb.put_item(TableName=name, Item=_in_doubt(self.table, item))
            return self.replace
        return True

    def _brought_back(self, item: Item) -> Item:
        mark = {RESTORED: {"BOOL": True}} if self.table in STREAMED else {}
        return _in_doubt(self.table, item) | mark


def _in_doubt(table: str, item: Item) -> Item:
    """Return the item; a delivery that was open then may have gone since.

    So it is as one whose worker died in the call: whoever takes it over knows what to do.
    """
    if table == "DeliveriesTable" and item["state"]["S"] in OPEN:
        return item | {"state": {"S": "sending"}, "lease_until": {"N": "1"}}
    return item


def moment(text: str) -> datetime:
    """Return the moment that is written in ISO 8601, UTC unless it says; raises BackupError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BackupError(f"'{text}' is no moment: 2026-11-21T15:04:05Z is one") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def paced(
    rate: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> Callable[[], None]:
    """Return what lets ``rate`` calls a second pass, by waiting."""
    due = clock()

    def pace() -> None:
        nonlocal due
        due = max(due, clock() - 1) + 1 / rate
        if (wait := due - clock()) > 0:
            sleep(wait)

    return pace
