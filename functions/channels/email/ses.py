"""Email through Amazon SES v2.

Errors: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html and
https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html
"""

from typing import TYPE_CHECKING

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
)

from carillon.aws import ses
from carillon.delivery import Outgoing, Sent
from carillon.errors import Failure, ProviderError, by_status
from carillon.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_sesv2.type_defs import BodyTypeDef

PROVIDER = "ses"
FAILURES = {
    "TooManyRequestsException": Failure.THROTTLE,
    "LimitExceededException": Failure.THROTTLE,
    "ThrottlingException": Failure.THROTTLE,
    "Throttling": Failure.THROTTLE,
    "MessageRejected": Failure.PERMANENT,
    "BadRequestException": Failure.PERMANENT,
    "AccountSuspendedException": Failure.CONFIG,
    "SendingPausedException": Failure.CONFIG,
    "MailFromDomainNotVerifiedException": Failure.CONFIG,
    "NotFoundException": Failure.CONFIG,
    "AccessDeniedException": Failure.CONFIG,
    "UnrecognizedClientException": Failure.CONFIG,
    "InvalidClientTokenId": Failure.CONFIG,
    "SignatureDoesNotMatch": Failure.CONFIG,
    "ExpiredTokenException": Failure.CONFIG,
}
# SES has one error type for these and for others; only its text tells them apart.
BY_TEXT = (
    ("MessageRejected", "not verified", Failure.CONFIG),
    ("BadRequestException", "Illegal address", Failure.RECIPIENT),
)
NOT_SENT = (EndpointConnectionError, ConnectTimeoutError)


def send(outgoing: Outgoing) -> Sent:
    """Send one email in one request; raises ProviderError."""
    try:
        reply = ses().send_email(
            FromEmailAddress=settings().required("sender_email"),
            Destination={"ToAddresses": [outgoing.address]},
            Content={
                "Simple": {
                    "Subject": {"Data": outgoing.content["subject"], "Charset": "UTF-8"},
                    "Body": _body(outgoing.content),
                }
            },
            EmailTags=[
                {"Name": "notification_id", "Value": outgoing.message.notification_id},
            ],
        )
    except ClientError as error:
        raise _answered(error) from error
    except NOT_SENT as error:
        raise ProviderError(Failure.RETRY, type(error).__name__, "SES not reached") from error
    except BotoCoreError as error:
        raise ProviderError(Failure.UNKNOWN, type(error).__name__, "no answer") from error
    return Sent(PROVIDER, reply.get("MessageId", ""))


def _body(content: dict[str, str]) -> "BodyTypeDef":
    body: BodyTypeDef = {}
    if "text" in content:
        body["Text"] = {"Data": content["text"], "Charset": "UTF-8"}
    if "html" in content:
        body["Html"] = {"Data": content["html"], "Charset": "UTF-8"}
    return body


def _answered(error: ClientError) -> ProviderError:
    code = error.response["Error"].get("Code", "")
    message = error.response["Error"].get("Message", "")
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    by_text = (f for c, words, f in BY_TEXT if c == code and words in message)
    failure = next(by_text, FAILURES.get(code, by_status(status)))
    return ProviderError(failure, code or str(status), message)
