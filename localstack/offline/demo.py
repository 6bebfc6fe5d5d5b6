"""The demonstration: the sample events, sent through the gateway, and what reached whom."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from rich.markup import escape
from rich.table import Table

from offline.environment import ROOT
from offline.fetch import Answer, fetch
from offline.problems import OfflineError
from offline.stack import Stack

EVENTS = ROOT / "events"
BEFORE = ("templates-create", "users-put", "users-push-token")
CHANNELS = frozenset({"email", "sms", "push", "inapp"})
ARRIVED = frozenset({"sent", "delivered"})
FINAL = ARRIVED | {"failed", "suppressed", "skipped", "expired", "unknown", "cancelled"}
DEADLINE_SECONDS = 60.0
POLL_SECONDS = 0.05
SHOWN = 24

# The gateway sets these itself.
_NOT_REPLAYED = frozenset({"authorization", "content-length", "host"})

Json = dict[str, Any]


@dataclass(frozen=True)
class Arrival:
    """What became of one channel."""

    channel: str
    state: str
    to: str = ""
    what: str = ""
    provider: str = ""
    message_id: str = ""
    milliseconds: int | None = None
    error: str = ""

    @property
    def arrived(self) -> bool:
        """Whether it is sent, and seen where it was sent to."""
        return self.state in ARRIVED and not self.error


def run(stack: Stack) -> list[Arrival]:
    """Register, prepare and send, and wait for every channel to end."""
    token = registered(stack)
    for name in BEFORE:
        expect(replay(stack.api, name, token), name)
    posted_at = datetime.now(UTC)
    answer = replay(stack.api, "notifications-send", token)
    expect(answer, "notifications-send")
    notification = await_end(stack.api, answer.json()["data"]["notification_id"], token)
    seen = received(stack, notification, token)
    return [
        arrival(
            delivery, seen.get(delivery["channel"]), posted_at, can_look=can_look(stack, delivery)
        )
        for delivery in notification["deliveries"]
    ]


def registered(stack: Stack) -> str:
    """Register the demo client and return its API token."""
    answer = replay(stack.api, "clients-register", stack.admin_token)
    expect(answer, "clients-register")
    token: str = answer.json()["data"]["api_token"]
    return token


def replay(api: str, name: str, token: str) -> Answer:
    """Send one sample event as the request it was."""
    event = json.loads((EVENTS / f"{name}.json").read_text())
    headers = {
        header: value
        for header, value in (event.get("headers") or {}).items()
        if header.lower() not in _NOT_REPLAYED and not header.lower().startswith("x-forwarded-")
    }
    query = urlencode(event.get("multiValueQueryStringParameters") or {}, doseq=True)
    return fetch(
        event["httpMethod"],
        f"{api}{quote(event['path'], safe='/:@%')}{f'?{query}' if query else ''}",
        headers=headers | {"Authorization": f"Bearer {token}"},
        body=(event.get("body") or "").encode() or None,
    )


def expect(answer: Answer, name: str) -> None:
    """Stop at the first answer that is not a success."""
    if not answer.ok:
        said = answer.body.decode(errors="replace")[:2000]
        raise OfflineError(f"events/{name}.json was answered {answer.status}: {said}")


def await_end(api: str, notification_id: str, token: str) -> Json:
    """Poll the notification until each delivery is in a final state, or time is up."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        notification: Json = read(f"{api}/api/v1/notifications/{notification_id}", token)
        states = {delivery["status"] for delivery in notification["deliveries"]}
        if states <= FINAL or time.monotonic() > deadline:
            return notification
        time.sleep(POLL_SECONDS)


def received(stack: Stack, notification: Json, token: str) -> dict[str, Json]:
    """Return what arrived, by channel: in the sandbox, and in the user's inbox."""
    mine = notification["notification_id"]
    user = notification["user_id"]
    inbox = read(f"{stack.api}/api/v1/users/{user}/notifications?channel=inapp", token)
    seen: dict[str, Json] = {}
    for entry in inbox:
        if entry["notification_id"] == mine:
            seen["inapp"] = entry
    if stack.own_sandbox:
        messages = fetch("GET", f"{stack.sandbox}/messages?notification_id={mine}").json()
        seen |= {message["channel"]: message for message in messages}
    return seen


def can_look(stack: Stack, delivery: Json) -> bool:
    """Tell whether the other end can be asked: somebody else's provider cannot."""
    return stack.own_sandbox or delivery["channel"] == "inapp"


def arrival(
    delivery: Json, seen: Json | None, posted_at: datetime, *, can_look: bool = True
) -> Arrival:
    """Put together what the API says of a delivery and what was seen at its other end."""
    state = delivery["status"]
    error = json.dumps(delivery["error"]) if delivery.get("error") else ""
    if state not in FINAL:
        error = error or f"still {state} after {DEADLINE_SECONDS:.0f} s"
    elif state in ARRIVED and seen is None and can_look:
        error = f"{state}, but nothing came to the other end"
    elif state not in ARRIVED:
        error = error or state
    at = seen or {}
    # An inbox does not say when it was reached, nor does somebody else's provider: the status does.
    received_at = at.get("received_at") or delivery["updated_at"]
    milliseconds = None
    if received_at:
        took = datetime.fromisoformat(received_at) - posted_at
        milliseconds = round(took.total_seconds() * 1000)
    return Arrival(
        channel=delivery["channel"],
        state=state,
        to=delivery["to"] or "",
        what=at.get("subject") or at.get("title") or at.get("body") or "",
        provider=delivery.get("provider") or "",
        message_id=delivery.get("provider_message_id") or "",
        milliseconds=milliseconds,
        error=error,
    )


def check(arrivals: Sequence[Arrival]) -> None:
    """Name every channel that did not arrive."""
    missing = [f"{each.channel} ({each.error})" for each in arrivals if not each.arrived]
    missing += [
        f"{channel} (not asked for)" for channel in CHANNELS - {a.channel for a in arrivals}
    ]
    if missing:
        raise OfflineError(f"did not arrive: {', '.join(missing)}")


def table(arrivals: Sequence[Arrival]) -> Table:
    """Return what reached whom, for people."""
    shown = Table(title="What reached whom", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in ("channel", "to", "what arrived", "provider", "message id", "state"):
        # On a narrow terminal the two long ones give way.
        shown.add_column(heading, no_wrap=heading not in ("what arrived", "message id"))
    shown.add_column("ms", justify="right", no_wrap=True)
    for each in arrivals:
        colour = "green" if each.arrived else "red"
        shown.add_row(
            each.channel,
            escape(shortened(each.to)),
            escape(each.what),
            escape(each.provider),
            escape(shortened(each.message_id)),
            f"[{colour}]{each.state}[/]",
            "" if each.milliseconds is None else str(each.milliseconds),
        )
    return shown


def shortened(text: str) -> str:
    """Return a long token as its beginning and its end."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 11]}…{text[-10:]}"


def read(url: str, token: str) -> Any:
    """Return the data of a resource."""
    answer = fetch("GET", url, headers={"Authorization": f"Bearer {token}"})
    if not answer.ok:
        raise OfflineError(f"GET {url} was answered {answer.status}: {answer.body.decode()[:2000]}")
    return answer.json()["data"]
