"""Templates: their versions, and the one in use."""

import json
from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query
from pydantic import JsonValue

from carillon import http, lint, prices, templates
from carillon.identity import Scope
from carillon.models import Answer, Channel, Locale, Name, Page, Shape, VersionNumber
from carillon.tables import Template
from carillon.template_models import (
    ActivateRequest,
    RenderRequest,
    TemplateRequest,
    VersionRequest,
)

app = http.api()
Code = Annotated[Name, Path()]

READ_REFUSALS = (400, 401, 403, 404, 503)
WRITE_REFUSALS = (400, 401, 403, 404, 412, 413, 415, 422, 503)


class TemplateSummary(Shape):
    """A version of a template, without its texts; ``language`` is the one to fall back to."""

    id: int
    code: str
    version: int
    language: str
    languages: list[str]
    channels: list[Channel]
    category: str | None
    created_at: str


class TemplateOut(Shape):
    """A version of a template: its parts by locale and channel."""

    id: int
    code: str
    version: int
    language: str
    locales: dict[str, dict[Channel, dict[str, str]]]
    variables_schema: dict[str, JsonValue] | None
    category: str | None
    created_at: str


class VersionOut(Shape):
    """A version in the template's history."""

    version: int
    languages: list[str]
    created_at: str


class Rendered(Shape):
    """What a version of a template says, by channel; what it amounts to, and may cost."""

    code: str
    version: int
    locale: str
    parts: dict[Channel, dict[str, str]]
    lint: dict[Channel, lint.Lint]
    price: dict[Channel, prices.Price]


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
    template = templates.create(http.caller(app, Scope.TEMPLATES).tenant, request)
    where = http.location(app, f"/api/v1/templates/{template.code}")
    return http.answer(
        app,
        _out(template),
        "Template created",
        status=201,
        headers={"Location": where, "ETag": http.etag(template.revision)},
    )


@app.get(
    "/api/v1/templates",
    summary="The templates in use, by code",
    tags=["Templates"],
    responses=http.responses(Page[TemplateSummary], 400, 401, 403, 503),
)
def read_all(
    limit: Annotated[int, Query(ge=1, le=100)] = 25,
    cursor: Annotated[str | None, Query(max_length=512)] = None,
) -> Response[Page[TemplateSummary]]:
    """Return a page of the versions in use and the cursor of the next."""
    found, following = templates.in_use(http.caller(app, Scope.TEMPLATES).tenant, limit, cursor)
    summaries = [_summary(template) for template in found]
    return http.page(app, summaries, "Templates found", limit=limit, cursor=following)


@app.get(
    "/api/v1/templates/<code>",
    summary="The version of a template in use, or another",
    tags=["Templates"],
    responses=http.responses(Answer[TemplateOut], *READ_REFUSALS),
)
def read(
    code: Code,
    version: Annotated[VersionNumber | None, Query()] = None,
    locale: Annotated[Locale | None, Query()] = None,
) -> Response[Answer[TemplateOut]]:
    """Return the version in use, or the one asked for; only the best locale when one is named."""
    tenant = http.caller(app, Scope.TEMPLATES).tenant
    if version is not None:
        found = templates.find_version(tenant, code, version)
        return http.answer(app, _out(found, locale), "Version found")
    template = templates.current(tenant, code)
    headers = http.unless_current(app, template.revision)
    return http.answer(app, _out(template, locale), "Template found", headers=headers)


@app.put(
    "/api/v1/templates/<code>",
    summary="Add a version and use it",
    tags=["Templates"],
    responses=http.responses(Answer[TemplateOut], *WRITE_REFUSALS, 428),
)
def add_version(
    code: Code, request: Annotated[VersionRequest, Body()]
) -> Response[Answer[TemplateOut]]:
    """Keep other parts for one language; the other languages stay as they are in use."""
    template = templates.add_version(
        http.caller(app, Scope.TEMPLATES).tenant,
        code,
        request,
        http.required_versions(app),
    )
    return _changed(template, f"Version {template.version} added and used")


