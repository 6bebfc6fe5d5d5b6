"""Examples for the API's description, made from its schemas.

A request's is the body of the sample event with that route, where there is one. Everything else
is put together from ``VALUES``, which say what a field of a name looks like anywhere in the API.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

Json = dict[str, Any]

EVENTS = Path(__file__).parent.parent / "events"
WHEN = "2026-11-21T09:30:00.000Z"
NOTIFICATION = "ntf_yli2arumcvcsb3yw66svj7jcxy2h744l"
CLIENT = "3f1c2c1e-6a55-4a5e-9d0b-0c6f0a4f2d11"
JWT = "eyJhbGciOiJFZERTQSIsImtpZCI6IjAwIiwidHlwIjoiSldUIn0.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJl"
VALUES: Json = {
    "access": JWT,
    "accepted": 1,
    "action_url": "https://shop.example.com/orders/A-1042",
    "actor": "worker",
    "address": "ada@example.com",
    "api_token": "nk_live_0123456789ab_" + "A" * 43,
    "attributes": {"plan": "gold"},
    "attempts": 1,
    "body": "Ada, your order A-1042 arrives on Monday.",
    "categories": {"marketing": False},
    "category": "orders",
    "channel": "email",
    "channels": {"sms": False},
    "client_id": CLIENT,
    "code": "order-shipped",
    "content": "Hello {{ name }}",
    "correlation_id": "order-A-1042",
    "data": {},
    "dependencies": {"dynamodb": "ok", "sns": "ok", "sqs": "ok"},
    "description": "What became of an order",
    "device_id": "phone-of-ada",
    "end": "07:00",
    "email": "ada@example.com",
    "expires_in": 900,
    "error": None,
    "fcm_token": "fcm-device-of-ada",
    "full_name": "Ada Lovelace",
    "id": "d2f1c6a0",
    "fingerprint": "7b2f0c61d9a4e853",
    "job_id": "0b8f2c7e-4a55-4a5e-9d0b-0c6f0a4f2d11",
    "letter_id": "059f36b4-87a3-44ab-83d2-661975830a7d",
    "key_id": "0123456789ab",
    "language": "en",
    "languages": ["en"],
    "limit": 25,
    "lint": {
        "sms": {
            "characters": 9,
            "encoding": "GSM-7",
            "segments": 1,
            "limit": 1600,
            "not_gsm7": [],
        }
    },
    "links": {"self": f"/api/v1/notifications/{NOTIFICATION}"},
    "locale": "en",
    "locales": {"en": {"sms": {"text": "Hello {{ name }}"}}},
    "message": "Your order A-1042 is on its way",
    "message_id": "msg-1",
    "metadata": {"order_id": 1042},
    "name": "orders",
    "next_cursor": None,
    "has_next": False,
    "notification_id": NOTIFICATION,
    "notificationId": NOTIFICATION,
    "parts": {"sms": {"text": "Hello Ada"}},
    "password": "correct horse battery staple",
    "phone": "+14155552671",
    "price": {
        "sms": {
            "amount": "0.08",
            "currency": "USD",
            "per": "message",
            "rate": "0.08",
            "unit": "segment",
            "units": 1,
            "region": None,
            "as_of": "2026-11-21",
            "source": "A rounded guess",
        }
    },
    "priority": 5,
    "provider": "ses",
    "provider_message_id": "010201a1fca0d1b2-5b0e9a54-6d25-4b30-9a3e-0a7de2c1b7c0-000000",
    "reason": "the order was returned",
    "refresh": JWT,
    "request_id": "order-A-1042-shipped",
    "scope": "channel:email",
    "service_name": "my-shop",
    "start": "22:00",
    "status": "sent",
    "subject": "Your order A-1042 is on its way",
    "target": "email",
    "template_code": "order-shipped",
    "template_version": 1,
    "tenant": "default",
    "text": "Ada, your order A-1042 arrives on Monday.",
    "token_id": "d2f1c6a0",
    "timezone": "Europe/London",
    "title": "On its way",
    "to": "ada@example.com",
    "user_id": "ada",
    "variables": {"name": "Ada"},
    "variables_schema": {"properties": {"name": {"type": "string"}}, "required": ["name"]},
    "version": 1,
}
_COUNTED = {
    "deliveries": 200,
    "states": {"delivered": 120, "failed": 1, "open": 1, "sent": 78},
    "success_rate": 0.99497,
    "seconds_to_sent": {"p50": 0.31, "p95": 1.2, "p99": 1.8},
}
MODELS: Json = {
    "VersionRequest": {"language": "fr", "content": "Bonjour {{ name }}"},
    "PreferencesPatch": {"categories": {"marketing": False}},
    "BatchRequest": {
        "items": [{"user_id": "ada", "channels": ["email"], "message": "It is on its way"}]
    },
    "DeliveryReport": {
        "from": "2026-11-20",
        "to": "2026-11-21",
        "group_by": ["channel"],
        "rows": [
            {
                "day": None,
                "channel": "email",
                "state": None,
                "category": None,
                "template": None,
                **_COUNTED,
            }
        ],
        "totals": _COUNTED,
    },
    "StatusRequest": {"channel": "sms", "status": "delivered"},
}
FIELDS: Json = {
    "Answer": {"message": "Done"},
    "Page": {"message": "Found"},
    "Event": {"at": WHEN, "type": "sent", "from": "sending", "to": "sent"},
    "Health": {"status": "ok"},
    "Liveness": {"status": "ok"},
    "PushTokenOut": {"platform": "android", "is_active": True},
}
"""What a field looks like in one model, by the title without its parameter."""


class Examples:
    """Makes examples for one description, from its schemas by name."""

    def __init__(self, schemas: Mapping[str, Json]) -> None:
        self.schemas = schemas
        self.models = dict(MODELS)

    def learn(self, operation: Json, path: str, method: str) -> None:
        """Take the body of the sample event with this route for the example of its model."""
        name = _name(_body_schema(operation))
        for event in _events():
            if (event["resource"], event["httpMethod"]) == (path, method.upper()) and name:
                self.models[name] = json.loads(event["body"])

    def request(self, operation: Json) -> Any:
        """Return an example of an operation's body."""
        return self._of(_body_schema(operation), "", everything=False)

    def answer(self, schema: Json) -> Any:
        """Return an example of an answer, with all of its fields."""
        return self._of(schema, "", everything=True)

    def fields_of_data(self, schema: Json) -> set[str]:
        """Return the names in the ``data`` of an answer of this schema."""
        envelope = self.schemas.get(_name(schema), {})
        data = envelope.get("properties", {}).get("data", {})
        models = [data, *data.get("anyOf", [])]
        return {f for m in models for f in self.schemas.get(_name(m), {}).get("properties", {})}

    def fits(self, value: Any, schema: Json) -> bool:
        """Tell whether a value is one of a schema."""
        whole = {**schema, "components": {"schemas": dict(self.schemas)}}
        return bool(Draft202012Validator(whole).is_valid(value))

    def _of(self, schema: Json, name: str, *, everything: bool) -> Any:
        model = _name(schema)
        if model in self.models:
            return self.models[model]
        if name in VALUES and self.fits(VALUES[name], schema):
            return VALUES[name]
        if model:
            schema = {"title": model, **self.schemas[model]}
        for given in ("const", "default"):
            if given in schema:
                return schema[given]
        for several in ("examples", "enum"):
            if several in schema:
                return schema[several][0]
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return self._of(options[0], name, everything=everything)
        return self._of_type(schema, name, everything=everything)

    def _of_type(self, schema: Json, name: str, *, everything: bool) -> Any:
        match schema.get("type"):
            case "object":
                return self._object(schema, everything=everything)
            case "array":
                return [self._of(schema["items"], name.removesuffix("s"), everything=everything)]
            case "integer" | "number":
                return schema.get("minimum", 1)
            case "boolean":
                return False
            case "string" if name.endswith("_at") or schema.get("format") == "date-time":
                return WHEN
            case _:
                return name or "text"

    def _object(self, schema: Json, *, everything: bool) -> Json:
        fields = schema.get("properties", {})
        wanted = list(fields) if everything else schema.get("required") or list(fields)[:1]
        known = FIELDS.get(schema.get("title", "").partition("[")[0], {})
        return {
            field: known.get(field) or self._of(fields[field], field, everything=everything)
            for field in wanted
        }


def _body_schema(operation: Json) -> Json:
    content = operation.get("requestBody", {}).get("content", {})
    schema: Json = content.get("application/json", {}).get("schema", {})
    options = schema.get("anyOf", [])
    return next((option for option in options if "$ref" in option), schema)


def _name(schema: Json) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _events() -> Iterator[Json]:
    for path in sorted(EVENTS.glob("*.json")):
        event = json.loads(path.read_text())
        if event.get("body") and "httpMethod" in event:
            yield event
