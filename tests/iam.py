"""What AWS would allow: neither the mocked nor the embedded cloud enforces IAM, so this does.

Every call that a function makes in a test is compared with the statements of its role in
template.yaml, by IAM's own rules, and with the boundary of all roles. A call that AWS would deny
fails its test, also where the code lives on without it; a grant that no test has needed fails the
run of all tests (tests/functional/conftest.py).

The rules: https://docs.aws.amazon.com/service-authorization/latest/reference/ tells which action a
call asks for, on which resource; a transaction asks for those of its items.
"""

import fnmatch
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cloudformation import resources, template
from partiql import inserted

Json = dict[str, Any]

ACCOUNT, REGION = "123456789012", "us-east-1"
PARAMETERS: Json = {
    "Stage": "test",
    "SenderEmail": "carillon@example.com",
    "SmsOriginationIdentity": f"arn:aws:sms-voice:{REGION}:{ACCOUNT}:phone-number/phone-1",
    "PermissionsBoundaryArn": "",
}
PSEUDO = {"AWS::Partition": "aws", "AWS::Region": REGION, "AWS::AccountId": ACCOUNT}
ALIAS = "live"
CHANNELS = ("email", "sms", "push", "inapp")
QUEUES = {
    **{f"{name.capitalize()}Channel.QueueArn": name for name in CHANNELS},
    **{f"{name.capitalize()}Channel.UrgentQueueArn": f"{name}-urgent" for name in CHANNELS},
    **{f"{name.capitalize()}Channel.DeadLetterQueueArn": f"{name}-dead" for name in CHANNELS},
    "Jobs.QueueArn": "jobs",
    "Redrives.QueueArn": "redrives",
}
"""What the nested stacks' queues are called in the mocked cloud (tests/functional/conftest.py)."""


@dataclass(frozen=True)
class Request:
    """What a call asks for: an action on a resource, and what conditions look at."""

    action: str
    resource: str
    context: Mapping[str, list[str]] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Grant:
    """One action on one resource, as a statement allows it."""

    sid: str
    action: str
    resource: str  # may hold * and ?
    conditions: Mapping[str, Mapping[str, list[str]]] = field(default_factory=dict, compare=False)

    def allows(self, request: Request) -> bool:
        """Tell whether IAM would let the request through by this grant."""
        return (
            fnmatch.fnmatchcase(request.action.lower(), self.action.lower())
            and _like(request.resource, self.resource)
            and all(
                _CONDITIONS[operator](request.context.get(key), wanted)
                for operator, keys in self.conditions.items()
                for key, wanted in keys.items()
            )
        )


def _like(text: str, pattern: str) -> bool:
    # Only * and ? are wild in IAM; fnmatch knows brackets too.
    wild = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(wild, text, re.DOTALL) is not None


def _all_equal(found: list[str] | None, wanted: list[str]) -> bool:
    # A key that the request does not have satisfies ForAllValues: an empty set has no exception.
    return all(value in wanted for value in found or [])


def _all_like(found: list[str] | None, wanted: list[str]) -> bool:
    return all(any(_like(value, pattern) for pattern in wanted) for value in found or [])


def _equals(found: list[str] | None, wanted: list[str]) -> bool:
    return found is not None and any(value in wanted for value in found)


_CONDITIONS: dict[str, Callable[[list[str] | None, list[str]], bool]] = {
    "ForAllValues:StringEquals": _all_equal,
    "ForAllValues:StringLike": _all_like,
    "StringEquals": _equals,
}


# ---------------------------------------------------------------------------- what is granted


@cache
def grants(function: str) -> tuple[Grant, ...]:
    """Return what a function's statements grant, one action and resource at a time."""
    policies = resources("AWS::Serverless::Function")[function].get("Policies", [])
    return tuple(
        grant
        for policy in policies
        for statement in policy["Statement"]
        for grant in _granted(statement, resolved)
    )


@cache
def boundary() -> tuple[Grant, ...]:
    """Return what the boundary lets a role grant, in a stack that is called as the mocked one."""
    (policy,) = resources("AWS::IAM::ManagedPolicy", "infra/boundary.yaml").values()
    told = {"Prefix": "carillon-test", "Stage": "test"} | PSEUDO
    return tuple(
        grant
        for statement in policy["PolicyDocument"]["Statement"]
        for grant in _granted(statement, lambda value: resolved(value, told))
    )


