"""POST /clients: an application registers, with the administrator's token."""

from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body
from pydantic import BaseModel

from carillon import http, identity
from carillon.identity import Scope
from carillon.models import Answer, ClientRequest

app = http.api()


class Registered(BaseModel):
    """The client and its API token: shown now, kept only as a hash."""

    client_id: str
    api_token: str


@app.post(
    "/api/v1/clients",
    status_code=201,
    summary="Register an application",
    tags=["Clients"],
    responses=http.responses(
        Answer[Registered], 400, 401, 403, 409, 413, 415, 422, 503, status=201
    ),
)
def register(request: Annotated[ClientRequest, Body()]) -> Response[Answer[Registered]]:
    """Create a client and its first API token."""
    http.registrar(app, Scope.ADMIN)
    made = identity.register(request)
    return http.answer(
        app,
        Registered(client_id=made.client_id, api_token=made.api_token),
        "Client registered; the token is shown only now",
        status=201,
    )


lambda_handler = http.handler(app)
