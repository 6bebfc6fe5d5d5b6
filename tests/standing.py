"""What the services say there is, in CloudFormation's words: one reader per kind of resource."""

import json
from collections.abc import Callable

from deployed import Client, Json

Reader = Callable[[Client, str, Json], Json]
"""Takes a client by service, the physical id, and what was wanted; returns what is there."""


INDEX = ("IndexName", "KeySchema", "Projection")
POLICY = ("PolicyName", "PolicyDocument")


def queue(client: Client, made: str, _: Json) -> Json:
    found = _queue(client, made)
    return found | {"RedrivePolicy": json.loads(found.get("RedrivePolicy", "{}"))}


def queue_policy(client: Client, _: str, wanted: Json) -> Json:
    (url,) = wanted["Queues"]
    return {"Queues": [url], "PolicyDocument": json.loads(_queue(client, url)["Policy"])}


def topic(client: Client, made: str, _: Json) -> Json:
    found = client("sns").get_topic_attributes(TopicArn=made)["Attributes"]
    return dict(found)


def topic_policy(client: Client, _: str, wanted: Json) -> Json:
    (made,) = wanted["Topics"]
    return {"Topics": [made], "PolicyDocument": json.loads(topic(client, made, {})["Policy"])}


def subscription(client: Client, made: str, _: Json) -> Json:
    found = client("sns").get_subscription_attributes(SubscriptionArn=made)["Attributes"]
    read = {name: json.loads(found.get(name) or "{}") for name in ("FilterPolicy", "RedrivePolicy")}
    topic = made.rpartition(":")[0]
    pages = client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    every = (each for page in pages for each in page["Subscriptions"])
    return found | read | next(each for each in every if each["SubscriptionArn"] == made)


def table(client: Client, made: str, _: Json) -> Json:
    dynamodb = client("dynamodb")
    found = dynamodb.describe_table(TableName=made)["Table"]
    expiry = dynamodb.describe_time_to_live(TableName=made)["TimeToLiveDescription"]
    stream = found.get("StreamSpecification", {}).get("StreamViewType")
    return found | {
        "BillingMode": found["BillingModeSummary"]["BillingMode"],
        "GlobalSecondaryIndexes": [
            {key: each[key] for key in INDEX} for each in found.get("GlobalSecondaryIndexes", [])
        ],
        "StreamSpecification": {"StreamViewType": stream},
        "TimeToLiveSpecification": {
            "AttributeName": expiry.get("AttributeName"),
            "Enabled": expiry["TimeToLiveStatus"] in ("ENABLED", "ENABLING"),
        },
    }


def function(client: Client, made: str, wanted: Json) -> Json:
    lambdas = client("lambda")
    found = lambdas.get_function_configuration(FunctionName=made)
    return found | {
        "Layers": [layer["Arn"] for layer in found.get("Layers", [])],
        "Environment": {"Variables": found["Environment"]["Variables"]},
        # Where the code came from is not kept; that there is some is.
        "Code": wanted["Code"] if found["CodeSize"] else {},
    }


def version(client: Client, made: str, _: Json) -> Json:
    name, _, number = made.rpartition(":")
    found = client("lambda").get_function_configuration(FunctionName=name, Qualifier=number)
    return {"FunctionName": found["FunctionName"], "Description": found["Description"]}


def alias(client: Client, made: str, wanted: Json) -> Json:
    found = client("lambda").get_alias(FunctionName=wanted["FunctionName"], Name=wanted["Name"])
    return found | {"FunctionName": made.split(":")[6]}


def permission(client: Client, _: str, wanted: Json) -> Json:
    name = wanted["FunctionName"]
    where = {"Qualifier": name.rpartition(":")[2]} if name.count(":") == 7 else {}
    policy = client("lambda").get_policy(FunctionName=name, **where)["Policy"]
    for statement in json.loads(policy)["Statement"]:
        source = next(iter(statement.get("Condition", {}).get("ArnLike", {}).values()), None)
        told = {
            "Action": statement["Action"],
            "Principal": statement["Principal"]["Service"],
            "SourceArn": source,
        }
        if all(told[key] == wanted[key] for key in ("Action", "Principal", "SourceArn")):
            return told | {"FunctionName": name}
    return {}


