"""Templates: immutable versions, the one in use, and the part of a channel and locale.

A template's active item is a copy of the version in use, so that one read finds it. Its revision
rises with every change, and each change is made only over the revision that was read.
"""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from pydantic import JsonValue

from carillon import cursors
from carillon.content import Content, check_fits, inline_content, titled
from carillon.counters import add
from carillon.errors import (
    Fault,
    Problem,
    RenderError,
    bad_field,
    not_found,
    precondition_failed,
)
from carillon.messages import Message, TemplateRef
from carillon.models import Channel, now, timestamp
from carillon.rendering import check_source, render_part
from carillon.schemas import check_schema, check_variables
from carillon.storage import create_all, replace_all
from carillon.tables import Template, active_slot, version_slot
from carillon.template_models import Parts, TemplateRequest, VersionRequest

Variables = Mapping[str, JsonValue]

MAX_TEMPLATE_BYTES = 300_000
"""Largest template with all its locales; a DynamoDB item takes 400 KB."""
ACTIVE_SECONDS = 5
"""How long a warm function may go on using a version after another was activated."""
_CODE = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}"


def content_for(message: Message, channel: Channel) -> Content:
    """Render what ``message`` says on ``channel``; raises RenderError."""
    if message.inline is not None:
        return inline_content(message.inline, channel)
    if message.template is None:
        raise RenderError("the message has neither template nor text")
    template = version(message.tenant, message.template)
    part = part_of(template, message.template.locale, channel)
    content = titled(render_part(part, message.variables), message.template.title)
    return check_fits(channel, content)


def part_of(template: Template, locale: str, channel: Channel) -> dict[str, str]:
    """Return the source of a channel's part; raises RenderError when there is none."""
    part = template.locales[locale].get(channel.value)
    if part is None:
        raise RenderError(f"template {template.code} has no part for {channel.value}")
    return dict(part)


def choose_locale(template: Template, *wanted: str | None) -> str:
    """Return the template's best locale for the first wish it has any for, or its default.

    A wish loses its last part until the template has it: zh-Hant-TW, zh-Hant, zh (RFC 4647, 3.4).
    """
    known = {locale.lower(): locale for locale in template.locales}
    for wish in filter(None, wanted):
        parts = wish.lower().split("-")
        for length in range(len(parts), 0, -1):
            if found := known.get("-".join(parts[:length])):
                return str(found)
    return str(template.default_locale)


