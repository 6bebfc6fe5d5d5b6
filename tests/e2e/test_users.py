"""Users on the embedded cloud: what races, and the jobs that erase and export."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from served import Api, until

from offline import stack as offline

pytestmark = pytest.mark.e2e

Json = dict[str, Any]


@pytest.fixture(scope="module")
def api(stack: offline.Stack) -> Api:
    admin = Api(stack.api, stack.admin_token, stack.sandbox)
    made = admin.call("POST", "/api/v1/clients", {"service_name": f"users-{uuid.uuid4().hex[:8]}"})
    assert made.status_code == 201, made.text
    return Api(stack.api, made.json()["data"]["api_token"], stack.sandbox)


@pytest.fixture
def user(api: Api) -> str:
    """The path of a new user, whose id is not ASCII."""
    path = f"/api/v1/users/Zoë-{uuid.uuid4().hex[:8]}"
    assert api.call("PUT", path, {"email": "zoe@example.com"}).status_code == 201
    return path


def _at_once(calls: list[Callable[[], requests.Response]]) -> list[requests.Response]:
    start = threading.Barrier(len(calls))

    def one(call: Callable[[], requests.Response]) -> requests.Response:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))


def _send(api: Api, user: str, count: int) -> list[str]:
    body = {"user_id": user.rpartition("/")[2], "channels": ["inapp"], "message": "Hello"}
    sent = [api.send(body).json()["data"]["notification_id"] for _ in range(count)]
    for name in sent:
        api.ended(name)
    return sent


def test_e5_marks_that_race_agree_with_the_count(api: Api, user: str) -> None:
    """However read-all and single marks interleave, what is counted is what is listed."""
    sent = _send(api, user, 8)
    inbox = f"{user}/notifications"
    calls = [lambda: api.call("POST", f"{inbox}/read-all") for _ in range(2)]
    calls += [
        lambda name=name: api.call("PATCH", f"{inbox}/{name}", {"read": False}) for name in sent[:2]
    ]
    assert {answer.status_code for answer in _at_once(calls)} <= {200, 204, 409}
    unread = api.call("GET", f"{inbox}?unread=true").json()
    every = api.call("GET", f"{inbox}?channel=inapp").json()["data"]
    assert len(every) == len(sent)
    without = [entry["notification_id"] for entry in every if entry["read_at"] is None]
    assert [entry["notification_id"] for entry in unread["data"]] == without
    assert unread["meta"]["unread"] == len(without)
    assert api.call("POST", f"{inbox}/read-all").status_code == 204
    assert api.call("GET", f"{inbox}?unread=true").json()["data"] == []


def test_c2_users_who_race_for_a_token_leave_it_with_one(api: Api) -> None:
    paths = [f"/api/v1/users/racer-{n}-{uuid.uuid4().hex[:8]}" for n in range(4)]
    for path in paths:
        api.call("PUT", path, {})
    body = {"fcm_token": uuid.uuid4().hex, "platform": "ios"}
    answers = _at_once(
        [lambda path=path: api.call("POST", f"{path}/push-tokens", body) for path in paths]
    )
    assert {answer.status_code for answer in answers} <= {201, 409}
    owners = [path for path in paths if api.call("GET", f"{path}/push-tokens").json()["data"]]
    assert len(owners) == 1


def test_j6_an_export_is_behind_its_link(api: Api, user: str) -> None:
    (sent,) = _send(api, user, 1)
    first = api.call("GET", f"{user}/export")
    assert (first.status_code, first.json()["data"]["link"]) == (202, None)
    link = until(lambda: api.call("GET", f"{user}/export").json()["data"]["link"])
    document = requests.get(link, timeout=30).json()
    assert document["profile"]["email"] == "zoe@example.com"
    assert [entry["notification_id"] for entry in document["inbox"]] == [sent]
    assert [entry["notification_id"] for entry in document["notifications"]] == [sent]


def test_j5_an_erased_user_is_gone_and_what_was_sent_stands_without_them(
    api: Api, user: str
) -> None:
    (sent,) = _send(api, user, 1)
    assert api.call("DELETE", user).status_code == 202
    assert api.call("GET", user).status_code == 404
    # The id is free again once the job is done; then nothing of before is with it.
    until(lambda: api.call("PUT", user, {}).status_code == 201)
    assert api.call("GET", f"{user}/notifications").json()["data"] == []
    assert api.call("GET", f"{user}/notifications?channel=inapp").json()["data"] == []
    left = api.call("GET", f"/api/v1/notifications/{sent}").json()["data"]
    assert (left["user_id"], left["status"]) == (None, "completed")
    assert api.call("GET", f"/api/v1/notifications/{sent}/content").status_code == 410
