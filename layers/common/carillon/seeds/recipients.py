"""Recipients that the source systems name without ever having made them users."""

from pydantic import TypeAdapter, ValidationError

from carillon.addresses import email_address, phone_number
from carillon.models import Channel, UserId
from carillon.relay import Json, Refused, Reply
from carillon.seeds.asking import Asked
from carillon.seeds.targets import PUT_USER, SEND

NO_USER = "user-not-found"
CONFLICT = 412
_KEY_REUSED = "idempotency-key-reused"
_USER_ID: TypeAdapter[str] = TypeAdapter(UserId)


def send_to(asked: Asked, text: Json, user_id: str, to: Json) -> Reply:
    """Send to the user, or to the address ``to`` alone when there is no such user.

    An idempotency key that was used before may belong to either way, so both are tried.
    """
    if not is_user_id(user_id):
        return asked.of(SEND, text | to)
    try:
        return asked.of(SEND, text | to | {"user_id": user_id})
    except Refused as refusal:
        if not to or refusal.code not in (NO_USER, _KEY_REUSED):
            raise
    return asked.of(SEND, text | to)


def make_user(asked: Asked, user_id: str, profile: Json) -> None:
    """Make a user unless somebody else has done so meanwhile."""
    try:
        asked.of(PUT_USER, profile, user_id=user_id, headers={"If-Match": '"0"'})
    except Refused as refusal:
        if refusal.reply.status != CONFLICT:
            raise


def address_of(channel: Channel, name: str) -> Json:
    """Return what a recipient's name is on a channel: an address by its kind, or nothing."""
    try:
        if channel is Channel.EMAIL:
            return {"email": email_address(name)}
        if channel is Channel.SMS:
            return {"phone": phone_number(name)}
    except ValueError:
        return {}
    # A device's token is longer than any user's id.
    return {"push_token": name} if channel is Channel.PUSH and not is_user_id(name) else {}


def is_user_id(text: str) -> bool:
    """Tell whether a user can have this id."""
    try:
        _USER_ID.validate_python(text)
    except ValidationError:
        return False
    return True
