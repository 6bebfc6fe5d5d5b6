"""The house's rules for its templates: what cfn-lint cannot know, refused where it is written.

Each says by its id which row of the conformance table it keeps (A-O01 to A-O05), or what every
resource of a kind must have. A resource that is right as it is says so by cfn-lint's own directive.
"""

import fnmatch
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from cfnlint.rules import CloudFormationLintRule, RuleMatch
from cfnlint.template import Template

# cfn-lint loads rules by their path, from wherever it runs.
sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from infra.rules.stack import (
    FUNCTION,
    defaults,
    listed,
    nested,
    number,
    of_type,
    queue_behind,
    statements,
    strings,
)

Json = dict[str, Any]
Matches = list[RuleMatch]
PER_TIMEOUT = 6
"""AWS's advice: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"""
WITHOUT_RESOURCES = frozenset(
    {
        "cloudwatch:GetMetricData",
        "ses:GetAccount",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    }
)
"""Actions that AWS lets nobody narrow to a resource."""
SECRET_NAME = re.compile(
    "TOKEN$|SECRET$|PASSWORD|PRIVATE|API_KEY|Token$|Secret$|Password|PrivateKey"
)
SECRET = re.compile(
    r"nk_(live|test|admin)_\w{8}|BEGIN \w* ?PRIVATE KEY|A(KIA|SIA)[A-Z0-9]{16}|SG\.[\w-]{16,}\."
    r"|\bSK[0-9a-f]{32}\b|resolve:(ssm-secure|secretsmanager)"
)


def _events(function: Json, kind: str) -> Iterator[tuple[str, Json]]:
    for name, event in function["Properties"].get("Events", {}).items():
        if event["Type"] == kind:
            yield name, event["Properties"]


class VisibilityTimeout(CloudFormationLintRule):
    """A-O01."""

    id = "E9001"
    shortdesc = "A queue's visibility timeout is six times its function's timeout"
    description = "A message must not come again while its function still works on it"
    tags: ClassVar[list[str]] = ["house"]

    def match(self, cfn: Template) -> Matches:
        """Find queues whose messages come again too soon."""
        found = []
        for name, function in of_type(cfn, FUNCTION):
            timeout = function["Properties"].get("Timeout", 3)
            for event, told in _events(function, "SQS"):
                behind = queue_behind(cfn, told["Queue"])
                if behind is None and not cfn.filename:
                    continue  # sam validate shows a text alone, and no stack inside
                seconds = behind and number(behind[0].get("VisibilityTimeout", 30), *behind[1:])
                if seconds is None or seconds < PER_TIMEOUT * timeout:
                    path = ["Resources", name, "Properties", "Events", event]
                    said = f"{name} runs for {timeout} s, its queue hides messages for {seconds}"
                    found.append(RuleMatch(path, said))
        return found


class DeadLetterRetention(CloudFormationLintRule):
    """A-O02."""

    id = "E9002"
    shortdesc = "Dead letters are kept longer than what they come from"
    description = "A message's age counts from its first queue: it must not end on arrival"
    tags: ClassVar[list[str]] = ["house"]

    def match(self, cfn: Template) -> Matches:
        """Find dead-letter queues that keep no longer than their sources."""
        found = []
        queues = dict(of_type(cfn, "AWS::SQS::Queue"))
        for name, queue in queues.items():
            target = queue["Properties"].get("RedrivePolicy", {}).get("deadLetterTargetArn")
            if target is None:
                continue
            behind = queue_behind(cfn, target)
            kept = _kept(queue["Properties"], cfn.template)
            if behind is None or _kept(behind[0], behind[1]) <= kept:
                path = ["Resources", name, "Properties", "RedrivePolicy"]
                found.append(RuleMatch(path, f"what {name} gives up is kept no longer than it"))
        return found


def _kept(queue: Json, template: Json) -> int:
    told = queue.get("MessageRetentionPeriod", 345_600)
    return number(told, template, defaults(template)) or 0


