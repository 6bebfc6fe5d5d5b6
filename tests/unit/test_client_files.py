"""Templates as files: what is pulled is what would be pushed, to the letter."""

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carillon_client.cli import files
from carillon_client.cli.files import BadFolderError, Source

PARTS = {
    "email": {"subject": "Hi {{ name }}", "html": "<b>Hi</b>", "text": "Hi\n\nThere\n"},
    "sms": {"text": "Hi"},
    "push": {"title": "Hi", "body": "There", "data": {"screen": "home"}},
    "inapp": {"title": "Hi", "body": "There", "action_url": "https://example.com"},
}
SCHEMA = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
LOCALES = {"en": PARTS, "de-AT": {"sms": {"text": "Servus\r\n"}}}
WELCOME = Source("welcome", "en", LOCALES, "greetings", SCHEMA)

text = st.text(st.characters(exclude_categories=["Cs"]))
channel = st.text(string.ascii_lowercase, min_size=1, max_size=6)
field = st.one_of(st.sampled_from(["text", "html", "subject", "title", "body", "action_url"]))
value = st.one_of(text, st.dictionaries(text, text), st.lists(text))
locale = st.sampled_from(["en", "en-GB", "de", "zh-Hant-TW"])
part = st.dictionaries(field, value, min_size=1)
locales = st.dictionaries(locale, st.dictionaries(channel, part, min_size=1), min_size=1)


def test_i4_the_files_have_the_names_an_editor_knows(tmp_path) -> None:
    files.write(tmp_path, WELCOME)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert found == {
        "welcome/template.json",
        "welcome/en/email.subject.txt",
        "welcome/en/email.html",
        "welcome/en/email.txt",
        "welcome/en/sms.txt",
        "welcome/en/push.title.txt",
        "welcome/en/push.body.txt",
        "welcome/en/push.data.json",
        "welcome/en/inapp.title.txt",
        "welcome/en/inapp.body.txt",
        "welcome/en/inapp.action_url.txt",
        "welcome/de-AT/sms.txt",
    }
    assert (tmp_path / "welcome/en/sms.txt").read_text() == "Hi\n"


def test_i4_what_is_written_is_read_again_and_nothing_is_written_twice(tmp_path) -> None:
    assert len(files.write(tmp_path, WELCOME)) == 12
    assert files.read(tmp_path) == [WELCOME]
    assert files.write(tmp_path, WELCOME) == []


@given(locales)
def test_i4_any_template_survives_the_way_through_files(kept: dict[str, Any]) -> None:
    source = Source("code", next(iter(kept)), kept)
    assert files.parse("code", source.files()) == source


def test_a_field_the_service_has_no_more_is_removed_from_the_files(tmp_path) -> None:
    files.write(tmp_path, WELCOME)
    (tmp_path / "welcome/.notes").write_text("mine")
    fewer = Source("welcome", "en", {"en": {"sms": {"text": "Hi"}}})
    assert "en/email.html" in files.write(tmp_path, fewer)
    assert files.read(tmp_path) == [fewer]
    assert (tmp_path / "welcome/.notes").exists()


def test_a_missing_last_line_break_is_no_change(tmp_path) -> None:
    files.write(tmp_path, WELCOME)
    (tmp_path / "welcome/en/sms.txt").write_text("Hi")
    (tmp_path / "welcome/template.json").write_text(
        json.dumps({"variables_schema": SCHEMA, "category": "greetings", "language": "en"})
    )
    assert files.read(tmp_path) == [WELCOME]
    assert files.write(tmp_path, WELCOME) == []
    assert (tmp_path / "welcome/en/sms.txt").read_text() == "Hi"


def test_a_folder_that_was_no_template_becomes_one(tmp_path) -> None:
    (tmp_path / "welcome").mkdir()
    (tmp_path / "welcome/notes.md").write_text("?")
    assert "notes.md" in files.write(tmp_path, WELCOME)
    assert files.read(tmp_path) == [WELCOME]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("welcome/template.json", None, "welcome/template.json is missing"),
        ("welcome/template.json", "{", "welcome/template.json is not JSON"),
        ("welcome/template.json", "[]", 'which "language"'),
        ("welcome/template.json", '{"language": "en", "x": 1}', "not known: x"),
        ("welcome/template.json", '{"language": "fr"}', "welcome/fr/ is missing"),
        ("welcome/en/sms.text.txt", "Hi", "sms.text.txt is not the name"),
        ("welcome/en/sms.md", "Hi", "sms.md is not the name"),
        ("welcome/en/push.data.json", "{", "push.data.json is not JSON"),
        ("welcome/english/sms.txt", "Hi", "english/sms.txt is not the name"),
        ("welcome/sms.txt", "Hi", "welcome/sms.txt is not the name"),
        ("welcome/en/more/sms.txt", "Hi", "en/more"),
        ("wel come/template.json", '{"language": "en"}', "cannot be a template's code"),
        ("welcome/en/sms.txt", b"\xff", "is not UTF-8"),
    ],
)
def test_i4_what_is_not_a_template_s_file_is_named(tmp_path, name, content, message) -> None:
    files.write(tmp_path, WELCOME)
    path = tmp_path / name
    if content is None:
        path.unlink()
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadFolderError, match=message):
        files.read(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(BadFolderError, match="nowhere"):
        files.read(tmp_path / "nowhere")
    with pytest.raises(BadFolderError, match="no folder welcome"):
        files.read(tmp_path, ["welcome"])


@pytest.mark.parametrize("code", ["../up", "/etc", "a/b", ".", "", "a b"])
def test_a_service_cannot_write_outside_the_folder_by_a_code(tmp_path, code) -> None:
    with pytest.raises(BadFolderError):
        files.write(tmp_path / "templates", Source(code, "en", {"en": PARTS}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "odd",
    [
        {"../..": {"sms": {"text": "x"}}},
        {"en": {"../sms": {"text": "x"}}},
        {"en": {"sms": {"../../text": "x"}}},
    ],
)
def test_nor_by_any_other_name(tmp_path, odd) -> None:
    with pytest.raises(BadFolderError):
        files.write(tmp_path / "templates", Source("welcome", "en", {"en": PARTS} | odd))
    assert list(tmp_path.iterdir()) == []


def test_a_difference_is_shown_line_by_line() -> None:
    other = Source("welcome", "en", {"en": {"sms": {"text": "Hello"}}})
    before = {
        "en/sms.txt": "Hi\n",
        "template.json": json.dumps({"language": "en"}, indent=2) + "\n",
    }
    assert list(files.diff("welcome", before, other.files())) == [
        "--- service/welcome/en/sms.txt",
        "+++ files/welcome/en/sms.txt",
        "@@ -1 +1 @@",
        "-Hi",
        "+Hello",
    ]
