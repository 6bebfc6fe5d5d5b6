"""What a world stands on: the stack, its secrets, and the hold over time, chance and the wire."""

import datetime as dt
import json
import os
import random
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any
from unittest.mock import patch

from botocore.client import BaseClient
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from carillon import metrics, signed
from simulation.cloud import PROVIDERS, Caller
from simulation.lambdas import processes
from simulation.mail import ACCOUNT, served
from simulation.stack import Stack
from simulation.threads import taken_over
from simulation.wire import wired

JSON = dict[str, Any]
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "simulation",
    "AWS_SECRET_ACCESS_KEY": "simulation",
    "AWS_DEFAULT_REGION": "us-east-1",
    "POWERTOOLS_LOG_LEVEL": "CRITICAL",
}
BEGIN = dt.datetime(2026, 11, 21, 9, 30, tzinfo=dt.UTC)
PARAMETERS = {
    "Stage": "simulation",
    "SenderEmail": "carillon@example.com",
    "RateLimitPerMinute": 0,  # the callers are few and insist
    "LogLevel": "ERROR",
}
ADMIN_TOKEN = "nk_admin_" + "a" * 43
EMAIL = ("ses", "ses", "ses,smtp", "smtp,sendgrid", "sendgrid", "sendgrid,ses", "smtp")
SMS = ("twilio", "twilio", "aws", "twilio,aws", "aws,twilio")


@cache
def stack(email: str, sms: str) -> Stack:
    """Return the stack, from template.yaml, with the providers it is to use."""
    return Stack("template.yaml", PARAMETERS | {"EmailProvider": email, "SmsProvider": sms})


@cache
def accounts() -> dict[str, str]:
    """Return the providers' accounts. The key signs requests for tokens that nobody checks."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    firebase = {
        "type": "service_account",
        "project_id": "simulation",
        "private_key_id": "1",
        "private_key": key.decode(),
        "client_email": "carillon@simulation.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    twilio = {"account_sid": "AC" + "0" * 32, "auth_token": "t", "from": "+15005550006"}
    return {
        "/carillon/simulation/fcm": json.dumps(firebase),
        "/carillon/simulation/twilio": json.dumps(twilio),
        "/carillon/simulation/sendgrid": json.dumps({"api_key": "SG.simulation"}),
        "/carillon/simulation/admin-token": ADMIN_TOKEN,
        "/carillon/simulation/smtp": json.dumps(ACCOUNT),
    }


_load = serialization.load_pem_private_key


@cache
def _loaded(pem: bytes) -> Any:
    return _load(pem, None)


def _private_key(pem: bytes, *_: object, **__: object) -> Any:
    return _loaded(pem)


@contextmanager
def ruled(world: Any) -> Iterator[None]:
    """Let the world rule over time, chance and everything the product can reach."""
    scheduler = world.scheduler
    source = random.Random(f"bytes {world.seed}")
    real = BaseClient._make_api_call

    def api_call(self: Any, operation: str, told: JSON) -> JSON:
        name, config = self.meta.service_model.service_name, self.meta.config
        if name in PROVIDERS:
            return real(self, operation, told)
        attempts = (config.retries or {}).get("total_max_attempts", 5)
        return world.cloud.call(Caller(name, attempts, config.read_timeout), operation, told)

    shorter = signed.Client.call

    def signed_call(self: signed.Client, operation: str, told: JSON) -> JSON:
        service = self.service
        if service.name in PROVIDERS:
            return shorter(self, operation, told)
        who = Caller(service.name, service.attempts, service.read_timeout)
        return world.cloud.call(who, operation, told)

    def sleep(seconds: float) -> None:
        scheduler.wait(seconds)

    with ExitStack() as rules:
        rules.enter_context(scheduler)
        rules.enter_context(processes(world.functions, world.here))
        rules.enter_context(wired(world.wire))
        rules.enter_context(served(world.wire))
        rules.enter_context(taken_over(scheduler))
        rules.enter_context(patch.object(BaseClient, "_make_api_call", api_call))
        rules.enter_context(patch.object(signed.Client, "call", signed_call))
        rules.enter_context(patch.object(metrics, "print", create=True))
        rules.enter_context(patch.object(random, "_urandom", source.randbytes))
        rules.enter_context(patch.object(os, "urandom", source.randbytes))
        rules.enter_context(patch.object(time, "sleep", sleep))
        rules.enter_context(patch.dict(os.environ, ENVIRONMENT))
        # Nothing connects, and nobody checks a signature: 20 and 30 ms per process for nothing.
        rules.enter_context(
            patch.object(ssl.SSLContext, "load_verify_locations", lambda *_, **__: None)
        )
        rules.enter_context(patch.object(serialization, "load_pem_private_key", _private_key))
        rules.enter_context(patch.object(time, "perf_counter", lambda: scheduler.seconds))
        random.seed(f"product {world.seed}")
        scheduler.on_switch = world.switch
        yield