class MaximumConcurrency(CloudFormationLintRule):
    """A-O03."""

    id = "E9003"
    shortdesc = "Queues may not ask for more of a function than is reserved for it"
    description = "What polls beyond the reservation is throttled; its messages count as received"
    tags: ClassVar[list[str]] = ["house"]

    def match(self, cfn: Template) -> Matches:
        """Find functions whose queues' maxima are above their reservation."""
        found = []
        for name, function in of_type(cfn, FUNCTION):
            reserved = function["Properties"].get("ReservedConcurrentExecutions")
            if reserved is None:
                continue
            parameters = defaults(cfn.template)
            most = number(reserved, cfn.template, parameters)
            asked = [
                number(_maximum(told), cfn.template, parameters)
                for _, told in _events(function, "SQS")
                if "ScalingConfig" in told
            ]
            if most is None or None in asked or sum(a or 0 for a in asked) > most:
                path = ["Resources", name, "Properties", "ReservedConcurrentExecutions"]
                found.append(RuleMatch(path, f"{name}'s queues ask for {asked} of {most}"))
        return found


def _maximum(event: Json) -> Any:
    told = event["ScalingConfig"]
    if "Fn::If" in told:
        _, told, _ = told["Fn::If"]
    return told.get("MaximumConcurrency")


class SigningKey(CloudFormationLintRule):
    """A-O04."""

    id = "E9004"
    shortdesc = "Only the log-in reads the key that signs users' tokens"
    description = "Whoever has the key can be any user"
    tags: ClassVar[list[str]] = ["house"]

    def match(self, cfn: Template) -> Matches:
        """Find statements by which another function reads the key."""
        found = []
        for name, function in of_type(cfn, FUNCTION):
            routes = {told.get("Path") for _, told in _events(function, "Api")}
            if "/api/v1/auth/login" in routes:
                continue
            for path, statement in statements(function):
                if statement.get("Effect") == "Allow" and _reads_signing_key(statement):
                    said = f"{name} may read the key that signs users' tokens"
                    found.append(RuleMatch(["Resources", name, *path], said))
        return found


def _reads_signing_key(statement: Json) -> bool:
    reads = any(
        fnmatch.fnmatchcase(action.lower(), str(pattern).lower())
        for pattern in listed(statement.get("Action", "*"))
        for action in ("ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath")
    )
    key = "arn:x:ssm:x:x:parameter/carillon/x/jwt/private"
    return reads and any(
        fnmatch.fnmatchcase(key, re.sub(r"\$\{[^}]*\}", "x", text))
        or (not text.startswith("arn") and text == "*")
        for resource in listed(statement.get("Resource", "*"))
        for _, text in strings(resource)
    )


class Secrets(CloudFormationLintRule):
    """A-O05."""

    id = "E9005"
    shortdesc = "No secret is in a template or an environment variable"
    description = "They are read from the Parameter Store by those who may; elsewhere many see them"
    tags: ClassVar[list[str]] = ["house"]

    def match(self, cfn: Template) -> Matches:
        """Find what is a secret, or is called one."""
        found = [
            RuleMatch(path, "this looks like a secret, or fetches one into the template")
            for path, text in strings(cfn.template)
            if SECRET.search(text)
        ]
        for name, function in of_type(cfn, FUNCTION, "AWS::Lambda::Function"):
            told = function["Properties"].get("Environment", {}).get("Variables", {})
            for variable in filter(SECRET_NAME.search, told):
                path = ["Resources", name, "Properties", "Environment", "Variables", variable]
                found.append(RuleMatch(path, f"{variable} is called as a secret is"))
        for parameter in filter(SECRET_NAME.search, cfn.template.get("Parameters", {})):
            path = ["Parameters", parameter]
            found.append(RuleMatch(path, f"{parameter} is called as a secret is"))
        return found


class DeadLetterQueues(CloudFormationLintRule):
    """Nothing is lost by coming too often."""

    id = "E9007"
    shortdesc = "Every queue has dead letters, or takes them"
    description = "A message that nobody can take must end where it is seen"
    tags: ClassVar[list[str]] = ["house"]

    def match(self, cfn: Template) -> Matches:
        """Find queues from which messages vanish."""
        text = json.dumps(cfn.template.get("Resources", {}), default=str)
        found = []
        for name, queue in of_type(cfn, "AWS::SQS::Queue"):
            arn = rf'{{"Fn::GetAtt": (\["{name}", "Arn"\]|"{name}\.Arn")}}'
            takes = re.search(rf'"(deadLetterTargetArn|Destination)": {arn}', text)
            if not takes and "RedrivePolicy" not in queue["Properties"]:
                found.append(RuleMatch(["Resources", name], f"{name} has no dead letters"))
        return found


