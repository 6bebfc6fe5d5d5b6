"""`carillon stage check` tells what is in the way, and `make deploy` asks it first."""

import boto3
import pytest
from stages import ADDRESS, TWILIO

from carillon_client.stage import deployed, sender


def rows(output: str) -> dict[str, str]:
    return {line[:15].strip(): line[15:22].strip() for line in output.splitlines()}


def test_a_stage_that_nobody_set_up_says_what_to_run(account) -> None:
    done = account.run("stage", "check", "--stage", "dev")
    assert done.exit_code == 1
    found = rows(done.output)
    assert (found["administrator"], found["users' tokens"], found["sender"]) == ("missing",) * 3
    assert "carillon setup --stage dev" in done.output


def test_a_sender_is_missing_pending_or_verified(account) -> None:
    ses = account.ses
    assert sender.verification(ses, "ada@example.com") is sender.Verification.MISSING
    account.setup(**ADDRESS)
    assert sender.verification(ses, "ada@example.com") is sender.Verification.PENDING
    assert rows(account.run("stage", "check", "--stage", "dev").output)["sender"] == "missing"
    verify(account, "ada@example.com")
    assert rows(account.run("stage", "check", "--stage", "dev").output)["sender"] == "ok"


def test_waiting_ends_with_the_verification_or_the_time(account) -> None:
    account.ses.create_email_identity(EmailIdentity="ada@example.com")
    state = sender.await_verified(account.ses, "ada@example.com", 0.01)
    assert state is sender.Verification.PENDING
    verify(account, "ada@example.com")
    state = sender.await_verified(account.ses, "ada@example.com", 60)
    assert state is sender.Verification.VERIFIED


def test_a_domain_s_verification_is_its_addresses_too(account) -> None:
    account.ses.create_email_identity(EmailIdentity="example.com")
    verify(account, "example.com")
    assert sender.verification(account.ses, "ada@example.com") is sender.Verification.VERIFIED


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"SendingEnabled": False}, "sending is paused"),
        ({"SendingEnabled": True, "ProductionAccessEnabled": False}, "in its sandbox"),
        (
            {
                "SendingEnabled": True,
                "ProductionAccessEnabled": True,
                "SendQuota": {"Max24HourSend": 50_000.0, "MaxSendRate": 14.0},
            },
            "50,000 a day, 14 a second",
        ),
    ],
)
def test_what_ses_lets_the_account_do_is_told(account, monkeypatch, told, says) -> None:
    monkeypatch.setattr(sender, "standing", lambda _: sender.standing_of(told))
    account.setup(**ADDRESS)
    assert says in account.run("stage", "check", "--stage", "dev").output


def test_a_stored_account_that_went_bad_is_in_the_way(account, twilio) -> None:
    account.tell(TwilioBaseUrl=twilio.url)
    account.setup(**ADDRESS, **TWILIO, SMS_PROVIDER="twilio")
    assert rows(account.run("stage", "check", "--stage", "dev").output)["sms: twilio"] == "ok"
    account.ssm.put_parameter(
        Name="/carillon/dev/twilio", Value="{}", Type="SecureString", Overwrite=True
    )
    done = account.run("stage", "check", "--stage", "dev")
    assert (done.exit_code, rows(done.output)["sms: twilio"]) == (1, "missing")


def test_a_pipeline_looks_without_reading_a_secret(account, twilio, monkeypatch) -> None:
    account.tell(TwilioBaseUrl=twilio.url)
    account.setup(**ADDRESS, **TWILIO, SMS_PROVIDER="twilio")
    monkeypatch.delattr("carillon_client.stage.store.Store.read")
    found = rows(account.run("stage", "check", "--stage", "dev", "--no-secrets").output)
    assert found["sms: twilio"] == "ok"


def test_a_stage_that_is_not_deployed_says_so(account) -> None:
    account.setup(**ADDRESS)
    done = account.run("stage", "show", "--stage", "dev")
    assert (done.exit_code, "there is no stack carillon-dev" in done.output) == (1, True)


def test_behind_another_endpoint_the_api_is_below_it(account, monkeypatch) -> None:
    formation = boto3.client("cloudformation", region_name="eu-west-1")
    outputs = {"ApiUrl": "https://a1.execute-api.eu-west-1.amazonaws.com/dev"}
    outputs |= {"ApiId": "a1", "ApiStage": "dev"}
    body = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    formation.create_stack(StackName="carillon-dev", TemplateBody=str(body).replace("'", '"'))
    assert deployed.url(formation, "carillon-dev") == outputs["ApiUrl"]
    monkeypatch.setattr(formation.meta, "_endpoint_url", "http://localhost:4566")
    below = "http://localhost:4566/_aws/execute-api/a1/dev"
    assert deployed.url(formation, "carillon-dev") == below


def test_without_credentials_it_says_so_in_a_line(account, monkeypatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    done = account.setup(**ADDRESS)
    assert (done.exit_code, "Unable to locate credentials" in done.output) == (3, True)


def verify(account, identity: str) -> None:
    """Do what the owner's click on the link does."""
    from moto.sesv2.models import sesv2_backends  # noqa: PLC0415 - the mock's own

    (backend,) = [
        regions["eu-west-1"] for regions in sesv2_backends.values() if "eu-west-1" in regions
    ]
    backend.core_backend.email_identities[identity].verified_for_sending_status = True
