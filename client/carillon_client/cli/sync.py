"""What pushing a folder of templates does: the difference, and the calls that settle it."""

from collections.abc import Iterator
from dataclasses import dataclass

from carillon_client.cli import files
from carillon_client.cli.files import Source
from carillon_client.client import Carillon
from carillon_client.errors import ApiError, NotFound
from carillon_client.models import Template


@dataclass(frozen=True, slots=True)
class Plan:
    """A template in files, beside the one the service uses (None: it has none)."""

    source: Source
    used: Template | None

    @property
    def before(self) -> dict[str, str]:
        """The files of what the service uses."""
        return Source.of(self.used).files() if self.used else {}

    @property
    def changed(self) -> list[str]:
        """The files that differ."""
        return files.changed(self.before, self.source.files())

    @property
    def locales(self) -> list[str]:
        """The languages to push: those that differ, the one to fall back to first.

        A category or a schema goes with a language: where no other does, with that one.
        """
        named = {name.partition("/")[0] for name in self.changed if "/" in name}
        wanted = [locale for locale in self.source.locales if locale in named]
        if not wanted and self._settings_differ:
            return [self.source.language]
        return sorted(wanted, key=lambda locale: (locale != self.source.language, locale))

    @property
    def _settings_differ(self) -> bool:
        used = self.used
        if used is None:
            return False
        category = self.source.category not in (None, used.category)
        return category or (self.source.variables_schema or {}) != (used.variables_schema or {})

    @property
    def beyond(self) -> list[str]:
        """What the files say and no version can: a language less, another to fall back to."""
        if self.used is None:
            return []
        gone = sorted(self.used.locales.keys() - self.source.locales.keys())
        told = [f"{locale}/ stays: a language cannot be taken away" for locale in gone]
        if self.used.language != self.source.language:
            told.append(f"{self.used.language} stays the language to fall back to")
        if self.used.category and not self.source.category:
            told.append(f"{self.used.category} stays the category: it cannot be taken away")
        return told

    def diff(self) -> Iterator[str]:
        """Yield the lines of a unified diff."""
        return files.diff(self.source.code, self.before, self.source.files())


def plan(client: Carillon, source: Source) -> Plan:
    """Compare a template with the service's."""
    try:
        return Plan(source, client.get_template(source.code))
    except NotFound:
        return Plan(source, None)


def push(client: Carillon, planned: Plan) -> Template | None:
    """Make the versions that are missing, one per language changed; return the last, if any.

    Each is made over the version that was compared: what somebody else changed is not lost.
    """
    made = planned.used
    for locale in planned.locales:
        try:
            made = _push(client, planned.source, locale, made)
        except ApiError as error:
            error.add_note(f"in {planned.source.code}/{locale}")
            raise
    return made if planned.locales else None


def _push(client: Carillon, source: Source, locale: str, over: Template | None) -> Template:
    parts, category, schema = source.locales[locale], source.category, source.variables_schema
    if over is None:
        return client.create_template(
            source.code, language=locale, parts=parts, category=category, variables_schema=schema
        )
    return client.update_template(
        source.code,
        language=locale,
        parts=parts,
        category=category,
        variables_schema=schema or ({} if over.variables_schema else None),
        if_match=over.etag or "",
    )