def mapping(client: Client, made: str, _: Json) -> Json:
    found = client("lambda").get_event_source_mapping(UUID=made)
    return found | {"FunctionName": found["FunctionArn"]}


def layer(client: Client, made: str, wanted: Json) -> Json:
    name, _, number = made.rpartition(":")
    found = client("lambda").get_layer_version(LayerName=name, VersionNumber=int(number))
    has = wanted["Content"] if found["Content"]["CodeSize"] else {}
    return found | {"LayerName": name.rpartition(":")[2], "Content": has}


def role(client: Client, made: str, _: Json) -> Json:
    iam, name = client("iam"), made.rpartition("/")[2]
    found = iam.get_role(RoleName=name)["Role"]
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    policies = [
        iam.get_role_policy(RoleName=name, PolicyName=policy)
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
    ]
    return found | {
        "ManagedPolicyArns": [each["PolicyArn"] for each in attached],
        "Policies": [{key: each[key] for key in POLICY} for each in policies],
        "PermissionsBoundary": found.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
    }


def managed_policy(client: Client, made: str, _: Json) -> Json:
    iam = client("iam")
    found = iam.get_policy(PolicyArn=made)["Policy"]
    held = iam.get_policy_version(PolicyArn=made, VersionId=found["DefaultVersionId"])
    return found | {"PolicyDocument": held["PolicyVersion"]["Document"]}


def log_group(client: Client, made: str, _: Json) -> Json:
    found = client("logs").describe_log_groups(logGroupNamePrefix=made)["logGroups"]
    (mine,) = (each for each in found if each["logGroupName"] == made)
    return {"LogGroupName": made, "RetentionInDays": mine.get("retentionInDays")}


def alarm(client: Client, made: str, _: Json) -> Json:
    (found,) = client("cloudwatch").describe_alarms(AlarmNames=[made])["MetricAlarms"]
    return dict(found)


def dashboard(client: Client, made: str, _: Json) -> Json:
    found = client("cloudwatch").get_dashboard(DashboardName=made)
    return {"DashboardName": made, "DashboardBody": found["DashboardBody"]}


def rule(client: Client, made: str, _: Json) -> Json:
    events, name = client("events"), made.rpartition("/")[2]
    targets = events.list_targets_by_rule(Rule=name)["Targets"]
    return events.describe_rule(Name=name) | {"Targets": targets}


def bucket(client: Client, made: str, _: Json) -> Json:
    s3 = client("s3")
    rules = s3.get_bucket_encryption(Bucket=made)["ServerSideEncryptionConfiguration"]["Rules"]
    return {
        "BucketEncryption": {
            "ServerSideEncryptionConfiguration": [
                {"ServerSideEncryptionByDefault": each["ApplyServerSideEncryptionByDefault"]}
                for each in rules
            ]
        },
        "PublicAccessBlockConfiguration": s3.get_public_access_block(Bucket=made)[
            "PublicAccessBlockConfiguration"
        ],
        "OwnershipControls": {
            "Rules": s3.get_bucket_ownership_controls(Bucket=made)["OwnershipControls"]["Rules"]
        },
    }


def bucket_policy(client: Client, _: str, wanted: Json) -> Json:
    found = client("s3").get_bucket_policy(Bucket=wanted["Bucket"])["Policy"]
    return {"Bucket": wanted["Bucket"], "PolicyDocument": json.loads(found)}