def _granted(statement: Json, resolve: Callable[[Any], list[str]]) -> Iterator[Grant]:
    assert statement["Effect"] == "Allow"
    conditions = {
        operator: {
            key: [text for each in _listed(wanted) for text in resolve(each)]
            for key, wanted in keys.items()
        }
        for operator, keys in statement.get("Condition", {}).items()
    }
    for action in _listed(statement["Action"]):
        for resource in _listed(statement["Resource"]):
            for arn in resolve(resource):
                yield Grant(statement["Sid"], action, arn, conditions)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def resolved(value: Any, told: Mapping[str, Any] | None = None) -> list[str]:
    """Return the strings that CloudFormation would make of a value in the mocked cloud."""
    if isinstance(value, str):
        return [value]
    ((intrinsic, told_of),) = value.items()
    if intrinsic == "Ref":
        return [_reference(told_of, told)]
    if intrinsic == "Fn::GetAtt":
        return [_attribute(told_of)]
    if intrinsic == "Fn::Sub":
        filled = re.sub(
            r"\$\{([\w:.]+)\}",
            lambda found: _attribute(found[1]) if "." in found[1] else _reference(found[1], told),
            told_of,
        )
        return [filled]
    if intrinsic == "Fn::If":
        condition, then, _ = told_of
        assert condition == "HasSmsIdentity", f"say what {condition} is in the mocked cloud"
        return resolved(then, told)
    raise AssertionError(f"{intrinsic} in a statement: say what it resolves to")


def _reference(name: str, told: Mapping[str, Any] | None) -> str:
    known = told if told is not None else PARAMETERS | PSEUDO
    if name in known:
        return str(known[name])
    if name.endswith(".Alias"):
        return _arn("lambda", f"function:{name.removesuffix('.Alias')}:{ALIAS}")
    kind = _kinds()[name]
    if kind == "AWS::SNS::Topic":
        return _arn("sns", "notifications")
    raise AssertionError(f"Ref of {name} ({kind}) in a statement: say what it resolves to")


@cache
def _kinds() -> dict[str, str]:
    return {name: made["Type"] for name, made in template()["Resources"].items()}


def _attribute(path: str) -> str:
    name, _, attribute = path.partition(".")
    if attribute.startswith("Outputs."):
        return _arn("sqs", QUEUES[f"{name}.{attribute.removeprefix('Outputs.')}"])
    assert attribute == "Arn", path
    kind = _kinds()[name]
    named = {
        "AWS::DynamoDB::Table": _arn("dynamodb", f"table/{name}"),
        "AWS::Serverless::Function": _arn("lambda", f"function:{name}"),
        "AWS::S3::Bucket": "arn:aws:s3:::exports",
    }
    return named[kind]


def _arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


# ---------------------------------------------------------------------------- what is asked

ITEM = {
    "GetItem": "Key",
    "DeleteItem": "Key",
    "UpdateItem": "Key",
    "PutItem": "Item",
}
TRANSACTED = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}
QUEUE_ACTIONS = {
    "SendMessage": "SendMessage",
    "SendMessageBatch": "SendMessage",
    "ChangeMessageVisibility": "ChangeMessageVisibility",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "GetQueueAttributes": "GetQueueAttributes",
}
BUCKET_ACTIONS = {
    "PutObject": "PutObject",
    "GetObject": "GetObject",
    "HeadObject": "GetObject",
    "DeleteObject": "DeleteObject",
}
TOPIC_ACTIONS = {
    "Publish": "Publish",
    "PublishBatch": "Publish",
    "GetTopicAttributes": "GetTopicAttributes",
}


def asked(service: str, operation: str, told: Json) -> list[Request]:
    """Return what a call asks of IAM; raises AssertionError for a call it does not know."""
    make = _SERVICES.get(service)
    found = list(make(operation, told)) if make else []
    assert found, f"{service} {operation}: tests/iam.py does not know which action it asks for"
    return found


