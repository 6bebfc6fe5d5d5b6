"""What was given up: found, grouped, sent anew or put away."""

import pytest

from carillon.models import State
from carillon.tables import Delivery


def _give_up(notification_id: str) -> None:
    Delivery(notification_id, "email").update(
        actions=[Delivery.state.set(State.DEAD_LETTERED), Delivery.updated_at.set("2026-11-21")]
    )


def test_f13_a_stray_copy_of_a_dead_letter_makes_no_call(prepared, send, deliver) -> None:
    sent = send({"channels": ["email"]}).data["notification_id"]
    _give_up(sent)
    assert deliver("email").calls == []
    assert Delivery.get(sent, "email").state == State.DEAD_LETTERED


@pytest.mark.parametrize("heard", ["sent", "delivered", "failed"])
def test_f13_what_a_provider_says_of_a_dead_letter_is_believed(prepared, send, ask, heard) -> None:
    sent = send({"channels": ["email"]}).data["notification_id"]
    _give_up(sent)
    told = ask("PATCH", f"/api/v1/notifications/{sent}/status", {"status": heard})
    assert told.data["deliveries"][0]["status"] == heard


def test_f13_a_dead_letter_can_be_cancelled(prepared, send, ask) -> None:
    sent = send({"channels": ["email"]}).data["notification_id"]
    _give_up(sent)
    told = ask("POST", f"/api/v1/notifications/{sent}/cancel", {})
    assert (told.status, told.data["status"]) == (202, "cancelled")
