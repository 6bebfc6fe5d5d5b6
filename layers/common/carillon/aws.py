"""AWS clients: made at first use, once per process, on one session.

By botocore alone: boto3 adds what is not used here, and a tenth to a cold start.
"""

from functools import cache
from typing import TYPE_CHECKING, cast

import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_pinpoint_sms_voice_v2 import PinpointSMSVoiceV2Client
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient

PROVIDER_TIMEOUT = 10
"""Seconds one provider request may take; the deadline check in delivery.py builds on it."""

# Worst case nine seconds: a function must live to answer that a store is away.
_OURS = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 3})
# One attempt is one HTTP request: boto3 would send the mail again after a read timeout.
_PROVIDER = Config(
    connect_timeout=3, read_timeout=PROVIDER_TIMEOUT, retries={"total_max_attempts": 1}
)

# API Gateway waits for 29 seconds. Never twice: an invocation that did not answer may have run.
_FUNCTIONS = Config(connect_timeout=1, read_timeout=25, retries={"total_max_attempts": 1})


@cache
def botocore_session() -> botocore.session.Session:
    """Return the session that clients and pynamodb share: a second one costs 76 ms at its start."""
    return botocore.session.get_session()


@cache
def sns() -> "SNSClient":
    """Return the SNS client."""
    return cast("SNSClient", botocore_session().create_client("sns", config=_OURS))


@cache
def sqs() -> "SQSClient":
    """Return the SQS client."""
    return cast("SQSClient", botocore_session().create_client("sqs", config=_OURS))


@cache
def ssm() -> "SSMClient":
    """Return the Systems Manager client."""
    return cast("SSMClient", botocore_session().create_client("ssm", config=_OURS))


@cache
def s3() -> "S3Client":
    """Return the S3 client. Links signed by SigV4 work in every region."""
    config = Config(signature_version="s3v4", connect_timeout=1, read_timeout=30)
    return cast("S3Client", botocore_session().create_client("s3", config=config))


@cache
def functions() -> "LambdaClient":
    """Return the Lambda client, which invokes once."""
    return cast("LambdaClient", botocore_session().create_client("lambda", config=_FUNCTIONS))


@cache
def ses() -> "SESV2Client":
    """Return the SES client, which sends every request once."""
    return cast("SESV2Client", botocore_session().create_client("sesv2", config=_PROVIDER))


@cache
def texts() -> "PinpointSMSVoiceV2Client":
    """Return the client of End User Messaging SMS, which sends every request once."""
    return cast(
        "PinpointSMSVoiceV2Client",
        botocore_session().create_client("pinpoint-sms-voice-v2", config=_PROVIDER),
    )


@cache
def secret(name: str) -> str:
    """Return the SecureString parameter ``name``, read once per process."""
    reply = ssm().get_parameter(Name=name, WithDecryption=True)
    return reply["Parameter"]["Value"]
