"""`carillon stage backup` and `restore`: what was lost comes back, and nothing that was ended."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from cloudformation import resources

from carillon import aggregates
from carillon.models import OPEN_STATES
from carillon_client.errors import CarillonError
from carillon_client.stage import backups
from carillon_client.stage.backups import Copy, Source, Tables

KEPT = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
THEN = "2026-11-21T15:04:05Z"
Json = dict[str, Any]


@dataclass
class Deployed:
    """The stage's tables, and the command line."""

    dynamodb: Any
    tables: Tables
    run: Callable[..., Any]

    def put(self, table: str, **item: Any) -> None:
        kinds = {str: "S", int: "N", bool: "BOOL"}
        told = {k: {kinds[type(v)]: str(v) if type(v) is int else v} for k, v in item.items()}
        self.dynamodb.put_item(TableName=self.tables.name(table), Item=told)

    def items(self, table: str) -> list[Json]:
        found = self.dynamodb.scan(TableName=self.tables.name(table))["Items"]
        return [{k: next(iter(v.values())) for k, v in each.items()} for each in found]

    def lose(self, table: str) -> None:
        name = self.tables.name(table)
        keys = [
            key["AttributeName"] for key in resources("AWS::DynamoDB::Table")[table]["KeySchema"]
        ]
        for item in self.dynamodb.scan(TableName=name)["Items"]:
            self.dynamodb.delete_item(TableName=name, Key={key: item[key] for key in keys})

    def restore(self, *words: str) -> str:
        done = self.run("restore", *words)
        assert done.exit_code == 0, done.output
        return str(done.output)


@pytest.fixture
def stage(account) -> Deployed:
    formation = boto3.client("cloudformation", region_name="eu-west-1")
    dynamodb = boto3.client("dynamodb", region_name="eu-west-1")
    for backup in dynamodb.list_backups()["BackupSummaries"]:
        dynamodb.delete_backup(BackupArn=backup["BackupArn"])
    for table in dynamodb.list_tables()["TableNames"]:
        dynamodb.delete_table(TableName=table)
    made = {
        name: {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {part: told[part] for part in KEPT if part in told},
        }
        for name, told in resources("AWS::DynamoDB::Table").items()
    }
    body = json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": made})
    formation.create_stack(StackName="carillon-dev", TemplateBody=body)

    def run(command: str, *words: str) -> Any:
        return account.run("stage", command, "--stage", "dev", *words)

    return Deployed(dynamodb, Tables(dynamodb, formation, "carillon-dev"), run)


def user(stage: Deployed, name: str, **more: Any) -> None:
    stage.put("UsersTable", key=f"default#{name}", part="profile", **more)


