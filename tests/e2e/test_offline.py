"""The real template on the embedded cloud, over HTTP: every channel, once."""

import re
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
import requests
from served import Api

from offline import stack as offline

pytestmark = pytest.mark.e2e

CHANNELS = ["email", "sms", "push", "inapp"]
Json = dict[str, Any]


HELLO = {"user_id": "ada", "template_code": "hello", "variables": {"name": "Ada"}}


def test_one_post_delivers_exactly_one_of_each_and_a_repeat_nothing_more(api) -> None:
    key = uuid.uuid4().hex
    first = api.send(HELLO | {"channels": CHANNELS}, key)
    assert first.status_code == 202
    notification_id = first.json()["data"]["notification_id"]
    assert first.headers["Location"] == f"/api/v1/notifications/{notification_id}"
    ended = api.ended(notification_id)
    assert {channel: d["status"] for channel, d in ended.items()} == dict.fromkeys(CHANNELS, "sent")
    again = api.send(HELLO | {"channels": CHANNELS}, key)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["data"] == first.json()["data"]
    # Anything a repeat had queued would be behind this marker, in each channel's queue.
    marker = api.send(HELLO | {"channels": CHANNELS}).json()["data"]["notification_id"]
    api.ended(marker)
    got = {message["channel"]: message for message in api.arrived(notification_id)}
    assert Counter(m["channel"] for m in api.arrived(notification_id)) == dict.fromkeys(
        ("email", "sms", "push"), 1
    )
    for channel, message in got.items():
        assert ended[channel]["provider_message_id"] == message["provider_message_id"]
        assert ended[channel]["to"] == message["to"]
    assert (got["email"]["subject"], got["sms"]["body"]) == ("Hi Ada", "Hi Ada")
    inbox = api.call("GET", "/api/v1/users/ada/notifications?channel=inapp").json()["data"]
    assert [e["notification_id"] for e in inbox].count(notification_id) == 1


def test_a_channel_not_named_sees_nothing(api) -> None:
    sent = api.send(HELLO | {"channels": ["sms"]}).json()["data"]["notification_id"]
    api.ended(sent)
    api.ended(api.send(HELLO | {"channels": CHANNELS}).json()["data"]["notification_id"])
    assert [message["channel"] for message in api.arrived(sent)] == ["sms"]


def test_twenty_at_once_with_one_key_and_two_bodies_send_one_a_d03(api) -> None:
    key, start = uuid.uuid4().hex, threading.Barrier(20)

    def one(n: int) -> requests.Response:
        start.wait()
        return api.send(HELLO | {"channels": ["email"], "priority": 1 + n % 2}, key)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(one, range(20)))
    assert Counter(a.status_code for a in answers) == {202: 10, 422: 10}
    (notification_id,) = {
        a.json()["data"]["notification_id"] for a in answers if a.status_code == 202
    }
    api.ended(notification_id)
    api.ended(api.send(HELLO | {"channels": ["email"]}).json()["data"]["notification_id"])
    assert len(api.arrived(notification_id)) == 1


def test_a8_of_twenty_at_once_with_one_key_one_runs(api) -> None:
    """The others are told to wait, or get its answer."""
    body = {"code": f"race-{uuid.uuid4().hex[:8]}", "content": "Hello"}
    key, start = uuid.uuid4().hex, threading.Barrier(20)

    def one(_: int) -> requests.Response:
        start.wait()
        return api.call("POST", "/api/v1/templates", body, Idempotency_Key=key)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(one, range(20)))
    made = [answer for answer in answers if answer.status_code == 201]
    told = {answer.json()["code"] for answer in answers if answer not in made}
    assert told <= {"in-progress"}
    assert ["Idempotent-Replayed" in answer.headers for answer in made].count(False) == 1
    assert len({answer.text for answer in made}) == 1
    again = api.call("POST", "/api/v1/templates", body, Idempotency_Key=key)
    assert again.text == made[0].text
    assert again.headers["Idempotent-Replayed"] == "true"