def _dynamodb(operation: str, told: Json) -> Iterator[Request]:
    if operation in ITEM:
        yield _item(operation, told["TableName"], told[ITEM[operation]])
    elif operation in ("Query", "Scan"):
        table, index = told["TableName"], told.get("IndexName")
        place = f"table/{table}" + (f"/index/{index}" if index else "")
        leading = _leading_of_query(told) if operation == "Query" else {}
        yield Request(f"dynamodb:{operation}", _arn("dynamodb", place), leading)
    elif operation in ("TransactWriteItems", "TransactGetItems"):
        for step in told["TransactItems"]:
            ((kind, item),) = step.items()
            yield _item(TRANSACTED[kind], item["TableName"], item.get("Key") or item["Item"])
    elif operation == "BatchExecuteStatement":
        for table, item in inserted(told):
            yield _item("PartiQLInsert", table, item)
    elif operation in ("BatchGetItem", "BatchWriteItem"):
        for table, wanted in told["RequestItems"].items():
            keys = wanted["Keys"] if operation == "BatchGetItem" else _written(wanted)
            found = [value for key in keys for value in _leading(table, key)]
            yield Request(
                f"dynamodb:{operation}",
                _arn("dynamodb", f"table/{table}"),
                {"dynamodb:LeadingKeys": found},
            )


def _written(requests: list[Json]) -> Iterator[Json]:
    for request in requests:
        yield (
            request["PutRequest"]["Item"]
            if "PutRequest" in request
            else request["DeleteRequest"]["Key"]
        )


def _item(operation: str, table: str, item: Json) -> Request:
    leading = {"dynamodb:LeadingKeys": _leading(table, item)}
    return Request(f"dynamodb:{operation}", _arn("dynamodb", f"table/{table}"), leading)


def _leading(table: str, item: Json) -> list[str]:
    name = _hash_key(table, None)
    return [str(next(iter(item[name].values())))] if name in item else []


def _leading_of_query(told: Json) -> dict[str, list[str]]:
    name = _hash_key(told["TableName"], told.get("IndexName"))
    if not name:
        return {}
    names = told.get("ExpressionAttributeNames", {})
    for placed, value in re.findall(r"(#?\w+) = (:\w+)", told["KeyConditionExpression"]):
        if names.get(placed, placed) == name:
            found = told["ExpressionAttributeValues"][value]
            return {"dynamodb:LeadingKeys": [str(next(iter(found.values())))]}
    raise AssertionError(f"no {name} in {told['KeyConditionExpression']}")


@cache
def _hash_key(table: str, index: str | None) -> str:
    made = resources("AWS::DynamoDB::Table").get(table)
    if made is None:
        return ""
    schema = made["KeySchema"]
    if index:
        (schema,) = (
            found["KeySchema"]
            for found in made["GlobalSecondaryIndexes"]
            if found["IndexName"] == index
        )
    return str(next(key["AttributeName"] for key in schema if key["KeyType"] == "HASH"))


def _sqs(operation: str, told: Json) -> Iterator[Request]:
    if operation in QUEUE_ACTIONS:
        queue = told["QueueUrl"].rpartition("/")[2]
        yield Request(f"sqs:{QUEUE_ACTIONS[operation]}", _arn("sqs", queue))


def _sns(operation: str, told: Json) -> Iterator[Request]:
    if operation in TOPIC_ACTIONS:
        yield Request(f"sns:{TOPIC_ACTIONS[operation]}", told["TopicArn"])


def _ssm(operation: str, told: Json) -> Iterator[Request]:
    if operation == "GetParameter":
        # Under alias/aws/ssm, decryption is for whoever may read the parameter.
        name = told["Name"].removeprefix("/")
        yield Request("ssm:GetParameter", _arn("ssm", f"parameter/{name}"))


def _s3(operation: str, told: Json) -> Iterator[Request]:
    bucket = f"arn:aws:s3:::{told['Bucket']}"
    if operation in BUCKET_ACTIONS:
        yield Request(f"s3:{BUCKET_ACTIONS[operation]}", f"{bucket}/{told['Key']}")
    elif operation == "DeleteObjects":
        for found in told["Delete"]["Objects"]:
            yield Request("s3:DeleteObject", f"{bucket}/{found['Key']}")
    elif operation == "ListObjectsV2":
        yield Request("s3:ListBucket", bucket)


