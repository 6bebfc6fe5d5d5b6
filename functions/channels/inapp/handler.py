"""In-app: the notification is put into the user's inbox, exactly once."""

from carillon import inbox
from carillon.delivery import Outgoing, Sent, consumer
from carillon.models import Channel


def send(outgoing: Outgoing) -> Sent:
    """Put it there; the put is its own receipt."""
    inbox.put(outgoing.message, outgoing.address, outgoing.content)
    return Sent("inbox", outgoing.message.notification_id)


lambda_handler = consumer(Channel.INAPP, send)
