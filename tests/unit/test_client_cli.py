"""The command line: what it asks for, what it prints, how it ends."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from commandline import AT, ID, Json, delivery, lines, standing

ROOT = Path(__file__).parent.parent.parent
ACCEPTED = {
    "notification_id": ID,
    "request_id": "k",
    "status": "accepted",
    "deliveries": [
        {"channel": "email", "status": "queued", "reason": None},
        {"channel": "sms", "status": "suppressed", "reason": "channel-opt-out"},
    ],
}


def template(version: int = 1, **locales: Json) -> Json:
    return {
        "id": 1,
        "code": "welcome",
        "version": version,
        "language": "en",
        "locales": locales or {"en": {"sms": {"text": "Hi"}}},
        "created_at": AT,
    }


def test_i2_send_says_what_was_given_and_prints_what_was_decided(run, service, tmp_path) -> None:
    service.says("POST /notifications", ACCEPTED, 202)
    more = tmp_path / "vars.json"
    more.write_text('{"name": "Ada", "items": [1]}')
    result = run(
        *("send", "--user", "ada", "--to-email", "a@example.com", "-c", "email", "-c", "sms"),
        *("-t", "welcome", "--vars", str(more), "--var", "name=Grace=1", "--key", "k"),
        *("--priority", "8", "--locale", "en-GB", "--category", "orders"),
    )
    assert (result.exit_code, result.stderr) == (0, "")
    ((_, body),) = service.asked
    assert body == {
        "user_id": "ada",
        "to": {"email": "a@example.com"},
        "channels": ["email", "sms"],
        "template_code": "welcome",
        "variables": {"name": "Grace=1", "items": [1]},
        "locale": "en-GB",
        "category": "orders",
        "priority": 8,
    }
    headers = service.requests[0].headers
    assert (headers["Authorization"], headers["Idempotency-Key"]) == ("Bearer nk_secret", "k")
    assert lines(result) == [
        f"{ID}  accepted",
        "channel  state       why",
        "email    queued",
        "sms      suppressed  channel-opt-out",
    ]


def test_an_address_names_its_channel(run, service) -> None:
    service.says("POST /notifications", ACCEPTED, 202)
    addresses = ("--to-email", "a@b.example", "--to-phone", "+1", "--to-push-token", "d")
    run("send", *addresses, "-m", "Hi")
    ((_, body),) = service.asked
    assert body["channels"] == ["email", "sms", "push"]


@pytest.mark.parametrize(
    ("states", "code"),
    [(["sent", "sent"], 0), (["sent", "suppressed"], 0), (["sent", "failed"], 1), (["unknown"], 1)],
)
def test_i2_send_wait_ends_with_the_deliveries_outcome(run, service, states, code) -> None:
    service.says("POST /notifications", ACCEPTED, 202)
    service.says(f"GET /notifications/{ID}", standing(delivery("sms", "queued")))
    ended = standing(*[delivery("sms", state) for state in states], status="done")
    service.says(f"GET /notifications/{ID}", ended)
    result = run("send", "--user", "ada", "-c", "sms", "-m", "Hi", "--wait")
    assert result.exit_code == code
    assert lines(result)[0] == f"{ID}  done"
    assert [line.split()[2] for line in lines(result)[2:]] == states


def test_i2_status_shows_every_delivery_and_why(run, service) -> None:
    error = {"code": "21211", "message": "Invalid number", "failure": "recipient"}
    found = standing(
        delivery("sms", "failed", error=error, provider="twilio"),
        delivery("push", "sent", to="abcdefghijkl" + "x" * 140 + "uvwxyz12", attempts=2),
        delivery("inapp", "sent", attempts=2, possible_duplicate=True),
        status="partially_failed",
    )
    service.says(f"GET /notifications/{ID}", found)
    result = run("status", ID)
    assert result.exit_code == 0
    assert lines(result) == [
        f"{ID}  partially_failed",
        "channel  to                     state   tries  provider  why",
        "sms      ada                    failed  1      twilio    21211 Invalid number",
        "push     abcdefghijkl…uvwxyz12  sent    2",
        "inapp    ada                    sent    2                (may have been sent",
        "                                                         twice)",
    ]


def test_i2_watching_prints_a_line_of_json_for_each_change(run, service) -> None:
    for state in ("queued", "queued", "sending", "sent"):
        service.says(f"GET /notifications/{ID}", standing(delivery("sms", state)))
    result = run("status", ID, "--watch", "--json")
    assert result.exit_code == 0
    printed = [json.loads(line)["deliveries"][0]["status"] for line in lines(result)]
    assert printed == ["queued", "sending", "sent"]


def test_i2_what_does_not_end_in_time_exits_4(run, service) -> None:
    service.says(f"GET /notifications/{ID}", standing(delivery("sms", "retrying")))
    result = run("status", ID, "--watch", "--timeout", "0")
    assert (result.exit_code, result.stderr) == (4, f"error: {ID} is still processing\n")


def test_i2_a_refusal_exits_1_and_says_where(run, service) -> None:
    service.refuses("POST /notifications", 422, "invalid-request", "It does not [fit]")
    result = run("send", "--user", "ada", "-c", "fax", "-m", "Hi")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "error: It does not [fit] (422 invalid-request)",
        "  #/channels/0: not [bold]a channel",
        "  correlation id: cor-1",
    ]


def test_a_refusal_is_json_when_json_is_asked_for(run, service) -> None:
    service.refuses("GET /users/ada", 404, "user-not-found", "No such user " + "x" * 200)
    result = run("user", "show", "ada", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    told = json.loads(result.stderr)["error"]
    assert (told["status"], told["code"], told["correlation_id"]) == (
        404,
        "user-not-found",
        "cor-1",
    )


def test_i2_no_answer_exits_3(run, service, monkeypatch) -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused")

    monkeypatch.setattr(service, "answer", refuse)
    result = run("user", "show", "ada")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == "error: No answer from notify.example.com: Connection refused\n"


@pytest.mark.parametrize(
    "words",
    [
        ("send", "--user", "ada", "-m", "Hi", "--var", "name"),
        ("send", "--user", "ada", "-m", "Hi", "--vars", "nowhere.json"),
        ("status",),
        ("template", "push", "nowhere"),
        ("fax",),
        ("user", "show", "ada", "--url", "localhost:8000"),
    ],
)
def test_i2_used_wrongly_it_exits_2_and_asks_nothing(run, service, words) -> None:
    assert run(*words).exit_code == 2
    assert service.asked == []


def test_without_an_address_it_says_which_variable_is_missing(run, service) -> None:
    result = run("user", "show", "ada", CARILLON_URL="")
    assert result.exit_code == 2
    assert "CARILLON_URL" in result.stderr


def test_i4_pushing_makes_a_version_only_where_the_files_differ(run, service, tmp_path) -> None:
    service.says("GET /templates/welcome", template(3), ETag='"5"')
    service.says("PUT /templates/welcome", template(4), ETag='"6"')
    home = tmp_path / "welcome"
    (home / "en").mkdir(parents=True)
    (home / "template.json").write_text('{"language": "en"}')
    (home / "en/sms.txt").write_text("Hi\n")
    result = run("template", "push", str(tmp_path))
    assert (result.exit_code, lines(result)) == (0, ["welcome  unchanged"])
    (home / "en/sms.txt").write_text("Hello\n")
    shown = [
        "--- service/welcome/en/sms.txt",
        "+++ files/welcome/en/sms.txt",
        "@@ -1 +1 @@",
        "-Hi",
        "+Hello",
    ]
    result = run("template", "push", str(tmp_path), "--dry-run")
    assert (result.exit_code, lines(result)) == (0, [*shown, "welcome  would change"])
    assert [operation for operation, _ in service.asked] == ["GET /templates/welcome"] * 2
    result = run("template", "push", str(tmp_path))
    assert (result.exit_code, lines(result)) == (0, [*shown, "welcome  version 3 -> 4"])
    assert service.asked[-1] == (
        "PUT /templates/welcome",
        {"parts": {"sms": {"text": "Hello"}}, "language": "en"},
    )
    assert service.requests[-1].headers["If-Match"] == '"5"'


def test_i4_a_new_template_is_made_in_its_own_language_first(run, service, tmp_path) -> None:
    service.refuses("GET /templates/welcome", 404, "template-not-found", "No such template")
    service.says("POST /templates", template(1), 201, ETag='"1"')
    service.says("PUT /templates/welcome", template(2), ETag='"2"')
    for locale in ("de", "en"):
        (tmp_path / "welcome" / locale).mkdir(parents=True)
        (tmp_path / "welcome" / locale / "sms.txt").write_text(locale)
    (tmp_path / "welcome/template.json").write_text('{"language": "en"}')
    result = run("template", "push", str(tmp_path), "--json")
    assert result.exit_code == 0
    (told,) = json.loads(result.stdout)
    assert (told["code"], told["outcome"], told["version"]) == ("welcome", "created", 2)
    assert told["changed"] == ["de/sms.txt", "en/sms.txt", "template.json"]
    assert [body["language"] for operation, body in service.asked[1:]] == ["en", "de"]
    assert service.requests[-1].headers["If-Match"] == '"1"'


def test_i4_a_schema_and_a_category_are_pushed_with_the_language_that_stays(
    run, service, tmp_path
) -> None:
    service.says("GET /templates/welcome", template(3) | {"category": "news"}, ETag='"5"')
    service.says("PUT /templates/welcome", template(4), ETag='"6"')
    (tmp_path / "welcome/en").mkdir(parents=True)
    (tmp_path / "welcome/en/sms.txt").write_text("Hi")
    schema = {"required": ["name"]}
    settings = {"language": "en", "category": "news", "variables_schema": schema}
    (tmp_path / "welcome/template.json").write_text(json.dumps(settings))
    result = run("template", "push", str(tmp_path))
    assert lines(result)[-1] == "welcome  version 3 -> 4"
    parts = {"sms": {"text": "Hi"}}
    assert service.asked[-1][1] == {
        "parts": parts,
        "language": "en",
        "category": "news",
        "variables_schema": schema,
    }


def test_i4_a_schema_that_is_gone_is_pushed_as_one_that_everything_fits(
    run, service, tmp_path
) -> None:
    used = template(3) | {"variables_schema": {"required": ["name"]}, "category": "news"}
    service.says("GET /templates/welcome", used, ETag='"5"')
    service.says("PUT /templates/welcome", template(4) | {"variables_schema": {}}, ETag='"6"')
    (tmp_path / "welcome/en").mkdir(parents=True)
    (tmp_path / "welcome/en/sms.txt").write_text("Hi")
    (tmp_path / "welcome/template.json").write_text('{"language": "en"}')
    result = run("template", "push", str(tmp_path))
    assert lines(result)[-2:] == [
        "welcome  version 3 -> 4",
        "  news stays the category: it cannot be taken away",
    ]
    assert service.asked[-1][1]["variables_schema"] == {}


def test_i4_what_a_version_cannot_take_back_is_told(run, service, tmp_path) -> None:
    parts = {"sms": {"text": "Hi"}}
    service.says("GET /templates/welcome", template(3, en=parts, de=parts), ETag='"5"')
    (tmp_path / "welcome/en").mkdir(parents=True)
    (tmp_path / "welcome/en/sms.txt").write_text("Hi")
    (tmp_path / "welcome/template.json").write_text('{"language": "en"}')
    result = run("template", "push", str(tmp_path))
    assert result.exit_code == 0
    assert lines(result)[-2:] == [
        "welcome  unchanged",
        "  de/ stays: a language cannot be taken away",
    ]


def test_i4_a_refused_template_is_named(run, service, tmp_path) -> None:
    service.says("GET /templates/welcome", template(3), ETag='"5"')
    service.refuses("PUT /templates/welcome", 412, "precondition-failed", "It changed")
    (tmp_path / "welcome/en").mkdir(parents=True)
    (tmp_path / "welcome/en/sms.txt").write_text("Hello")
    (tmp_path / "welcome/template.json").write_text('{"language": "en"}')
    result = run("template", "push", str(tmp_path))
    assert result.exit_code == 1
    assert "in welcome/en" in result.stderr


def test_i4_pulling_writes_what_pushing_reads(run, service, tmp_path) -> None:
    summary = {"languages": ["en"], "channels": ["sms"]}
    service.says("GET /templates", [template(3) | summary])
    service.says("GET /templates/welcome", template(3), ETag='"5"')
    result = run("template", "pull", str(tmp_path))
    assert (result.exit_code, lines(result)) == (0, ["welcome  version 3  2 files written"])
    assert lines(run("template", "pull", str(tmp_path))) == ["welcome  version 3  unchanged"]
    assert lines(run("template", "push", str(tmp_path))) == ["welcome  unchanged"]


def test_preferences_change_by_name_and_keep_the_rest(run, service) -> None:
    kept = {"channels": {"sms": True}, "categories": {"news": False}}
    service.says("GET /users/ada/preferences", kept, ETag='"5"')
    service.says("PATCH /users/ada/preferences", kept)
    off = ("--off", "sms", "--off", "orders:push")
    result = run("prefs", "set", "ada", *off, "--on", "news:email", "--on", "tips")
    assert result.exit_code == 0
    body = service.asked[-1][1]
    assert body["channels"] == {"sms": False}
    assert body["categories"] == {
        "news": {"email": True, "sms": False, "push": False, "inapp": False},
        "orders": {"push": False},
        "tips": True,
    }
    assert service.requests[-1].headers["If-Match"] == '"5"'


def test_a_token_is_exported_so_that_a_shell_takes_it_as_it_is(run, service) -> None:
    service.says("POST /clients", {"client_id": "c", "api_token": "nk_live_a'b"}, 201)
    result = run("client", "register", "shop", "--export")
    script = f'{result.stdout}printf %s "$CARILLON_TOKEN"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "nk_live_a'b"


@pytest.mark.parametrize("words", [("send",), ("template", "push"), ("inbox", "show")])
def test_i2_every_command_has_help_and_json(run, words) -> None:
    result = run(*words, "--help", CARILLON_TOKEN="nk_secret")
    assert result.exit_code == 0
    assert "--json" in result.stdout
    assert "nk_secret" not in result.stdout


def test_without_the_extra_it_says_what_to_install() -> None:
    script = "import sys; sys.modules['typer'] = None\nfrom carillon_client.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(ROOT / "client")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'carillon-client[cli]'" in done.stderr
