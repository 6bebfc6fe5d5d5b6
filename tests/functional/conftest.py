"""The stack's resources in moto, made from template.yaml itself."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol
from unittest.mock import patch
from urllib.parse import parse_qsl

import boto3
import guard
import pytest
import time_machine
from aws_lambda_powertools.event_handler.api_gateway import BaseRouter
from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError
from cloudformation import resources
from moto import mock_aws
from moto.core.models import botocore_stubber
from moto.dynamodb.models import dynamodb_backends
from partiql import inserted
from providers import Provider, Send

from carillon import delivery, pages, relay, signed
from carillon.identity import APPLICATION
from carillon.models import Channel, now
from carillon.settings import settings
from carillon_client.stage import signing

guard.set_up()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the ledger of what was granted and needed: a hook of pytest's."""
    if not config.pluginmanager.has_plugin("ledger"):
        config.pluginmanager.register(guard.Ledger(), "ledger")


Json = dict[str, Any]
ACCOUNT = "123456789012"
ADMIN_TOKEN = "nk_admin_" + "a" * 43  # as in events/clients-register.json


@pytest.fixture(autouse=True)
def _nothing_denied() -> Iterator[None]:
    """Fail a test in which a function does what its role does not allow."""
    guard.GUARD.denied.clear()
    yield
    assert guard.GUARD.denied == []


@dataclass
class Cloud:
    """Handles on the mocked cloud."""

    dynamodb: Any
    sns: Any
    sqs: Any
    ssm: Any
    topic: str
    s3: Any
    jobs: str
    redrives: str
    exports: str
    queues: dict[str, str]
    urgent: dict[str, str]
    dead_letters: dict[str, str]
    tables: dict[str, list[str]]
    admin_token: str = ADMIN_TOKEN
    standstill: bool = False  # of the stream of notifications

    def listed(self) -> None:
        """Let what the stream tells come into the clients' pages, as within moments on AWS."""
        if not self.standstill and (records := self._streamed()):
            with guard.GUARD.during("ListingFunction"):
                pages.keep(records)

    @staticmethod
    def _streamed() -> list[Json]:
        """Take what the stream tells since it was asked last."""
        shard = dynamodb_backends[ACCOUNT]["us-east-1"].tables["NotificationsTable"].stream_shard
        records = [each.to_json() for each in shard.items]
        shard.items.clear()
        return records

    def published(self, channel: str, *, urgent: bool | None = None) -> list[Json]:
        """Take what the queues of ``channel`` hold, or one of its lanes."""
        lanes = {False: self.queues, True: self.urgent}
        wanted = lanes if urgent is None else {urgent: lanes[urgent]}
        found: list[Json] = []
        for queues in wanted.values():
            reply = self.sqs.receive_message(
                QueueUrl=queues[channel], MaxNumberOfMessages=10, AttributeNames=["All"]
            )
            found += reply.get("Messages", [])
        return found

    def parked(self, channel: str) -> list[Json]:
        """Take what the dead-letter queue of ``channel`` holds."""
        reply = self.sqs.receive_message(
            QueueUrl=self.dead_letters[channel],
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
        )
        return list(reply.get("Messages", []))

    def items(self, table: str) -> list[Json]:
        """Return every item of a table, in DynamoDB's JSON."""
        return list(self.dynamodb.scan(TableName=table)["Items"])

    def untouched(self) -> bool:
        """Tell whether no notification was recorded and none published."""
        return not self.items("NotificationsTable") and not any(map(self.published, self.queues))

    def empty(self) -> None:
        """Delete every item and every message."""
        self.standstill = False
        for table, keys in self.tables.items():
            for item in self.items(table):
                key = {name: item[name] for name in keys}
                self.dynamodb.delete_item(TableName=table, Key=key)
        self._streamed()
        for found in self.s3.list_objects_v2(Bucket=self.exports).get("Contents", []):
            self.s3.delete_object(Bucket=self.exports, Key=found["Key"])
        lanes = (*self.queues.values(), *self.urgent.values())
        for url in [*lanes, *self.dead_letters.values(), self.jobs, self.redrives]:
            self.empty_queue(url)

    def empty_queue(self, url: str) -> None:
        """Delete every message of a queue."""
        # It can be purged once a minute; a new one of its name keeps its subscription.
        self.sqs.delete_queue(QueueUrl=url)
        _queue(self.sqs, url.rpartition("/")[2])


@pytest.fixture(scope="session")
def mocked() -> Iterator[Cloud]:
    """Make the resources once: that costs more than any test."""
    with pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "test")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        with mock_aws(), patch.object(signed.Client, "exchange", _in_moto(signed.Client.exchange)):
            yield _make()


