"""What the functions asked of AWS, as arguments that any SDK client takes."""

import json
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import botocore.session
from botocore.model import ListShape, MapShape, Shape, StructureShape

from .counting import ROLES, Body

SEND_EMAIL = "ses./v2/email/outbound-emails"
SERVICES = {"dynamodb", "sns", "ssm"}

Json = dict[str, Any]


def replayable(bodies: Iterable[Body], functions: Mapping[int, str]) -> list[Json]:
    """Return the calls of known functions, in their order, as service, operation and arguments.

    What cannot be said again, such as a call with a receipt handle, is left out.
    """
    found = []
    for body in sorted(bodies, key=lambda each: each.began):
        role = ROLES.get(functions.get(body.port, ""))
        told = _told(body)
        if role and told:
            found.append({"role": role, **told})
    return found


def _told(body: Body) -> Json | None:
    service, _, operation = body.operation.partition(".")
    if body.operation == SEND_EMAIL:
        arguments = json.loads(body.content)
        return {"service": "sesv2", "operation": "SendEmail", "arguments": arguments}
    if service not in SERVICES:
        return None
    if service == "sns":
        arguments = queried(service, operation, body.content.decode())
    else:
        arguments = json.loads(body.content)
        arguments.pop("ClientRequestToken", None)  # said twice, it would be refused
    return {"service": service, "operation": operation, "arguments": arguments}


def queried(service: str, operation: str, content: str) -> Json:
    """Return the arguments of a call in AWS's query protocol.

    https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
    """
    model = botocore.session.get_session().get_service_model(service)
    shape = model.operation_model(operation).input_shape
    flat = dict(parse_qsl(content, keep_blank_values=True))
    return dict(_structure(shape, "", flat)) if isinstance(shape, StructureShape) else {}


def _value(shape: Shape, at: str, flat: Mapping[str, str]) -> Any:
    if isinstance(shape, StructureShape):
        return _structure(shape, f"{at}.", flat)
    if isinstance(shape, ListShape):
        places = _places(f"{at}.member", flat)
        return [_value(shape.member, place, flat) for place in places]
    if isinstance(shape, MapShape):
        key, value = (
            part.serialization.get("name", name)
            for part, name in ((shape.key, "key"), (shape.value, "value"))
        )
        return {
            flat[f"{place}.{key}"]: _value(shape.value, f"{place}.{value}", flat)
            for place in _places(f"{at}.entry", flat)
        }
    return SCALARS.get(shape.type_name, str)(flat[at])


def _structure(shape: StructureShape, prefix: str, flat: Mapping[str, str]) -> Json:
    found = {}
    for name, member in shape.members.items():
        at = prefix + member.serialization.get("name", name)
        if at in flat or any(key.startswith(f"{at}.") for key in flat):
            found[name] = _value(member, at, flat)
    return found


def _places(prefix: str, flat: Mapping[str, str]) -> list[str]:
    numbers = {
        int(key.removeprefix(f"{prefix}.").partition(".")[0])
        for key in flat
        if key.startswith(f"{prefix}.")
    }
    return [f"{prefix}.{number}" for number in sorted(numbers)]


SCALARS: dict[str, Any] = {
    "integer": int,
    "long": int,
    "boolean": lambda text: text == "true",
    "blob": b64decode,
}
