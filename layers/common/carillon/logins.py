"""Where a user's account is: found by their address, and by the user to whom it belongs."""

from carillon.errors import too_many_writers
from carillon.storage import deleting, transact
from carillon.tables import Account, AccountOwner, tenant_key


def place(tenant: str, email: str) -> str:
    """Return the key of the account with an address, however that is spelt."""
    return f"account#{tenant_key(tenant, email.lower())}"


def owner(tenant: str, user_id: str, account: str) -> AccountOwner:
    """Return what leads from a user to their account, for the caller to write."""
    return AccountOwner(_owner(tenant, user_id), account=account)


def find(account: str) -> Account | None:
    """Return the account at a place."""
    try:
        return Account.get(account, consistent_read=True)
    except Account.DoesNotExist:
        return None


def of_user(tenant: str, user_id: str) -> Account | None:
    """Return a user's account, if there is one."""
    found = _owner_of(tenant, user_id)
    return find(found.account) if found else None


def has(tenant: str, user_id: str) -> bool:
    """Tell whether a user has an account."""
    return _owner_of(tenant, user_id) is not None


def forget(tenant: str, user_id: str) -> None:
    """Delete a user's account, if there is one; their sessions have nothing to go on with.

    Raises Problem (409) when another write kept it there.
    """
    found = _owner_of(tenant, user_id)
    if found is None:
        return
    # Together, and once: the address may be somebody else's a moment later.
    gone = transact(deleting(Account(found.account)), deleting(found, AccountOwner.key.exists()))
    if not gone and has(tenant, user_id):
        raise too_many_writers()


def _owner_of(tenant: str, user_id: str) -> AccountOwner | None:
    try:
        return AccountOwner.get(_owner(tenant, user_id), consistent_read=True)
    except AccountOwner.DoesNotExist:
        return None


def _owner(tenant: str, user_id: str) -> str:
    return f"owner#{tenant_key(tenant, user_id)}"
