"""Email through Amazon SES v2.

Errors: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html#API_SendEmail_Errors,
https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-error-messages.html and
https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html
"""

from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from carillon.aws import ses
from carillon.delivery import Outgoing, Sent, configured
from carillon.errors import Failure, ProviderError
from carillon.failures import attempt, of_aws
from functions.channels.email.sender import sender

if TYPE_CHECKING:
    from mypy_boto3_sesv2.type_defs import BodyTypeDef

PROVIDER = "ses"
FAILURES = {
    "LimitExceededException": Failure.THROTTLE,
    "MessageRejected": Failure.PERMANENT,
    "BadRequestException": Failure.PERMANENT,
    "AccountSuspendedException": Failure.CONFIG,
    "SendingPausedException": Failure.CONFIG,
    "MailFromDomainNotVerifiedException": Failure.CONFIG,
    "NotFoundException": Failure.CONFIG,  # the configuration set, or the identity
}
# SES has one error type for these and for others; only its text tells them apart. The sender's
# address was checked by us, so an address it objects to is the recipient's.
BY_TEXT = (
    ("MessageRejected", "not verified", Failure.CONFIG),
    ("MessageRejected", "Sending suspended", Failure.CONFIG),
    ("MessageRejected", "is paused", Failure.CONFIG),
    ("BadRequestException", "Illegal address", Failure.RECIPIENT),
    ("BadRequestException", "Invalid email address", Failure.RECIPIENT),
    ("BadRequestException", "Missing final '@domain'", Failure.RECIPIENT),
    ("BadRequestException", "Local address", Failure.RECIPIENT),
    ("BadRequestException", "Domain contains", Failure.RECIPIENT),
    ("BadRequestException", "Domain starts with dot", Failure.RECIPIENT),
    ("BadRequestException", "Domain ends with dot", Failure.RECIPIENT),
    ("BadRequestException", "Invalid domain name", Failure.RECIPIENT),
)


def _hang_up() -> None:
    if ses.cache_info().currsize:
        ses().close()


@attempt(PROVIDER, _hang_up)
def send(outgoing: Outgoing) -> Sent:
    """Send one email in one request; raises ProviderError."""
    client, ours = configured(lambda: (ses(), sender()))
    try:
        reply = client.call("SendEmail", _request(outgoing, ours.header))
    except (BotoCoreError, ClientError) as error:
        raise _failed(error) from error
    return Sent(PROVIDER, reply.get("MessageId", ""))


def _request(outgoing: Outgoing, header: str) -> dict[str, Any]:
    simple = {
        "Subject": {"Data": outgoing.content["subject"], "Charset": "UTF-8"},
        "Body": _body(outgoing.content),
    }
    return {
        "FromEmailAddress": header,
        "Destination": {"ToAddresses": [outgoing.address]},
        "Content": {"Simple": simple},
        "EmailTags": [{"Name": "notification_id", "Value": outgoing.message.notification_id}],
    }


def _body(content: dict[str, str]) -> "BodyTypeDef":
    body: BodyTypeDef = {}
    if "text" in content:
        body["Text"] = {"Data": content["text"], "Charset": "UTF-8"}
    if "html" in content:
        body["Html"] = {"Data": content["html"], "Charset": "UTF-8"}
    return body


def _failed(error: ClientError | BotoCoreError) -> ProviderError:
    failed = of_aws(error, FAILURES, "SES")
    by_text = (f for c, words, f in BY_TEXT if c == failed.code and words in failed.message)
    failed.failure = next(by_text, failed.failure)
    return failed
