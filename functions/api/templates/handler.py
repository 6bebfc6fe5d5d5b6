"""POST /templates and GET /templates/{code}."""

from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path
from pydantic import BaseModel

from carillon import http, templates
from carillon.models import Answer, Channel, Name, TemplateRequest
from carillon.tables import Template

app = http.api()


class TemplateOut(BaseModel):
    """A template's version in use: its parts by locale and channel."""

    code: str
    version: int
    language: str
    locales: dict[str, dict[Channel, dict[str, str]]]
    created_at: str


@app.post(
    "/api/v1/templates",
    status_code=201,
    summary="Create a template",
    tags=["Templates"],
    responses=http.responses(
        Answer[TemplateOut], 400, 401, 403, 409, 413, 415, 422, 503, status=201
    ),
)
def create(request: Annotated[TemplateRequest, Body()]) -> Response[Answer[TemplateOut]]:
    """Check the template and keep it as version 1."""
    parts = request.parts or templates.parts_of_content(request.code, request.content or "")
    template = templates.save_first(http.caller(app).tenant, request.code, request.language, parts)
    where = http.location(app, f"/api/v1/templates/{template.code}")
    return http.answer(
        app, _out(template), "Template created", status=201, headers={"Location": where}
    )


@app.get(
    "/api/v1/templates/<code>",
    summary="The version of a template in use",
    tags=["Templates"],
    responses=http.responses(Answer[TemplateOut], 400, 401, 403, 404, 503),
)
def read(code: Annotated[Name, Path()]) -> Response[Answer[TemplateOut]]:
    """Return the version in use."""
    template = templates.active(http.caller(app).tenant, code)
    return http.answer(app, _out(template), "Template found")


def _out(template: Template) -> TemplateOut:
    return TemplateOut(
        code=template.code,
        version=int(template.version),
        language=template.default_locale,
        locales=template.locales,
        created_at=template.created_at,
    )


lambda_handler = http.handler(app)
