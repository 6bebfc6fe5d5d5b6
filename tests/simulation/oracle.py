"""The judge: its own record of what was promised and done, and what must hold of it.

It hears of every answer to a caller, every request to a provider and every write to the store, and
never asks the product what it thinks.
"""

import datetime as dt
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from simulation.expressions import Item
from simulation.records import (
    ADVANCES,
    CALL_SECONDS,
    ENDED,
    FINAL,
    INVARIANTS,
    MISSED,
    Ban,
    Claim,
    Recorded,
    Track,
    Violation,
)
from simulation.scheduler import Scheduler
from simulation.store import STALE_SECONDS, of_json, readable
from simulation.story import Story
from simulation.wire import MARK, Request

JSON = dict[str, Any]


class Oracle:
    """Hears, and judges."""

    def __init__(self, scheduler: Scheduler, story: Story, max_retries: int) -> None:
        self.scheduler, self.story, self.max_retries = scheduler, story, max_retries
        self.recorded: dict[str, Recorded] = {}
        self.by_mark: dict[str, str] = {}
        self.tracks: dict[tuple[str, str], Track] = {}
        self.promised: dict[str, None] = {}
        self.by_key: dict[str, tuple[str, str]] = {}
        self.inbox: Counter[tuple[str, str]] = Counter()
        self.forbidden: dict[tuple[str, str], Ban] = {}
        self.at_most_once: dict[str, bool] = {}
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self.claims: dict[Any, Claim] = {}

    def must(self, holds: object, invariant: str, mark: str, what: str) -> None:
        """Note a violation unless something holds."""
        assert invariant in INVARIANTS, invariant
        if not holds:
            self.violations.append(Violation(invariant, mark, what))
            self.story.tell(f"VIOLATION {invariant} {mark}", what)

    def mark(self, notification_id: str) -> str:
        """Return what the story calls a notification."""
        found = self.recorded.get(notification_id)
        return found.mark if found else notification_id

    def track(self, notification_id: str, target: str) -> Track:
        """Return the record of a delivery."""
        key = (notification_id, target)
        if key not in self.tracks:
            self.tracks[key] = Track(target.partition("#")[0])
        return self.tracks[key]

    # ------------------------------------------------------------------ hearing

    def answered(self, key: str, mark: str, status: int, body: Mapping[str, Any]) -> None:
        """Hear what a caller was answered."""
        if status != 202:
            return
        notification_id = body["data"]["notification_id"]
        self.promised[notification_id] = None
        known = self.by_key.setdefault(key, (notification_id, mark))
        self.must(
            known == (notification_id, mark),
            "one-key-one-notification",
            mark,
            f"{key} stood for {known[1]} before",
        )
        found = self.recorded.get(notification_id)
        self.must(found, "accepted-is-recorded", mark, "202, and the store knows nothing of it")

    def forbid(self, channel: str, address: str, *, dead: bool = False) -> None:
        """Hear that nothing is to be sent to an address any more."""
        self.story.tell(f"{channel} {address}", "is not to be used any more")
        self.forbidden[channel, address] = Ban(self.scheduler.seconds, dead)

    def _ban(self, recorded: Recorded, channel: str, address: str) -> Ban | None:
        """Return what forbids an address to a notification: it is dead, or its user says no."""
        user = recorded.message.get("user_id")
        return self.forbidden.get((channel, address)) or self.forbidden.get((channel, f"@{user}"))

    def reports(self, notification_id: str, target: str) -> None:
        """Hear that a caller is about to report what became of a delivery."""
        self.track(notification_id, target).reported = True

    def wrote(self, table: str, old: Item | None, new: Item | None, task: Any) -> None:
        """Hear of a write to the store."""
        if table == "NotificationsTable" and new is not None:
            self._noted(readable(new), old)
        elif table == "DeliveriesTable":
            self._changed(old and readable(old), new and readable(new), task)
        elif table == "UsersTable" and new is not None:
            self._suppressed(readable(new))
        elif table == "InboxTable" and new is not None and old is None:
            item = readable(new)
            self.inbox[item["notification_id"], item["user"]] += 1

    def _suppressed(self, item: JSON) -> None:
        """Hear that an address is dead: a mailbox or number is on a list, a device inactive."""
        if item["part"] == "suppression":
            message = self.recorded[item["notification_id"]].message
            for address in message["targets"][item["channel"]]:
                self.forbid(item["channel"], address, dead=True)
        elif item.get("is_active") is False:
            self.forbid("push", item["fcm_token"], dead=True)

    def _noted(self, item: JSON, old: Item | None) -> None:
        message = json.loads(item["message"])
        mark = _mark_of(message)
        known = old and readable(old)["notification_id"]
        self.must(
            known in (None, item["notification_id"]),
            "one-key-one-notification",
            mark,
            f"{known} was overwritten",
        )
        self.story.marks[item["notification_id"]] = mark
        self.by_mark[mark] = item["notification_id"]
        self.must(
            bool(message.get("at_most_once")) == self.at_most_once.get(mark, False),
            "at-most-once-is-kept",
            mark,
            "it was not recorded as it was asked for",
        )
        self.recorded[item["notification_id"]] = Recorded(
            item["notification_id"], mark, of_json(item["targets"]), message, item["accepted"]
        )

    def _changed(self, old: JSON | None, new: JSON | None, task: Any) -> None:
        told = new or old or {}
        target, mark = told["target"], self.mark(told["notification_id"])
        track = self.track(told["notification_id"], target)
        before, after = (old or {}).get("state"), (new or {}).get("state")
        name = f"{mark}/{target}"
        self.story.tell(name, f"{before or 'queued'} -> {after}")
        self.must(new, "states-advance", mark, f"{target} was deleted")
        if new is None:
            return
        if before == "dead_lettered" and after == "retrying":
            track.redriven = len(track.claims)
        track.state, track.item = after, new
        self._held(track, mark, old, new, task)
        claimed = after == "sending" and (
            before != "sending" or new["owner"] != (old or {}).get("owner")
        )
        self.must(
            after in ADVANCES[before] or (before == after and old == new),
            "states-advance",
            mark,
            f"{target}: {before} -> {after}",
        )
        self.must(
            new.get("attempts", 0) <= self.max_retries + 1,
            "attempts-are-bounded",
            mark,
            f"{target}: attempt {new.get('attempts')}",
        )
        if claimed:
            again = any(each.owner == new["owner"] for each in track.claims)
            self.must(not again, "claims-are-owned", mark, f"{target}: one claim taken twice")
            claim = Claim(new["owner"], task, self.scheduler.seconds, new["lease_until"])
            track.claims.append(claim)
            self.claims[task] = claim
            longer = claim.lease_until >= self.scheduler.epoch + task.allowed / 1e6 - 1
            self.must(longer, "leases-outlive-their-holders", mark, f"{target} of {task.name}")
            recorded = self.recorded[told["notification_id"]]
            if recorded.in_turn:
                self._in_turn(recorded, target)
        elif after != "sending":
            self._ended(track, mark, before, new, task)

    def returned(self, task: Any) -> None:
        """Hear that a task has the answer to what it wrote."""
        claim = self.claims.pop(task, None)
        if claim is not None:
            claim.known_at = self.scheduler.seconds

    def _held(self, track: Track, mark: str, old: JSON | None, new: JSON, task: Any) -> None:
        """Check that nobody but its holder ends a claim, unless its lease has lapsed."""
        claim = track.claims[-1] if track.claims else None
        if claim is None or not old or old["state"] != "sending" or not _is_worker(task):
            return
        if claim.task is task or new["state"] == "sent":
            return
        lapsed = self.scheduler.epoch + self.scheduler.seconds >= claim.lease_until
        taken = new["state"] in ("unknown", "dead_lettered") or new.get("owner") != claim.owner
        self.must(
            lapsed and taken,
            "claims-are-owned",
            mark,
            f"{new['target']} of {claim.task.name} became {new['state']} by {task.name}",
        )
        lives = not claim.task.done and self.scheduler.now < claim.task.allowed
        self.must(
            not lives,
            "leases-outlive-their-holders",
            mark,
            f"{new['target']} of {claim.task.name}, which lives",
        )

    def _ended(self, track: Track, mark: str, before: str | None, new: JSON, task: Any) -> None:
        held = (each for each in reversed(track.claims) if each.owner == new.get("owner"))
        claim = next(held, None)
        worker = _is_worker(task)
        if claim and worker and before == "sending" and claim.recorded is None:
            claim.recorded, claim.recorded_at = new["state"], self.scheduler.seconds
            claim.failure = new.get("failure")
        name = f"{new['target']} {new['state']}"
        taken = [each for each in track.calls if each.accepted]
        if new["state"] == "sent" and worker and track.channel != "inapp":
            ids = [each.message_id for each in taken]
            known = new.get("provider_message_id") in ids
            self.must(known, "sent-means-accepted", mark, f"{name}, and no provider took it")
        if new["state"] == "sent" and worker and track.channel == "inapp":
            count = self._in_inbox(new["notification_id"])
            self.must(count == 1, "in-app-exactly-once", mark, f"{count} in the inbox")
        if new["state"] in ("failed", "expired", "cancelled", "suppressed") and not track.reported:
            self.must(
                not taken, "failed-means-not-sent", mark, f"{name}, and {len(taken)} were accepted"
            )
        if new["state"] in ("failed", "unknown") and worker:
            self._gave_up(track, mark, claim, new)

    def _gave_up(self, track: Track, mark: str, claim: Claim | None, new: JSON) -> None:
        """Check that a worker ended a delivery for want of attempts only when they were spent."""
        recorded = self.recorded[new["notification_id"]]
        addresses = recorded.message["targets"].get(track.channel, ())
        if any(self._ban(recorded, track.channel, each) for each in addresses):
            return
        last = claim.calls[-1] if claim and claim.calls else None
        if last and last.told == "refused":
            return
        if recorded.at_most_once and new["state"] == "unknown":
            return
        now = self.scheduler.epoch + self.scheduler.seconds
        if recorded.expires_at is not None and now >= recorded.expires_at:
            return
        if new.get("error_code") == "turn-over":
            wait = float(recorded.message["fallback_after"])
            began = dt.datetime.fromisoformat(recorded.accepted).timestamp()
            self.must(now >= began + wait - 1, "turns-are-kept", mark, f"{new['target']} too early")
            return
        claims = track.claims[track.redriven :]
        spent = [each for each in claims if track.channel == "inapp" or not each.is_free]
        self.must(
            len(spent) > self.max_retries,
            "throttling-spends-nothing",
            mark,
            f"{new['target']} gave up after {len(spent)} spent attempts",
        )

    def _in_inbox(self, notification_id: str) -> int:
        return sum(count for (each, _), count in self.inbox.items() if each == notification_id)

    def asked(self, request: Request) -> None:
        """Hear of a request to a provider, before it is answered."""
        self.counts["requests"] += 1
        notification_id = self.by_mark.get(request.mark)
        self.must(notification_id, "sent-means-recorded", request.mark, "nobody asked for this")
        if notification_id is None:
            return
        recorded = self.recorded[notification_id]
        target = _target(request)
        track = self.track(notification_id, target)
        mark, what = recorded.mark, f"{target} by {request.task.name}"
        ban = self._ban(recorded, request.channel, request.address)
        # An invocation that began before may have read what was wanted before.
        known = ban is not None and request.task.root.begun / 1e6 > ban.since + STALE_SECONDS
        spared = recorded.message.get("mandatory") and not (ban and ban.dead)
        self.must(not known or spared, "suppressed-is-not-called", mark, what)
        begun = request.task.begun / 1e6
        task = request.task.root
        since = self.scheduler.seconds if task is request.task else begun
        mine = [each for each in track.claims if each.task is task and each.at <= since]
        self.must(mine, "one-call-per-claim", mark, f"{what}: without a claim")
        if mine:
            claim = mine[-1]
            left = claim.task.allowed / 1e6 - (claim.known_at or claim.at)
            self.must(
                left >= CALL_SECONDS, "no-call-without-time", mark, f"{what}: {left:.1f} s left"
            )
            self.must(not claim.calls, "one-call-per-claim", mark, f"{what}: twice in one claim")
            self._repeats(recorded, track, claim, what)
            claim.calls.append(request)
        track.calls.append(request)

    def _repeats(self, recorded: Recorded, track: Track, claim: Claim, what: str) -> None:
        """Judge a call by what was known when its claim was taken."""
        mark = recorded.mark
        at = self.scheduler.epoch + claim.at
        self.must(
            recorded.expires_at is None or at <= recorded.expires_at,
            "expiry-is-honoured",
            mark,
            what,
        )
        for earlier in track.claims:
            if earlier.at >= claim.at or earlier is claim:
                continue
            self._waits(recorded, earlier, claim, what)
            ended = earlier.recorded in FINAL and earlier.recorded_at < claim.at
            self.must(not ended, "repeat-only-unrecorded", mark, f"{what}: it was recorded before")
            doubtful = any(each.told in ("accepted", "unsure") for each in earlier.calls)
            self.must(not (recorded.at_most_once and doubtful), "at-most-once-is-kept", mark, what)

    def _waits(self, recorded: Recorded, earlier: Claim, claim: Claim, what: str) -> None:
        """Check that a provider's wish to be left alone is heard, where it was recorded."""
        if earlier.recorded != "retrying" or not earlier.calls:
            return
        last = earlier.calls[-1]
        if last.answered_at is None or last.answered_at > earlier.recorded_at:
            return
        # The delivery's own wait is kept in whole seconds.
        until = last.answered_at + last.wait - 1
        self.must(
            claim.at >= until,
            "retry-after-is-honoured",
            recorded.mark,
            f"{what}: {until - claim.at:.1f} s too early",
        )

    def _in_turn(self, recorded: Recorded, target: str) -> None:
        """Check that the channels before have surely not arrived."""
        for row in recorded.rows():
            if target in row:
                return
            states = {self.track(recorded.notification_id, each).state for each in row}
            name = f"{target} is claimed, before it {sorted(map(str, states))}"
            self.must(states <= MISSED, "turns-are-kept", recorded.mark, name)

    # ------------------------------------------------------------------ standing

    def open_targets(self, recorded: Recorded) -> list[str]:
        """Return the deliveries of a notification that are still to come to an end.

        Where channels take turns, those after one that may have arrived are not to come at all.
        """
        found: list[str] = []
        for row in recorded.rows():
            states = [self.track(recorded.notification_id, target).state for target in row]
            ended = zip(row, states, strict=True)
            found += [target for target, state in ended if state not in ENDED]
            if recorded.in_turn and not set(states) <= MISSED:
                break
        return found

    def dead(self) -> list[tuple[str, str]]:
        """Return the deliveries that wait for an operator."""
        return [key for key, track in self.tracks.items() if track.state == "dead_lettered"]


def _is_worker(task: Any) -> bool:
    return task is not None and bool(task.consumes)


def _target(request: Request) -> str:
    if request.channel != "push":
        return request.channel
    return f"push#{hashlib.sha256(request.address.encode()).hexdigest()[:12]}"


def _mark_of(message: JSON) -> str:
    found = MARK.search(json.dumps([message.get("inline"), message.get("variables")]))
    return found[0] if found else "?"