def test_h11_every_table_that_has_point_in_time_recovery_is_backed_up() -> None:
    recovered = {
        name
        for name, told in resources("AWS::DynamoDB::Table").items()
        if told["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    }
    assert set(backups.TABLES) == recovered
    streamed = {
        n for n, told in resources("AWS::DynamoDB::Table").items() if "StreamSpecification" in told
    }
    assert set(backups.STREAMED) == streamed
    assert {state.value for state in OPEN_STATES} == backups.OPEN
    assert backups.RESTORED == aggregates.RESTORED


def test_h11_what_was_deleted_is_back_and_what_came_since_stays(stage) -> None:
    user(stage, "ada", email="ada@example.com")
    user(stage, "bob", email="bob@example.com")
    assert stage.run("backup", "--name", "monday").output == "monday: 12 tables\n"
    before = stage.items("UsersTable")
    stage.lose("UsersTable")
    user(stage, "bob", email="bob@example.org")
    user(stage, "eve", email="eve@example.com")
    said = stage.restore("--backup", "monday", "--table", "UsersTable")
    assert said == "UsersTable: 2 looked at, 1 written, 1 kept, 0 left out\n"
    emails = {each["key"]: each["email"] for each in stage.items("UsersTable")}
    assert emails == {
        "default#ada": "ada@example.com",
        "default#bob": "bob@example.org",
        "default#eve": "eve@example.com",
    }
    again = stage.restore("--backup", "monday", "--table", "UsersTable")
    assert " 0 written, 2 kept" in again
    stage.restore("--backup", "monday", "--table", "UsersTable", "--replace")
    assert all(each in stage.items("UsersTable") for each in before)
    assert not [n for n in stage.dynamodb.list_tables()["TableNames"] if "restored" in n]


def test_h11_a_backup_is_made_once_under_its_name_and_listed(stage) -> None:
    stage.run("backup", "--name", "monday")
    assert stage.run("backup", "--name", "monday").output == "monday: 0 tables\n"
    made = stage.tables.backups()
    assert {each.table for each in made} == set(backups.TABLES)
    assert all(each.name in stage.run("backups").output for each in made)
    other = Tables(stage.dynamodb, stage.tables.formation, "carillon-prod")
    assert other.backups() == []


def test_h11_a_dry_run_writes_nothing_and_what_it_restored_is_used(stage) -> None:
    user(stage, "ada")
    words = ("--at", THEN, "--table", "UsersTable")
    assert " 0 to write, 1 kept" in stage.restore(*words, "--dry-run")
    stage.lose("UsersTable")
    assert " 1 to write, 0 kept" in stage.restore(*words, "--dry-run")
    assert stage.items("UsersTable") == []
    assert " 1 written, 0 kept" in stage.restore(*words)
    assert len(stage.items("UsersTable")) == 1


def test_h11_a_table_that_somebody_restored_by_hand_is_gone_on_with(stage) -> None:
    name = "carillon-dev-UsersTable-restored-by-hand"
    user(stage, "ada")
    stage.dynamodb.restore_table_to_point_in_time(
        SourceTableName=stage.tables.name("UsersTable"), TargetTableName=name
    )
    stage.lose("UsersTable")
    assert " 1 written" in stage.restore("--backup", "by-hand", "--table", "UsersTable")
    assert name not in stage.dynamodb.list_tables()["TableNames"]


def test_h11_the_moment_asked_for_is_the_one_restored_to(stage) -> None:
    asked: list[Json] = []
    stage.dynamodb.meta.events.register(
        "provide-client-params.dynamodb.RestoreTableToPointInTime",
        lambda params, **_: asked.append(params),
    )
    restored = stage.tables.restore("UsersTable", Source(at=backups.moment(THEN)))
    assert restored == "carillon-dev-UsersTable-restored-20261121T150405Z"
    assert asked[0]["RestoreDateTime"] == datetime(2026, 11, 21, 15, 4, 5, tzinfo=UTC)
    assert asked[0]["SourceTableName"] == stage.tables.name("UsersTable")


def test_h11_only_what_begins_with_the_key_is_brought_back(stage) -> None:
    user(stage, "ada")
    stage.put("UsersTable", key="acme#ada", part="profile")
    stage.run("backup", "--name", "monday")
    stage.lose("UsersTable")
    stage.restore("--backup", "monday", "--table", "UsersTable", "--key", "acme#")
    assert [each["key"] for each in stage.items("UsersTable")] == ["acme#ada"]


def test_h11_what_has_ended_since_is_left_out(stage) -> None:
    client = {"key": "client#shop", "tenant": "default"}
    stage.put("ClientsTable", **client, keys="[]")
    for name in ("good", "revoked", "forgotten"):
        stage.put("ClientsTable", key=f"key#{name}", client_id="shop")
    stage.put("ClientsTable", key="key#orphan", client_id="lost")
    stage.put("AccountsTable", key="session#1")
    stage.put("AccountsTable", key="account#default#ada@example.com")
    user(stage, "ada", expires_at=1_000_000_000)
    user(stage, "bob", expires_at=9_000_000_000)
    stage.run("backup", "--name", "monday")
    for table in ("ClientsTable", "AccountsTable", "UsersTable"):
        stage.lose(table)
    keys = [{"key_id": "good", "revoked_at": None}, {"key_id": "revoked", "revoked_at": THEN}]
    stage.put("ClientsTable", **client, keys=json.dumps(keys))
    stage.restore("--backup", "monday")
    assert {each["key"] for each in stage.items("ClientsTable")} == {
        *("client#shop", "key#good", "key#orphan"),
    }
    assert [e["key"] for e in stage.items("AccountsTable")] == ["account#default#ada@example.com"]
    assert [e["key"] for e in stage.items("UsersTable")] == ["default#bob"]


def test_h11_a_lifted_switch_is_not_set_again_unless_that_is_asked_for(stage) -> None:
    stage.put("ControlsTable", kind="controls", name="switch#channel#sms")
    stage.run("backup", "--name", "monday")
    stage.lose("ControlsTable")
    assert "ControlsTable" not in stage.restore("--backup", "monday")
    assert stage.items("ControlsTable") == []
    stage.restore("--backup", "monday", "--table", "ControlsTable")
    assert len(stage.items("ControlsTable")) == 1


def test_h11_an_open_delivery_comes_back_as_one_that_may_have_gone(stage) -> None:
    for name, state in (("a", "sent"), ("b", "retrying"), ("c", "sending")):
        stage.put("DeliveriesTable", notification_id=name, target="email", state=state)
    stage.run("backup", "--name", "monday")
    stage.lose("DeliveriesTable")
    stage.restore("--backup", "monday", "--table", "DeliveriesTable")
    found = {each["notification_id"]: each for each in stage.items("DeliveriesTable")}
    assert {name: each["state"] for name, each in found.items()} == {
        "a": "sent",
        "b": "sending",
        "c": "sending",
    }
    assert "lease_until" not in found["a"]
    assert (found["b"]["lease_until"], found["c"]["lease_until"]) == ("1", "1")
    assert all(each["restored"] for each in found.values())


def test_h11_deliveries_are_back_before_the_notifications_that_would_be_sent_anew(stage) -> None:
    stage.run("backup", "--name", "monday")
    told = [line.partition(":")[0] for line in stage.restore("--backup", "monday").splitlines()]
    assert told == [table for table in backups.TABLES if table != "ControlsTable"]
    assert told.index("DeliveriesTable") < told.index("NotificationsTable")


def test_h11_the_copy_keeps_its_pace(stage) -> None:
    for name in "abcde":
        user(stage, name)
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    stage.run("backup", "--name", "monday")
    stage.lose("UsersTable")
    restored = stage.tables.restore("UsersTable", Source(backup="monday"))
    pace = backups.paced(2, lambda: now[0], sleep)
    assert Copy(stage.tables, "UsersTable", restored).run(pace).written == 5
    assert now[0] == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "say which"),
        (("--backup", "monday", "--at", THEN), "say which"),
        (("--at", "yesterday"), "no moment"),
        (("--backup", "tuesday"), "there is no backup tuesday of ClientsTable"),
        (("--backup", "monday", "--table", "CustomersTable"), "no table CustomersTable"),
    ],
)
def test_h11_what_cannot_be_restored_is_said(stage, words, says) -> None:
    done = stage.run("restore", *words)
    assert done.exit_code == 1
    assert says in done.output


def test_h11_a_name_that_dynamodb_would_refuse_is_refused(stage) -> None:
    assert stage.run("backup", "--name", "a b").exit_code == 1


def test_h11_a_moment_without_a_zone_is_utc() -> None:
    assert backups.moment("2026-11-21T15:04:05") == backups.moment("2026-11-21T16:04:05+01:00")
    with pytest.raises(CarillonError):
        backups.moment("15:04")