def _insert(told: Json) -> Iterator[Json]:
    """Insert as DynamoDB does: moto takes no parameters in PartiQL."""
    dynamodb = signed.dynamodb()
    for table, item in inserted(told):
        key = resources("AWS::DynamoDB::Table")[table]["KeySchema"][0]["AttributeName"]
        free = f"attribute_not_exists({key})"
        put = {"TableName": table, "Item": item, "ConditionExpression": free}
        try:
            dynamodb.call("PutItem", put)
        except ClientError as error:
            yield {"Error": {"Code": error.response["Error"]["Code"]}}
        else:
            yield {"TableName": table}


def _in_moto(real: Callable[..., Any]) -> Callable[..., Any]:
    """Let moto answer signed calls as it does boto3's; what is not to AWS goes its own way."""

    def exchange(client: Any, base: str, path: str, headers: Json, body: bytes) -> Any:
        if headers.get("x-amz-target", "").endswith(".BatchExecuteStatement"):
            return 200, {}, json.dumps({"Responses": list(_insert(json.loads(body)))}).encode()
        told = HTTPHeaders()
        for name, value in headers.items():
            told[name] = value
        answer = botocore_stubber("", AWSPreparedRequest("POST", base + path, told, body, False))
        if answer is None:
            return real(client, base, path, headers, body)
        found = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status_code, found, answer.content

    return exchange


@pytest.fixture
def cloud(mocked: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """The resources, empty, and the environment that names them."""
    mocked.empty()
    for name in mocked.tables:
        monkeypatch.setenv(_variable(name), name)
    monkeypatch.setenv("TOPIC_ARN", mocked.topic)
    monkeypatch.setenv("JOBS_QUEUE_URL", mocked.jobs)
    monkeypatch.setenv("EXPORTS_BUCKET", mocked.exports)
    monkeypatch.setenv("REDRIVES_QUEUE_URL", mocked.redrives)
    monkeypatch.setenv("SECRETS_PREFIX", "/carillon/test")
    monkeypatch.setenv("SENDER_EMAIL", "carillon@example.com")
    channels = {
        name: [mocked.queues[name], mocked.urgent[name], mocked.dead_letters[name]]
        for name in mocked.queues
    }
    monkeypatch.setenv("CHANNEL_QUEUES", json.dumps(channels))
    monkeypatch.setenv("HEALTH_QUEUE_URLS", ",".join(mocked.queues.values()))
    return mocked


def _make() -> Cloud:
    dynamodb, sns, sqs, ssm = (boto3.client(name) for name in ("dynamodb", "sns", "sqs", "ssm"))
    tables = resources("AWS::DynamoDB::Table")
    for name, properties in tables.items():
        keys = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
        told = {key: properties[key] for key in keys if key in properties}
        if stream := properties.get("StreamSpecification"):
            told["StreamSpecification"] = {"StreamEnabled": True} | stream
        dynamodb.create_table(TableName=name, **told)
    topic = sns.create_topic(Name="notifications")["TopicArn"]
    queues, urgent, dead_letters = {}, {}, {}
    for channel in Channel:
        queues[channel.value] = _queue(sqs, channel.value)
        urgent[channel.value] = _queue(sqs, f"{channel.value}-urgent")
        dead_letters[channel.value] = _queue(sqs, f"{channel.value}-dead")
        _subscribe(sns, sqs, topic, queues[channel.value], "Subscription", channel.value)
        _subscribe(sns, sqs, topic, urgent[channel.value], "UrgentSubscription", channel.value)
    ssm.put_parameter(Name="/carillon/test/admin-token", Value=ADMIN_TOKEN, Type="SecureString")
    signing.rotate(ssm, "/carillon/test", grace=0, settle=0)
    keys_of = {name: [k["AttributeName"] for k in t["KeySchema"]] for name, t in tables.items()}
    s3, exports = boto3.client("s3"), "exports"
    s3.create_bucket(Bucket=exports)
    jobs, redrives = _queue(sqs, "jobs"), _queue(sqs, "redrives")
    return Cloud(
        *(dynamodb, sns, sqs, ssm, topic, s3, jobs, redrives, exports),
        queues,
        urgent,
        dead_letters,
        keys_of,
    )


def _variable(table: str) -> str:
    return table.removesuffix("Table").upper() + "_TABLE"


def _queue(sqs: Any, name: str) -> str:
    return str(sqs.create_queue(QueueName=name)["QueueUrl"])


def _subscribe(sns: Any, sqs: Any, topic: str, queue: str, name: str, channel: str) -> None:
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    subscription = resources("AWS::SNS::Subscription", "infra/channel.yaml")[name]
    assert subscription["FilterPolicy"]["channel"] == [{"Ref": "Channel"}]
    policy = json.dumps(subscription["FilterPolicy"] | {"channel": [channel]})
    sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=arn["Attributes"]["QueueArn"],
        Attributes={"FilterPolicy": policy, "RawMessageDelivery": "true"},
    )


