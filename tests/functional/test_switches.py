"""Kill switches: stopped by an operator, obeyed by workers, lifted again."""

import json
import logging
import re
from typing import Any

import pytest
from cloudformation import ROOT, template
from functional.conftest import ADMIN_CALLER, APPLICATION_CALLER

from carillon import controls, switches
from carillon.models import Channel

SWITCHES = "/api/v1/ops/switches"
WHY = {"reason": "it loses our emails"}
SHOP = APPLICATION_CALLER["client_id"]


def stop(ask: Any, scope: str, **how: Any) -> Any:
    answer = ask("PUT", f"{SWITCHES}/{scope}", WHY, caller=ADMIN_CALLER, **how)
    controls.forget()  # a worker is another process than the API, and reads anew after a while
    return answer


@pytest.fixture
def shop(cloud) -> str:
    """The client of the samples, registered."""
    from carillon.tables import Client  # noqa: PLC0415

    Client(
        f"client#{SHOP}",
        tenant="default",
        service_name="shop",
        notification_types=[],
        keys=[],
        created_at="2026-11-21",
        updated_at="2026-11-21",
    ).save()
    return f"client:{SHOP}"


def test_h10_a_switch_says_who_set_it_when_and_why(ask, time_machine) -> None:
    time_machine.move_to("2026-11-21T09:30:00Z", tick=False)
    told = stop(ask, "channel:email")
    assert (told.status, told.data) == (
        200,
        {
            "scope": "channel:email",
            "on": True,
            "reason": "it loses our emails",
            "actor": "admin",
            "set_at": "2026-11-21T09:30:00.000Z",
        },
    )
    assert ask("GET", f"{SWITCHES}/channel:email", caller=ADMIN_CALLER).data == told.data
    assert ask("GET", SWITCHES, caller=ADMIN_CALLER).data == [told.data]


def test_h10_a_switch_that_is_off_says_so(ask) -> None:
    told = ask("GET", f"{SWITCHES}/provider:ses", caller=ADMIN_CALLER)
    assert told.data == {
        "scope": "provider:ses",
        "on": False,
        "reason": None,
        "actor": None,
        "set_at": None,
    }


@pytest.mark.parametrize("scope", ["channel:email", "template:order-shipped", "client"])
def test_h10_what_is_stopped_waits_in_its_queue_and_goes_on_when_it_is_lifted(
    prepared, send, ask, deliver, shop, scope
) -> None:
    scope = shop if scope == "client" else scope
    sent = send({"channels": ["email"]}).data["notification_id"]
    assert stop(ask, scope).status == 200
    assert deliver("email").calls == []
    waits = ask("GET", f"/api/v1/notifications/{sent}").data["deliveries"][0]
    assert (waits["status"], waits["attempts"]) == ("queued", 0)
    assert ask("DELETE", f"{SWITCHES}/{scope}", caller=ADMIN_CALLER).status == 204
    assert len(deliver("email").calls) == 1


def test_h10_what_another_switch_stops_is_sent(prepared, send, ask, deliver, shop) -> None:
    for scope in ("channel:sms", "provider:twilio"):
        assert stop(ask, scope).status == 200
    send({"channels": ["email"]})
    assert len(deliver("email").calls) == 1


def test_h10_a_provider_that_is_stopped_makes_no_call(
    prepared, send, ask, deliver, monkeypatch
) -> None:
    monkeypatch.setattr(switches, "PROVIDERS", switches.PROVIDERS | {"fake-email"})
    send({"channels": ["email"]})
    stop(ask, "provider:fake-email")
    assert deliver("email").calls == []


@pytest.mark.parametrize(
    "scope",
    [
        "channel:fax",
        "channel:",
        "channel",
        "provider:none",
        "template:nobody-has-it",
        "template:a b",
        "client:nobody",
        "tenant:default",
        "email",
        ":",
    ],
)
def test_h10_what_there_is_not_cannot_be_stopped(prepared, ask, scope) -> None:
    told = stop(ask, scope)
    assert (told.status, told.body["errors"][0]["pointer"]) == (404, "path:scope")
    assert prepared.items("ControlsTable") == []


def test_h10_a_template_that_is_archived_can_still_be_stopped(prepared, ask, api) -> None:
    found = api("GET", "/api/v1/templates/order-shipped")
    where = "/api/v1/templates/order-shipped"
    assert api("DELETE", where, If_Match=found.headers["ETag"]).status == 204
    assert stop(ask, "template:order-shipped").status == 200


def test_h10_a_reason_has_to_be_given(ask, prepared) -> None:
    for body in ({}, {"reason": ""}, {"reason": "a\nb"}, {"reason": "x", "until": "noon"}):
        answer = ask("PUT", f"{SWITCHES}/channel:email", body, caller=ADMIN_CALLER)
        assert answer.status == 422
    assert prepared.items("ControlsTable") == []


def test_h10_lifting_what_is_not_stopped_is_done_already(ask) -> None:
    assert ask("DELETE", f"{SWITCHES}/channel:email", caller=ADMIN_CALLER).status == 204


def test_h10_the_same_switch_again_has_the_newer_reason(ask) -> None:
    stop(ask, "channel:email")
    newer = {"reason": "still"}
    ask("PUT", f"{SWITCHES}/channel:email", newer, caller=ADMIN_CALLER)
    (told,) = ask("GET", SWITCHES, caller=ADMIN_CALLER).data
    assert told["reason"] == "still"


def test_b4_a_switch_of_one_tenant_is_no_other_s(prepared, ask, shop) -> None:
    for scope in ("template:order-shipped", shop):
        assert stop(ask, scope).status == 200
    foreign = ADMIN_CALLER | {"tenant": "other"}
    assert ask("GET", SWITCHES, caller=foreign).data == []
    for scope in ("template:order-shipped", shop):
        assert ask("GET", f"{SWITCHES}/{scope}", caller=foreign).data["on"] is False
        assert ask("PUT", f"{SWITCHES}/{scope}", WHY, caller=foreign).status == 404
        assert ask("DELETE", f"{SWITCHES}/{scope}", caller=foreign).status == 204
    assert len(ask("GET", SWITCHES, caller=ADMIN_CALLER).data) == 2


def test_h10_breakers_are_no_switches(prepared, ask) -> None:
    from carillon.tables import CONTROLS, Control  # noqa: PLC0415

    Control(CONTROLS, "breaker#ses").save()
    assert ask("GET", SWITCHES, caller=ADMIN_CALLER).data == []


def test_j7_the_log_has_who_stopped_what_and_who_let_it_go_on(ask, caplog) -> None:
    caplog.set_level(logging.WARNING)
    stop(ask, "channel:email")
    ask("DELETE", f"{SWITCHES}/channel:email", caller=ADMIN_CALLER)
    told = [record.__dict__ for record in caplog.records if record.message == "kill switch"]
    assert [(each["on"], each["actor"], each["scope"]) for each in told] == [
        (True, "admin", "channel:email"),
        (False, "admin", "channel:email"),
    ]


def test_h10_every_provider_can_be_stopped() -> None:
    patterns = [template()["Parameters"][f"{name}Provider"] for name in ("Email", "Sms")]
    configured = set(re.findall(r"[a-z]+", json.dumps([p["AllowedPattern"] for p in patterns])))
    sources = [(ROOT / f"functions/channels/{each}/handler.py").read_text() for each in Channel]
    calls = "".join(source.rpartition("consumer(")[2] for source in sources)
    assert configured | set(re.findall(r'"(\w+)": \w+', calls)) == switches.PROVIDERS