def _ses(operation: str, told: Json) -> Iterator[Request]:
    if operation == "SendEmail":
        sender = told["FromEmailAddress"]
        address = re.sub(r".*<(.*)>", r"\1", sender)
        context = {"ses:FromAddress": [address]}
        yield Request("ses:SendEmail", _arn("ses", f"identity/{address}"), context)
        # Of the identity's default configuration set, when it has one.
        yield Request("ses:SendEmail", _arn("ses", "configuration-set/default"), context)


def _texts(operation: str, told: Json) -> Iterator[Request]:
    if operation == "SendTextMessage":
        yield Request("sms-voice:SendTextMessage", told["OriginationIdentity"])


def _lambda(operation: str, told: Json) -> Iterator[Request]:
    if operation == "Invoke":
        yield Request("lambda:InvokeFunction", _arn("lambda", f"function:{told['FunctionName']}"))


_SERVICES: dict[str, Callable[[str, Json], Iterator[Request]]] = {
    "dynamodb": _dynamodb,
    "lambda": _lambda,
    "pinpoint-sms-voice-v2": _texts,
    "s3": _s3,
    "sesv2": _ses,
    "sns": _sns,
    "sqs": _sqs,
    "ssm": _ssm,
}


# ---------------------------------------------------------------------------- who asks what


MISSING = re.compile(r"(?i:\b(gone|nowhere)$)|parameter/carillon/none/")
"""What tests name when a function is to find nothing where its table, topic or secret should be."""

PERIODS = frozenset({"deliveries#5m", "deliveries#1h"})
"""What requests are counted under. In the tests all functions share a process: whoever runs next
tells what another has counted. On Lambda those that count are those that tell."""


Used = Mapping[str, set[tuple[str, str, str]]]
"""Function -> sid, action and resource of each grant that let a call through."""


@dataclass
class Guard:
    """Watches the calls of whichever function runs."""

    running: list[str] = field(default_factory=list)
    used: dict[str, set[tuple[str, str, str]]] = field(default_factory=lambda: defaultdict(set))
    denied: list[str] = field(default_factory=list)

    @contextmanager
    def during(self, function: str) -> Iterator[None]:
        """Take calls for those of ``function``, whatever ran before it and will go on."""
        self.running.append(function)
        try:
            yield
        finally:
            self.running.pop()

    def invoke(self, function: str) -> None:
        """Note that what runs invokes a function."""
        self.ask(Request("lambda:InvokeFunction", _arn("lambda", f"function:{function}:{ALIAS}")))

    def hear(self, params: Json, model: Any, **_: object) -> None:
        """Take note of a call: a handler of botocore's event ``provide-client-params``."""
        self.note(model.service_model.service_name, model.name, params)

    def note(self, service: str, operation: str, params: Json) -> None:
        """Take note of a call."""
        if not self.running:
            return
        try:
            for request in asked(service, operation, params):
                self.ask(request)
        except (AssertionError, KeyError) as error:
            # What is raised here a function might take for a failing store.
            self.denied.append(f"{self.running[-1]} {operation}: {error!r}")

    def ask(self, request: Request) -> None:
        """Note which grants let the request through, or that none does."""
        function = self.running[-1]
        found = [grant for grant in grants(function) if grant.allows(request)]
        self.used[function] |= {(grant.sid, grant.action, grant.resource) for grant in found}
        anothers = PERIODS & set(request.context.get("dynamodb:LeadingKeys", []))
        if not found and not anothers and not MISSING.search(request.resource):
            about = json.dumps(dict(request.context)) if request.context else ""
            self.denied.append(f"{function} may not {request.action} {request.resource} {about}")


def unused(used: Used) -> Iterator[tuple[str, Grant]]:
    """Yield the grants that nothing has needed, each with its function."""
    for function in resources("AWS::Serverless::Function"):
        for grant in grants(function):
            if (grant.sid, grant.action, grant.resource) not in used.get(function, set()):
                yield function, grant