class AlarmActions(CloudFormationLintRule):
    """An alarm that tells nobody is a picture."""

    id = "E9008"
    shortdesc = "Every alarm has actions"
    description = "For when it begins, and for when it is over"
    tags: ClassVar[list[str]] = ["house"]

    def match(self, cfn: Template) -> Matches:
        """Find alarms that tell nobody, but for those that another alarm is made of."""
        rules = " ".join(
            text
            for _, alarm in of_type(cfn, "AWS::CloudWatch::CompositeAlarm")
            for _, text in strings(alarm["Properties"]["AlarmRule"])
        )
        return [
            RuleMatch(["Resources", name], f"{name} has no {wanted}")
            for name, alarm in of_type(
                cfn, "AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"
            )
            for wanted in ("AlarmActions", "OKActions")
            if not alarm["Properties"].get(wanted) and f"${{{name}}}" not in rules
        ]


class LogRetention(CloudFormationLintRule):
    """Logs end when they are said to."""

    id = "E9009"
    shortdesc = "Every log has a group in the template, and every group an end"
    description = "A group that Lambda makes itself is kept for ever, and outlives the stack"
    tags: ClassVar[list[str]] = ["house"]

    def match(self, cfn: Template) -> Matches:
        """Find logs without an end."""
        groups = dict(of_type(cfn, "AWS::Logs::LogGroup"))
        found = [
            RuleMatch(["Resources", name], f"{name} is kept for ever")
            for name, group in groups.items()
            if "RetentionInDays" not in group["Properties"]
        ]
        for name, function in of_type(cfn, FUNCTION):
            told = function["Properties"].get("LoggingConfig", {}).get("LogGroup", {})
            if not isinstance(told, dict) or told.get("Ref") not in groups:
                found.append(RuleMatch(["Resources", name], f"{name} logs into no group of ours"))
        for name, api in of_type(cfn, "AWS::Serverless::Api"):
            told = api["Properties"].get("AccessLogSetting", {})
            if not told or re.search(r"sourceIp|context\.path|authorizer\.(?!latency)", str(told)):
                said = f"{name} logs no request, or what must not be logged"
                found.append(RuleMatch(["Resources", name], said))
        return found


class Tables(CloudFormationLintRule):
    """Every table says whether it can be made again."""

    id = "E9010"
    shortdesc = "Every table says what may be lost"
    description = "Point-in-time recovery is on or off in words; what has it is not deleted lightly"
    tags: ClassVar[list[str]] = ["house"]

    def match(self, cfn: Template) -> Matches:
        """Find tables that are silent about recovery, or easily lost."""
        found = []
        for name, table in of_type(cfn, "AWS::DynamoDB::Table"):
            told = table["Properties"]
            stance = told.get("PointInTimeRecoverySpecification", {}).get(
                "PointInTimeRecoveryEnabled"
            )
            if stance is None:
                found.append(RuleMatch(["Resources", name], f"{name} does not say whether"))
            elif stance and (
                "DeletionProtectionEnabled" not in told
                or table.get("UpdateReplacePolicy") != "Retain"
            ):
                said = f"{name} can be recovered, yet is deleted or replaced without a word"
                found.append(RuleMatch(["Resources", name], said))
        return found


class NoStar(CloudFormationLintRule):
    """Least privilege, statement by statement."""

    id = "E9011"
    shortdesc = "No statement allows everything, or on everything"
    description = "An action is named in full; a resource is all only where AWS knows no other"
    tags: ClassVar[list[str]] = ["house"]

    def match(self, cfn: Template) -> Matches:
        """Find statements that allow more than they name."""
        found = []
        kinds = (FUNCTION, "AWS::IAM::Role", "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")
        for name, resource in of_type(cfn, *kinds):
            for path, statement in statements(resource):
                actions = {str(action) for action in listed(statement.get("Action", "*"))}
                every = "*" in listed(statement.get("Resource", "*"))
                wide = any("*" in action for action in actions)
                if statement["Effect"] == "Allow" and (
                    wide or "NotAction" in statement or (every and not actions <= WITHOUT_RESOURCES)
                ):
                    told = ["Resources", name, *path]
                    found.append(RuleMatch(told, f"{name} allows more than it names"))
        return found


