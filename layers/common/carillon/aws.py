"""AWS clients: made at first use, once per process, on one session.

What is called often is short (signed.py); the rest is botocore's: boto3 adds what is not used
here, and a tenth to a cold start.
"""

from functools import cache
from typing import TYPE_CHECKING, cast

from botocore.config import Config

from carillon import signed
from carillon.signed import botocore_session

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_pinpoint_sms_voice_v2 import PinpointSMSVoiceV2Client
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

PROVIDER_TIMEOUT = 10
"""Seconds one provider request may take; the deadline check in delivery.py builds on it."""


def _config(connect: float, read: float, attempts: int) -> Config:
    return Config(
        connect_timeout=connect, read_timeout=read, retries={"total_max_attempts": attempts}
    )


def _made(name: str, config: Config) -> object:
    return botocore_session().create_client(name, config=config)


@cache
def sns() -> signed.Client:
    """Return the SNS client."""
    return signed.sns()


@cache
def sqs() -> "SQSClient":
    """Return the SQS client. Worst case nine seconds: a function must live to tell of it."""
    return cast("SQSClient", _made("sqs", _config(1, 2, 3)))


@cache
def ssm() -> signed.Client:
    """Return the Systems Manager client."""
    return signed.ssm()


@cache
def s3() -> "S3Client":
    """Return the S3 client. Links signed by SigV4 work in every region."""
    config = Config(signature_version="s3v4", connect_timeout=1, read_timeout=30)
    return cast("S3Client", _made("s3", config))


@cache
def functions() -> "LambdaClient":
    """Return the Lambda client, which invokes once: one that did not answer may have run.

    API Gateway waits for 29 seconds.
    """
    return cast("LambdaClient", _made("lambda", _config(1, 25, 1)))


@cache
def ses() -> signed.Client:
    """Return the SES client, which sends every request once."""
    return signed.ses(PROVIDER_TIMEOUT)


@cache
def texts() -> "PinpointSMSVoiceV2Client":
    """Return the client of End User Messaging SMS, which sends every request once."""
    return cast(
        "PinpointSMSVoiceV2Client",
        botocore_session().create_client(
            "pinpoint-sms-voice-v2", config=_config(3, PROVIDER_TIMEOUT, 1)
        ),
    )


@cache
def secret(name: str) -> str:
    """Return the SecureString parameter ``name``, read once per process."""
    reply = ssm().call("GetParameter", {"Name": name, "WithDecryption": True})
    return str(reply["Parameter"]["Value"])