def api(client: Client, made: str, wanted: Json) -> Json:
    """Compare the routes: a method of every path, its function and its authorizer."""
    gateway = client("apigateway")
    found = gateway.get_rest_api(restApiId=made)
    pages = gateway.get_paginator("get_resources").paginate(restApiId=made, embed=["methods"])
    routes = {
        (each["path"], verb): method
        for page in pages
        for each in page["items"]
        for verb, method in each.get("resourceMethods", {}).items()
    }
    body = wanted["Body"]
    same = all(
        _same(routes.get((path.rstrip("/"), verb.upper()), {}), told)
        for path, verb, told in _verbs(body)
    )
    return {
        "Description": found.get("description"),
        "MinimumCompressionSize": found.get("minimumCompressionSize"),
        "Body": body if same else sorted(map(str, routes)),
    }


def stage(client: Client, made: str, wanted: Json) -> Json:
    gateway = client("apigateway")
    found = gateway.get_stage(restApiId=wanted["RestApiId"], stageName=wanted["StageName"])
    settings = found.get("methodSettings", {}).get("*/*", {})
    logs = found.get("accessLogSettings", {})
    return {
        "StageName": found["stageName"],
        "RestApiId": wanted["RestApiId"],
        "DeploymentId": found["deploymentId"],
        "TracingEnabled": found.get("tracingEnabled"),
        "AccessLogSetting": {
            "DestinationArn": logs.get("destinationArn"),
            "Format": logs.get("format"),
        },
        "MethodSettings": [
            {
                "ResourcePath": "/*",
                "HttpMethod": "*",
                "ThrottlingRateLimit": settings.get("throttlingRateLimit"),
                "ThrottlingBurstLimit": settings.get("throttlingBurstLimit"),
            }
        ],
    }


def stack(client: Client, made: str, wanted: Json) -> Json:
    (found,) = client("cloudformation").describe_stacks(StackName=made)["Stacks"]
    told = {each["ParameterKey"]: each["ParameterValue"] for each in found.get("Parameters", [])}
    given = {name: told.get(name) for name in wanted.get("Parameters", {})}
    return {"TemplateURL": wanted["TemplateURL"], "Parameters": given}


READERS: dict[str, Reader] = {
    "AWS::ApiGateway::RestApi": api,
    "AWS::ApiGateway::Stage": stage,
    "AWS::CloudFormation::Stack": stack,
    "AWS::CloudWatch::Alarm": alarm,
    "AWS::CloudWatch::Dashboard": dashboard,
    "AWS::DynamoDB::Table": table,
    "AWS::Events::Rule": rule,
    "AWS::IAM::ManagedPolicy": managed_policy,
    "AWS::IAM::Role": role,
    "AWS::Lambda::Alias": alias,
    "AWS::Lambda::EventSourceMapping": mapping,
    "AWS::Lambda::Function": function,
    "AWS::Lambda::LayerVersion": layer,
    "AWS::Lambda::Permission": permission,
    "AWS::Lambda::Version": version,
    "AWS::Logs::LogGroup": log_group,
    "AWS::S3::Bucket": bucket,
    "AWS::S3::BucketPolicy": bucket_policy,
    "AWS::SNS::Subscription": subscription,
    "AWS::SNS::Topic": topic,
    "AWS::SNS::TopicPolicy": topic_policy,
    "AWS::SQS::Queue": queue,
    "AWS::SQS::QueuePolicy": queue_policy,
}


def _queue(client: Client, url: str) -> Json:
    found = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return dict(found["Attributes"])


def _verbs(body: Json) -> list[tuple[str, str, Json]]:
    return [
        (path, verb, told) for path, verbs in body["paths"].items() for verb, told in verbs.items()
    ]


def _same(method: Json, told: Json) -> bool:
    if not method:
        return False
    uri = told.get("x-amazon-apigateway-integration", {}).get("uri")
    secured = any("NONE" not in each for each in told.get("security", []))
    is_custom = method.get("authorizationType") == "CUSTOM"
    return method.get("methodIntegration", {}).get("uri") == uri and is_custom == secured