@dataclass
class Context:
    """A Lambda context with time to spare."""

    aws_request_id: str = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
    function_name: str = "function"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:function"
    remaining_ms: int = 60_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


@dataclass
class Reply:
    """An API answer, unpacked."""

    status: int
    headers: Mapping[str, str]
    body: Json = field(default_factory=dict)

    @property
    def data(self) -> Any:
        return self.body["data"]


class Call(Protocol):
    def __call__(
        self,
        module: ModuleType,
        event: Json,
        *,
        body: Any = ...,
        raw: str | None = ...,
        headers: Mapping[str, str] = ...,
        path: Mapping[str, str] | None = ...,
        query: Mapping[str, str] | None = ...,
        caller: Mapping[str, str] | None = ...,
    ) -> Reply: ...


_SAME: Any = object()


@pytest.fixture
def call(request: pytest.FixtureRequest) -> Call:
    """Return a caller of API handlers with a sample event, changed where told.

    What it accepted is in the lists then, unless the stream stands still.
    """
    cloud = request.getfixturevalue("cloud") if "cloud" in request.fixturenames else None

    def send(
        module: ModuleType,
        event: Json,
        *,
        body: Any = _SAME,
        raw: str | None = None,
        headers: Mapping[str, str] | None = None,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        caller: Mapping[str, str] | None = None,
    ) -> Reply:
        event = json.loads(json.dumps(event))
        if body is not _SAME:
            event["body"] = json.dumps(body)
        if raw is not None:
            event["body"] = raw
        for name, value in (headers or {}).items():
            event["headers"][name] = value
            event["multiValueHeaders"][name] = [value]
        for name, value in (path or {}).items():
            event["path"] = event["path"].replace(event["pathParameters"][name], value)
            event["pathParameters"][name] = value
        if query is not None:
            event["queryStringParameters"] = dict(query)
            event["multiValueQueryStringParameters"] = {k: [v] for k, v in query.items()}
        if caller is not None:
            event["requestContext"]["authorizer"] = dict(caller)
        answer = module.lambda_handler(event, Context())
        if cloud:
            cloud.listed()
        found = {name: values[0] for name, values in answer["multiValueHeaders"].items()}
        is_json = "json" in found.get("Content-Type", "json")
        body = json.loads(answer.get("body") or "{}") if is_json else {}
        return Reply(answer["statusCode"], found, body)

    return send


APPLICATION_CALLER = {
    "client_id": "3f1c2c1e-6a55-4a5e-9d0b-0c6f0a4f2d11",  # as in events/
    "tenant": "default",
    "scope": " ".join(sorted(APPLICATION)),
}
ADMIN_CALLER = {"client_id": "admin", "tenant": "default", "scope": "admin ops users"}


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def prepared(cloud: Cloud, call: Call, sample: Callable[[str], Json]) -> Cloud:
    """A cloud in which the sample template and user exist."""
    from functions.api.templates import handler as templates  # noqa: PLC0415
    from functions.api.users import handler as users  # noqa: PLC0415

    assert call(templates, sample("templates-create")).status == 201
    assert call(users, sample("users-put")).status == 201
    assert call(users, sample("users-push-token")).status == 201
    return cloud


@pytest.fixture
def send(prepared: Cloud, call: Call, sample: Callable[[str], Json]) -> Callable[..., Reply]:
    """Return a sender of the sample notification, changed where told."""
    from functions.api.notifications import handler  # noqa: PLC0415

    event = sample("notifications-send")
    body = json.loads(event["body"])

    def send(_change: Json | None = None, **how: Any) -> Reply:
        return call(handler, event, body=body | (_change or {}), **how)

    return send


class Ask(Protocol):
    def __call__(
        self,
        method: str,
        path: str,
        body: Any = ...,
        *,
        query: Mapping[str, str] | None = ...,
        headers: Mapping[str, str] | None = ...,
        caller: Mapping[str, str] | None = ...,
    ) -> Reply: ...


