"""The only reader of the environment.

Where an endpoint is (a provider's, the cloud's) is told by these variables alone, so the same
code runs on AWS and on a laptop. boto3 and pynamodb obey ``AWS_ENDPOINT_URL`` by themselves.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from carillon.errors import SettingMissingError


@dataclass(frozen=True, slots=True)
class Settings:
    """What a function is told by its environment; template.yaml sets each of these.

    Empty means "not told to this function": reading such a value through ``required`` raises
    SettingMissingError. Durations are in seconds.
    """

    stage: str = ""
    clients_table: str = ""
    templates_table: str = ""
    users_table: str = ""
    notifications_table: str = ""
    history_table: str = ""
    deliveries_table: str = ""
    inbox_table: str = ""
    counters_table: str = ""
    idempotency_table: str = ""
    audit_table: str = ""
    accounts_table: str = ""
    topic_arn: str = ""
    jobs_queue_url: str = ""
    exports_bucket: str = ""
    queue_url: str = ""
    urgent_queue_url: str = ""
    dead_letter_queue_url: str = ""
    channel_queues: str = ""
    health_queue_urls: str = ""
    notifications_function: str = ""
    templates_function: str = ""
    users_function: str = ""
    inbox_function: str = ""
    auth_function: str = ""
    clients_function: str = ""
    sender_email: str = ""
    email_provider: str = ""
    sms_provider: str = ""
    controls_table: str = ""
    deadletters_table: str = ""
    redrives_queue_url: str = ""
    public_url: str = ""
    twilio_base_url: str = ""
    fcm_base_url: str = ""
    sendgrid_base_url: str = ""
    sms_origination_identity: str = ""
    release: str = ""
    secrets_prefix: str = ""
    open_registration: str = ""
    idempotency_ttl_seconds: int = 604_800
    retention_days: int = 90
    audit_retention_days: int = 365
    max_retries: int = 3
    rate_limit_per_minute: int = 100
    access_token_seconds: int = 900
    refresh_token_seconds: int = 2_592_000
    login_attempts: int = 10

    def required(self, name: str) -> str:
        """Return the text setting called ``name``; raises SettingMissingError when it is empty."""
        value = getattr(self, name)
        if not value:
            raise SettingMissingError(name.upper())
        return str(value)


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read Settings from variables named like its fields, in capitals."""
    told = {
        name: type(default)(environment[name.upper()])
        for name, default in _DEFAULTS.items()
        if environment.get(name.upper())
    }
    return Settings(**told)


@cache
def settings() -> Settings:
    """Return this process's settings, read once, at first use."""
    return from_environment(os.environ)


def endpoint(service: str) -> str:
    """Return where an AWS service is to be found, if not at its own address; boto3 obeys the same.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
    """
    own = os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}", "")
    return own or os.environ.get("AWS_ENDPOINT_URL", "")


def region() -> str:
    """Return the region to call; Lambda tells it."""
    return os.environ.get("AWS_REGION", "") or os.environ.get("AWS_DEFAULT_REGION", "")


def trace_header() -> str:
    """Return the trace this invocation is part of; Lambda tells it anew each time."""
    return os.environ.get("_X_AMZN_TRACE_ID", "")


def initialization_type() -> str:
    """Return why Lambda started this process: "on-demand", "snap-start" and so on."""
    return os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "")


def trace_daemon() -> str:
    """Return where Lambda's X-Ray daemon listens, as host:port; empty where there is none."""
    return os.environ.get("AWS_XRAY_DAEMON_ADDRESS", "")


_DEFAULTS = {name: getattr(Settings(), name) for name in Settings.__slots__}