class OnlyEncrypted(CloudFormationLintRule):
    """Nothing travels in the clear."""

    id = "E9012"
    shortdesc = "Every queue, topic and bucket refuses whoever comes without TLS"
    description = "By a statement that denies, in a policy of its own"
    tags: ClassVar[list[str]] = ["house"]

    _POLICIES: ClassVar[dict[str, tuple[str, str]]] = {
        "AWS::SQS::Queue": ("AWS::SQS::QueuePolicy", "Queues"),
        "AWS::SNS::Topic": ("AWS::SNS::TopicPolicy", "Topics"),
        "AWS::S3::Bucket": ("AWS::S3::BucketPolicy", "Bucket"),
    }

    def match(self, cfn: Template) -> Matches:
        """Find what is open to whoever listens."""
        found = []
        for name, resource in of_type(cfn, *self._POLICIES):
            kind, whose = self._POLICIES[resource["Type"]]
            refusing = [
                policy
                for _, policy in of_type(cfn, kind)
                if {"Ref": name} in listed(policy["Properties"][whose])
                and any(_refuses_plain(statement) for _, statement in statements(policy))
            ]
            if not refusing:
                found.append(RuleMatch(["Resources", name], f"{name} may be used without TLS"))
        return found


def _refuses_plain(statement: Json) -> bool:
    told = statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")
    return statement["Effect"] == "Deny" and str(told).lower() == "false"


class Encrypted(CloudFormationLintRule):
    """Nothing lies in the clear."""

    id = "E9015"
    shortdesc = "Every queue, topic and bucket is encrypted, and no bucket is public"
    description = "docs/adr/0016-keys.md"
    tags: ClassVar[list[str]] = ["house"]

    def match(self, cfn: Template) -> Matches:
        """Find what can be read where it lies."""
        kinds = ("AWS::SQS::Queue", "AWS::SNS::Topic", "AWS::S3::Bucket")
        return [
            RuleMatch(["Resources", name], f"{name} is not encrypted, or is public")
            for name, resource in of_type(cfn, *kinds)
            if not _is_encrypted(resource.get("Properties", {}))
        ]


def _is_encrypted(told: Json) -> bool:
    blocked = told.get("PublicAccessBlockConfiguration", {})
    return bool(
        told.get("SqsManagedSseEnabled") is True
        or told.get("KmsMasterKeyId")
        or (told.get("BucketEncryption") and list(blocked.values()) == [True] * 4)
    )


class Boundaries(CloudFormationLintRule):
    """No role is wider than the stack."""

    id = "E9013"
    shortdesc = "Every function's role has a boundary"
    description = "SAM attaches policies of every queue in the account; a boundary narrows them"
    tags: ClassVar[list[str]] = ["house"]

    def match(self, cfn: Template) -> Matches:
        """Find functions whose roles are not bounded."""
        return [
            RuleMatch(["Resources", name], f"{name}'s role has no boundary")
            for name, function in of_type(cfn, FUNCTION)
            if "PermissionsBoundary" not in function["Properties"]
        ]


class InnerStacks(CloudFormationLintRule):
    """What cannot be read cannot be checked."""

    id = "E9014"
    shortdesc = "Every stack inside is a file of this repository"
    description = "The other rules look into it"
    tags: ClassVar[list[str]] = ["house"]

    def match(self, cfn: Template) -> Matches:
        """Find stacks whose template is elsewhere."""
        if not cfn.filename:
            return []
        read = {name for name, _, _ in nested(cfn)}
        return [
            RuleMatch(["Resources", name], f"{name}'s template is not here")
            for name, _ in of_type(cfn, "AWS::CloudFormation::Stack")
            if name not in read
        ]