@pytest.fixture
def ask(cloud: Cloud, call: Call, sample: Callable[[str], Json]) -> Ask:
    """Return a caller of any route by its method and path; ``caller`` None means nobody."""

    def send(
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        caller: Mapping[str, str] | None = APPLICATION_CALLER,
    ) -> Reply:
        resource, parameters, module = served_by(method, path.rstrip("/"))
        event = sample("users-put") | {
            "httpMethod": method,
            "resource": resource,
            "path": path,
            "pathParameters": parameters or None,
        }
        event["requestContext"] |= {"resourcePath": resource, "httpMethod": method}
        del event["requestContext"]["authorizer"]
        raw = "" if body is None else json.dumps(body)
        handler = import_module(module)
        return call(handler, event, raw=raw, query=query, headers=headers or {}, caller=caller)

    return send


@pytest.fixture
def api(ask: Ask) -> Callable[..., Reply]:
    """Return the same with the query in the path and the headers as keywords."""

    def api(
        method: str,
        path: str,
        body: Any = None,
        caller: Mapping[str, str] | None = APPLICATION_CALLER,
        **headers: str,
    ) -> Reply:
        path, _, query = path.partition("?")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        told = dict(parse_qsl(query)) or None
        return ask(method, path, body, query=told, headers=named, caller=caller)

    return api


def served_by(method: str, path: str) -> tuple[str, dict[str, str], str]:
    """Return the template's resource for a path, its parameters, and the function's module."""
    for verb, resource, module in _routes():
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", resource)
        if verb == method and (match := re.fullmatch(pattern, path)):
            return resource, match.groupdict(), module
    raise AssertionError(f"template.yaml has no route {method} {path}")


@cache
def _routes() -> list[tuple[str, str, str]]:
    found = [
        (
            event["Properties"]["Method"],
            event["Properties"]["Path"],
            f"{function['CodeUri'].replace('/', '.')}.handler",
        )
        for function in resources("AWS::Serverless::Function").values()
        for event in function.get("Events", {}).values()
        if event["Type"] == "Api"
    ]
    # A literal step wins over a parameter, as in API Gateway.
    return sorted(found, key=lambda route: route[1].replace("{", "~"))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, context: Context) -> None:
    """Let functions invoke each other in this process."""

    def invoke(name: str, event: Json) -> Json:
        # On Lambda they are two processes; here they share the resolver's notes.
        ours = (BaseRouter.current_event, BaseRouter.lambda_context)
        guard.GUARD.invoke(named[name])
        answer = import_module(name).lambda_handler(json.loads(json.dumps(event)), context)
        BaseRouter.current_event, BaseRouter.lambda_context = ours
        return dict(json.loads(json.dumps(answer)))

    monkeypatch.setattr(relay, "invoke", invoke)
    functions = resources("AWS::Serverless::Function")
    named = {
        f"{made['CodeUri'].replace('/', '.')}.handler": name for name, made in functions.items()
    }
    for variable, told in functions["SeedsFunction"]["Environment"]["Variables"].items():
        made = functions[told["Ref"].removesuffix(".Alias")]
        monkeypatch.setenv(variable, _module(made))
    settings.cache_clear()


def _module(function: Json) -> str:
    return f"{function['CodeUri'].replace('/', '.')}.handler"


Deliver = Callable[..., Provider]
BATCH = "batchItemFailures"


@pytest.fixture
def deliver(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, context: Context) -> Iterator[Deliver]:
    """Return a worker of one channel: it takes what the queue holds, and each again if it must.

    Where something is to come again, the clock goes on until it may.
    """

    def work(channel: str, does: Send | None = None) -> Provider:
        monkeypatch.setenv("QUEUE_URL", cloud.queues[channel])
        monkeypatch.setenv("DEAD_LETTER_QUEUE_URL", cloud.dead_letters[channel])
        settings.cache_clear()
        provider = Provider(does) if does else Provider()
        records = [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
            }
            for message in cloud.published(channel, urgent=False)
        ]
        work = delivery.consumer(Channel(channel), {f"fake-{channel}": provider})
        again = {each["itemIdentifier"] for each in work({"Records": records}, context)[BATCH]}
        for record in records:  # as the event source mapping does
            if record["messageId"] not in again:
                cloud.sqs.delete_message(
                    QueueUrl=cloud.queues[channel], ReceiptHandle=record["receiptHandle"]
                )
        if again:
            held = time_machine.traveller_stack
            later = time_machine.travel(now(), tick=True)
            (held[-1] if held else clocks.enter_context(later)).shift(1000)
        return provider

    with ExitStack() as clocks:
        yield work
