"""Tenants do not see each other: what one has is, for another, exactly what is not there."""

from typing import Any

import pytest
from functional.conftest import APPLICATION_CALLER

Json = dict[str, Any]
OTHER = APPLICATION_CALLER | {"tenant": "other", "scope": APPLICATION_CALLER["scope"] + " ops"}


@pytest.fixture
def notification_id(send) -> str:
    """A notification of the default tenant, sent to its user ada by its template."""
    return str(send().data["notification_id"])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v1/users/ada", None),
        ("PATCH", "/api/v1/users/ada", {"full_name": "Eve"}),
        ("GET", "/api/v1/users/ada/preferences", None),
        ("PATCH", "/api/v1/users/ada/preferences", {"channels": {}}),
        ("GET", "/api/v1/users/ada/push-tokens", None),
        ("POST", "/api/v1/users/ada/push-tokens", {"fcm_token": "x", "platform": "ios"}),
        ("GET", "/api/v1/users/ada/notifications", None),
        ("GET", "/api/v1/templates/order-shipped", None),
        ("DELETE", "/api/v1/templates/order-shipped", None),
        ("POST", "/api/v1/templates/order-shipped/activate", {"version": 1}),
        ("POST", "/api/v1/templates/order-shipped/render", {}),
        ("GET", "/api/v1/templates/order-shipped/versions", None),
        ("GET", "/api/v1/notifications/{id}", None),
        ("GET", "/api/v1/notifications/{id}/events", None),
        ("GET", "/api/v1/notifications/{id}/content", None),
        ("POST", "/api/v1/notifications/{id}/cancel", {}),
        (
            "POST",
            "/api/v1/notifications",
            {"user_id": "ada", "channels": ["email"], "message": "x"},
        ),
    ],
)
def test_b9_what_another_tenant_has_is_not_there(
    api, prepared, notification_id, method, path, body
) -> None:
    path = path.replace("{id}", notification_id)
    before = kept(prepared)
    foreign = api(method, path, body, caller=OTHER)
    assert foreign.status == 404
    assert kept(prepared) == before
    prepared.empty()
    missing = api(method, path, body, caller=OTHER)
    assert (missing.status, missing.body) == (404, foreign.body)


def kept(cloud: Any) -> Json:
    """All that is kept, but for what is counted."""
    # Of who asked both tell, and are to.
    told = ("CountersTable", "AuditTable")
    return {name: cloud.items(name) for name in cloud.tables if name not in told}


def test_b9_the_same_names_are_different_things_in_each_tenant(api, prepared, sample) -> None:
    assert api("PUT", "/api/v1/users/ada", {"full_name": "Another"}, caller=OTHER).status == 201
    template = {"code": "order-shipped", "content": "Another"}
    assert api("POST", "/api/v1/templates", template, caller=OTHER).status == 201
    assert api("GET", "/api/v1/users/ada").data["full_name"] == "Ada Lovelace"
    assert api("GET", "/api/v1/users/ada", caller=OTHER).data["full_name"] == "Another"
    listed = api("GET", "/api/v1/templates", caller=OTHER).data
    assert [each["code"] for each in listed] == ["order-shipped"]


def test_b9_a_list_shows_a_tenant_s_own_alone(api, prepared, notification_id) -> None:
    for path in ("/api/v1/notifications", "/api/v1/templates"):
        assert len(api("GET", path).data) == 1
        assert api("GET", path, caller=OTHER).data == []
