"""Applications: registration, their categories, their keys. The administrator's alone."""

from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query

from carillon import clients, http
from carillon.client_models import ClientPatch, ClientRequest, KeyRequest
from carillon.identity import Mode, Scope
from carillon.models import Answer, Page, Shape
from carillon.tables import Client

app = http.api()
ClientId = Annotated[str, Path(max_length=64)]


class Registered(Shape):
    """The client and its API token: shown now, kept only as a hash."""

    client_id: str
    api_token: str


class NotificationTypeOut(Shape):
    """A category the client sends."""

    name: str
    description: str
    mandatory: bool = False


class ClientOut(Shape):
    """A registered application."""

    client_id: str
    tenant: str
    service_name: str
    notification_types: list[NotificationTypeOut]
    created_at: str
    updated_at: str


class KeyOut(Shape):
    """An API token, but for the token itself."""

    key_id: str
    label: str | None
    scopes: list[Scope]
    mode: Mode
    created_at: str
    revoked_at: str | None


class NewKeyOut(KeyOut):
    """A new API token: shown now, kept only as a hash."""

    api_token: str


READ_REFUSALS = (400, 401, 403, 404, 503)
WRITE_REFUSALS = (400, 401, 403, 404, 409, 413, 415, 422, 503)


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
    made = clients.register(request)
    return http.answer(
        app,
        Registered(client_id=made.client_id, api_token=made.api_token),
        "Client registered; the token is shown only now",
        status=201,
    )


@app.get(
    "/api/v1/clients",
    summary="The applications, in no order",
    tags=["Clients"],
    responses=http.responses(Page[ClientOut], 400, 401, 403, 503),
)
def read_all(
    limit: Annotated[int, Query(ge=1, le=100)] = 25,
    cursor: Annotated[str | None, Query(max_length=128)] = None,
) -> Response[Page[ClientOut]]:
    """Return a page of clients and the cursor of the next."""
    http.caller(app, Scope.ADMIN)
    found = clients.page(limit, cursor)
    listed = [_client(client) for client in found.items]
    return http.page(app, listed, "Clients", limit=limit, cursor=found.next_cursor)


@app.get(
    "/api/v1/clients/<client_id>",
    summary="An application",
    tags=["Clients"],
    responses=http.responses(Answer[ClientOut], *READ_REFUSALS),
)
def read(client_id: ClientId) -> Response[Answer[ClientOut]]:
    """Return the client; its keys are asked for apart."""
    http.caller(app, Scope.ADMIN)
    client = clients.find(client_id)
    headers = http.unless_current(app, client.version)
    return http.answer(app, _client(client), "Client found", headers=headers)


@app.patch(
    "/api/v1/clients/<client_id>",
    summary="Rename an application, or change its notification types",
    tags=["Clients"],
    responses=http.responses(Answer[ClientOut], *WRITE_REFUSALS, 412),
)
def patch(
    client_id: ClientId, request: Annotated[ClientPatch, Body()]
) -> Response[Answer[ClientOut]]:
    """Change the fields given; a list of notification types replaces the one before."""
    http.caller(app, Scope.ADMIN)
    client = clients.patch(client_id, request, http.expected_versions(app))
    headers = {"ETag": http.etag(client.version)}
    return http.answer(app, _client(client), "Client changed", headers=headers)


@app.get(
    "/api/v1/clients/<client_id>/keys",
    summary="An application's keys, never their tokens",
    tags=["Clients"],
    responses=http.responses(Answer[list[KeyOut]], *READ_REFUSALS),
)
def read_keys(client_id: ClientId) -> Response[Answer[list[KeyOut]]]:
    """Return all keys, the revoked ones included."""
    http.caller(app, Scope.ADMIN)
    keys = clients.find(client_id).keys
    return http.answer(app, [KeyOut(**key) for key in keys], "Keys found")


@app.post(
    "/api/v1/clients/<client_id>/keys",
    status_code=201,
    summary="Give an application another key",
    tags=["Clients"],
    responses=http.responses(Answer[NewKeyOut], *WRITE_REFUSALS, status=201),
)
def add_key(
    client_id: ClientId, request: Annotated[KeyRequest, Body()]
) -> Response[Answer[NewKeyOut]]:
    """Create an API token with the scopes and the mode asked for."""
    http.caller(app, Scope.ADMIN)
    key, made = clients.add_key(client_id, request)
    shown = NewKeyOut(**key, api_token=made.token)
    message = "Key created; the token is shown only now"
    return http.answer(app, shown, message, status=201)


@app.delete(
    "/api/v1/clients/<client_id>/keys/<key_id>",
    summary="Revoke a key",
    tags=["Clients"],
    responses=http.no_content(*READ_REFUSALS, 409),
)
def revoke_key(client_id: ClientId, key_id: Annotated[str, Path()]) -> Response[None]:
    """Make the token worthless, within 60 seconds everywhere."""
    http.caller(app, Scope.ADMIN)
    clients.revoke_key(client_id, key_id)
    return http.nothing(app)


def _client(client: Client) -> ClientOut:
    return ClientOut(
        client_id=clients.client_id_of(client),
        tenant=client.tenant,
        service_name=client.service_name,
        notification_types=client.notification_types,
        created_at=client.created_at,
        updated_at=client.updated_at,
    )


lambda_handler = http.handler(app)
