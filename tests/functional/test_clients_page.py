"""docs/clients.md: its requests, in their order, are answered as it says."""

import json
import re
from typing import Any

from cloudformation import ROOT
from functional.conftest import ADMIN_CALLER

from carillon.identity import Scope

PAGE = (ROOT / "docs/clients.md").read_text()
EXAMPLE = re.compile(
    r"```http\n(?P<method>\w+) (?P<path>\S+)\n(?P<body>.*?)```\n(?:\n```json\n(?P<answer>.*?)```)?",
    re.DOTALL,
)
# What differs from run to run.
VOLATILE = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|(?<=nk_live_)[0-9a-f]{12}_[\w-]{43}"
    r"|(?<=\")[0-9a-f]{12}(?=\")"
    r"|\d{4}-\d\d-\d\dT[\d:.]+Z"
)


def plain(data: Any) -> str:
    return VOLATILE.sub("*", json.dumps(data))


def test_every_request_of_the_page_is_answered_as_it_says(api) -> None:
    known: dict[str, str] = {}
    statuses = []
    for example in EXAMPLE.finditer(PAGE):
        path = example["path"].format(**known)
        body = json.loads(example["body"]) if example["body"] else None
        headers = {"Authorization": "Bearer nk_admin_" + "a" * 43}
        reply = api(example["method"], path, body, caller=ADMIN_CALLER, **headers)
        statuses.append(reply.status)
        if example["answer"]:
            assert plain(reply.data) == plain(json.loads(example["answer"]))
            known |= {name: str(value) for name, value in reply.data.items()}
    assert statuses == [201, 201, 204]


def test_the_page_s_table_has_every_scope_a_key_may_have() -> None:
    told = set(re.findall(r"^\| `([\w:]+)` \|", PAGE, re.MULTILINE))
    assert told == set(Scope) - {Scope.ADMIN, Scope.SELF}
