"""The end of a run: whether every promise was kept, and whether the API tells it as it was."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from simulation.oracle import Oracle
from simulation.records import ENDED, FINAL, Recorded, Track
from simulation.store import Store, readable

JSON = dict[str, Any]
UNEXPLAINED = {"repeat-only-unrecorded", "at-most-once-is-kept", "one-call-per-claim"}


class Verdict:
    """Judges what an oracle has heard."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle

    def judge(self, waiting: Mapping[str, list[str]], store: Store) -> None:
        """Judge each delivery; ``waiting`` is what the queues still hold, by channel."""
        oracle = self.oracle
        letters = self._letters(store)
        for recorded in oracle.recorded.values():
            open_targets = oracle.open_targets(recorded)
            for target in recorded.targets:
                track = oracle.track(recorded.notification_id, target)
                oracle.counts["deliveries"] += 1
                oracle.counts[f"ended {track.state or 'not needed'}"] += 1
                if track.state == "dead_lettered":
                    self._lettered(recorded, target, letters)
                elif target in open_targets:
                    self._open(recorded, target, track, waiting)
        for (notification_id, target), track in oracle.tracks.items():
            self._repeated(oracle.recorded[notification_id], target, track)
        for (notification_id, _), count in oracle.inbox.items():
            mark = oracle.mark(notification_id)
            oracle.must(count == 1, "in-app-exactly-once", mark, f"{count} in the inbox")

    def _letters(self, store: Store) -> list[JSON]:
        items = store.tables["DeadLettersTable"].items.values()
        return [readable(item) for item in items if "letter_id" in item]

    def _lettered(self, recorded: Recorded, target: str, letters: list[JSON]) -> None:
        found = [
            each
            for each in letters
            if each.get("notification_id") == recorded.notification_id
            and target in each.get("targets", "")
        ]
        why = any(each.get("reason") for each in found)
        self.oracle.must(why, "dead-letters-have-a-reason", recorded.mark, target)

    def _open(
        self, recorded: Recorded, target: str, track: Track, waiting: Mapping[str, list[str]]
    ) -> None:
        waits = any(recorded.notification_id in body for body in waiting.get(track.channel, []))
        lost = not waits and track.state is None
        self.oracle.counts["lost"] += lost
        self.oracle.must(
            False,
            "nothing-is-lost" if lost else "every-delivery-ends",
            recorded.mark,
            f"{target} is {track.state or 'queued'}",
        )

    def _repeated(self, recorded: Recorded, target: str, track: Track) -> None:
        oracle = self.oracle
        taken = [each for each in track.calls if each.accepted]
        if len(taken) <= 1:
            return
        more, mark = len(taken) - 1, recorded.mark
        oracle.counts["duplicates"] += more
        oracle.must(
            not recorded.at_most_once, "at-most-once-is-kept", mark, f"{target}: {len(taken)} times"
        )
        wrong = {each.mark for each in oracle.violations if each.invariant in UNEXPLAINED}
        oracle.counts["duplicates explained"] += more if mark not in wrong else 0

    def parked(self, text: str, store: Store) -> None:
        """Judge what became of something that nobody understands."""
        letters = [each for each in self._letters(store) if not each.get("notification_id")]
        found = [each for each in letters if each.get("reason")]
        self.oracle.must(found, "poison-is-parked", text, f"{len(letters)} letters")

    def listed(self, of_client: Callable[[str], list[str]]) -> None:
        """Judge whether each client's list has all that was accepted, once."""
        for client_id in dict.fromkeys(each.client_id for each in self.oracle.recorded.values()):
            listed = Counter(of_client(client_id))
            for notification_id, recorded in self.oracle.recorded.items():
                if recorded.client_id == client_id:
                    times = listed[notification_id]
                    self.oracle.must(times == 1, "accepted-is-listed", recorded.mark, f"{times}")

    def told(self, notification_id: str, answer: JSON) -> None:
        """Judge what the API tells of a notification."""
        oracle, recorded = self.oracle, self.oracle.recorded[notification_id]
        for told in answer["deliveries"]:
            if told["target"] not in recorded.targets:
                continue
            track = oracle.track(notification_id, told["target"])
            is_state = told["status"] == (track.state or "skipped") or (
                recorded.in_turn and told["status"] == "skipped"
            )
            name = f"{told['target']} is {track.state}, told as {told['status']}"
            oracle.must(
                is_state or track.state not in ENDED, "the-api-tells-the-truth", recorded.mark, name
            )
            taken = sum(each.accepted for each in track.calls)
            shown = told["possible_duplicate"]
            if taken > 1 and track.state in FINAL:
                name = f"{told['target']} was accepted {taken} times"
                oracle.must(shown, "duplicates-are-shown", recorded.mark, name)
