"""What was sent is known by its hash, and can be sent again."""

from carillon.models import State
from carillon.tables import Delivery


def test_f14_the_hash_of_what_was_sent_is_kept_with_the_delivery(
    prepared, send, deliver, ask
) -> None:
    sent = send({"channels": ["email"]}).data["notification_id"]
    deliver("email")
    kept = bytes(Delivery.get(sent, "email").content_hash).hex()
    shown = ask("GET", f"/api/v1/notifications/{sent}/content").data["content"]["email"]
    assert kept == shown["sha256"]


def test_f14_a_message_that_renders_to_nothing_has_no_hash(prepared, send, deliver) -> None:
    sent = send({"channels": ["email"]}).data["notification_id"]
    for version in prepared.items("TemplatesTable"):
        key = {name: version[name] for name in ("tenant", "slot")}
        prepared.dynamodb.delete_item(TableName="TemplatesTable", Key=key)
    deliver("email")
    failed = Delivery.get(sent, "email")
    assert (failed.state, failed.content_hash) == (State.FAILED, None)
