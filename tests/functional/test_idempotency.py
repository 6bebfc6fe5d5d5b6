"""A POST or PATCH with a key that comes again: done once, answered as the first was."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from carillon import idempotency
from carillon.idempotency import Keys
from carillon.settings import settings
from carillon.tables import FirstAnswer
from functions.api.clients import handler as clients
from functions.api.templates import handler as templates
from functions.api.users import handler as users

Json = dict[str, Any]
KEY = {"Idempotency-Key": "the-key"}


@pytest.fixture
def create(cloud, call, sample) -> Callable[..., Any]:
    """Return a creator of the sample template, with a key."""
    event = sample("templates-create")
    body = json.loads(event["body"])

    def create(change: Json | None = None, **how: Any) -> Any:
        how = {"headers": KEY} | how
        return call(templates, event, body=body | (change or {}), **how)

    return create


def test_a7_a_repeat_gets_the_first_answer_and_changes_nothing(create, cloud) -> None:
    first = create()
    kept = cloud.items("TemplatesTable")
    again = create()
    assert (first.status, again.status) == (201, 201)
    assert again.body == first.body
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    for name in ("Content-Type", "ETag", "Location"):
        assert again.headers[name] == first.headers[name]
    assert cloud.items("TemplatesTable") == kept


def test_a7_a_repeat_has_its_own_correlation_id(create) -> None:
    create()
    again = create(headers=KEY | {"X-Correlation-ID": "the-second"})
    assert again.headers["X-Correlation-ID"] == "the-second"


def test_a7_a_patch_is_done_once(cloud, call, sample) -> None:
    event = sample("users-put")
    assert call(users, event).status == 201
    event["httpMethod"] = "PATCH"
    first = call(users, event, body={"full_name": "Ada"}, headers=KEY)
    again = call(users, event, body={"full_name": "Ada"}, headers=KEY)
    assert again.headers["ETag"] == first.headers["ETag"] == '"2"'
    assert again.body == first.body


def test_a7_the_same_json_in_another_order_is_the_same_request(create, call, sample) -> None:
    create()
    event = sample("templates-create")
    turned = dict(reversed(json.loads(event["body"]).items()))
    again = call(templates, event, raw=json.dumps(turned, indent=3), headers=KEY)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a7_without_a_key_nothing_is_kept(create, cloud) -> None:
    assert create(headers={}).status == 201
    assert not cloud.items("IdempotencyTable")


def test_a7_a_key_lapses_even_while_its_item_is_still_there(create) -> None:
    create()
    for record in FirstAnswer.scan():
        record.update(actions=[FirstAnswer.expires_at.set(1)])
    anew = create({"code": "another"})
    assert (anew.status, anew.data["code"]) == (201, "another")


def test_a7_a_key_lives_as_long_as_the_setting_says(create, monkeypatch) -> None:
    monkeypatch.setenv("IDEMPOTENCY_TTL_SECONDS", "60")
    settings.cache_clear()
    before = idempotency.now().timestamp()
    create()
    (record,) = FirstAnswer.scan()
    assert 59 <= record.expires_at - before <= 62


def test_a7_a_key_belongs_to_its_client(create, sample) -> None:
    caller = sample("templates-create")["requestContext"]["authorizer"]
    create()
    other = create({"code": "another"}, caller=caller | {"client_id": "other"})
    assert other.status == 201
    assert "Idempotent-Replayed" not in other.headers


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "ümlaut", "tab\there"])
def test_a7_what_is_no_key_is_refused_and_never_shared_a_d05(create, cloud, key) -> None:
    refused = create(headers={"Idempotency-Key": key})
    assert (refused.status, refused.body["code"]) == (400, "invalid-request")
    assert refused.body["errors"][0]["pointer"] == "header:Idempotency-Key"
    assert not cloud.items("IdempotencyTable")
    assert not cloud.items("TemplatesTable")


def test_a8_another_body_is_refused_and_the_first_stays(create) -> None:
    first = create()
    other = create({"code": "another"})
    assert (other.status, other.body["code"]) == (422, "idempotency-key-reused")
    assert create().body == first.body


def test_a8_another_route_is_another_request(create, call, sample) -> None:
    create()
    other = call(users, sample("users-push-token"), headers=KEY)
    assert (other.status, other.body["code"]) == (422, "idempotency-key-reused")


def test_a8_a_repeat_while_the_first_runs_waits(create, cloud) -> None:
    create()
    _back_under_way()
    again = create()
    assert (again.status, again.body["code"]) == (409, "in-progress")
    assert int(again.headers["Retry-After"]) >= 1


def test_a8_a_request_that_died_does_not_hold_its_key_for_ever(create, cloud) -> None:
    create()
    _back_under_way(FirstAnswer.lease_until.set(1))
    cloud.dynamodb.delete_item(TableName="TemplatesTable", Key=_key(cloud, "TemplatesTable"))
    assert create({"code": "another"}).body["code"] == "idempotency-key-reused"
    assert create().body["code"] != "in-progress"


def test_a8_what_was_refused_can_be_tried_again(create, cloud) -> None:
    create(headers={})
    assert create().body["code"] == "template-exists"
    assert not cloud.items("IdempotencyTable")
    assert create({"code": "another"}).status == 201


def test_a8_what_failed_can_be_tried_again(create, cloud, monkeypatch) -> None:
    monkeypatch.setenv("TEMPLATES_TABLE", "Gone")
    settings.cache_clear()
    assert create().status == 503
    monkeypatch.setenv("TEMPLATES_TABLE", "TemplatesTable")
    settings.cache_clear()
    assert create().status == 201


def test_a8_a_request_that_does_not_fit_the_schema_uses_no_key(create, cloud) -> None:
    assert create({"code": "a b"}).status == 422
    assert not cloud.items("IdempotencyTable")


def test_a8_an_answer_with_a_secret_is_not_kept(cloud, call, sample) -> None:
    first = call(clients, sample("clients-register"), headers=KEY)
    again = call(clients, sample("clients-register"), headers=KEY)
    assert (first.status, again.status) == (201, 409)
    assert again.body["code"] == "answered-before"
    assert first.data["api_token"] not in str(cloud.items("IdempotencyTable"))


def test_a8_who_gives_no_token_has_no_key(cloud, call, sample, monkeypatch) -> None:
    monkeypatch.setenv("OPEN_REGISTRATION", "true")
    settings.cache_clear()
    event = sample("clients-register")
    del event["headers"]["Authorization"]
    assert call(clients, event, headers=KEY).status == 201
    assert not cloud.items("IdempotencyTable")


def test_a8_an_answer_too_large_to_keep_is_marked_as_given(create, monkeypatch) -> None:
    monkeypatch.setattr(idempotency, "MAX_BODY_BYTES", 10)
    assert create().status == 201
    assert create().body["code"] == "answered-before"


def test_a8_an_answer_that_cannot_be_kept_is_given_all_the_same(create, monkeypatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise idempotency.BotoCoreError

    monkeypatch.setattr(FirstAnswer, "update", away)
    assert create().status == 201
    assert create().body["code"] == "in-progress"


@pytest.mark.parametrize(
    ("method", "route", "keys"),
    [
        ("POST", "/api/v1/templates", Keys.REPLAYED),
        ("PATCH", "/api/v1/users/{user_id}", Keys.REPLAYED),
        ("PATCH", "/api/v1/notifications/{notification_id}/status", Keys.REPLAYED),
        ("POST", "/api/v1/notifications", Keys.OWN),
        ("POST", "/api/v1/notifications/batch", Keys.OWN),
        ("POST", "/api/v1/clients", Keys.ONCE),
        ("POST", "/api/v1/clients/{client_id}/keys", Keys.ONCE),
        ("PATCH", "/api/v1/clients/{client_id}", Keys.REPLAYED),
        ("POST", "/api/v1/auth/login", Keys.IGNORED),
        ("PUT", "/api/v1/users/{user_id}", Keys.IGNORED),
        ("GET", "/api/v1/templates", Keys.IGNORED),
    ],
)
def test_a7_every_post_and_patch_takes_a_key(method, route, keys) -> None:
    assert idempotency.keys_of(method, route) is keys


def _back_under_way(*actions: Any) -> None:
    """Make it look as if the request had not ended yet."""
    for record in FirstAnswer.scan():
        record.update(actions=[FirstAnswer.status.remove(), *actions])


def _key(cloud: Any, table: str) -> Json:
    item = cloud.items(table)[0]
    return {name: item[name] for name in cloud.tables[table]}
