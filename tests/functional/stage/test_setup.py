"""`carillon setup` asks, checks, and only then stores."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from cloudformation import template
from stages import ADDRESS, TWILIO
from wire import hang_up, listening, reply

from carillon_client.stage import readiness


def parameters(path: Path, stage: str = "dev") -> dict[str, str]:
    told = tomllib.loads(path.read_text())[stage]["deploy"]["parameters"]
    return dict(word.split("=", 1) for word in told["parameter_overrides"])


def test_h3_it_makes_what_is_ours_and_writes_down_what_was_answered(account) -> None:
    done = account.setup(**ADDRESS, ALARM_EMAIL="ops@example.com")
    assert "SES writes to ada@example.com" in done.output
    stored = account.stored()
    assert set(stored) == {"admin-token", "jwt/private", "jwt/public"}
    assert re.fullmatch(r"nk_admin_[\w-]{43}", stored["admin-token"])
    assert parameters(account.samconfig) == {
        "Stage": "dev",
        "SenderEmail": "ada@example.com",
        "AlarmEmail": "ops@example.com",
        "EmailProvider": "ses",
    }
    told = tomllib.loads(account.samconfig.read_text())
    assert told["dev"]["global"]["parameters"]["region"] == "eu-west-1"
    assert stored["admin-token"] not in done.output


def test_it_asks_a_person_and_hides_what_is_secret(account, twilio) -> None:
    account.tell(TwilioBaseUrl=twilio.url)
    answers = ["eu-west-1", "ada@example.com", "", "ses", "twilio", "none"]
    typed = "\n".join([*answers, "AC01", "twilio-s3cret", "MG01", ""])
    done = account.setup(typed=typed)
    assert "twilio: account AC01 is active; stored" in done.output
    assert "twilio-s3cret" not in done.output
    assert json.loads(account.stored()["twilio"]) == {
        "account_sid": "AC01",
        "auth_token": "twilio-s3cret",
        "messaging_service_sid": "MG01",
    }


def test_what_was_stored_is_kept_when_it_is_run_again(account, twilio) -> None:
    account.tell(TwilioBaseUrl=twilio.url)
    account.setup(**ADDRESS, **TWILIO, SMS_PROVIDER="twilio")
    before, comments = account.stored(), account.samconfig.read_text().count("#")
    account.setup(**TWILIO | {"TWILIO_AUTH_TOKEN": "other"})
    assert account.stored() == before
    assert parameters(account.samconfig)["SenderEmail"] == "ada@example.com"
    assert account.samconfig.read_text().count("#") == comments


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (reply(401, {"code": 20003}), "Twilio refuses these credentials (401)"),
        (reply(404, {}), "Twilio does not know AC01.json"),
        (reply(200, {"status": "suspended"}), "the account is suspended"),
        (reply(500, {}), "Twilio answers 500"),
        (hang_up, "Twilio is not reached: RemoteProtocolError"),
    ],
)
def test_an_account_that_its_provider_refuses_is_not_stored(account, answer, says) -> None:
    with listening(answer) as wire:
        account.tell(TwilioBaseUrl=wire.url)
        done = account.setup(**ADDRESS, **TWILIO, SMS_PROVIDER="twilio")
    assert (done.exit_code, "twilio" in account.stored()) == (1, False)
    assert says in done.output
    assert TWILIO["TWILIO_AUTH_TOKEN"] not in done.output


def test_a_firebase_key_is_stored_when_google_gives_tokens_for_it(account, firebase) -> None:
    token = {"access_token": "ya29", "expires_in": 3600, "token_type": "Bearer"}
    with listening(reply(200, token)) as wire:
        told = {"GOOGLE_APPLICATION_CREDENTIALS": str(firebase(wire.url)), "PUSH_PROVIDER": "fcm"}
        done = account.setup(**ADDRESS, **told)
    assert "fcm: project shop gives tokens; stored" in done.output
    assert json.loads(account.stored()["fcm"])["project_id"] == "shop"


def test_a_firebase_key_that_google_refuses_is_not(account, firebase) -> None:
    with listening(reply(400, {"error": "invalid_grant"})) as wire:
        told = {"GOOGLE_APPLICATION_CREDENTIALS": str(firebase(wire.url)), "PUSH_PROVIDER": "fcm"}
        done = account.setup(**ADDRESS, **told)
    assert "Google does not take the service account" in done.output
    assert "fcm" not in account.stored()


@pytest.mark.parametrize("content", ["", "[]", '{"type": "user"}'])
def test_what_is_no_service_account_is_refused(account, tmp_path, content) -> None:
    path = tmp_path / "key.json"
    path.write_text(content)
    told = {"GOOGLE_APPLICATION_CREDENTIALS": str(path), "PUSH_PROVIDER": "fcm"}
    done = account.setup(**ADDRESS, **told)
    assert (done.exit_code, "fcm" in account.stored()) == (1, False)


def test_a_sendgrid_key_must_be_one_that_may_send(account) -> None:
    for scopes, kept in (["stats.read"], False), (["mail.send"], True):
        with listening(reply(200, {"scopes": scopes})) as wire:
            account.tell(SendgridBaseUrl=wire.url)
            told = {"EMAIL_PROVIDER": "ses,sendgrid", "SENDGRID_API_KEY": "SG.x"}
            account.setup(**ADDRESS, **told)
        assert ("sendgrid" in account.stored()) == kept
        account.samconfig.write_text(
            re.sub(r'    "SendgridBaseUrl=.*\n', "", account.samconfig.read_text())
        )


@pytest.mark.parametrize("address", ["", "ada", "ada@example", "a@b.co,c@d.co", "Ada <a@b.co>"])
def test_a_sender_that_is_no_address_is_refused_before_anything_is_made(account, address) -> None:
    done = account.setup(AWS_REGION="eu-west-1", SENDER_EMAIL=address)
    assert (done.exit_code, account.stored()) == (1, {})
    assert parameters(account.samconfig) == {"Stage": "dev"}


def test_a_domain_is_verified_by_its_dns(account) -> None:
    done = account.setup("--domain", **ADDRESS)
    tokens = account.ses.get_email_identity(EmailIdentity="example.com")["DkimAttributes"]
    for token in tokens.get("Tokens", []):
        assert f"{token}._domainkey.example.com CNAME {token}.dkim.amazonses.com" in done.output


def test_a_stage_s_name_is_as_the_template_takes_it(account) -> None:
    assert account.run("setup", "--stage", "Prod").exit_code == 2
    allowed = template()["Parameters"]["Stage"]["AllowedPattern"]
    assert [bool(re.fullmatch(allowed, name)) for name in ("dev", "Prod", "x")] == [
        True,
        False,
        False,
    ]


def test_what_it_takes_for_the_template_s_defaults_are_those() -> None:
    told = template()["Parameters"]
    assert {name: told[name]["Default"] for name in readiness.DEFAULTS} == readiness.DEFAULTS
