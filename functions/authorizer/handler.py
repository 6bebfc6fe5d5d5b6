"""API Gateway's TOKEN authorizer: whose token is this?

The answer is cached by API Gateway for a minute per token, so the policy covers every route;
what a caller may do is checked where it is done.
"""

from typing import Any

from carillon import snapshots
from carillon.log import logger
from carillon.signed import botocore_session
from carillon.tokens import authenticate


def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Return the policy and the caller; raises the word API Gateway answers with 401."""
    scheme, _, token = event["authorizationToken"].partition(" ")
    try:
        who = authenticate(token.strip()) if scheme.lower() == "bearer" else None
    except Exception:
        _count_failure()
        raise
    logger().info("authorized" if who else "refused")
    if who is None:
        raise Exception("Unauthorized")  # noqa: TRY002 - the only text that makes it a 401
    return {
        "principalId": who.client_id,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Action": "execute-api:Invoke",
                    "Effect": "Allow",
                    "Resource": _whole_stage(event["methodArn"]),
                }
            ],
        },
        "context": who.as_context(),
    }


def _count_failure() -> None:
    """Tell CloudWatch: Lambda's own count of errors is full of refusals."""
    from carillon import metrics  # noqa: PLC0415 - 40 ms of the start, needed when something fails

    metrics.count("authorizer_failures_total")
    metrics.end(flush=False)


def _whole_stage(method_arn: str) -> str:
    """``arn:…:api/stage/GET/path`` → ``arn:…:api/stage/*``."""
    api, stage, *_ = method_arn.split("/")
    return f"{api}/{stage}/*"


snapshots.hold_ready(botocore_session)
