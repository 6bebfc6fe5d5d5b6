"""In-app: the notification is put into the user's inbox, exactly once."""

from pynamodb.exceptions import PynamoDBException

from carillon import inbox
from carillon.delivery import Outgoing, Sent, consumer
from carillon.errors import Failure, ProviderError
from carillon.models import Channel


def send(outgoing: Outgoing) -> Sent:
    """Put it there; the put is its own receipt, and harmless to repeat."""
    try:
        inbox.put(outgoing.message, outgoing.address, outgoing.content)
    except PynamoDBException as error:
        raise ProviderError(Failure.RETRY, type(error).__name__, "the inbox is away") from error
    return Sent("inbox", outgoing.message.notification_id)


lambda_handler = consumer(Channel.INAPP, {"inbox": send})
