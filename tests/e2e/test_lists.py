"""Lists, reports and cancelling on a store that is atomic."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from served import Api, until

pytestmark = pytest.mark.e2e

Json = dict[str, Any]
HELLO: Json = {"user_id": "ada", "channels": ["email"], "message": "Hello"}
PATH = "/api/v1/notifications"


def listed(api: Api, query: str = "") -> list[str]:
    """Return the ids that every page together lists."""
    found: list[str] = []
    cursor = ""
    while True:
        body = api.call("GET", f"{PATH}?limit=7{query}{cursor}").json()
        found += [each["notification_id"] for each in body["data"]]
        if not body["meta"]["has_next"]:
            return found
        cursor = f"&cursor={body['meta']['next_cursor']}"


def sent(api: Api, **change: Any) -> str:
    reply = api.send(HELLO | change)
    assert reply.status_code == 202, reply.text
    return str(reply.json()["data"]["notification_id"])


def test_pages_of_a_list_join_to_the_whole_newest_first(api) -> None:
    ids = []
    for _ in range(20):
        ids.append(sent(api, category="listed"))
        time.sleep(0.002)  # so that no two are of one millisecond
    until(lambda: len(listed(api)) == len(ids))  # it is written from a stream
    assert listed(api) == ids[::-1]
    assert listed(api, "&category=listed&user_id=ada") == ids[::-1]
    assert listed(api, "&category=nothing") == []


def test_one_of_many_reports_at_once_decides(api) -> None:
    notification_id = sent(api)
    api.ended(notification_id)

    def report(status: str) -> int:
        told = {"channel": "email", "status": status}
        return api.call("PATCH", f"{PATH}/{notification_id}/status", told).status_code

    with ThreadPoolExecutor(12) as pool:
        codes = Counter(pool.map(report, ["delivered", "failed"] * 6))
    assert set(codes) == {200, 409}
    assert codes[200] == 6
    events = api.call("GET", f"{PATH}/{notification_id}/events").json()["data"]
    assert len([e for e in events if e["type"] in ("delivered", "failed")]) == 1


def test_what_is_cancelled_is_never_sent_and_what_is_sent_never_cancelled(api) -> None:
    """Cancelling races the workers: each delivery ends one way, and the provider agrees."""

    def send_and_cancel(_: int) -> tuple[str, int]:
        notification_id = sent(api)
        return notification_id, api.call("POST", f"{PATH}/{notification_id}/cancel").status_code

    with ThreadPoolExecutor(6) as pool:
        tried = list(pool.map(send_and_cancel, range(30)))
    for notification_id, code in tried:
        status = api.ended(notification_id)["email"]["status"]
        assert (code, status) in {(202, "cancelled"), (409, "sent")}
        assert len(api.arrived(notification_id)) == (1 if status == "sent" else 0)


def test_a_batch_and_its_repeat_deliver_each_item_once(api) -> None:
    batch = {"items": [HELLO | {"channels": ["inapp", "email"]}] * 3}
    reply = api.call("POST", f"{PATH}/batch", batch, Idempotency_Key="e2e-batch")
    again = api.call("POST", f"{PATH}/batch", batch, Idempotency_Key="e2e-batch")
    assert (reply.status_code, again.status_code) == (202, 202)
    ids = [i["notification"]["notification_id"] for i in reply.json()["data"]["items"]]
    assert ids == [i["notification"]["notification_id"] for i in again.json()["data"]["items"]]
    for notification_id in ids:
        api.ended(notification_id)
        assert len(api.arrived(notification_id)) == 1
