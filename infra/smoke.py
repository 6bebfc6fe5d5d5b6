"""Asks a deployment whether it works: its health, and a notification from one end to the other.

    SMOKE_KEY=nk_test_... python infra/smoke.py https://...execute-api.../staging

The key is one of mode "test": what it sends goes the whole way, and to nobody (docs/clients.md). It
comes by the environment, since other users of the machine see command lines.
"""

import os
import sys
import time
from collections.abc import Mapping

import httpx

from carillon_client import Carillon
from carillon_client.models import To

CHANNELS = ("email", "sms", "push")
PATIENCE = 90.0
"""Seconds for a notification: functions that were never called start, one after the other."""
TO: To = {
    "email": "success@simulator.amazonses.com",
    "phone": "+14155550100",
    "push_token": "smoke-test-device",
}


def healthy(url: str) -> Mapping[str, object]:
    """Return what the health check says; raises httpx.HTTPError when it is not well."""
    answer = httpx.get(f"{url}/api/v1/health", timeout=30)
    answer.raise_for_status()
    return dict(answer.json())


def delivered(url: str, key: str) -> str:
    """Send through every channel and return the notification's id; raises SystemExit."""
    with Carillon(url, key, timeout=30) as carillon:
        sent = carillon.send(channels=CHANNELS, to=TO, title="Smoke", message="A smoke test")
        found = carillon.wait(sent.notification_id, timeout=PATIENCE)
    states = {delivery.channel: delivery.status for delivery in found.deliveries}
    if states != dict.fromkeys(CHANNELS, "sent"):
        raise SystemExit(f"{found.notification_id} ended as {states}")
    return found.notification_id


def main() -> int:
    """Ask, and tell how long it took."""
    url, key = sys.argv[1].rstrip("/"), os.environ["SMOKE_KEY"]
    if not key.startswith("nk_test_"):
        raise SystemExit("give a key of mode test: a smoke test sends to nobody")
    began = time.monotonic()
    healthy(url)
    notification = delivered(url, key)
    print(f"{url} works: {notification} in {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
