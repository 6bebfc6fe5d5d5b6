"""Templates as files: a folder per template, in it one per language, in that a file per field.

    welcome/template.json            language to fall back to, category, variables_schema
    welcome/en/email.subject.txt     a field of a channel's part
    welcome/en/email.html            html and text are the body: no field's name
    welcome/en/sms.txt
    welcome/en/push.data.json        whatever is not text

A file ends with one line break more than its field, as editors like it. So what was pulled is
pushed exactly as it was.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any

from carillon_client.models import Template

SETTINGS = "template.json"
SETTINGS_FIELDS = ("language", "category", "variables_schema")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_LOCALE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_FILE = re.compile(r"(?P<channel>[a-z]+)(\.(?P<field>[a-z_]+))?\.(?P<kind>txt|html|json)")

Files = Mapping[str, str]
"""Texts by the name of their file inside a template's folder."""


class BadFolderError(Exception):
    """A folder that is not templates as files; the message names the file."""


@dataclass(frozen=True, slots=True)
class Source:
    """A template as it is in files; a schema that everything fits is none."""

    code: str
    language: str
    locales: Mapping[str, Mapping[str, Mapping[str, Any]]]
    category: str | None = None
    variables_schema: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, template: Template) -> "Source":
        """Return what a template of the service is in files."""
        return cls(
            template.code,
            template.language,
            template.locales,
            template.category,
            template.variables_schema or None,
        )

    def files(self) -> dict[str, str]:
        """Return the files' names and texts."""
        settings = {name: value for name in SETTINGS_FIELDS if (value := getattr(self, name))}
        texts = {SETTINGS: _text(settings) + "\n"}
        for locale, parts in self.locales.items():
            for channel, fields in parts.items():
                for field, value in fields.items():
                    texts[f"{locale}/{_name(channel, field, value)}"] = _text(value) + "\n"
        return dict(sorted(texts.items()))


def parse(code: str, files: Files) -> Source:
    """Return the template that files describe; raises BadFolderError."""
    if not _CODE.fullmatch(code):
        raise BadFolderError(f"{code} cannot be a template's code")
    settings = _settings(code, files)
    locales: dict[str, dict[str, dict[str, Any]]] = {}
    for name, text in files.items():
        if name != SETTINGS:
            locale, channel, field = _place(code, name)
            parts = locales.setdefault(locale, {})
            parts.setdefault(channel, {})[field] = _field(f"{code}/{name}", text)
    if settings["language"] not in locales:
        raise BadFolderError(f"{code}/{settings['language']}/ is missing: {SETTINGS} names it")
    schema = settings.get("variables_schema") or None
    return Source(code, settings["language"], locales, settings.get("category"), schema)


def read(folder: Path, codes: Iterable[str] = ()) -> list[Source]:
    """Return the templates in ``folder``, or those named; raises BadFolderError."""
    found = {path.name for path in _entries(folder) if path.is_dir()}
    missing = sorted(set(codes) - found)
    if missing:
        raise BadFolderError(f"{folder} has no folder {missing[0]}")
    return [_read(folder / code) for code in sorted(set(codes) or found)]


def write(folder: Path, source: Source) -> list[str]:
    """Make a template's folder exactly this; return the names that changed.

    Files of ours that the template has no field for are removed: they would be pushed again. One
    that already reads so is left as it is spelt.
    """
    parse(source.code, source.files())
    home, wanted = folder / source.code, source.files()
    before = _texts(home) if home.is_dir() else {}
    names = changed(_spelt_as_ours(source.code, before), wanted)
    for name in names:
        if name in wanted:
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_bytes(wanted[name].encode())
        else:
            (home / name).unlink()
    return names


def changed(before: Files, after: Files) -> list[str]:
    """Return the names of files that differ."""
    names = sorted(before.keys() | after.keys())
    return [name for name in names if before.get(name) != after.get(name)]


def diff(code: str, before: Files, after: Files) -> Iterator[str]:
    """Yield the lines of a unified diff."""
    for name in changed(before, after):
        old, new = (files.get(name, "").splitlines() for files in (before, after))
        yield from unified_diff(
            old, new, f"service/{code}/{name}", f"files/{code}/{name}", lineterm=""
        )


def _spelt_as_ours(code: str, found: Files) -> Files:
    try:
        return parse(code, found).files()
    except BadFolderError:
        return found


def _read(home: Path) -> Source:
    return parse(home.name, _texts(home))


def _texts(home: Path) -> dict[str, str]:
    files = [path for path in _entries(home) if path.is_file()]
    for locale in (path for path in _entries(home) if path.is_dir()):
        files += _entries(locale)
    return {path.relative_to(home).as_posix(): _decoded(path) for path in sorted(files)}


def _entries(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise BadFolderError(f"{folder}: {error.strerror}") from None


def _decoded(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise BadFolderError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadFolderError(f"{path} is not UTF-8") from None


def _settings(code: str, files: Files) -> dict[str, Any]:
    where = f"{code}/{SETTINGS}"
    if SETTINGS not in files:
        raise BadFolderError(f'{where} is missing; {{"language": "en"}} will do')
    found = _json(where, files[SETTINGS])
    if not isinstance(found, dict) or not isinstance(found.get("language"), str):
        raise BadFolderError(f'{where} does not say which "language" to fall back to')
    unknown = sorted(found.keys() - set(SETTINGS_FIELDS))
    if unknown:
        raise BadFolderError(f"{where} has a field that is not known: {unknown[0]}")
    return found


def _place(code: str, name: str) -> tuple[str, str, str]:
    """Return the locale, channel and field of a file."""
    locale, _, file = name.rpartition("/")
    match = _FILE.fullmatch(file)
    if not _LOCALE.fullmatch(locale) or match is None:
        raise BadFolderError(f"{code}/{name} is not the name of a template's file")
    kind = {"txt": "text"}.get(match["kind"], match["kind"])
    place = (locale, match["channel"], match["field"] or kind)
    if _name(place[1], place[2], "" if match["kind"] != "json" else {}) != file:
        raise BadFolderError(f"{code}/{name} is not the name of a template's file")
    return place


def _name(channel: str, field: str, value: Any) -> str:
    if not isinstance(value, str):
        return f"{channel}.{field}.json"
    body = {"text": f"{channel}.txt", "html": f"{channel}.html"}
    return body.get(field, f"{channel}.{field}.txt")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _field(where: str, text: str) -> Any:
    return _json(where, text) if where.endswith(".json") else text.removesuffix("\n")


def _json(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadFolderError(f"{where} is not JSON: {error}") from None
