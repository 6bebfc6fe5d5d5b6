"""Devices that push notifications reach: a token belongs to one user of a tenant.

The device stands with its user, whose one query finds it; whose it is stands under the token
itself, so that a token registered for somebody else is found without looking at every user.
"""

from carillon.errors import not_found, too_many_writers
from carillon.models import now, timestamp
from carillon.people import PushTokenRequest
from carillon.storage import deleting, saving, transact
from carillon.tables import (
    DeviceOwner,
    Profile,
    PushDevice,
    device_part,
    owner_key,
    tenant_key,
    token_digest,
    user_items,
)
from carillon.users import WRITE_ATTEMPTS, existing, profile

OWNER = "owner"


def devices(tenant: str, user_id: str) -> list[PushDevice]:
    """Return the user's devices; raises Problem (404) when there is no such user."""
    items = list(user_items(tenant, user_id))
    if not any(isinstance(item, Profile) for item in items):
        raise not_found("user", "path:user_id")
    return [item for item in items if isinstance(item, PushDevice)]


def add(tenant: str, user_id: str, request: PushTokenRequest) -> PushDevice:
    """Register a device, under an id made of its token; raises Problem (404, 409).

    It is taken from the user who had it: the app was signed out there and in here.
    """
    digest = token_digest(request.fcm_token)
    for _ in range(WRITE_ATTEMPTS):
        profile(tenant, user_id)
        owner = _owner(tenant, digest) or DeviceOwner(owner_key(tenant, digest), OWNER)
        before = owner.user_id
        device = _device(tenant, user_id, digest)
        known = device.created_at
        for name, value in request.model_dump().items():
            setattr(device, name, value)
        device.is_active = True
        device.created_at = known or timestamp(now())
        owner.user_id = user_id
        moved = [deleting(_key(tenant, before, digest))] if before not in (None, user_id) else []
        if transact(saving(device), saving(owner), existing(tenant, user_id), *moved):
            return device
    raise too_many_writers()


def remove(tenant: str, user_id: str, device_id: str) -> None:
    """Forget a device; raises Problem (404) when there is no such user or device."""
    found = {device.part: device for device in devices(tenant, user_id)}
    device = found.get(f"push#{device_id}")
    if device is None:
        raise not_found("push-token", "path:token_id")
    forget(tenant, user_id, device)


def retire(tenant: str, user_id: str | None, token: str) -> bool:
    """Let nothing go to a token that its provider calls dead, whoever has it by now.

    False when nobody registered it, or it was forgotten since.
    """
    digest = token_digest(token)
    same = PushDevice.fcm_token == token
    inactive = [PushDevice.is_active.set(False)]
    if user_id is not None and _key(tenant, user_id, digest).amend(inactive, same):
        return True
    owner = _owner(tenant, digest)
    if owner is None:
        return False
    return _key(tenant, owner.user_id, digest).amend(inactive, same)


def forget(tenant: str, user_id: str, device: PushDevice) -> None:
    """Delete a device, and that it is this user's; what has moved meanwhile stays where it is."""
    digest = token_digest(device.fcm_token)
    theirs = DeviceOwner.user_id == user_id
    for _ in range(WRITE_ATTEMPTS):
        owner = _owner(tenant, digest)
        if owner is None or owner.user_id != user_id:
            device.delete()
            return
        if transact(deleting(device), deleting(owner, theirs)):
            return
    raise too_many_writers()


def _owner(tenant: str, digest: str) -> DeviceOwner | None:
    try:
        return DeviceOwner.get(owner_key(tenant, digest), OWNER, consistent_read=True)
    except DeviceOwner.DoesNotExist:
        return None


def _device(tenant: str, user_id: str, digest: str) -> PushDevice:
    key = _key(tenant, user_id, digest)
    try:
        return PushDevice.get(key.key, key.part, consistent_read=True)
    except PushDevice.DoesNotExist:
        return key


def _key(tenant: str, user_id: str, digest: str) -> PushDevice:
    return PushDevice(tenant_key(tenant, user_id), device_part(digest))
