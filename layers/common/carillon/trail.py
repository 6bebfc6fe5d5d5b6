"""The audit trail's items: one for each call, changed by nothing but the call's own outcome."""

from collections.abc import Iterator

from pynamodb.attributes import JSONAttribute, NumberAttribute, UnicodeAttribute

from carillon.storage import Item, TableName


class Entry(Item):
    """A call that changes something, of those that operators and administrators may make.

    It is written before anything is done, without an outcome, and once more with it.
    """

    class Meta:
        table_name = TableName("audit_table")

    tenant = UnicodeAttribute(hash_key=True)
    slot = UnicodeAttribute(range_key=True)  # "<when>#<random>"
    actor = UnicodeAttribute()  # a client's id, "admin", "anonymous"
    scope = UnicodeAttribute()  # what it takes
    method = UnicodeAttribute()
    route = UnicodeAttribute()  # the template's path
    subject = JSONAttribute()  # the path's parameters; addresses as their hash
    source = UnicodeAttribute(null=True)  # the address that the call came from
    correlation_id = UnicodeAttribute()
    status = NumberAttribute(null=True)  # what was answered; none when that was never known
    code = UnicodeAttribute(null=True)  # the problem's, of a refusal
    expires_at = NumberAttribute()  # epoch seconds

    @property
    def at(self) -> str:
        """When the call was made."""
        return self.slot.partition("#")[0]


def entries(tenant: str, since: str, until: str, limit: int) -> Iterator[Entry]:
    """Return a tenant's entries from one slot to another, the newest first."""
    span = Entry.slot.between(since, until)
    return Entry.query(tenant, span, scan_index_forward=False, limit=limit)
