"""Templates and the pages on the running stack."""

import pytest

SCHEMA = {"properties": {"number": {"type": "integer"}}, "required": ["number"]}
PARCEL = {
    "code": "parcel",
    "category": "shipping",
    "variables_schema": SCHEMA,
    "parts": {"email": {"subject": "Parcel {{ number }}", "text": "It is on its way."}},
}
TO = {"channel": "email", "to": {"email": "tester@example.com"}}


def test_d11_a_test_arrives_once_and_says_what_it_is(api) -> None:
    assert api.call("POST", "/api/v1/templates", PARCEL).status_code == 201
    path = "/api/v1/templates/parcel/test-send"
    refused = api.call("POST", path, TO | {"variables": {"number": "4"}})
    assert (refused.status_code, refused.json()["code"]) == (422, "variables-invalid")
    body = TO | {"variables": {"number": 4}}
    first, again = (api.call("POST", path, body, Idempotency_Key="test") for _ in range(2))
    assert (first.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")
    notification_id = first.json()["data"]["notification_id"]
    assert api.ended(notification_id)["email"]["status"] == "sent"
    (message,) = api.arrived(notification_id)
    assert (message["subject"], message["to"]) == ("Parcel 4", "tester@example.com")
    found = api.call("GET", f"/api/v1/notifications/{notification_id}").json()["data"]
    assert (found["metadata"], found["category"]) == ({"test_send": True}, "shipping")


def test_d12_a_rendering_tells_segments_and_a_price(api) -> None:
    api.call("POST", "/api/v1/templates", {"code": "long", "content": "{{ text }}"})
    body = {"variables": {"text": "x" * 161}, "channel": "sms"}
    told = api.call("POST", "/api/v1/templates/long/render", body).json()["data"]
    assert (told["lint"]["sms"]["segments"], told["price"]["sms"]["units"]) == (2, 2)


@pytest.mark.parametrize(
    ("path", "holds"),
    [("/docs", "SwaggerUIBundle("), ("/redoc", "Redoc.init("), ("/openapi.json", '"openapi"')],
)
def test_a18_a_page_is_sent_once_to_who_keeps_it(api, path, holds) -> None:
    first = api.call("GET", path)
    again = api.call("GET", path, If_None_Match=first.headers["ETag"])
    assert (first.status_code, again.status_code, again.text) == (200, 304, "")
    assert holds in first.text


def test_d1_what_is_archived_answers_nothing(api) -> None:
    api.call("POST", "/api/v1/templates", {"code": "gone", "content": "x"})
    assert api.call("DELETE", "/api/v1/templates/gone").status_code == 204
