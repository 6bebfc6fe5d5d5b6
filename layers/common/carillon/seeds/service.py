"""The notification service: messages to numbered users, and their inbox."""

from carillon.models import Channel
from carillon.relay import Json, Refused, Reply
from carillon.seeds import models as m
from carillon.seeds.asking import Asked, Told
from carillon.seeds.recipients import NO_USER, make_user
from carillon.seeds.targets import READ_INBOX, SEND

_ADDRESS = {Channel.EMAIL: "email", Channel.SMS: "phone"}


def send(asked: Asked) -> Told:
    """Send to a user, who is made of the address when they are not there."""
    body = asked.given(m.MessageRequest)
    address = body.to if body.type is not Channel.INAPP else None
    text: Json = {"channels": [body.type.value], "message": body.message, "user_id": body.user_id}
    text |= {"to": address} if address else {}
    try:
        reply = asked.of(SEND, text)
    except Refused as refusal:
        if refusal.code != NO_USER:
            raise
        kind = _ADDRESS.get(body.type)
        make_user(asked, body.user_id, {kind: address} if kind and address else {})
        reply = asked.of(SEND, text)
    accepted = {"id": reply.data["notification_id"], "status": reply.data["status"]}
    return Told(body.model_dump(mode="json") | accepted, reply)


def inbox(asked: Asked) -> Told:
    """List the in-app notifications; of a user who is not there, none."""
    try:
        reply = asked.of(READ_INBOX, query={"channel": "inapp", "limit": "100", **asked.query})
    except Refused as refusal:
        if refusal.code != NO_USER:
            raise
        return Told([], Reply(200, refusal.reply.headers, {}))
    entries = [
        {
            "id": entry["notification_id"],
            "type": "inapp",
            "message": entry["body"],
            "user_id": asked.path["user_id"],
            "created_at": entry["created_at"],
        }
        for entry in reply.data
    ]
    return Told(entries, _linked(reply))


def _linked(reply: Reply) -> Reply:
    """Return the reply with the address of the next page as this route has it."""
    link = reply.headers.get("Link", "").replace("/api/v1/users/", "/users/")
    return Reply(reply.status, {**reply.headers, **({"Link": link} if link else {})}, reply.body)
