"""A running stack's API, as a client of it sees it."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

ENDED = {
    "sent",
    "delivered",
    "failed",
    "suppressed",
    "skipped",
    "unknown",
    "expired",
    "cancelled",
}
DEADLINE = 60
PATIENCE = 90
"""Seconds that something may take which passes through several queues, or waits for a retry."""
Json = dict[str, Any]


def until(true: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Return the first true answer; raises AssertionError when none comes."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come to pass")


@dataclass(frozen=True)
class Api:
    """The API as a client of it sees it."""

    base: str
    token: str
    sandbox: str

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        told = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        if data is not None:
            told.setdefault("Content-Type", "application/json")
        return requests.request(method, self.base + path, data=data, headers=told, timeout=120)

    def send(self, body: Json, key: str = "") -> requests.Response:
        headers = {"Idempotency_Key": key} if key else {}
        return self.call("POST", "/api/v1/notifications", body, **headers)

    def ended(self, notification_id: str) -> Json:
        """Wait until each delivery has ended, and return them by channel."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            found = self.call("GET", f"/api/v1/notifications/{notification_id}").json()["data"]
            if {delivery["status"] for delivery in found["deliveries"]} <= ENDED:
                return {delivery["channel"]: delivery for delivery in found["deliveries"]}
            time.sleep(0.05)
        raise AssertionError(f"still not ended: {found}")

    def arrived(self, notification_id: str) -> list[Json]:
        """What the providers got."""
        query = {"notification_id": notification_id}
        return list(requests.get(f"{self.sandbox}/messages", query, timeout=30).json())
