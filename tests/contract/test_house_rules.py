"""The rules that cfn-lint keeps for this house: each refuses a template that breaks it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cloudformation import ROOT

TOOLS = ROOT / ".venv/tools/bin"
SMS_TIMEOUT = (
    "template.yaml",
    "      Handler: functions.channels.sms.handler.lambda_handler\n",
    "      Timeout: 60\n",
    "      Timeout: 61\n",
)
_REDRIVE = """\
      RedrivePolicy:
        deadLetterTargetArn: !GetAtt DeadLetterQueue.Arn
        maxReceiveCount: 20
"""
_TWILIO = (
    "Resource: !Sub arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}"
    ":parameter/carillon/${Stage}/twilio"
)
BROKEN = {
    "E9001 a_o01 a function that outlasts its queue": SMS_TIMEOUT,
    "E9001 a_o01 jobs that come again too soon": (
        *("template.yaml", "TemplateURL: infra/jobs.yaml"),
        *("VisibilityTimeout: 1800", "VisibilityTimeout: 1799"),
    ),
    "E9002 a_o02 dead letters kept no longer": (
        *("infra/jobs.yaml", "DeadLetterQueue:\n"),
        *("MessageRetentionPeriod: 1209600", "MessageRetentionPeriod: 345600"),
    ),
    "E9003 a_o03 a queue that asks for more than is reserved": (
        *("template.yaml", "  SmsFunction:\n"),
        *("      Timeout: 60\n", "      Timeout: 60\n      ReservedConcurrentExecutions: 49\n"),
    ),
    "E9004 a_o04 a function that reads the signing key": (
        *("template.yaml", "  SmsFunction:\n"),
        *("parameter/carillon/${Stage}/twilio", "parameter/carillon/${Stage}/jwt/private"),
    ),
    "E9004 a_o04 a function that reads every secret": (
        *("template.yaml", "  SmsFunction:\n"),
        *("parameter/carillon/${Stage}/twilio", "parameter/carillon/${Stage}/*"),
    ),
    "E9005 a_o05 a secret's name in the environment": (
        *("template.yaml", "  SmsFunction:\n"),
        *("          PUBLIC_URL: ", "          TWILIO_AUTH_TOKEN: x\n          PUBLIC_URL: "),
    ),
    "E9005 a_o05 a secret fetched into the environment": (
        *("template.yaml", "  SmsFunction:\n"),
        *("!Ref PublicUrl", "'{{resolve:ssm-secure:/carillon/dev/twilio}}'"),
    ),
    "E9005 a_o05 a secret as a parameter": (
        *("infra/jobs.yaml", "Parameters:\n"),
        *("  GivenUp:\n", "  ApiToken: { Type: String }\n  GivenUp:\n"),
    ),
    "E9007 a queue without dead letters": (
        *("infra/jobs.yaml", "  Queue:\n"),
        *(_REDRIVE, ""),
    ),
    "E9008 an alarm that tells nobody": (
        *("infra/alarms.yaml", "Resources:\n"),
        *("      OKActions:", "      InsufficientDataActions:"),
    ),
    "E9009 a function that logs for ever": (
        *("template.yaml", "  SmsFunction:\n"),
        *("      LoggingConfig: { LogGroup: !Ref SmsLogs }\n", ""),
    ),
    "E9009 a log without an end": (
        *("template.yaml", "  SmsLogs:\n"),
        *("      RetentionInDays: !Ref LogRetentionDays\n", ""),
    ),
    "E9009 an access log of paths": (
        *("template.yaml", "AccessLogSetting:\n"),
        *("$context.resourcePath", "$context.path"),
    ),
    "E9010 a table that is silent about recovery": (
        *("template.yaml", "  UsersTable:\n"),
        *("      PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true }\n", ""),
    ),
    "E9010 a table that goes with a replacement": (
        *("template.yaml", "  UsersTable:\n"),
        *("    UpdateReplacePolicy: Retain\n", ""),
    ),
    "E9004 E9011 a statement on everything": (
        *("template.yaml", "Sid: ReadTwilioAccount\n"),
        *(_TWILIO, 'Resource: "*"'),
    ),
    "E9011 a statement of everything": (
        *("template.yaml", "Sid: ReadTwilioAccount\n"),
        *("Action: ssm:GetParameter", "Action: ssm:*"),
    ),
    "E9015 a queue in the clear": (
        *("infra/jobs.yaml", "  Queue:\n"),
        *("      SqsManagedSseEnabled: true\n", ""),
    ),
    "E9012 a queue that takes plain requests": (
        *("infra/jobs.yaml", "  DeadLetterQueuePolicy:\n"),
        *('Bool: { "aws:SecureTransport": "false" }', 'Bool: { "aws:SecureTransport": "true" }'),
    ),
    "E9015 a topic in the clear": (
        *("template.yaml", "  NotificationTopic:\n"),
        *("      KmsMasterKeyId: alias/aws/sns\n", "      DisplayName: Carillon\n"),
    ),
    "E9015 a bucket that anybody may open": (
        *("template.yaml", "  ExportsBucket:\n"),
        *("        BlockPublicPolicy: true\n", "        BlockPublicPolicy: false\n"),
    ),
    "E9013 roles without a boundary": (
        *("template.yaml", "Globals:\n"),
        *("    PermissionsBoundary: ", "    ReservedConcurrentExecutions: 1000 # "),
    ),
    "E9001 E9014 a stack from elsewhere": (
        *("template.yaml", "  Redrives:\n"),
        *("TemplateURL: infra/jobs.yaml", "TemplateURL: https://example.com/jobs.yaml"),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What the rules find in each broken template, and in those that we have."""
    if not (TOOLS / "cfn-lint").exists():
        pytest.fail("run make environments: cfn-lint is not here")
    names = {str(tmp_path_factory.mktemp("broken")): name for name in BROKEN}
    paths = {str(_break(Path(folder), *BROKEN[name])): name for folder, name in names.items()}
    sound = {str(path): path.name for path in (ROOT / "template.yaml", *ROOT.glob("infra/*.yaml"))}
    command = [TOOLS / "python", ROOT / "infra/rules/alone.py", *paths, *sound]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {(paths | sound)[path]: found for path, found in json.loads(done.stdout).items()}


def _break(folder: Path, file: str, after: str, old: str, new: str) -> Path:
    shutil.copytree(ROOT / "infra", folder / "infra", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "template.yaml", folder)
    before, found, rest = (folder / file).read_text().partition(after)
    assert found, f"{file} has no {after!r}"
    assert old in rest, f"{file} has no {old!r} after {after!r}"
    (folder / file).write_text(before + found + rest.replace(old, new, 1))
    return folder / file


@pytest.mark.parametrize("name", BROKEN)
def test_a_template_is_refused(name, judged) -> None:
    assert judged[name] == [word for word in name.split() if word.startswith("E9")]


@pytest.mark.parametrize("row", ["a_o01", "a_o02", "a_o03", "a_o04", "a_o05"])
def test_a_row_of_the_operators_has_a_rule_a_o01_a_o02_a_o03_a_o04_a_o05(row, judged) -> None:
    refused = [judged[name] for name in BROKEN if row in name.split()]
    assert refused
    assert all(refused)


def test_what_we_have_is_sound(judged) -> None:
    ours = {name: found for name, found in judged.items() if name not in BROKEN}
    assert "template.yaml" in ours
    assert not any(ours.values()), ours


def test_cfn_lint_is_told_of_the_rules() -> None:
    told = (ROOT / ".cfnlintrc").read_text()
    assert "append_rules:\n  - infra/rules\n" in told
