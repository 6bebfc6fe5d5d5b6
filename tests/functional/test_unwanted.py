"""What changed between acceptance and sending: nobody gets what they no longer want."""

from typing import Any

import pytest
import time_machine
from providers import failing

from carillon import clients, signed
from carillon.client_models import ClientRequest, NotificationType
from carillon.controls import FRESH_SECONDS
from carillon.delivery import Outgoing, Sent
from carillon.errors import Failure
from carillon.models import State, now
from carillon.tables import Delivery, Profile


def test_a_user_deleted_meanwhile_gets_nothing_and_it_is_told_a_q08(send, ask, deliver) -> None:
    path = f"/api/v1/notifications/{send({'channels': ['email']}).data['notification_id']}"
    Profile.get("default#ada", "profile").delete()
    assert not deliver("email").calls
    (told,) = ask("GET", path).data["deliveries"]
    assert (told["status"], told["reason"], told["attempts"]) == ("suppressed", "user-gone", 0)
    # And no loop: the message is done with.
    assert not deliver("email").calls


def test_c5_an_opt_out_meanwhile_is_heeded(send, ask, deliver) -> None:
    path = f"/api/v1/notifications/{send({'channels': ['sms']}).data['notification_id']}"
    assert ask("PATCH", "/api/v1/users/ada/preferences", {"channels": {"sms": False}}).status == 200
    assert not deliver("sms").calls
    (told,) = ask("GET", path).data["deliveries"]
    assert (told["status"], told["reason"]) == ("suppressed", "channel-opt-out")


def test_c6_a_mandatory_category_is_sent_all_the_same(send, ask, deliver) -> None:
    kinds = [NotificationType(name="security", mandatory=True)]
    client = clients.register(ClientRequest(service_name="s", notification_types=kinds))
    caller = {"client_id": client.client_id, "tenant": "default", "scope": "send read"}
    send({"channels": ["sms"], "category": "security"}, caller=caller)
    ask("PATCH", "/api/v1/users/ada/preferences", {"channels": {"sms": False}})
    assert len(deliver("sms").calls) == 1


def test_a_change_after_an_attempt_that_may_have_gone_is_told_as_unknown(
    send, ask, deliver
) -> None:
    send({"channels": ["email"]})
    deliver("email", lambda _: 1 / 0)
    ask("PATCH", "/api/v1/users/ada/preferences", {"channels": {"email": False}})
    assert not deliver("email").calls
    (delivery,) = Delivery.scan()
    assert delivery.state == State.UNKNOWN


def test_users_that_cannot_be_read_hold_the_message_back(send, deliver, monkeypatch) -> None:
    send({"channels": ["email"]})
    monkeypatch.setattr("carillon.wishes.Wishes.against", lambda *_: 1 / 0)
    assert not deliver("email").calls
    assert not list(Delivery.scan())
    monkeypatch.undo()


def test_a_template_edited_meanwhile_changes_nothing_that_was_accepted_a_q09(
    send, ask, deliver
) -> None:
    send({"channels": ["sms"]})
    before = ask("GET", "/api/v1/templates/order-shipped")
    parts = {"sms": {"text": "Another text"}}
    changed = ask(
        "PUT",
        "/api/v1/templates/order-shipped",
        {"parts": parts},
        headers={"If-Match": before.headers["ETag"]},
    )
    assert changed.status == 200
    (call,) = deliver("sms").calls
    assert "A-1042" in call.content["text"]


def test_a_batch_reads_its_readers_together_and_anew_when_that_is_old(
    send, ask, deliver, monkeypatch
) -> None:
    for key in "abcd":
        send({"channels": ["sms"]}, headers={"Idempotency-Key": key})
    reads = _reads(monkeypatch)
    calls: list[Outgoing] = []

    def opt_out_after_two(outgoing: Outgoing) -> Sent:
        calls.append(outgoing)
        if len(calls) == 2:
            ask("PATCH", "/api/v1/users/ada/preferences", {"channels": {"sms": False}})
            clock.shift(FRESH_SECONDS)
        return Sent("fake", "1")

    with time_machine.travel(now(), tick=False) as clock:
        deliver("sms", opt_out_after_two)
    assert len(calls) == 2
    assert len(reads) == 2


def test_an_address_that_dies_in_a_batch_is_not_tried_again_in_it(send, deliver) -> None:
    for key in "abc":
        send({"channels": ["sms"]}, headers={"Idempotency-Key": key})
    assert len(deliver("sms", failing(Failure.RECIPIENT)).calls) == 1


def _reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the reads of several items that will be made."""
    made: list[str] = []
    call = signed.Client.call

    def spy(client: signed.Client, operation: str, told: dict[str, Any]) -> Any:
        made.extend([operation] if operation == "BatchGetItem" else [])
        return call(client, operation, told)

    monkeypatch.setattr(signed.Client, "call", spy)
    return made
