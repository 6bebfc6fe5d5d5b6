"""DynamoDB as every table uses it: one connection, and writes that tell when they lost."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from pynamodb.connection import TableConnection
from pynamodb.connection.base import Connection, MetaTable
from pynamodb.constants import (
    ATTR_DEFINITIONS,
    ATTR_NAME,
    GLOBAL_SECONDARY_INDEXES,
    INDEX_NAME,
)
from pynamodb.exceptions import PutError, TransactWriteError, UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from carillon import signed
from carillon.settings import settings


class TableName:
    """A table's name, looked up when it is used: nothing happens at import."""

    def __init__(self, setting: str) -> None:
        self.setting = setting

    def __get__(self, instance: object, owner: type) -> str:
        return settings().required(self.setting)


class _Connection(Connection):
    """pynamodb's connection, which calls by the shorter way."""

    def __init__(self) -> None:
        super().__init__()
        self._short = signed.dynamodb()

    @property
    def client(self) -> Any:
        return self._short


class Item(Model):
    """An item of any table. All tables share one connection: each would load its own client."""

    @classmethod
    def _get_connection(cls) -> TableConnection:
        table = super()._get_connection()
        shared = connection()
        if table.connection is not shared:
            _make_known(shared, table.get_meta_table())
            table.connection = shared
        return table

    def amend(self, actions: Sequence[Action], condition: Condition) -> bool:
        """Update the stored item without reading it back; False when the condition fails."""
        key, part = self._get_hash_range_key_serialized_values()
        try:
            self._get_connection().update_item(
                key, range_key=part, actions=actions, condition=condition
            )
        except UpdateError as error:
            if error.cause_response_code == "ConditionalCheckFailedException":
                return False
            raise
        return True


def _make_known(shared: Connection, mine: MetaTable) -> None:
    """Tell the connection of a table; several kinds of item may live in it, with indexes or not."""
    try:
        shared.add_meta_table(mine)
    except ValueError:
        known = shared.get_meta_table(mine.table_name).data
        for part, name in ((ATTR_DEFINITIONS, ATTR_NAME), (GLOBAL_SECONDARY_INDEXES, INDEX_NAME)):
            there = {each[name] for each in known[part]}
            known[part] += [each for each in mine.data[part] if each[name] not in there]


@cache
def connection() -> _Connection:
    """Return the one connection of this process."""
    return _Connection()


Step = Callable[[TransactWrite], None]
"""A part of a transaction."""


STATEMENTS = 25
"""What DynamoDB takes in one request."""
CONFLICTS = frozenset({"ConditionalCheckFailed", "TransactionConflict"})


def is_conflict(error: PutError | UpdateError | TransactWriteError) -> bool:
    """Tell whether a write lost to another rather than to the store."""
    if isinstance(error, TransactWriteError):
        return any(reason and reason.code in CONFLICTS for reason in error.cancellation_reasons)
    return error.cause_response_code == "ConditionalCheckFailedException"


def transact(*steps: Step) -> bool:
    """Take the steps in one transaction; False, and nothing written, when one is refused."""
    try:
        with TransactWrite(connection=connection()) as transaction:
            for step in steps:
                step(transaction)
    except TransactWriteError as error:
        if is_conflict(error):
            return False
        raise
    return True


def saving(item: Item, condition: Condition | None = None) -> Step:
    """Step: write the item, over the version that was read where it has versions."""
    return lambda transaction: transaction.save(item, condition=condition)


def updating(item: Item, actions: Sequence[Action], condition: Condition) -> Step:
    """Step: change the stored item where the condition holds."""
    return lambda transaction: transaction.update(item, list(actions), condition=condition)


def deleting(item: Item, condition: Condition | None = None) -> Step:
    """Step: delete the item: the version that was read, unless a condition is given."""
    return lambda transaction: transaction.delete(
        item, condition=condition, add_version_condition=condition is None
    )


def requiring(condition: Condition, kind: type[Item], key: str, part: str) -> Step:
    """Step: write nothing unless the condition holds for what is at the key."""
    return lambda transaction: transaction.condition_check(kind, key, part, condition)


def create_all(*items: Item) -> bool:
    """Write new items in one transaction; False, and nothing written, when one exists already."""
    return transact(*(saving(item, is_new(item)) for item in items))


def replace_all(changed: Item, *new: Item, gone: Sequence[Item] = ()) -> bool:
    """Write an item over the version that was read, and new ones, together; False on a conflict.

    What is ``gone`` is deleted with them, whether it was there or not.
    """
    added = (saving(item, is_new(item)) for item in new)
    return transact(*added, saving(changed), *map(deleting, gone))


def replace(changed: Item) -> bool:
    """Write an item over the version that was read; False on a conflict."""
    try:
        changed.save()
    except PutError as error:
        if is_conflict(error) or error.cause_response_code == "TransactionConflictException":
            return False
        raise
    return True


def create_many(items: Sequence[Item]) -> list[bool]:
    """Write new items, twenty-five a call; tell of each whether it was written.

    What was not is there already, or was refused: ``create`` tells which. One request of PartiQL
    inserts each by itself and costs what a put costs; a transaction would cost twice as much, and
    a batch of writes knows no conditions.
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchExecuteStatement.html
    """
    done: list[bool] = []
    for begin in range(0, len(items), STATEMENTS):
        asked = [_insertion(item) for item in items[begin : begin + STATEMENTS]]
        answer = connection().client.call("BatchExecuteStatement", {"Statements": asked})
        done += ["Error" not in each for each in answer["Responses"]]
    return done


def _insertion(item: Item) -> dict[str, Any]:
    told = item.serialize()
    names = ", ".join(f"'{name}': ?" for name in told)
    table = item._get_connection().table_name  # noqa: SLF001 - pynamodb's name for it
    return {
        "Statement": f'INSERT INTO "{table}" VALUE {{{names}}}',
        "Parameters": list(told.values()),
    }


def create(item: Item, *, over: Condition | None = None) -> bool:
    """Write a new item; False, and nothing written, when one exists, but for one like ``over``."""
    free = is_new(item) if over is None else is_new(item) | over
    try:
        item.save(condition=free)
    except PutError as error:
        if is_conflict(error):
            return False
        raise
    return True


def is_new(item: Item) -> Condition:
    """Return the condition that the item is not there yet."""
    key = next(a for a in type(item).get_attributes().values() if a.is_hash_key)
    return key.does_not_exist()
