"""The providers' own words: what a request of theirs looks like, an answer and an error.

Errors and their classes are those of the sandbox (localstack/sandbox/addresses.py).
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qs

from sandbox.addresses import (
    AWS_ADDRESSES,
    FCM_ADDRESSES,
    SENDGRID_ADDRESSES,
    SES_ADDRESSES,
    SMTP_ADDRESSES,
    TWILIO_ADDRESSES,
)
from sandbox.outcomes import Agreed, Fault

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back over the wire."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Provider:
    """What the providers have in common."""

    name = ""
    channel = ""
    hosts: tuple[str, ...] = ()
    errors: tuple[Agreed, ...] = ()


class OverHttp(Provider, ABC):
    """A provider that is asked by HTTP; each knows its own words."""

    @abstractmethod
    def read(self, url: str, body: Any) -> tuple[str, str]:
        """Return the address and the text of a request."""

    @abstractmethod
    def accepted(self, message_id: str) -> Reply:
        """Return the answer to what was accepted."""

    @abstractmethod
    def refused(self, fault: Fault) -> Reply:
        """Return an error in the provider's own words."""


class Ses(OverHttp):
    """Amazon SES v2."""

    name, channel, errors = "ses", "email", SES_ADDRESSES
    hosts = ("email.us-east-1.amazonaws.com",)

    def read(self, url: str, body: Any) -> tuple[str, str]:
        """Read SendEmail."""
        assert url == "/v2/email/outbound-emails", url
        told = json.loads(body)
        simple = told["Content"]["Simple"]
        text = json.dumps([simple["Subject"], simple["Body"]])
        return told["Destination"]["ToAddresses"][0], text

    def accepted(self, message_id: str) -> Reply:
        """Answer SendEmail."""
        return Reply(200, json.dumps({"MessageId": message_id}))

    def refused(self, fault: Fault) -> Reply:
        """Put the error's type in a header, its text in the body."""
        body = json.dumps({"message": fault.message})
        return Reply(fault.status, body, {"x-amzn-ErrorType": fault.code})


class Twilio(OverHttp):
    """Twilio's Messages."""

    name, channel, errors = "twilio", "sms", TWILIO_ADDRESSES
    hosts = ("api.twilio.com",)

    def read(self, url: str, body: Any) -> tuple[str, str]:
        """Read a new message's form."""
        assert url.endswith("/Messages.json"), url
        form = parse_qs(body if isinstance(body, str) else body.decode())
        return form["To"][0], form["Body"][0]

    def accepted(self, message_id: str) -> Reply:
        """Answer with the message."""
        return Reply(201, json.dumps({"sid": message_id, "status": "queued", "error_code": None}))

    def refused(self, fault: Fault) -> Reply:
        """Answer with the error's number."""
        told = {"code": int(fault.code), "message": fault.message, "status": fault.status}
        return Reply(fault.status, json.dumps(told))


class Fcm(OverHttp):
    """Firebase Cloud Messaging, HTTP v1."""

    name, channel, errors = "fcm", "push", FCM_ADDRESSES
    hosts = ("fcm.googleapis.com",)
    statuses: ClassVar = {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        403: "PERMISSION_DENIED",
        404: "NOT_FOUND",
        429: "RESOURCE_EXHAUSTED",
        500: "INTERNAL",
        503: "UNAVAILABLE",
    }
    detailed: ClassVar = {
        "UNREGISTERED",
        "QUOTA_EXCEEDED",
        "INTERNAL",
        "UNAVAILABLE",
        "THIRD_PARTY_AUTH_ERROR",
    }

    def read(self, url: str, body: Any) -> tuple[str, str]:
        """Read messages:send."""
        assert url.endswith("messages:send"), url
        told = json.loads(body)["message"]
        return told["token"], json.dumps(told["notification"])

    def accepted(self, message_id: str) -> Reply:
        """Answer with the message's name."""
        return Reply(200, json.dumps({"name": message_id}))

    def refused(self, fault: Fault) -> Reply:
        """Answer as Google's APIs do."""
        error: JSON = {
            "code": fault.status,
            "message": fault.message,
            "status": self.statuses[fault.status],
        }
        if fault.code in self.detailed:
            kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
            error["details"] = [{"@type": kind, "errorCode": fault.code}]
        return Reply(fault.status, json.dumps({"error": error}))


class SendGrid(OverHttp):
    """SendGrid's Mail Send."""

    name, channel, errors = "sendgrid", "email", SENDGRID_ADDRESSES
    hosts = ("api.sendgrid.com",)

    def read(self, url: str, body: Any) -> tuple[str, str]:
        """Read an email."""
        assert url == "/v3/mail/send", url
        told = json.loads(body)
        return told["personalizations"][0]["to"][0]["email"], json.dumps(told)

    def accepted(self, message_id: str) -> Reply:
        """Answer with a header."""
        return Reply(202, "", {"X-Message-Id": message_id})

    def refused(self, fault: Fault) -> Reply:
        """Name the field that is wrong."""
        error = {"message": fault.message, "field": fault.code or None, "help": None}
        return Reply(fault.status, json.dumps({"errors": [error]}))


class Aws(OverHttp):
    """AWS End User Messaging SMS."""

    name, channel, errors = "aws", "sms", AWS_ADDRESSES
    hosts = ("sms-voice.us-east-1.amazonaws.com",)

    def read(self, url: str, body: Any) -> tuple[str, str]:
        """Read SendTextMessage."""
        told = json.loads(body)
        return told["DestinationPhoneNumber"], told["MessageBody"]

    def accepted(self, message_id: str) -> Reply:
        """Answer SendTextMessage."""
        return Reply(200, json.dumps({"MessageId": message_id}))

    def refused(self, fault: Fault) -> Reply:
        """Name the error's type, and its reason where it has one."""
        kind, _, reason = fault.code.partition(":")
        told: JSON = {"__type": kind, "Message": fault.message}
        told |= {"Reason": reason} if reason else {}
        if "DestinationPhoneNumber" in fault.message:
            told["Fields"] = [{"Name": "DestinationPhoneNumber", "Message": fault.message}]
        return Reply(fault.status, json.dumps(told))


class Smtp(Provider):
    """A mail server; how it speaks is in mail.py."""

    name, channel, errors = "smtp", "email", SMTP_ADDRESSES


PROVIDERS: tuple[Provider, ...] = (Ses(), Smtp(), SendGrid(), Twilio(), Aws(), Fcm())


def class_of(provider: str, fault: Fault) -> str:
    """Return the failure class of one of a provider's errors."""
    (found,) = {
        str(each.failure_class)
        for one in PROVIDERS
        if one.name == provider
        for each in one.errors
        if each.fault is fault
    }
    return found


def errors(provider: Provider, kind: str) -> list[Fault]:
    """Return a provider's errors of one class."""
    return [
        each.fault
        for each in provider.errors
        if each.fault and each.failure_class == kind and each.reaction != "flaky"
    ]