def active(tenant: str, code: str) -> Template:
    """Return the version in use, at most ACTIVE_SECONDS old; raises Problem (404)."""
    return _active(tenant, code, int(now().timestamp()) // ACTIVE_SECONDS)


@lru_cache(maxsize=256)
def _active(tenant: str, code: str, _bucket: int) -> Template:
    return current(tenant, code, "#/template_code")


def current(tenant: str, code: str, pointer: str = "path:code") -> Template:
    """Return the version in use, read now; raises Problem (404), an archived one included."""
    found = in_any_state(tenant, code, pointer)
    if found.archived:
        raise not_found("template", pointer)
    return found


def in_any_state(tenant: str, code: str, pointer: str) -> Template:
    """Return the version in use, or last in use before it was archived; raises Problem (404)."""
    try:
        return Template.get(tenant, active_slot(code), consistent_read=True)
    except Template.DoesNotExist:
        raise not_found("template", pointer) from None


def version(tenant: str, ref: TemplateRef) -> Template:
    """Return the version a notification was accepted with. It never changes, so it is kept."""
    return _version(tenant, ref.code, ref.version)


@lru_cache(maxsize=256)
def _version(tenant: str, code: str, number: int) -> Template:
    try:
        return Template.get(tenant, version_slot(code, number), consistent_read=True)
    except Template.DoesNotExist:
        raise RenderError(f"version {number} of the template is gone") from None


def find_version(
    tenant: str, code: str, number: int, places: tuple[str, str] = ("path:code", "version")
) -> Template:
    """Return a version of a template; raises Problem (404), with the place of code or version."""
    current(tenant, code, places[0])
    try:
        return _version(tenant, code, number)
    except RenderError:
        raise not_found("template-version", places[1]) from None


def versions(tenant: str, code: str) -> list[Template]:
    """Return every version, oldest first; raises Problem (404)."""
    current(tenant, code)
    prefix = version_slot(code, 0)[: -len("00000")]
    return list(Template.query(tenant, Template.slot.startswith(prefix), consistent_read=True))


def in_use(tenant: str, limit: int, cursor: str | None) -> tuple[list[Template], str | None]:
    """Return the versions in use of up to ``limit`` templates, by code, and the next cursor.

    Raises Problem (400) for a cursor we did not make.
    """
    found = Template.query(
        tenant,
        Template.slot.startswith(active_slot("")),
        page_size=limit + 1,
        last_evaluated_key=_start(tenant, cursor) if cursor else None,
    )
    # One more than asked for tells whether there is a next page.
    items = list(islice((each for each in found if not each.archived), limit + 1))
    following = len(items) > limit
    return items[:limit], cursors.make(items[limit - 1].code) if following else None


def _start(tenant: str, cursor: str) -> dict[str, dict[str, str]]:
    slot = active_slot(cursors.read(cursor, _CODE))
    return {"tenant": {"S": tenant}, "slot": {"S": slot}}


def check(template: Template, variables: Variables) -> None:
    """Raise Problem (422) when the variables do not fit the version's schema, if it has one."""
    if template.variables_schema:
        check_variables(template.variables_schema, variables)


def preview(
    template: Template,
    locale: str,
    channel: Channel,
    variables: Variables,
    title: str | None = None,
) -> Content:
    """Render a channel's part; raises Problem (422), with the variable that is missing."""
    part = template.locales[locale].get(channel.value)
    if part is None:
        text = f"Template {template.code} has no part for {channel.value}"
        raise bad_field("#/channel", text, code="template-part-missing")
    try:
        return check_fits(channel, titled(render_part(part, variables), title))
    except RenderError as error:
        code = "variable-missing" if error.variable else "not-renderable"
        pointer = f"#/variables/{error.variable}" if error.variable else "#/variables"
        raise bad_field(pointer, f"{channel.value}: {error}", code=code) from None


def create(tenant: str, request: TemplateRequest) -> Template:
    """Create a template; raises Problem: 422 when it is not safe, 409 when the code is taken.

    Writes the immutable version 1 and the copy in use, together.
    """
    code = request.code
    first = Template(
        tenant,
        version_slot(code, 1),
        code=code,
        version=1,
        default_locale=request.language,
        locales=_fitting({request.language: _checked(code, request)}),
        variables_schema=_schema(request),
        category=request.category,
        created_at=timestamp(now()),
    )
    first.template_id = add("template-ids", tenant, 1)
    if not create_all(first, _copy_in_use(first, latest=1)):
        text = f"There is a template {code} already"
        raise Problem(409, "template-exists", text, faults=[Fault("#/code", text)])
    return current(tenant, code)


def add_version(
    tenant: str, code: str, request: VersionRequest, expected: frozenset[int]
) -> Template:
    """Add a version with other parts for one locale, and use it; raises Problem (404, 412, 422).

    The other locales, and schema and category unless given, are those of the version in use.
    """
    before = _expected(tenant, code, expected)
    number = int(before.latest) + 1
    added = Template(
        tenant,
        version_slot(code, number),
        template_id=before.template_id,
        code=code,
        version=number,
        default_locale=before.default_locale,
        locales=_fitting({**before.locales, request.language: _checked(code, request)}),
        variables_schema=_schema(request) or before.variables_schema,
        category=request.category or before.category,
        created_at=timestamp(now()),
    )
    return _use(before, added, latest=number, new=added)


def activate(
    tenant: str, code: str, number: int, expected: frozenset[int] | None = None
) -> Template:
    """Use a version, an older one too; raises Problem (404, 412)."""
    before = _expected(tenant, code, expected)
    chosen = find_version(tenant, code, number)
    return _use(before, chosen, latest=int(before.latest))


def archive(tenant: str, code: str, expected: frozenset[int] | None = None) -> None:
    """Accept nothing with this template any more; what was accepted is still sent."""
    before = _expected(tenant, code, expected)
    before.archived = True
    if not replace_all(before):
        raise precondition_failed()


def parts_of_content(code: str, content: str) -> Parts:
    """Return one text as the part of every channel, under the template's name as heading."""
    heading = code.replace("_", " ").replace("-", " ").capitalize()
    return Parts.model_validate(
        {
            "email": {"subject": heading, "text": content},
            "sms": {"text": content},
            "push": {"title": heading, "body": content},
            "inapp": {"title": heading, "body": content},
        }
    )


def _expected(tenant: str, code: str, expected: frozenset[int] | None) -> Template:
    before = current(tenant, code)
    if expected is not None and before.revision not in expected:
        raise precondition_failed()
    return before


def _use(
    before: Template, chosen: Template, *, latest: int, new: Template | None = None
) -> Template:
    after = _copy_in_use(chosen, latest)
    after.revision = before.revision
    if not replace_all(after, *([new] if new else [])):
        raise precondition_failed()
    return after


def _copy_in_use(chosen: Template, latest: int) -> Template:
    return Template(
        chosen.tenant,
        active_slot(chosen.code),
        template_id=chosen.template_id,
        code=chosen.code,
        version=chosen.version,
        default_locale=chosen.default_locale,
        locales=chosen.locales,
        variables_schema=chosen.variables_schema,
        category=chosen.category,
        created_at=chosen.created_at,
        latest=latest,
    )


def _fitting(locales: dict[str, Any]) -> dict[str, Any]:
    """Return the locales; raises Problem (422) when they do not fit into one item."""
    if len(json.dumps(locales)) > MAX_TEMPLATE_BYTES:
        raise bad_field("#/parts", "The template is too large", code="template-too-large")
    return locales


def _schema(request: VersionRequest) -> str | None:
    """Return the schema given, as it is stored; raises Problem (422)."""
    given = request.variables_schema
    return None if given is None else check_schema(given)


def _checked(code: str, request: VersionRequest) -> dict[str, dict[str, str]]:
    """Return the parts' sources; raises Problem (422) when one is not safe to run."""
    parts = request.parts or parts_of_content(code, request.content or "")
    sources: dict[str, dict[str, str]] = parts.model_dump(mode="json", exclude_none=True)
    faults = [
        Fault(f"#/parts/{channel}/{field}", reason) for channel, field, reason in _unsafe(sources)
    ]
    if faults:
        raise Problem(422, "template-not-allowed", "The template cannot be accepted", faults=faults)
    return sources


def _unsafe(sources: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, str]]:
    for channel, part in sources.items():
        for field, source in part.items():
            try:
                check_source(source)
            except RenderError as error:
                yield channel, field, str(error)
