"""Alertora: clients register and notify; users have preferences."""

from carillon.models import Channel
from carillon.relay import Refused, Reply
from carillon.seeds import models as m
from carillon.seeds.asking import Asked, Told
from carillon.seeds.recipients import NO_USER, address_of, make_user, send_to
from carillon.seeds.targets import PATCH_PREFERENCES, READ_PREFERENCES, REGISTER_CLIENT


def register(asked: Asked) -> Told:
    """Register a client; its token is shown only now."""
    reply = asked.of(REGISTER_CLIENT, asked.body.model_dump(exclude_unset=True))
    return Told({name: reply.data[name] for name in ("client_id", "api_token")}, reply)


def notify(asked: Asked) -> Told:
    """Send to the user of that id, or to the address it is; an opt-out refuses the request."""
    body = asked.given(m.NotifyRequest)
    text = {
        "channels": [body.channel.value],
        "category": body.notification_type,
        "message": body.content,
        "on_opt_out": "reject",
    }
    address = address_of(body.channel, body.recipient_id)
    reply = send_to(asked, text, body.recipient_id, {"to": address} if address else {})
    return Told({"message": "Notification accepted"}, reply)


def read_preferences(asked: Asked) -> Told:
    """Return what a user wants."""
    user_id = asked.query["user_id"]
    return _preferences(asked.of(READ_PREFERENCES, user_id=user_id), user_id)


def change_preferences(asked: Asked) -> Told:
    """Change what a user wants; a user who is not there is made, under their address if it is."""
    body = asked.given(m.UserPreferencesRequest)
    changes = body.model_dump(mode="json", exclude_unset=True, exclude={"user_id"})
    try:
        reply = asked.of(PATCH_PREFERENCES, changes, user_id=body.user_id)
    except Refused as refusal:
        if refusal.code != NO_USER:
            raise
        addresses = address_of(Channel.EMAIL, body.user_id) | address_of(Channel.SMS, body.user_id)
        make_user(asked, body.user_id, addresses)
        reply = asked.of(PATCH_PREFERENCES, changes, user_id=body.user_id)
    return _preferences(reply, body.user_id)


def _preferences(reply: Reply, user_id: str) -> Told:
    kept = {name: reply.data[name] for name in ("channels", "categories")}
    return Told({"user_id": user_id, **kept}, reply)
