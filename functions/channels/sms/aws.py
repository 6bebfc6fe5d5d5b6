"""SMS through AWS End User Messaging SMS, which boto3 knows as pinpoint-sms-voice-v2.

Errors: https://docs.aws.amazon.com/pinpoint/latest/apireference_smsvoicev2/API_SendTextMessage.html
and the reasons of each in its data types, ConflictException's and the others'.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from carillon.aws import texts
from carillon.delivery import Outgoing, Sent, configured
from carillon.errors import Failure, ProviderError
from carillon.failures import attempt, of_aws
from carillon.models import now
from carillon.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_pinpoint_sms_voice_v2.type_defs import SendTextMessageRequestTypeDef

PROVIDER = "aws"
FAILURES = {
    # About the message, or about the way from our sender to its country.
    "ValidationException:COUNTRY_CODE_MISMATCH": Failure.PERMANENT,
    "ValidationException:COUNTRY_NOT_ENABLED": Failure.PERMANENT,
    "ValidationException:DESTINATION_COUNTRY_BLOCKED": Failure.PERMANENT,
    "ValidationException:INTERNATIONAL_SENDING_NOT_SUPPORTED": Failure.PERMANENT,
    "ValidationException:INVALID_IDENTITY_FOR_DESTINATION_COUNTRY": Failure.PERMANENT,
    "ValidationException:MAXIMUM_SIZE_EXCEEDED": Failure.PERMANENT,
    "ValidationException:PRICE_OVER_THRESHOLD": Failure.PERMANENT,
    "ValidationException:SENDER_ID_NOT_SUPPORTED": Failure.PERMANENT,
    "ValidationException:SENDER_ID_REQUIRES_REGISTRATION": Failure.PERMANENT,
    "ConflictException:DESTINATION_COUNTRY_BLOCKED_BY_PROTECT_CONFIGURATION": Failure.PERMANENT,
    # A rule of ours, which may be lifted: the number is not dead.
    "ConflictException:DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE": (
        Failure.PERMANENT
    ),
    "ConflictException:NO_ORIGINATION_IDENTITIES_FOUND": Failure.PERMANENT,
    "ConflictException:DESTINATION_PHONE_NUMBER_OPTED_OUT": Failure.RECIPIENT,
    # About our side.
    "ValidationException:CHANNEL_NOT_ENABLED": Failure.CONFIG,
    "ValidationException:INVALID_ARN": Failure.CONFIG,
    "ValidationException:RESOURCE_NOT_ACCESSIBLE": Failure.CONFIG,
    "ValidationException:SENDER_ID_NOT_REGISTERED": Failure.CONFIG,
    "ValidationException:UNKNOWN_OPERATION": Failure.CONFIG,
    "ConflictException:DESTINATION_PHONE_NUMBER_NOT_VERIFIED": Failure.CONFIG,  # still in sandbox
    "ConflictException": Failure.CONFIG,
    "ResourceNotFoundException": Failure.CONFIG,
    "ServiceQuotaExceededException": Failure.CONFIG,  # the month's money is spent
}
SHORTEST_LIFE, LONGEST_LIFE = 5, 259_200
"""Seconds that AWS keeps a message."""


def _hang_up() -> None:
    if texts.cache_info().currsize:
        texts().close()


@attempt(PROVIDER, _hang_up)
def send(outgoing: Outgoing) -> Sent:
    """Send one text message in one request; raises ProviderError."""
    client = configured(texts)
    try:
        reply = client.send_text_message(**_request(outgoing))
    except (BotoCoreError, ClientError) as error:
        raise _failed(error) from error
    return Sent(PROVIDER, reply.get("MessageId", ""))


def _request(outgoing: Outgoing) -> "SendTextMessageRequestTypeDef":
    message = outgoing.message
    request: SendTextMessageRequestTypeDef = {
        "DestinationPhoneNumber": outgoing.address,
        "MessageBody": outgoing.content["text"],
        "MessageType": "TRANSACTIONAL",
        "Context": {"notification_id": message.notification_id},
    }
    if settings().sms_origination_identity:
        request["OriginationIdentity"] = settings().sms_origination_identity
    if message.expires_at:
        left = (datetime.fromisoformat(message.expires_at) - now()).total_seconds()
        request["TimeToLive"] = min(max(int(left), SHORTEST_LIFE), LONGEST_LIFE)
    return request


def _failed(error: ClientError | BotoCoreError) -> ProviderError:
    failed = of_aws(error, FAILURES, "AWS End User Messaging")
    if isinstance(error, ClientError) and failed.failure is Failure.PERMANENT:
        fields: Any = error.response.get("Fields", ())
        if any(field.get("Name") == "DestinationPhoneNumber" for field in fields):
            failed.failure = Failure.RECIPIENT
    return failed