def test_writers_that_race_lose_nothing(api: Api) -> None:
    """Each patch names another field: all of them are there in the end."""
    assert api.call("PUT", "/api/v1/users/race", {}).status_code == 201
    wanted = {
        "full_name": "Ada King",
        "locale": "fr",
        "timezone": "Europe/Paris",
        "email": "king@example.com",
    }
    start = threading.Barrier(len(wanted))

    def change(field: str) -> int:
        start.wait()
        body = {field: wanted[field]}
        return api.call("PATCH", "/api/v1/users/race", body).status_code

    with ThreadPoolExecutor(len(wanted)) as pool:
        assert set(pool.map(change, wanted)) == {200}
    data = api.call("GET", "/api/v1/users/race").json()["data"]
    assert {field: data[field] for field in wanted} == wanted


def test_b10_what_a_test_key_sends_arrives_nowhere(stack: offline.Stack) -> None:
    admin = Api(stack.api, stack.admin_token, stack.sandbox)
    name = f"test-{uuid.uuid4().hex[:8]}"
    made = admin.call("POST", "/api/v1/clients", {"service_name": name, "tenant": name})
    keys = f"/api/v1/clients/{made.json()['data']['client_id']}/keys"
    key = admin.call("POST", keys, {"mode": "test"}).json()["data"]
    client = Api(stack.api, key["api_token"], stack.sandbox)
    to = {"email": "ada@example.com", "phone": "+14155552671", "push_token": "device-of-ada"}
    body = {"to": to, "channels": ["email", "sms", "push"], "message": "Hello"}
    sent = client.send(body).json()["data"]["notification_id"]
    assert {d["provider_message_id"] for d in client.ended(sent).values()} == {f"test_{sent}"}
    assert client.arrived(sent) == []


def test_b6_an_answer_tells_the_limit_of_the_stack(api: Api) -> None:
    told = api.call("GET", "/api/v1/users/ada").headers
    assert told["RateLimit-Policy"] == '"per-minute";q=100000;w=60'
    left = re.fullmatch(r'"per-minute";r=(\d+);t=\d+', told["RateLimit"])
    assert left
    assert 0 < int(left[1]) < 100_000


def test_a_failure_shows_in_the_status(api) -> None:
    body = {"channels": ["email"], "message": "x", "to": {"email": "rejected@sandbox.test"}}
    sent = api.send(body).json()["data"]["notification_id"]
    delivery = api.ended(sent)["email"]
    assert (delivery["status"], delivery["attempts"]) == ("failed", 1)
    assert delivery["error"]["code"] == "MessageRejected"
    assert delivery["error"]["failure"] == "permanent"


def test_a_passing_failure_is_tried_again_by_the_queue(api) -> None:
    body = {"channels": ["sms"], "message": "x", "to": {"phone": "+15005550070"}}
    sent = api.send(body).json()["data"]["notification_id"]
    delivery = api.ended(sent)["sms"]
    assert (delivery["status"], delivery["attempts"]) == ("sent", 2)
    assert delivery["possible_duplicate"]  # Twilio's 503 says nothing of what it had done


