"""The source systems' own journeys, over HTTP: their commands as they stand, their slashes too."""

import json
import re
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from seed_documents import TEXTS, blocks, faults
from served import until

from offline import stack as offline

pytestmark = pytest.mark.e2e

Json = dict[str, Any]


class Api:
    """An API as a client of a source system sees it."""

    def __init__(self, base: str, token: str = "") -> None:
        self.base = base
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __call__(self, method: str, path: str, body: Any = None) -> requests.Response:
        return requests.request(
            method, self.base + path, json=body, headers=self.headers, timeout=60
        )


@pytest.fixture(scope="module")
def client(stack: offline.Stack) -> Api:
    """A registered application."""
    body = {"service_name": f"seeds-{uuid.uuid4().hex[:8]}"}
    made = Api(stack.api)("POST", "/register", body)
    assert made.status_code == 201, made.text
    return Api(stack.api, made.json()["api_token"])


def curls(document: str) -> list[str]:
    """Return a document's commands that send something."""
    return re.findall(r"^curl -X POST.*?'$", TEXTS[document], re.DOTALL | re.MULTILINE)


def run(command: str, api: str, **replaced: str) -> Json:
    """Run a command as it stands, but for the address and what is to be filled in."""
    command = re.sub(r"http://localhost:\d+", api, command)
    for before, after in replaced.items():
        command = command.replace(before, after)
    command = command.replace("curl ", "curl --silent --show-error --noproxy '*' ")
    done = subprocess.run(["bash", "-euc", command], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_i6_alertora_s_two_commands(stack: offline.Stack) -> None:
    register, notify = curls("S4")
    name = f"MyApp-{uuid.uuid4().hex[:8]}"
    made = run(register, stack.api, MyApp=name)
    assert faults(blocks(TEXTS["S4"])[1], made) == []
    said = run(notify.replace("<api_token>", made["api_token"]), stack.api)
    assert said == blocks(TEXTS["S4"])[3]
    content = "This is a test email from Alertora"
    arrived = until(
        lambda: [
            message
            for message in requests.get(f"{stack.sandbox}/messages", timeout=30).json()
            if content in json.dumps(message)
        ]
    )
    assert "user@example.com" in json.dumps(arrived)


def test_i6_alertora_says_no_in_its_own_words(stack: offline.Stack, client: Api) -> None:
    nobody = Api(stack.api)("POST", "/notify", {})
    assert (nobody.status_code, nobody.json()["message"]) == (401, "Unauthorized")
    nothing = requests.post(f"{stack.api}/notify", headers=client.headers, timeout=30)
    assert (nothing.status_code, nothing.json()) == (400, {"message": "Missing JSON body"})


def test_i6_the_gateway_s_command(stack: offline.Stack, client: Api) -> None:
    (command,) = curls("S1")
    user = json.loads(command.partition("-d '")[2].rstrip("'"))["user_id"]
    client("PUT", f"/api/v1/users/{user}", {"email": "john@example.com"})
    client("POST", "/templates/", {"code": "welcome_email", "content": "{{ name }}: {{ link }}"})
    token = client.headers["Authorization"].removeprefix("Bearer ")
    request = command.replace("YOUR_JWT_TOKEN", token).replace("req_123456789", uuid.uuid4().hex)
    said = run(request, stack.api)
    assert (said["success"], said["error"]) == (True, None)
    again = run(request, stack.api)
    assert again["data"] == said["data"]


def test_i6_a_user_registers_logs_in_and_is_notified(stack: offline.Stack, client: Api) -> None:
    new = {
        "email": f"{uuid.uuid4().hex[:8]}@example.com",
        "full_name": "Ada Lovelace",
        "password": "correct horse",
    }
    made = Api(stack.api)("POST", "/api/users/register/", new)
    assert made.status_code == 201, made.text
    user = made.json()["data"]["user_id"]
    login = {name: new[name] for name in ("email", "password")}
    tokens = Api(stack.api)("POST", "/api/users/login/", login).json()
    mine = Api(stack.api, tokens["access"])
    assert mine("GET", f"/api/users/{user}/").json()["full_name"] == "Ada Lovelace"
    assert Api(stack.api)("GET", f"/api/users/{user}/").status_code == 401
    changed = mine("PATCH", f"/api/users/{user}/preferences/", {"sms_notifications": False})
    assert changed.json()["sms_notifications"] is False
    device = {"fcm_token": f"device-{user}", "platform": "android"}
    assert mine("POST", f"/api/users/{user}/push-tokens/", device).status_code == 201
    code = f"hello-{uuid.uuid4().hex[:8]}"
    assert client("POST", "/templates/", {"code": code, "content": "Hi {{ name }}"}).ok
    assert client("POST", f"/render/{code}", {"name": "Ada"}).json() == {"rendered": "Hi Ada"}
    body = {
        "notification_type": "push",
        "user_id": user,
        "template_code": code,
        "variables": {"name": "Ada", "link": "https://example.com"},
        "request_id": uuid.uuid4().hex,
    }
    sent = client("POST", "/api/notifications/send-notification", body)
    assert sent.json()["result"] == {"success": True, "routingKey": "notification.push"}
    place = f"/api/notifications/{sent.headers['Location'].rpartition('/')[2]}/statuses"
    ended = until(lambda: _ended(client("GET", place).json()))
    assert (ended["channel"], ended["status"]) == ("push", "sent")


def test_i6_numbered_users_have_an_inbox(client: Api) -> None:
    number = uuid.uuid4().int % 10**9
    body = {"type": "inapp", "to": "user@example.com", "message": "Hello!", "user_id": number}
    sent = client("POST", "/notifications", body)
    assert sent.status_code == 202, sent.text
    (entry,) = until(lambda: client("GET", f"/users/{number}/notifications").json())
    assert (entry["id"], entry["message"]) == (sent.json()["id"], "Hello!")


def test_i6_a_notification_is_made_read_listed_and_reported(client: Api) -> None:
    (asked,) = blocks(TEXTS["S3"])
    user = asked["user_id"]
    client("PUT", f"/api/v1/users/{user}", {"email": "user@example.com"})
    made = client("POST", "/api/v1/notifications", asked).json()["data"]["notification_id"]
    place = f"/api/v1/notifications/{made}"
    until(lambda: client("GET", place).json()["data"]["status"] == "completed")
    assert client("GET", f"/api/v1/users/{user}/notifications").status_code == 200
    patched = client("PATCH", f"{place}/status", {"status": "delivered"}).json()["data"]
    assert patched["deliveries"][0]["status"] == "delivered"
    assert client("GET", "/api/v1/health").status_code == 200


def test_i6_many_aliases_at_once_do_not_wait_for_each_other(client: Api) -> None:
    """One function invokes another here: each of those at once needs two."""
    address = f"{uuid.uuid4().hex[:8]}@example.com"
    body = {
        "recipient_id": address,
        "notification_type": "promo",
        "channel": "email",
        "content": "Hello",
    }
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client("POST", "/notify", body), range(12)))
    assert {answer.status_code for answer in answers} == {202}


def _ended(found: Json) -> Json | None:
    return None if found["statuses"]["status"] == "pending" else dict(found["statuses"])
