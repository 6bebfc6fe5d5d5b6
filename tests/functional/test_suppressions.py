"""Dead addresses: found by a failure that says so, kept by their hash, lifted by hand."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from functional.conftest import ADMIN_CALLER, APPLICATION_CALLER
from providers import Provider, failing

from carillon import devices, suppressions
from carillon.delivery import Sent
from carillon.errors import Failure, ProviderError
from carillon.models import Channel, State
from carillon.tables import Delivery

ADA = {"email": "ada@example.com", "phone": "+14155552671"}
OPS = APPLICATION_CALLER | {"scope": "ops"}
OTHER = OPS | {"tenant": "other"}
DEAD = failing(Failure.RECIPIENT, code="21610")
TOKENS = "/api/v1/users/ada/push-tokens"


def place(channel: str, address: str) -> str:
    return f"/api/v1/suppressions/{channel}/{address}"


def to(channel: str) -> dict[str, Any]:
    address = {"email": ADA["email"]} if channel == "email" else {"phone": ADA["phone"]}
    return {"user_id": None, "to": address, "channels": [channel]}


@pytest.fixture
def again(send) -> Callable[..., Any]:
    """Return a sender whose every call is a notification of its own."""
    made = iter(range(100))

    def send_another(change, **how: Any):
        return send(change, headers={"Idempotency-Key": f"key-{next(made)}"}, **how).data

    return send_another


def status(api, sent: Any) -> list[tuple[str, str | None]]:
    told = api("GET", f"/api/v1/notifications/{sent['notification_id']}").data
    return [(each["status"], each.get("reason")) for each in told["deliveries"]]


# ---------------------------------------------------------------- what leads onto the list


@pytest.mark.parametrize(("channel", "address"), [("email", ADA["email"]), ("sms", ADA["phone"])])
def test_c12_a_dead_address_is_suppressed_and_nothing_more_goes_there(
    again, api, deliver, channel, address
) -> None:
    first = again(to(channel))
    deliver(channel, DEAD)
    assert status(api, first) == [("failed", None)]
    found = api("GET", place(channel, address), caller=OPS).data
    assert (found["reason"], found["notification_id"]) == ("21610", first["notification_id"])
    second = again(to(channel))
    assert not deliver(channel).calls
    assert status(api, second) == [("suppressed", "suppressed-address")]


def test_of_a_user_only_the_dead_address_is_suppressed(again, api, deliver) -> None:
    again({"channels": ["sms"]})
    deliver("sms", DEAD)
    sent = again({"channels": ["sms", "email"]})
    assert not deliver("sms").calls
    assert len(deliver("email").calls) == 1
    assert sorted(status(api, sent)) == [("sent", None), ("suppressed", "suppressed-address")]


@pytest.mark.parametrize("failure", sorted(set(Failure) - {Failure.RECIPIENT}))
@pytest.mark.parametrize("channel", ["email", "sms", "push"])
def test_c12_no_other_failure_suppresses_anything_a_p09_a_p17(
    again, api, prepared, deliver, channel, failure
) -> None:
    before = prepared.items("UsersTable")
    again({"channels": [channel]})
    deliver(channel, failing(failure))
    assert prepared.items("UsersTable") == before


def test_a_region_that_is_not_enabled_says_nothing_of_the_number(again, api, deliver) -> None:
    again(to("sms"))
    deliver("sms", failing(Failure.PERMANENT, code="21408"))
    assert api("GET", place("sms", ADA["phone"]), caller=OPS).status == 404


def test_the_list_knows_addresses_by_their_hash_alone(again, prepared, deliver) -> None:
    again(to("sms"))
    deliver("sms", DEAD)
    (kept,) = [i for i in prepared.items("UsersTable") if i["part"]["S"] == "suppression"]
    assert ADA["phone"].strip("+") not in json.dumps(kept)
    assert kept["key"]["S"].startswith("default##sms#")


def test_what_cannot_be_suppressed_is_logged_and_the_delivery_stays_failed(
    again, api, deliver, monkeypatch, caplog
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(ADA["phone"])

    monkeypatch.setattr(suppressions, "suppress", broken)
    sent = again(to("sms"))
    deliver("sms", DEAD)
    assert status(api, sent) == [("failed", None)]
    assert "address not deactivated" in caplog.text
    assert ADA["phone"] not in caplog.text


# ---------------------------------------------------------------- push tokens


def one_dead(token: str, code: str = "UNREGISTERED") -> Any:
    """Return a ``send`` to which one token is dead."""

    def does(out: Any) -> Sent:
        if out.address == token:
            raise ProviderError(Failure.RECIPIENT, code, "dead")
        return Sent("fake", "id-1")

    return does


@pytest.mark.parametrize("code", ["UNREGISTERED", "INVALID_ARGUMENT"])
def test_c13_a_dead_token_s_device_is_inactive_and_the_other_still_used_a_p08_a_p10(
    again, api, deliver, code
) -> None:
    api("POST", TOKENS, {"fcm_token": "living", "platform": "ios"})
    again({"channels": ["push"]})
    first = deliver("push", one_dead("fcm-device-of-ada", code))
    assert len(first.calls) == 2
    active = {device["fcm_token"]: device["is_active"] for device in api("GET", TOKENS).data}
    assert active == {"fcm-device-of-ada": False, "living": True}
    again({"channels": ["push"]})
    assert [call.address for call in deliver("push").calls] == ["living"]


def test_c13_a_dead_token_gets_nothing_that_was_accepted_before(again, deliver) -> None:
    again({"channels": ["push"]})
    again({"channels": ["push"]})
    assert len(deliver("push", DEAD).calls) == 1
    states = {each.state for each in Delivery.scan()}
    assert states == {State.FAILED, State.SUPPRESSED}


def test_a_device_that_registers_anew_is_used_again(again, api, deliver) -> None:
    again({"channels": ["push"]})
    deliver("push", DEAD)
    body = {"fcm_token": "fcm-device-of-ada", "platform": "android"}
    assert api("POST", TOKENS, body).data["is_active"]
    again({"channels": ["push"]})
    assert len(deliver("push").calls) == 1


def test_a_dead_token_given_in_the_request_is_found_by_whose_it_is(again, api, deliver) -> None:
    again({"user_id": None, "to": {"push_token": "fcm-device-of-ada"}, "channels": ["push"]})
    deliver("push", DEAD)
    (device,) = api("GET", TOKENS).data
    assert not device["is_active"]


def test_a_dead_token_that_moved_is_inactive_with_who_has_it_now(again, api, deliver) -> None:
    again({"channels": ["push"]})
    assert api("PUT", "/api/v1/users/bob", {}).status == 201
    body = {"fcm_token": "fcm-device-of-ada", "platform": "android"}
    assert api("POST", "/api/v1/users/bob/push-tokens", body).status == 201
    deliver("push", DEAD)
    (device,) = api("GET", "/api/v1/users/bob/push-tokens").data
    assert not device["is_active"]


def test_a_dead_token_that_nobody_registered_is_nobody_s(cloud) -> None:
    assert not devices.retire("default", "ada", "unheard-of")
    assert not devices.retire("default", None, "unheard-of")
    assert cloud.items("UsersTable") == []


def test_a_token_forgotten_meanwhile_does_not_come_back(again, api, prepared, deliver) -> None:
    again({"channels": ["push"]})
    (device,) = api("GET", TOKENS).data
    api("DELETE", f"{TOKENS}/{device['id']}")
    deliver("push", DEAD)
    assert api("GET", TOKENS).data == []


# ---------------------------------------------------------------- by hand


def test_c12_an_operator_suppresses_looks_up_and_lifts(api, again, deliver) -> None:
    path = place("email", "ada@example.com")
    assert api("GET", path, caller=OPS).status == 404
    made = api("PUT", path, {"reason": "asked by letter"}, caller=OPS)
    assert (made.status, made.data["reason"]) == (200, "asked by letter")
    assert api("GET", path, caller=OPS).data == made.data
    again(to("email"))
    assert not deliver("email").calls
    assert api("DELETE", path, caller=OPS).status == 204
    assert api("DELETE", path, caller=OPS).status == 404
    again(to("email"))
    assert len(deliver("email").calls) == 1


def test_a_reason_may_be_left_out_and_a_newer_one_stands(api) -> None:
    path = place("sms", ADA["phone"])
    assert api("PUT", path, {}, caller=OPS).data["reason"] == "by-hand"
    assert api("PUT", path, {"reason": "again"}, caller=OPS).data["reason"] == "again"


@pytest.mark.parametrize(
    ("channel", "one", "same"),
    [
        ("email", "Ada@Example.com", "ada@example.com"),
        ("email", "ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("sms", "+1 415-555-2671", "+14155552671"),
    ],
)
def test_spellings_of_one_address_are_one_address(api, channel, one, same) -> None:
    assert api("PUT", place(channel, one), {}, caller=OPS).status == 200
    assert api("GET", place(channel, same), caller=OPS).status == 200


def test_a_tenant_s_list_is_its_own(api, again, deliver) -> None:
    path = place("sms", ADA["phone"])
    api("PUT", path, {}, caller=OTHER)
    assert api("GET", path, caller=OPS).status == 404
    assert api("DELETE", path, caller=OPS).status == 404
    again(to("sms"))
    assert len(deliver("sms").calls) == 1


@pytest.mark.parametrize(
    ("channel", "address", "pointer"),
    [
        ("push", "fcm-device-of-ada", "path:channel"),
        ("inapp", "ada", "path:channel"),
        ("email", "nobody", "path:address"),
        ("sms", "4155552671", "path:address"),
        ("sms", "ada@example.com", "path:address"),
    ],
)
def test_what_is_no_address_is_refused(api, channel, address, pointer) -> None:
    for method, body in (("GET", None), ("PUT", {}), ("DELETE", None)):
        reply = api(method, place(channel, address), body, caller=OPS)
        assert (reply.status, reply.body["errors"][0]["pointer"]) == (400, pointer)


def test_the_list_is_for_operators_alone(api) -> None:
    assert api("GET", place("sms", ADA["phone"])).status == 403
    assert api("GET", place("sms", ADA["phone"]), caller=ADMIN_CALLER).status == 404


def test_the_list_may_name_a_channel_it_does_not_keep_without_harm(cloud) -> None:
    assert suppressions.find("default", Channel.INAPP, "ada") is None


def test_a_provider_is_called_once_for_a_dead_address(again, deliver) -> None:
    again(to("sms"))
    provider: Provider = deliver("sms", DEAD)
    assert len(provider.calls) == 1
    assert not deliver("sms", DEAD).calls
