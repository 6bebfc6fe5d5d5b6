"""Templates: their versions, the one in use, and what it says."""

from collections.abc import Mapping
from typing import Any

from carillon_client.calls import (
    Call,
    Slice,
    accepted,
    given,
    keyed,
    many,
    matching,
    nothing,
    one,
    page,
    tagged,
)
from carillon_client.models import (
    Accepted,
    Rendered,
    Template,
    TemplateSummary,
    TemplateVersion,
)
from carillon_client.transport import Listing, Operation

TEMPLATES = "/templates"
TEMPLATE = f"{TEMPLATES}/{{code}}"

Parts = Mapping[str, Mapping[str, Any]]


def _templates(*, limit: int | None = None) -> Call[Slice[TemplateSummary]]:
    """Iterate over the versions in use, by code; ``limit`` is a page's size."""
    return Call("GET", TEMPLATES, page(TemplateSummary), query=given(limit=limit))


def _get_template(
    code: str, *, version: int | None = None, locale: str | None = None
) -> Call[Template]:
    """Return the version of a template in use, or another; the best for one locale alone."""
    query = given(version=version, locale=locale)
    return Call("GET", TEMPLATE, tagged(Template), {"code": code}, query)


def _create_template(  # noqa: PLR0913 - what a template has
    code: str,
    *,
    parts: Parts | None = None,
    content: str | None = None,
    language: str | None = None,
    variables_schema: Mapping[str, Any] | None = None,
    category: str | None = None,
) -> Call[Template]:
    """Create a template: ``parts`` by channel, or one ``content`` for all of them."""
    body = given(
        code=code,
        parts=parts,
        content=content,
        language=language,
        variables_schema=variables_schema,
        category=category,
    )
    return Call("POST", TEMPLATES, tagged(Template), body=body)


def _update_template(  # noqa: PLR0913 - what a version has
    code: str,
    *,
    if_match: str,
    parts: Parts | None = None,
    content: str | None = None,
    language: str | None = None,
    variables_schema: Mapping[str, Any] | None = None,
    category: str | None = None,
) -> Call[Template]:
    """Add a version with other parts for one language, and use it."""
    body = given(
        parts=parts,
        content=content,
        language=language,
        variables_schema=variables_schema,
        category=category,
    )
    return Call(
        "PUT", TEMPLATE, tagged(Template), {"code": code}, body=body, headers=matching(if_match)
    )


def _activate_template(code: str, version: int, *, if_match: str | None = None) -> Call[Template]:
    """Use a version from now on, an older one too."""
    return Call(
        "POST",
        f"{TEMPLATE}/activate",
        tagged(Template),
        {"code": code},
        body={"version": version},
        headers=matching(if_match),
    )


def _template_versions(code: str) -> Call[list[TemplateVersion]]:
    """Return every version of a template, oldest first."""
    return Call("GET", f"{TEMPLATE}/versions", many(TemplateVersion), {"code": code})


def _archive_template(code: str, *, if_match: str | None = None) -> Call[None]:
    """Accept nothing with a template any more; what was accepted is still sent."""
    return Call("DELETE", TEMPLATE, nothing, {"code": code}, headers=matching(if_match))


def _render(
    code: str,
    variables: Mapping[str, Any] | None = None,
    *,
    channel: str | None = None,
    locale: str | None = None,
    version: int | None = None,
) -> Call[Rendered]:
    """Return what a template would say, in one channel or in all it has."""
    body = given(variables=variables, channel=channel, locale=locale, version=version)
    return Call("POST", f"{TEMPLATE}/render", one(Rendered), {"code": code}, body=body)


def _test_send(  # noqa: PLR0913 - what a test depends on
    code: str,
    channel: str,
    to: Mapping[str, str],
    variables: Mapping[str, Any] | None = None,
    *,
    locale: str | None = None,
    version: int | None = None,
    idempotency_key: str | None = None,
) -> Call[Accepted]:
    """Send a template once, to one address or user, to see it where it will be seen."""
    body = given(channel=channel, to=to, variables=variables, locale=locale, version=version)
    return Call(
        "POST",
        f"{TEMPLATE}/test-send",
        accepted,
        {"code": code},
        body=body,
        headers=keyed(idempotency_key),
    )


class Templates:
    """What a client does with templates."""

    templates = Listing(_templates)
    get_template = Operation(_get_template)
    create_template = Operation(_create_template)
    update_template = Operation(_update_template)
    activate_template = Operation(_activate_template)
    template_versions = Operation(_template_versions)
    archive_template = Operation(_archive_template)
    render = Operation(_render)
    test_send = Operation(_test_send)