@app.post(
    "/api/v1/templates/<code>/activate",
    summary="Use a version, forward or back",
    tags=["Templates"],
    responses=http.responses(Answer[TemplateOut], *WRITE_REFUSALS),
)
def activate(
    code: Code, request: Annotated[ActivateRequest, Body()]
) -> Response[Answer[TemplateOut]]:
    """Accept notifications with this version from now on."""
    template = templates.activate(
        http.caller(app, Scope.TEMPLATES).tenant, code, request.version, http.expected_versions(app)
    )
    return _changed(template, f"Version {template.version} used")


@app.post(
    "/api/v1/templates/<code>/render",
    summary="What a template would say",
    tags=["Templates"],
    responses=http.responses(Answer[Rendered], *WRITE_REFUSALS),
)
def render(code: Code, request: Annotated[RenderRequest, Body()]) -> Response[Answer[Rendered]]:
    """Render without sending: one channel, or all that the template has."""
    tenant = http.caller(app, Scope.TEMPLATES).tenant
    template = (
        templates.find_version(tenant, code, request.version)
        if request.version
        else templates.current(tenant, code)
    )
    templates.check(template, request.variables)
    locale = templates.choose_locale(template, request.locale)
    channels = [request.channel] if request.channel else map(Channel, template.locales[locale])
    parts = {
        channel: templates.preview(template, locale, channel, request.variables)
        for channel in channels
    }
    rendered = Rendered(
        code=code,
        version=int(template.version),
        locale=locale,
        parts=parts,
        lint={channel: lint.check(channel, content) for channel, content in parts.items()},
        price={c: prices.estimate(c, None, content) for c, content in parts.items()},
    )
    return http.answer(app, rendered, "Template rendered")


@app.get(
    "/api/v1/templates/<code>/versions",
    summary="A template's history",
    tags=["Templates"],
    responses=http.responses(Answer[list[VersionOut]], *READ_REFUSALS),
)
def read_versions(code: Code) -> Response[Answer[list[VersionOut]]]:
    """Return every version, oldest first."""
    history = [
        VersionOut(
            version=int(each.version), languages=sorted(each.locales), created_at=each.created_at
        )
        for each in templates.versions(http.caller(app, Scope.TEMPLATES).tenant, code)
    ]
    return http.answer(app, history, "Versions found")


@app.delete(
    "/api/v1/templates/<code>",
    summary="Archive a template",
    tags=["Templates"],
    responses=http.no_content(*READ_REFUSALS, 412),
)
def archive(code: Code) -> Response[None]:
    """Accept nothing with it any more; what was accepted is still sent."""
    templates.archive(http.caller(app, Scope.TEMPLATES).tenant, code, http.expected_versions(app))
    return http.nothing(app)


def _changed(template: Template, message: str) -> Response[Answer[TemplateOut]]:
    headers = {"ETag": http.etag(template.revision)}
    return http.answer(app, _out(template), message, headers=headers)


def _out(template: Template, locale: str | None = None) -> TemplateOut:
    best = [templates.choose_locale(template, locale)] if locale else template.locales
    schema = template.variables_schema
    return TemplateOut(
        id=int(template.template_id),
        code=template.code,
        version=int(template.version),
        language=template.default_locale,
        locales={name: template.locales[name] for name in best},
        variables_schema=json.loads(schema) if schema else None,
        category=template.category,
        created_at=template.created_at,
    )


def _summary(template: Template) -> TemplateSummary:
    written = {channel for parts in template.locales.values() for channel in parts}
    return TemplateSummary(
        id=int(template.template_id),
        code=template.code,
        version=int(template.version),
        language=template.default_locale,
        languages=sorted(template.locales),
        channels=[channel for channel in Channel if channel in written],
        category=template.category,
        created_at=template.created_at,
    )


lambda_handler = http.handler(app)
