"""Suppressions: addresses that nothing goes to any more, and their way back."""

from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path

from carillon import http, suppressions
from carillon.errors import not_found
from carillon.identity import Scope
from carillon.models import Answer
from carillon.suppressions import SuppressionOut, SuppressionRequest

app = http.api()
OfChannel = Annotated[str, Path(description="email or sms", max_length=16)]
OfAddress = Annotated[str, Path(description="An email address or a phone number", max_length=254)]


@app.get(
    "/api/v1/suppressions/<channel>/<address>",
    summary="Whether an address is suppressed",
    tags=["Operations"],
    responses=http.responses(Answer[SuppressionOut], 400, 401, 403, 404, 503),
)
def read(channel: OfChannel, address: OfAddress) -> Response[Answer[SuppressionOut]]:
    """Return why nothing goes there, and since when; 404 when something does."""
    caller = http.caller(app, Scope.OPS)
    of, spelt = suppressions.parse(channel, address)
    found = suppressions.find(caller.tenant, of, spelt)
    if found is None:
        raise not_found("suppression", "path:address")
    return http.answer(app, suppressions.told(found, spelt), "Suppression found")


@app.put(
    "/api/v1/suppressions/<channel>/<address>",
    summary="Suppress an address",
    tags=["Operations"],
    responses=http.responses(Answer[SuppressionOut], 400, 401, 403, 404, 413, 415, 422, 503),
)
def put(
    channel: OfChannel, address: OfAddress, request: Annotated[SuppressionRequest, Body()]
) -> Response[Answer[SuppressionOut]]:
    """Let nothing go there any more; workers do this by themselves where a provider says so."""
    caller = http.caller(app, Scope.OPS)
    of, spelt = suppressions.parse(channel, address)
    made = suppressions.suppress(caller.tenant, of, spelt, request.reason)
    return http.answer(app, suppressions.told(made, spelt), "Suppressed")


@app.delete(
    "/api/v1/suppressions/<channel>/<address>",
    summary="Let messages go to an address again",
    tags=["Operations"],
    responses=http.no_content(400, 401, 403, 404, 503),
)
def lift(channel: OfChannel, address: OfAddress) -> Response[None]:
    """Take it off the list. A provider may have a list of its own, as Twilio of who said STOP."""
    caller = http.caller(app, Scope.OPS)
    suppressions.lift(caller.tenant, *suppressions.parse(channel, address))
    return http.nothing(app)


lambda_handler = http.handler(app)
