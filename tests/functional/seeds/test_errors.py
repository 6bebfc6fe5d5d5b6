"""Every error that the source systems' documents state, provoked where they state it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from seed_documents import TEXTS, errors, shape

from carillon.settings import settings
from functions.api.health import handler as health

Json = dict[str, Any]
Do = Callable[..., Any]
STATED = {error for text in TEXTS.values() for error in errors(text)}
FEW_SCOPES = {"client_id": "c", "tenant": "default", "scope": "send read"}
NEW = {"email": "bob@example.com", "full_name": "Bob", "password": "correct horse"}
SEND = {
    "notification_type": "email",
    "user_id": "ada",
    "template_code": "welcome",
    "variables": {"name": "Ada", "link": "https://example.com"},
    "request_id": "r-1",
}
PUSH = {name: value for name, value in SEND.items() if name != "notification_type"}
NOTIFY = {
    "recipient_id": "ada@example.com",
    "notification_type": "promo",
    "channel": "email",
    "content": "Hello",
}
WHOLE = {
    "email_notifications": True,
    "push_notifications": True,
    "sms_notifications": True,
    "categories": [],
}
REPORT = {"notificationId": "{sent}", "channel": "email", "status": "sent"}
DEVICE = {"fcm_token": "tok", "platform": "ios"}
TAKEN = NEW | {"email": "ada@example.com"}
SIGN_IN = {"email": "ada@example.com", "password": "wrong horse"}
SEND_PATH = "/api/notifications/send-notification"
STATUS_PATH = "/api/notifications/{sent}/status"
WISHES = "/api/users/{user}/preferences/"
NONE = "/api/users/{nobody}/"


def case(method: str, path: str, status: int, body: Any = None, **how: Any) -> Any:
    """One provoked error; its path names what is there, and what is not."""
    return pytest.param(method, path, status, body, how, id=f"{method} {path} {status}")


USERS = [
    *(
        case(method, f"{base}{rest}", status, body, **how)
        for method, rest, body in (
            ("GET", "", None),
            ("GET", "preferences/", None),
            ("PUT", "preferences/", WHOLE),
            ("PATCH", "preferences/", {"push_notifications": False}),
            ("POST", "push-tokens/", DEVICE),
        )
        for base, status, how in (
            ("/api/users/{user}/", 401, {"nobody": True}),
            ("/api/users/{user}/", 403, {"caller": FEW_SCOPES}),
            (NONE, 404, {}),
        )
    ),
    case("PUT", WISHES, 400, {**WHOLE, "sms_notifications": "yes"}),
    case("PATCH", WISHES, 400, {"push_notification": False}),
    case("POST", "/api/users/{user}/push-tokens/", 400, {**DEVICE, "platform": "symbian"}),
    case("POST", "/api/users/register/", 400, {**NEW, "email": "nobody"}, nobody=True),
    case("POST", "/api/users/register/", 400, {"email": NEW["email"]}, nobody=True),
    case("POST", "/api/users/register/", 400, TAKEN, nobody=True, account=True),
    case("POST", "/api/users/register/", 500, NEW, nobody=True, without="ACCOUNTS_TABLE"),
    case("POST", "/api/users/login/", 401, SIGN_IN, nobody=True, account=True),
    case("POST", "/api/users/refresh/", 401, {"refresh": "eyJ.not.one"}, nobody=True),
]
GATEWAY = [
    case("POST", SEND_PATH, 400, {**SEND, "notification_type": "sms"}),
    case("POST", SEND_PATH, 400, {"notification_type": "email"}),
    case("POST", SEND_PATH, 400, {**SEND, "variables": {}}),
    case("POST", SEND_PATH, 404, {**SEND, "user_id": "nobody"}),
    case("POST", SEND_PATH, 404, {**SEND, "template_code": "none"}),
    case("POST", SEND_PATH, 500, SEND, without="TOPIC_ARN"),
    case("POST", STATUS_PATH, 400, {**REPORT, "status": "perhaps"}),
    case("POST", STATUS_PATH, 400, {**REPORT, "notificationId": "another"}),
    case("POST", STATUS_PATH, 400, {**REPORT, "channel": "sms"}),
    case("POST", STATUS_PATH, 500, REPORT, without="DELIVERIES_TABLE"),
    case("GET", "/api/notifications/{none}/statuses", 404),
    case("POST", "/api/user/signup", 400, {"email": "bob@example.com"}, nobody=True),
    case("POST", "/api/user/signup", 400, SIGN_IN, nobody=True, account=True),
    case("POST", "/api/user/signup", 500, SIGN_IN, nobody=True, without="ACCOUNTS_TABLE"),
    case("POST", "/api/user/login", 401, SIGN_IN, nobody=True, account=True),
    case("POST", "/api/user/login", 500, SIGN_IN, nobody=True, without="ACCOUNTS_TABLE"),
]
TEMPLATES = [
    case("POST", "/templates/", 400, {"code": "welcome", "content": "again"}),
    case("POST", "/templates/", 400, {"code": "loop", "content": "{{ 9 * 9 }}"}),
    case("POST", "/templates/", 400, {"code": "empty"}),
    case("GET", "/templates/{none}", 400),
    case("POST", "/render/{none}", 404, {"name": "Ada"}),
    case("POST", "/render/{code}", 422, {"name": "Ada"}),
    case("POST", "/send/", 422, {**PUSH, "priority": 11}),
    case("POST", "/send/", 422, {"user_id": "ada"}),
    case("POST", "/send/", 500, PUSH, without="TOPIC_ARN"),
]
NOTIFIED = [
    case("POST", "/notify", 400),
    case("POST", "/notify", 401, NOTIFY, nobody=True),
    case("POST", "/notify", 403, {**NOTIFY, "recipient_id": "unwilling"}),
    case("POST", "/notify", 502, NOTIFY, without="USERS_TABLE"),
]
CASES = [*GATEWAY, *USERS, *TEMPLATES, *NOTIFIED]


@pytest.fixture
def provoke(seed, template, cloud, monkeypatch) -> Do:
    """Return what asks for an error: in a world of one user, one template, one notification."""
    seed("PUT", "/api/v1/users/ada", {"email": "ada@example.com"})
    seed("POST", "/api/v1/users/ada/push-tokens", DEVICE)
    seed("PUT", "/api/v1/users/unwilling", {"email": "no@example.com"})
    seed("PUT", "/api/v1/users/unwilling/preferences", {"categories": {"promo": False}})
    accepted = seed("POST", SEND_PATH, {**SEND, "request_id": "r-0"})
    names = {
        "user": "ada",
        "nobody": "00000000-0000-0000-0000-000000000000",
        "none": "none",
        "code": template["code"],
        "sent": accepted.headers["Location"].rpartition("/")[2],
    }

    def ask(method: str, path: str, body: Any = None, **how: Any) -> Any:
        if how.pop("account", False):
            assert seed("POST", "/api/users/register", TAKEN, caller=None).status == 201
        if missing := how.pop("without", ""):
            monkeypatch.setenv(missing, "arn:aws:sns:us-east-1:123456789012:gone")
            settings.cache_clear()
        if how.pop("nobody", False):
            how["caller"] = None
        if isinstance(body, dict):
            told = body.get("notificationId") == "{sent}"
            body = body | ({"notificationId": names["sent"]} if told else {})
        return seed(method, path.format_map(names), body, **how)

    return ask


@pytest.mark.parametrize(("method", "path", "status", "body", "how"), CASES)
def test_i6_a_stated_error_is_answered_with_its_code(
    provoke, method, path, status, body, how
) -> None:
    assert provoke(method, path, body, **how).status == status


def test_i6_health_answers_500_when_it_fails(seed, monkeypatch) -> None:
    def fails(**_: object) -> None:
        raise RuntimeError("sick")

    monkeypatch.setattr(health, "Liveness", fails)
    assert seed("GET", "/health", caller=None).status == 500


def test_i6_every_stated_error_is_provoked() -> None:
    provoked = {(c.values[0], shape(c.values[1]), c.values[2]) for c in CASES}
    provoked |= {("GET", "/health", 500)}
    assert len(STATED) > 40
    assert provoked >= STATED


@pytest.mark.parametrize("place", range(len(NOTIFIED)))
def test_i6_alertora_refuses_in_its_own_words(provoke, place) -> None:
    method, path, status, body, how = NOTIFIED[place].values
    words = dict(re.findall(r"^\| (\d{3}) +\| (.*?) +\|$", TEXTS["S4"], re.MULTILINE))
    reply = provoke(method, path, body, **how)
    assert (reply.status, reply.body) == (status, {"message": words[str(status)]})
    assert reply.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("raw", ["", "{", "not json", "[]"])
def test_i6_alertora_says_so_of_a_body_that_is_no_json(seed, call, sample, raw) -> None:
    from functions.api.seeds import handler  # noqa: PLC0415

    reply = call(handler, sample("seeds-notify"), raw=raw)
    assert (reply.status, reply.body) == (400, {"message": "Missing JSON body"})
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = call(handler, sample("seeds-notify"), headers=form)
    assert (reply.status, reply.body) == (400, {"message": "Missing JSON body"})
