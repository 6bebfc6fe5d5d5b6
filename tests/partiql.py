"""The one statement of PartiQL that the product writes, read back."""

import re
from collections.abc import Iterator
from typing import Any

_INSERT = re.compile(r'INSERT INTO "([^"]+)" VALUE \{(.*)\}')

Json = dict[str, Any]


def inserted(told: Json) -> Iterator[tuple[str, Json]]:
    """Yield the table and the item of each insertion of a BatchExecuteStatement."""
    for each in told["Statements"]:
        found = _INSERT.fullmatch(each["Statement"])
        assert found, each["Statement"]
        names = re.findall(r"'(\w+)': \?", found[2])
        yield found[1], dict(zip(names, each["Parameters"], strict=True))