def test_poison_is_parked_with_its_reason_and_its_neighbours_are_sent(api, stack) -> None:
    sqs = _client("sqs", stack)
    queue = _queue(stack, "Queue")
    sqs.send_message(QueueUrl=queue, MessageBody='{"schema_version": 1, "oops"')
    sent = api.send(HELLO | {"channels": ["email"]}).json()["data"]["notification_id"]
    assert api.ended(sent)["email"]["status"] == "sent"
    admin = Api(stack.api, stack.admin_token, stack.sandbox)
    deadline = time.monotonic() + 60
    while not (found := admin.call("GET", "/api/v1/ops/dlq?code=not-json").json()["data"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "JSON" in found[0]["reason"]


@pytest.mark.parametrize(
    ("body", "status", "code", "pointer"),
    [
        (b"{", 400, "malformed-json", "#"),
        (b"null", 400, "malformed-json", "#"),
        (HELLO | {"channels": ["email"], "chanel": 1}, 422, "invalid-request", "#/chanel"),
        (HELLO | {"channels": ["fax"]}, 422, "invalid-request", "#/channels/0"),
        (
            HELLO | {"channels": ["sms"], "template_code": "x"},
            404,
            "template-not-found",
            "#/template_code",
        ),
        (
            HELLO | {"channels": ["sms"], "variables": {}},
            422,
            "variable-missing",
            "#/variables/name",
        ),
        (HELLO | {"channels": ["sms"], "user_id": "x"}, 404, "user-not-found", "#/user_id"),
        (
            {"to": {"email": "nobody"}, "channels": ["email"], "message": "x"},
            422,
            "invalid-request",
            "#/to/email",
        ),
        (b'{"message": "' + b"x" * 70_000 + b'"}', 413, "too-large", None),
    ],
)
def test_a_bad_request_is_a_problem_with_code_and_pointer(api, body, status, code, pointer) -> None:
    answer = api.call("POST", "/api/v1/notifications", body, X_Correlation_ID="bad-1")
    problem = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem["correlation_id"] == answer.headers["X-Correlation-ID"] == "bad-1"
    assert pointer is None or problem["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    "token", ["", "nk_live_0123456789ab_" + "A" * 43, "abc", "nk_live_", "nk_admin_" + "x" * 43]
)
def test_a_missing_or_bad_token_is_a_401_problem(stack, token) -> None:
    answer = Api(stack.api, token, stack.sandbox).send(HELLO | {"channels": ["email"]})
    problem = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, problem["code"]) == (401, "unauthorized")
    assert problem["errors"][0]["pointer"] == "header:Authorization"
    assert problem["correlation_id"] == answer.headers["X-Correlation-ID"] != ""
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_the_inbox_s_link_leads_to_the_next_page(api: Api) -> None:
    api.call("PUT", "/api/v1/users/reader", {})
    body = {"user_id": "reader", "channels": ["inapp"], "message": "Hello"}
    for _ in range(3):
        api.ended(api.send(body).json()["data"]["notification_id"])
    first = api.call("GET", "/api/v1/users/reader/notifications?limit=2")
    following = api.call("GET", first.links["next"]["url"])
    assert [len(page.json()["data"]) for page in (first, following)] == [2, 1]
    assert "next" not in following.links


def test_a_compressed_body_is_refused_and_not_stumbled_over(api: Api) -> None:
    answer = api.call("POST", "/api/v1/notifications", b"{}", Content_Encoding="gzip")
    assert 400 <= answer.status_code < 500
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_an_unknown_route_is_a_problem(api) -> None:
    answer = api.call("GET", "/api/v1/nothing")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["correlation_id"]


def test_health_and_docs_are_open(stack) -> None:
    nobody = Api(stack.api, "", stack.sandbox)
    assert nobody.call("GET", "/health").json() == {"status": "ok"}
    health = nobody.call("GET", "/api/v1/health").json()["data"]
    assert health["dependencies"] == {"dynamodb": "ok", "sns": "ok", "sqs": "ok"}
    assert re.fullmatch("local-[0-9a-f]{8}", health["release"])
    assert "SwaggerUIBundle" in nobody.call("GET", "/docs").text
    described = nobody.call("GET", "/openapi.json").json()
    assert described["servers"] == [{"url": "."}]
    assert "/api/v1/notifications" in described["paths"]


def test_g10_metrics_are_read_with_the_scope_ops(api: Api, stack: offline.Stack) -> None:
    api.ended(api.send(HELLO | {"channels": ["inapp"]}).json()["data"]["notification_id"])
    admin = Api(stack.api, stack.admin_token, stack.sandbox)
    page = admin.call("GET", "/metrics")
    assert page.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert page.text.endswith("# EOF\n")
    assert re.search(r"^published_messages_total [1-9]", page.text, re.MULTILINE)
    assert re.search(
        r'^deliveries_total{channel="inapp",state="sent"} [1-9]', page.text, re.MULTILINE
    )
    assert api.call("GET", "/metrics").status_code == 403


def _client(service: str, stack: offline.Stack) -> Any:
    return boto3.client(service, endpoint_url=stack.cloud, region_name="us-east-1")


def _queue(stack: offline.Stack, name: str) -> str:
    formation = _client("cloudformation", stack)
    outer = formation.describe_stack_resource(
        StackName="carillon-local", LogicalResourceId="EmailChannel"
    )
    inner = formation.describe_stack_resource(
        StackName=outer["StackResourceDetail"]["PhysicalResourceId"], LogicalResourceId=name
    )
    return str(inner["StackResourceDetail"]["PhysicalResourceId"])
