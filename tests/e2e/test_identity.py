"""A user's way through the API: registered, logged in, refreshed, found out, logged out."""

import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from offline import stack as offline

pytestmark = pytest.mark.e2e

PASSWORD = "correct horse battery staple"
RACERS = 6
Json = dict[str, Any]


@pytest.fixture(scope="module")
def user(stack: offline.Stack) -> Json:
    """A user, registered by nobody in particular: this stack's registration is open."""
    body = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD}
    made = post(stack, "auth/register", body)
    assert made.status_code == 201, made.text
    return body | made.json()["data"]


def post(stack: offline.Stack, path: str, body: Any, token: str = "") -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.post(f"{stack.api}/api/v1/{path}", json=body, headers=headers, timeout=120)


def get(stack: offline.Stack, path: str, token: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{stack.api}/api/v1/{path}", headers=headers, timeout=120)


def login(stack: offline.Stack, user: Json) -> Json:
    answer = post(stack, "auth/login", {name: user[name] for name in ("email", "password")})
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["data"])


def test_b2_a_user_comes_in_stays_in_and_is_thrown_out_with_a_thief(stack, user) -> None:
    path = f"users/{user['user_id']}"
    entered = login(stack, user)
    mine = get(stack, path, entered["access"])
    assert (mine.status_code, mine.json()["data"]["email"]) == (200, user["email"])
    assert get(stack, "users/ada", entered["access"]).status_code == 404
    following = post(stack, "auth/refresh", {"refresh": entered["refresh"]}).json()["data"]
    assert get(stack, path, following["access"]).status_code == 200
    stolen = post(stack, "auth/refresh", {"refresh": entered["refresh"]})
    assert stolen.status_code == 401
    assert post(stack, "auth/refresh", {"refresh": following["refresh"]}).status_code == 401


def test_b2_one_refresh_token_used_by_many_at_once_is_good_once(stack, user) -> None:
    token, start = login(stack, user)["refresh"], threading.Barrier(RACERS)

    def refresh(_: int) -> int:
        start.wait()
        return post(stack, "auth/refresh", {"refresh": token}).status_code

    with ThreadPoolExecutor(RACERS) as pool:
        statuses = Counter(pool.map(refresh, range(RACERS)))
    assert statuses == {200: 1, 401: RACERS - 1}


def test_b1_one_address_registered_by_many_at_once_is_taken_once(stack) -> None:
    email, start = f"{uuid.uuid4().hex}@example.com", threading.Barrier(RACERS)

    def register(_: int) -> int:
        start.wait()
        body = {"email": email, "password": PASSWORD}
        return post(stack, "auth/register", body).status_code

    with ThreadPoolExecutor(RACERS) as pool:
        statuses = Counter(pool.map(register, range(RACERS)))
    assert statuses == {201: 1, 409: RACERS - 1}


def test_j1_many_wrong_passwords_at_once_are_counted_before_they_are_tried(stack) -> None:
    start = threading.Barrier(RACERS)

    def guess(email: str) -> int:
        start.wait()
        return post(stack, "auth/login", {"email": email, "password": "wrong"}).status_code

    began, ended = 0, 1
    while began != ended:  # a window of 15 minutes that ends meanwhile lets the count begin anew
        began = int(time.time()) // 900
        email = f"{uuid.uuid4().hex}@example.com"
        with ThreadPoolExecutor(RACERS) as pool:
            statuses = Counter(pool.map(guess, [email] * 2 * RACERS))
        ended = int(time.time()) // 900
    assert statuses == {401: 10, 429: 2 * RACERS - 10}


def test_b4_an_api_token_becomes_a_jwt_that_sends(stack) -> None:
    name = {"service_name": f"e2e-{uuid.uuid4().hex[:8]}"}
    made = post(stack, "clients", name, stack.admin_token)
    token = made.json()["data"]["api_token"]
    access = post(stack, "auth/token", {"scopes": ["send"]}, token).json()["data"]["access"]
    body = {"to": {"email": "ada@example.com"}, "channels": ["email"], "message": "Hello"}
    sent = post(stack, "notifications", body, access)
    assert sent.status_code == 202, sent.text
    identifier = sent.json()["data"]["notification_id"]
    for bearer, status in ((access, 403), (token, 200)):
        assert get(stack, f"notifications/{identifier}", bearer).status_code == status


def test_b4_a_user_s_token_sends_nothing(stack, user) -> None:
    body = {"to": {"email": "ada@example.com"}, "channels": ["email"], "message": "Hello"}
    assert post(stack, "notifications", body, user["access"]).status_code == 403


@pytest.mark.parametrize(
    "change", [lambda t: t + "A", lambda t: t.rpartition(".")[0] + ".", str.upper]
)
def test_b4_a_token_that_was_touched_is_a_401(stack, user, change) -> None:
    answer = get(stack, f"users/{user['user_id']}", change(user["access"]))
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
