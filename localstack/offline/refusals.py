"""API Gateway's own refusals: the engine leaves the template's GatewayResponses out.

SAM hands them over inside the OpenAPI body, of which the engine takes the routes alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


def put(gateway: Any, template: Path, outputs: Mapping[str, str]) -> None:
    """Put what the built template says, and deploy it to the stage."""
    (api,) = (
        resource
        for resource in yaml.safe_load(template.read_text())["Resources"].values()
        if resource["Type"] == "AWS::Serverless::Api"
    )
    responses = api["Properties"].get("GatewayResponses", {})
    for kind, response in responses.items():
        gateway.put_gateway_response(
            restApiId=outputs["ApiId"], responseType=kind, **_arguments(response)
        )
    if responses:
        gateway.create_deployment(restApiId=outputs["ApiId"], stageName=outputs["ApiStage"])


def _arguments(response: Mapping[str, Any]) -> dict[str, Any]:
    """Turn SAM's form into API Gateway's, as SAM does (its generator of gateway responses)."""
    headers = response.get("ResponseParameters", {}).get("Headers", {})
    arguments: dict[str, Any] = {
        "responseParameters": {
            f"gatewayresponse.header.{name}": value for name, value in headers.items()
        },
        "responseTemplates": response.get("ResponseTemplates", {}),
    }
    if "StatusCode" in response:
        arguments["statusCode"] = str(response["StatusCode"])
    return arguments
