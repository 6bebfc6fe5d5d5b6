"""What each provider's failures mean: by the real SDKs, against a wire that answers as told."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import wire
from botocore.exceptions import NoCredentialsError
from functional.channels.conftest import CHANNELS, OVER_HTTP, PLAIN, outgoing
from wire import reply

from carillon import delivery, failures, metrics, signed
from carillon.errors import Failure, ProviderError
from functions.channels.sms import aws as texts

RETRY, UNKNOWN, THROTTLE = Failure.RETRY, Failure.UNKNOWN, Failure.THROTTLE
PERMANENT, RECIPIENT, CONFIG = Failure.PERMANENT, Failure.RECIPIENT, Failure.CONFIG
ACCEPTED = {"ses": 200, "sendgrid": 202, "twilio": 201, "aws": 200, "fcm": 200}
TAKEN = {
    "ses": reply(200, {"MessageId": "1"}),
    "sendgrid": reply(202, None, {"X-Message-Id": "1"}),
    "twilio": reply(201, {"sid": "SM1"}),
    "aws": reply(200, {"MessageId": "1"}),
    "fcm": reply(200, {"name": "projects/p/messages/1"}),
}
PATHS = {
    "ses": b"outbound-emails",
    "sendgrid": b"/v3/mail/send",
    "twilio": b"Messages.json",
    "aws": b"POST / ",
    "fcm": b"messages:send",
}


def failed(provider: str, **of_message: Any) -> ProviderError:
    """Send, and return how that failed."""
    with pytest.raises(ProviderError) as caught:
        delivery._send_once(OVER_HTTP[provider].send, outgoing(CHANNELS[provider], **of_message))
    return caught.value


def refuse(provider: str, status: int, code: str, text: str, headers=None) -> wire.Answer:
    """Answer with an error as the provider puts it."""
    if provider == "ses":
        return reply(status, {"message": text}, {"x-amzn-ErrorType": code} | (headers or {}))
    if provider == "aws":
        kind, _, reason = code.partition(":")
        told = {"__type": kind, "Message": text} | ({"Reason": reason} if reason else {})
        return reply(status, told, headers)
    if provider == "sendgrid":
        return reply(status, {"errors": [{"field": code, "message": text}]}, headers)
    if provider == "twilio":
        return reply(status, {"code": int(code), "message": text, "status": status}, headers)
    error: dict[str, Any] = {"code": status, "message": text, "status": code.partition("/")[0]}
    if "/" in code:
        kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
        error["details"] = [{"@type": kind, "errorCode": code.partition("/")[2]}]
    return reply(status, {"error": error}, headers)


# ---------------------------------------------------------------- no answer, or one unreadable


@pytest.mark.parametrize(
    "answer",
    [wire.reset, wire.hang_up, wire.half],
    ids=["a_p14_reset", "hang_up", "half"],
)
@pytest.mark.parametrize("provider", OVER_HTTP)
def test_a_connection_that_broke_after_the_request_may_have_sent_a_p14(
    scripted, provider, answer
) -> None:
    told = scripted(answer)
    assert failed(provider).failure is UNKNOWN
    assert told.sent(PATHS[provider]) == 1


@pytest.mark.parametrize("provider", OVER_HTTP)
def test_a_reply_that_never_comes_is_one_request_of_unknown_outcome_a_p04(
    scripted, quick, provider
) -> None:
    told = scripted(wire.silence)
    assert failed(provider).failure is UNKNOWN
    assert told.sent(PATHS[provider]) == 1


@pytest.mark.parametrize(
    "body",
    [None, "<html>Sign in</html>", {}, [], {"id": 7}],
    ids=["a_p01_a_p02_empty", "a_p15_html", "a_p03_nothing", "list", "foreign"],
)
@pytest.mark.parametrize("provider", OVER_HTTP)
def test_a_2xx_without_an_id_is_no_proof_a_p01_a_p02_a_p03_a_p15(scripted, provider, body) -> None:
    told = scripted(reply(ACCEPTED[provider], body))
    assert failed(provider).failure is UNKNOWN
    assert told.sent(PATHS[provider]) == 1


@pytest.mark.parametrize("provider", OVER_HTTP)
def test_a_reply_that_trickles_does_not_hold_the_worker(scripted, provider, monkeypatch) -> None:
    def then_trickle(connection: wire.Connection) -> None:
        (TAKEN[provider] if told.sent(PATHS[provider]) == 1 else wire.trickle)(connection)

    told = scripted(then_trickle)
    OVER_HTTP[provider].send(outgoing(CHANNELS[provider]))  # what is loaded once, is loaded
    monkeypatch.setattr(failures, "SEND_TIMEOUT", 0.5)
    error = failed(provider)
    assert (error.failure, error.code) == (UNKNOWN, "deadline")
    assert told.sent(PATHS[provider]) == 2


@pytest.mark.parametrize("provider", OVER_HTTP)
def test_a_connection_that_was_idle_for_long_is_not_used_again(
    scripted, provider, monkeypatch
) -> None:
    """It may have been closed by the other side while this function was frozen."""
    used: list[wire.Connection] = []

    def once(connection: wire.Connection) -> None:
        if connection in used:
            wire.reset(connection)
        else:
            used.append(connection)
            TAKEN[provider](connection)

    send, out = OVER_HTTP[provider].send, outgoing(CHANNELS[provider])
    scripted(once)
    send(out)
    monkeypatch.setattr(failures, "IDLE_SECONDS", -1.0)
    send(out)
    monkeypatch.setattr(failures, "IDLE_SECONDS", 20.0)
    assert failed(provider).failure is UNKNOWN  # a connection just used is used again
    assert len(used) == 2


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("provider", OVER_HTTP)
def test_a_redirect_is_not_followed(scripted, provider, status) -> None:
    told = scripted(reply(status, None, {"Location": "/elsewhere"}))
    assert failed(provider).failure is UNKNOWN
    assert len(told.requests) == told.sent(PATHS[provider]) + told.sent(b"/token")
    assert told.sent(PATHS[provider]) == 1


# ---------------------------------------------------------------- how long to wait

THROTTLED = {
    "ses": (429, "TooManyRequestsException"),
    "sendgrid": (429, ""),
    "aws": (400, "ThrottlingException"),
    "twilio": (429, "20429"),
    "fcm": (429, "RESOURCE_EXHAUSTED/QUOTA_EXCEEDED"),
}
AWAY = {
    "ses": (503, "ServiceUnavailable"),
    "sendgrid": (503, ""),
    "aws": (503, "ServiceUnavailable"),
    "twilio": (503, "20503"),
    "fcm": (503, "UNAVAILABLE/UNAVAILABLE"),
}


@pytest.mark.parametrize("provider", OVER_HTTP)
def test_a_provider_s_date_to_come_back_is_kept_a_p05(scripted, provider) -> None:
    ahead = format_datetime(datetime.now(UTC) + timedelta(minutes=3), usegmt=True)
    told = scripted(refuse(provider, *AWAY[provider], "Away", {"Retry-After": ahead}))
    error = failed(provider)
    assert error.failure is UNKNOWN
    assert 175 < (error.retry_after or 0) <= 180
    assert told.sent(PATHS[provider]) == 1


@pytest.mark.parametrize(
    ("told", "wait"),
    [
        ("7", 7),
        ("0", 0),
        ("-5", 0),
        ("1e9", failures.LONGEST_WAIT),
        ("1e999", failures.LONGEST_WAIT),
        ("Fri, 01 Jan 1999 00:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", failures.LONGEST_WAIT),
        ("Fri, 31 Dec 9999 23:59:59 -0000", failures.LONGEST_WAIT),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Fri, 99 Foo 2026", None),
    ],
)
@pytest.mark.parametrize("provider", OVER_HTTP)
def test_an_odd_retry_after_neither_raises_nor_loops_a_p13(scripted, provider, told, wait) -> None:
    scripted(refuse(provider, *THROTTLED[provider], "Slow down", {"Retry-After": told}))
    error = failed(provider)
    assert (error.failure, error.retry_after) == (THROTTLE, wait)


# ---------------------------------------------------------------- what the tables list

BLIND = "The message can't be sent because it contains invalid content."


@pytest.mark.parametrize(
    ("status", "code", "text", "failure"),
    [
        (429, "TooManyRequestsException", "Maximum sending rate exceeded.", THROTTLE),
        (400, "Throttling", "Daily message quota exceeded", THROTTLE),
        (400, "SendingPausedException", "Sending paused for this account.", CONFIG),
        (400, "AccountSuspendedException", "", CONFIG),
        (400, "MailFromDomainNotVerifiedException", "", CONFIG),
        (404, "NotFoundException", "Configuration set <x> does not exist.", CONFIG),
        (400, "MessageRejected", BLIND, PERMANENT),
        (400, "MessageRejected", "Email address is not verified. The following …", CONFIG),
        (400, "MessageRejected", "Sending suspended for this account.", CONFIG),
        (400, "BadRequestException", "Illegal address", RECIPIENT),
        (400, "BadRequestException", "Missing final '@domain'", RECIPIENT),
        (400, "BadRequestException", "Local address contains control or whitespace", RECIPIENT),
        (400, "BadRequestException", "Invalid tag name", PERMANENT),
        (403, "AccessDeniedException", "not authorized to perform: ses:SendEmail", CONFIG),
        (403, "SignatureDoesNotMatch", "", CONFIG),
        (403, "ExpiredTokenException", "", CONFIG),
        (413, "RequestEntityTooLargeException", "", PERMANENT),
        (500, "InternalServiceErrorException", "", UNKNOWN),
        (503, "ServiceUnavailable", "", UNKNOWN),
    ],
)
def test_ses_errors_a_p06_a_p07_a_p16(scripted, status, code, text, failure) -> None:
    told = scripted(refuse("ses", status, code, text))
    error = failed("ses")
    assert (error.failure, error.code, error.listed) == (failure, code, True)
    assert told.sent() == 1


@pytest.mark.parametrize(
    ("status", "code", "failure"),
    [
        (400, "21211", RECIPIENT),
        (400, "21610", RECIPIENT),
        (400, "21614", RECIPIENT),
        (400, "21635", RECIPIENT),
        (403, "21408", PERMANENT),
        (400, "21612", PERMANENT),
        (400, "21617", PERMANENT),
        (400, "21608", CONFIG),
        (401, "20003", CONFIG),
        (403, "20005", CONFIG),
        (404, "20404", CONFIG),
        (400, "21606", CONFIG),
        (429, "20429", THROTTLE),
        (400, "21611", THROTTLE),
        (429, "63038", THROTTLE),
        (500, "20500", UNKNOWN),
        (503, "20503", UNKNOWN),
    ],
)
def test_twilio_errors(scripted, status, code, failure) -> None:
    told = scripted(refuse("twilio", status, code, "No"))
    error = failed("twilio")
    assert (error.failure, error.code, error.listed) == (failure, code, True)
    assert told.sent() == 1


@pytest.mark.parametrize(
    ("status", "field", "text", "failure"),
    [
        (400, "subject", "The subject is required.", PERMANENT),
        (400, "personalizations.0.to.0.email", "Does not contain a valid address.", RECIPIENT),
        (400, "from.email", "The from email does not contain a valid address.", CONFIG),
        (400, "personalizations", "You must have at least one personalization.", PERMANENT),
        (401, "", "Maximum credits exceeded", CONFIG),
        (403, "from", "The from address does not match a verified Sender Identity.", CONFIG),
        (404, "", "not found", CONFIG),
        (413, "", "The JSON payload you have included is too large.", PERMANENT),
        (429, "", "too many requests", THROTTLE),
        (500, "", "internal server error", UNKNOWN),
        (503, "", "service unavailable", UNKNOWN),
    ],
)
def test_sendgrid_errors(scripted, status, field, text, failure) -> None:
    told = scripted(refuse("sendgrid", status, field, text))
    error = failed("sendgrid")
    assert (error.failure, error.code, error.listed) == (failure, f"{status} {field}".strip(), True)
    assert error.message == text
    assert told.sent() == 1


def test_sendgrid_says_at_which_moment_to_come_back(scripted, time_machine) -> None:
    time_machine.move_to(datetime(2026, 11, 21, 9, 30, tzinfo=UTC), tick=False)
    moment = int(datetime(2026, 11, 21, 9, 31, tzinfo=UTC).timestamp())
    scripted(refuse("sendgrid", 429, "", "slow", {"X-RateLimit-Reset": str(moment)}))
    assert failed("sendgrid").retry_after == 60


def test_sendgrid_s_200_is_not_its_202(scripted) -> None:
    scripted(reply(200, None, {"X-Message-Id": "abc"}))
    assert failed("sendgrid").failure is UNKNOWN


@pytest.mark.parametrize("body", ["", "no", [], {"errors": []}, {"errors": [7]}, {"errors": {}}])
def test_sendgrid_s_errors_may_be_unreadable(scripted, body) -> None:
    scripted(reply(400, body))
    assert failed("sendgrid").failure is PERMANENT


@pytest.mark.parametrize(
    ("status", "code", "failure"),
    [
        (400, "ConflictException:DESTINATION_PHONE_NUMBER_OPTED_OUT", RECIPIENT),
        (400, "ConflictException:DESTINATION_COUNTRY_BLOCKED_BY_PROTECT_CONFIGURATION", PERMANENT),
        (400, "ConflictException:DESTINATION_PHONE_NUMBER_NOT_VERIFIED", CONFIG),
        (400, "ConflictException:RESOURCE_NOT_ACTIVE", CONFIG),
        (400, "ValidationException:DESTINATION_COUNTRY_BLOCKED", PERMANENT),
        (400, "ValidationException:MAXIMUM_SIZE_EXCEEDED", PERMANENT),
        (400, "ValidationException:INVALID_ARN", CONFIG),
        (400, "ValidationException:OTHER", PERMANENT),
        (400, "ValidationException", PERMANENT),
        (400, "AccessDeniedException:INSUFFICIENT_ACCOUNT_REPUTATION", CONFIG),
        (400, "AccessDeniedException", CONFIG),
        (400, "ResourceNotFoundException", CONFIG),
        (400, "ServiceQuotaExceededException:MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT", CONFIG),
        (400, "ThrottlingException", THROTTLE),
        (500, "InternalServerException", UNKNOWN),
    ],
)
def test_aws_texts_errors(scripted, status, code, failure) -> None:
    told = scripted(refuse("aws", status, code, "No"))
    error = failed("aws")
    assert (error.failure, error.code, error.listed) == (failure, code, True)
    assert told.sent() == 1


def test_a_number_that_aws_finds_invalid_is_dead_another_field_is_not(scripted) -> None:
    told = {"__type": "ValidationException", "Message": "No", "Reason": "INVALID_PARAMETER"}
    scripted(reply(400, told | {"Fields": [{"Name": "DestinationPhoneNumber", "Message": "No"}]}))
    assert failed("aws").failure is RECIPIENT
    scripted(reply(400, told | {"Fields": [{"Name": "OriginationIdentity", "Message": "No"}]}))
    assert failed("aws").failure is PERMANENT


def test_twilio_errors_in_the_newer_form_are_read_too(scripted) -> None:
    problem = {"type": "about:blank", "title": "No", "status": 400, "code": 21610, "detail": "STOP"}
    scripted(reply(400, problem))
    error = failed("twilio")
    assert (error.failure, error.code, error.message) == (RECIPIENT, "21610", "STOP")


@pytest.mark.parametrize(
    ("status", "code", "text", "failure"),
    [
        (404, "NOT_FOUND/UNREGISTERED", "Requested entity was not found.", RECIPIENT),
        (404, "NOT_FOUND", "Requested entity was not found.", CONFIG),
        (
            400,
            "INVALID_ARGUMENT/INVALID_ARGUMENT",
            "The registration token is not a valid FCM registration token",
            RECIPIENT,
        ),
        (400, "INVALID_ARGUMENT/INVALID_ARGUMENT", "Android message is too big", PERMANENT),
        (400, "INVALID_ARGUMENT", "Invalid value at 'message.data[0].value'", PERMANENT),
        (403, "PERMISSION_DENIED/SENDER_ID_MISMATCH", "SenderId mismatch", PERMANENT),
        (403, "PERMISSION_DENIED", "Cloud Messaging API has not been used", CONFIG),
        (401, "UNAUTHENTICATED", "Request had invalid authentication credentials.", CONFIG),
        (401, "UNAUTHENTICATED/THIRD_PARTY_AUTH_ERROR", "Auth error from APNS", CONFIG),
        (429, "RESOURCE_EXHAUSTED/QUOTA_EXCEEDED", "Quota exceeded", THROTTLE),
        (429, "RESOURCE_EXHAUSTED", "Quota exceeded", THROTTLE),
        (500, "INTERNAL/INTERNAL", "Internal error encountered.", UNKNOWN),
        (503, "UNAVAILABLE/UNAVAILABLE", "The service is currently unavailable.", UNKNOWN),
    ],
)
def test_fcm_errors_a_p08_a_p09_a_p10(scripted, status, code, text, failure) -> None:
    told = scripted(refuse("fcm", status, code, text))
    error = failed("fcm")
    assert (error.failure, error.listed) == (failure, True)
    assert error.code == code.rpartition("/")[2]
    assert told.sent(PATHS["fcm"]) == 1


@pytest.mark.parametrize(
    "body", ["<title>Error 404 (Not Found)!!1</title>", [], {"error": {"code": 404}}]
)
def test_a_path_that_is_no_project_s_is_our_side_s_fault_a_p09(scripted, body) -> None:
    scripted(reply(404, body))
    error = failed("fcm")
    assert (error.failure, error.code) == (CONFIG, "404")


def test_a_failure_of_one_platform_s_key_says_that_it_is_one_platform_s_a_p17(scripted) -> None:
    scripted(refuse("fcm", 401, "UNAUTHENTICATED/THIRD_PARTY_AUTH_ERROR", "Auth error from APNS"))
    assert failed("fcm").platform_only
    scripted(refuse("fcm", 401, "UNAUTHENTICATED", "invalid authentication credentials"))
    assert not failed("fcm").platform_only


# ---------------------------------------------------------------- what no table lists


@pytest.mark.parametrize(("status", "failure"), [(418, PERMANENT), (599, UNKNOWN)])
@pytest.mark.parametrize("provider", OVER_HTTP)
def test_f8_what_no_table_lists_is_classed_by_its_status_and_counted_a_p12(
    scripted, provider, status, failure
) -> None:
    codes = {"twilio": "98765", "fcm": "UNHEARD_OF", "sendgrid": ""}
    code = codes.get(provider, "UnheardOfException")
    scripted(refuse(provider, status, code, "Something new"))
    error = failed(provider)
    assert (error.failure, error.listed) == (failure, False)
    series = f'unclassified_errors_total{{provider="{provider}"}}'
    assert metrics._tally().for_table[series] == {"total": 1}


@pytest.mark.parametrize("provider", OVER_HTTP)
def test_an_exception_of_no_known_kind_may_have_come_after_the_request(
    provider, point, monkeypatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise LookupError(PLAIN[CHANNELS[provider]])

    point("http://127.0.0.1:9")
    monkeypatch.setattr(OVER_HTTP[provider], "configured", broken)
    error = failed(provider)
    assert (error.failure, error.code, error.listed) == (UNKNOWN, "LookupError", False)
    assert PLAIN[CHANNELS[provider]] not in str(error)


@pytest.mark.parametrize("provider", OVER_HTTP)
def test_no_error_names_the_address(scripted, provider, caplog) -> None:
    codes = {"twilio": "21211", "fcm": "INVALID_ARGUMENT", "sendgrid": "subject"}
    code = codes.get(provider, "BadRequestException")
    address = PLAIN[CHANNELS[provider]]
    scripted(refuse(provider, 400, code, f"Illegal address {address} was given"))
    error = failed(provider)
    assert address not in error.message
    assert "[address] was given" in error.message
    assert address not in caplog.text


# ---------------------------------------------------------------- our own side


@pytest.mark.parametrize("sender", ["", "nobody", "a..b@example.com", "Ada <ada@>", "a@b@c.de"])
@pytest.mark.parametrize("provider", ["ses", "sendgrid"])
def test_a_sender_that_is_no_address_stops_the_channel_rather_than_the_recipients(
    scripted, monkeypatch, provider, sender
) -> None:
    told = scripted(reply(200, {"MessageId": "1"}))
    monkeypatch.setenv("SENDER_EMAIL", sender)
    assert failed(provider).failure is CONFIG
    assert told.sent() == 0


@pytest.mark.parametrize("secret", ["", "null", "[]", "{}", '{"account_sid": "AC"}', "\0"])
@pytest.mark.parametrize("provider", ["sendgrid", "twilio", "fcm"])
def test_an_unusable_secret_is_our_side_s_fault_and_sends_nothing(
    scripted, monkeypatch, provider, secret
) -> None:
    told = scripted(reply(200, {}))
    monkeypatch.setattr(OVER_HTTP[provider], "secret", lambda _: secret, raising=True)
    monkeypatch.setattr(OVER_HTTP[provider].secret, "cache_clear", lambda: None, raising=False)
    assert failed(provider).failure is CONFIG
    assert told.sent() == 0


def test_without_credentials_aws_is_not_asked(scripted, monkeypatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise NoCredentialsError

    told = scripted(reply(200, {"MessageId": "1"}))
    monkeypatch.setattr(signed, "_credentials", none)
    monkeypatch.setattr(texts.texts(), "send_text_message", none)
    assert failed("ses").failure is failed("aws").failure is CONFIG
    assert told.sent() == 0
