"""Each command asks the API for its thing and shows what was answered."""

import json
from typing import Any

import pytest
from commandline import AT, ID, Json, Run, Service, delivery, lines, standing

KEY = {
    "key_id": "0123456789ab",
    "label": "nightly",
    "scopes": ["send", "read"],
    "mode": "test",
    "created_at": AT,
    "revoked_at": None,
}
ENTRY = {
    "notification_id": ID,
    "category": "general",
    "created_at": AT,
    "title": "Hello",
    "body": "It works",
    "action_url": None,
    "read_at": None,
    "archived_at": None,
}
FOUND = {
    "notification_id": ID,
    "status": "completed",
    "category": "general",
    "created_at": AT,
    "user_id": "ada",
    "template_code": None,
    "deliveries": [
        {"channel": "push", "target": f"push#{n}", "status": "sent", "reason": None}
        for n in range(2)
    ],
}
CREATED = "2026-11-21 05:43:57Z"


def test_i2_searching_shows_what_was_found(run: Run, service: Service) -> None:
    service.says("GET /notifications", [FOUND])
    result = run("search", "--user", "ada", "--status", "completed", "-c", "push", "--limit", "500")
    assert lines(result) == [
        "at (UTC)          id                                    state      user  via",
        f"{CREATED[:16]}  {ID}  completed  ada   push",
    ]
    query = dict(service.requests[0].url.params)
    assert query == {"user_id": "ada", "status": "completed", "channel": "push", "limit": "100"}


def test_a_search_takes_local_times(run: Run, service: Service) -> None:
    service.says("GET /notifications", [])
    result = run("search", "--since", "2026-11-21T05:00:00", "--until", "2026-11-22", TZ="UTC")
    assert lines(result) == ["None was found."]
    query = dict(service.requests[0].url.params)
    assert query["from"].startswith("2026-11-21T05:00:00+")
    assert query["to_time"].startswith("2026-11-22T00:00:00+")


def test_i2_events_are_shown_with_what_changed(run: Run, service: Service) -> None:
    event = {
        "seq": 2,
        "at": AT,
        "type": "delivery",
        "channel": "sms",
        "target": "sms",
        "from": "queued",
        "to": "sending",
        "actor": "sms",
        "data": {},
    }
    service.says(f"GET /notifications/{ID}/events", [event])
    assert lines(run("events", ID)) == [
        "at                    what      delivery  from    to       by",
        f"{CREATED}  delivery  sms       queued  sending  sms",
    ]


def test_i2_what_is_cancelled_is_shown_as_it_stands(run: Run, service: Service) -> None:
    stopped = standing(delivery("sms", "cancelled"), status="cancelled")
    service.says(f"POST /notifications/{ID}/cancel", stopped, 202)
    result = run("cancel", ID, "--reason", "Sold out")
    assert (result.exit_code, lines(result)[0]) == (0, f"{ID}  cancelled")
    assert service.asked[0][1] == {"reason": "Sold out"}


def test_the_content_is_shown_field_by_field(run: Run, service: Service) -> None:
    content = {"sms": {"parts": {"text": "Hi [b]Ada"}, "sha256": "0"}}
    service.says(f"GET /notifications/{ID}/content", {"notification_id": ID, "content": content})
    assert lines(run("content", ID, "-c", "sms")) == ["--- sms.text", "Hi [b]Ada"]


def test_i2_a_dry_run_tells_what_would_be_and_sends_nothing(run: Run, service: Service) -> None:
    told = {
        "dry_run": True,
        "status": "accepted",
        "category": "general",
        "deliveries": [
            {"channel": "sms", "status": "queued", "reason": None, "to": ["+14155552671"]},
            {"channel": "push", "status": "skipped", "reason": "no-address", "to": []},
        ],
        "parts": {"sms": {"text": "Hi Ada"}},
    }
    service.says("POST /notifications", told)
    result = run("send", "--user", "ada", "-c", "sms", "-m", "Hi", "--dry-run", "--wait")
    assert lines(result) == [
        "Nothing was sent.",
        "channel  to            state    why",
        "sms      +14155552671  queued",
        "push                   skipped  no-address",
        "--- sms.text",
        "Hi Ada",
    ]
    ((_, body),) = service.asked
    assert body["dry_run"] is True


@pytest.mark.parametrize(
    "words", [("inbox", "ada", "--unread"), ("inbox", "show", "ada", "--unread")]
)
def test_i2_the_inbox_is_shown_with_or_without_the_word(run: Run, service: Service, words) -> None:
    service.says("GET /users/ada/notifications", [ENTRY, ENTRY | {"read_at": AT}])
    result = run(*words, COLUMNS="100")
    assert [line[:3] for line in lines(result)] == ["   ", "*  ", "   "]
    assert lines(result)[1].endswith("Hello  It works")
    assert dict(service.requests[0].url.params) == {
        "channel": "inapp",
        "unread": "true",
        "limit": "25",
    }


def test_what_somebody_wrote_cannot_steer_the_terminal(run: Run, service: Service) -> None:
    odd = ENTRY | {"title": "\x1b[2J[red]\x9b1m\r", "body": "5\u00a0€ 🔔"}
    service.says("GET /users/ada/notifications", [odd])
    shown = run("inbox", "ada", COLUMNS="120").stdout
    assert not {"\x1b", "\x9b", "\r"} & set(shown)
    assert "[2J[red]" in shown
    assert "5\u00a0€ 🔔" in shown


@pytest.mark.parametrize(
    ("word", "body"), [("read", {"read": True}), ("archive", {"archived": True})]
)
def test_i2_entries_are_marked_one_by_one(run: Run, service: Service, word, body) -> None:
    for each in ("a", "b"):
        service.says(f"PATCH /users/ada/notifications/{each}", ENTRY | {"notification_id": each})
    result = run("inbox", word, "ada", "a", "b")
    assert [line.split()[0] for line in lines(result)] == ["a", "b"]
    assert [sent for _, sent in service.asked] == [body, body]


def test_i2_all_are_read_and_the_rest_is_counted(run: Run, service: Service) -> None:
    service.says("POST /users/ada/notifications/read-all", None, 204)
    service.says("GET /users/ada/notifications", [], meta={"unread": 3})
    assert lines(run("inbox", "read-all", "ada")) == ["ada  3 unread"]


def test_a_profile_is_put_and_shown(run: Run, service: Service) -> None:
    user = {"user_id": "ada", "full_name": "Ada", "created_at": AT, "updated_at": AT}
    service.says("PUT /users/ada", user | {"attributes": {"plan": "gold"}}, 201)
    result = run("user", "put", "ada", "--full-name", "Ada")
    assert lines(result) == [
        "user        ada",
        "name        Ada",
        'attributes  {"plan": "gold"}',
        f"created     {CREATED}",
        f"updated     {CREATED}",
    ]
    assert service.asked == [("PUT /users/ada", {"full_name": "Ada"})]


def test_i2_a_user_is_erased_only_when_it_is_meant(run: Run, service: Service) -> None:
    service.says("DELETE /users/ada", {"job_id": "job-1", "status": "pending"}, 202)
    refused = run("user", "erase", "ada", input="n\n")
    assert (refused.exit_code, service.asked) == (1, [])
    for words, answer in ((("user", "erase", "ada"), "y\n"), (("user", "erase", "ada", "-y"), "")):
        done = run(*words, input=answer)
        assert lines(done)[-1] == "ada  erasure pending  job-1"
    assert [operation for operation, _ in service.asked] == ["DELETE /users/ada"] * 2


def test_an_export_is_asked_for_until_it_has_a_link(run: Run, service: Service) -> None:
    job = {"job_id": "job-1", "status": "pending", "link": None}
    service.says("GET /users/ada/export", job)
    service.says("GET /users/ada/export", job | {"status": "ready", "link": "https://x.example"})
    first, second = (lines(run("user", "export", "ada")) for _ in range(2))
    assert first == ["user    ada", "export  job-1", "status  pending"]
    assert second[-1] == "link    https://x.example"


def test_preferences_are_shown_by_name(run: Run, service: Service) -> None:
    kept: Json = {
        "channels": {"sms": False},
        "categories": {"news": {"email": True}, "*": False},
        "quiet_hours": {"windows": [{"start": "22:00", "end": "07:00", "days": ["sat", "sun"]}]},
        "timezone": "Europe/London",
    }
    service.says("GET /users/ada/preferences", kept)
    service.says("GET /users/new/preferences", {"channels": {}, "categories": {}})
    assert lines(run("prefs", "show", "ada")) == [
        "          name        wanted",
        "channel   sms         off",
        "category  news:email  on",
        "category  *           off",
        "quiet hours  22:00-07:00 sat sun",
        "timezone     Europe/London",
    ]
    nothing = ["Nothing is turned off: everything is wanted."]
    assert lines(run("prefs", "show", "new")) == nothing


TOKENS = {
    "access": "a.b.c",
    "refresh": "r-1",
    "expires_in": 900,
    "user": {"id": "ada", "email": "ada@example.com", "full_name": None},
}


def test_i2_a_user_logs_in_with_a_password_that_is_not_on_the_command_line(
    run: Run, service: Service
) -> None:
    service.says("POST /auth/login", TOKENS)
    result = run("login", "ada@example.com", input="secret\n")
    assert lines(result) == [
        "user      ada",
        "token     a.b.c",
        "good for  15 minutes",
        "refresh   r-1",
    ]
    assert service.asked[0][1] == {"email": "ada@example.com", "password": "secret"}


def test_what_a_shell_evaluates_has_no_prompt_in_it(run: Run, service: Service) -> None:
    service.says("POST /auth/login", TOKENS)
    result = run("login", "ada@example.com", "--export", input="secret\n")
    assert result.stdout == "export CARILLON_TOKEN=a.b.c\nexport CARILLON_REFRESH=r-1\n"


def test_i2_applications_and_their_keys_are_kept(run: Run, service: Service) -> None:
    shop: dict[str, Any] = {
        "client_id": "c-1",
        "tenant": "default",
        "service_name": "shop",
        "notification_types": [{"name": "orders"}, {"name": "news"}],
        "created_at": AT,
        "updated_at": AT,
    }
    service.says("GET /clients", [shop])
    service.says("GET /clients/c-1/keys", [KEY])
    service.says("POST /clients/c-1/keys", KEY | {"api_token": "nk_test_x"}, 201)
    service.says("DELETE /clients/c-1/keys/0123456789ab", None, 204)
    assert lines(run("client", "list"))[1] == "c-1     shop  default  orders news"
    assert lines(run("client", "keys", "c-1"))[1].startswith("0123456789ab  test  nightly  send")
    words = ("client", "add-key", "c-1", "--mode", "test", "--scope", "send", "--label", "nightly")
    assert lines(run(*words)) == ["key    0123456789ab", "token  nk_test_x"]
    assert service.asked[-1][1] == {"mode": "test", "scopes": ["send"], "label": "nightly"}
    assert run(*words, "--export").stdout == "export CARILLON_TOKEN=nk_test_x\n"
    assert lines(run("client", "revoke-key", "c-1", "0123456789ab")) == ["0123456789ab  revoked"]


def test_templates_are_listed_shown_and_put_aside(run: Run, service: Service) -> None:
    listed = {
        "id": 1,
        "code": "welcome",
        "version": 2,
        "language": "en",
        "languages": ["de", "en"],
        "channels": ["sms", "email"],
        "created_at": AT,
    }
    welcome = {
        "id": 1,
        "code": "welcome",
        "version": 2,
        "language": "en",
        "locales": {"en": {"sms": {"text": "Hi"}}, "de": {"email": {"subject": "Hallo"}}},
        "created_at": AT,
    }
    service.says("GET /templates", [listed])
    service.says("GET /templates/welcome", welcome)
    history = [{"version": n, "languages": ["en"], "created_at": AT} for n in (1, 2)]
    service.says("GET /templates/welcome/versions", history)
    service.says("DELETE /templates/welcome", None, 204)
    assert lines(run("template", "list"))[1] == "welcome  2        de en      email sms"
    shown = lines(run("template", "show", "welcome", "--version", "2"))
    assert shown[:3] == ["welcome  version 2", "--- de/email.subject.txt", "Hallo"]
    assert dict(service.requests[-1].url.params) == {"version": "2"}
    assert lines(run("template", "versions", "welcome"))[2] == f"2        en         {CREATED}"
    done = run("template", "archive", "welcome", "--json")
    assert json.loads(done.stdout) == {"code": "welcome", "archived": True}


def test_i2_a_rendering_is_shown_with_what_it_amounts_to(run: Run, service: Service) -> None:
    sms = {"characters": 6, "encoding": "UCS-2", "segments": 1, "limit": 1600, "not_gsm7": ["ç"]}
    said = {
        "code": "welcome",
        "version": 2,
        "locale": "fr",
        "parts": {"sms": {"text": "Ça va?"}},
        "lint": {"sms": sms},
        "price": {"sms": {"amount": "0.0079", "currency": "USD"}},
    }
    service.says("POST /templates/welcome/render", said)
    result = run(
        "template", "render", "welcome", "--var", "name=Ada", "--locale", "fr", "-c", "sms"
    )
    assert lines(result) == [
        "welcome  version 2  fr",
        "--- sms.text",
        "Ça va?",
        "sms  characters 6, encoding UCS-2, segments 1, not gsm7 ç",
        "sms  about 0.0079 USD a message",
    ]
    variables = {"name": "Ada"}
    assert service.asked[0][1] == {"variables": variables, "channel": "sms", "locale": "fr"}


def test_i2_a_template_is_tried_on_one_address(run: Run, service: Service) -> None:
    queued = [{"channel": "sms", "status": "queued", "reason": None}]
    sent = {"notification_id": ID, "request_id": "k", "status": "accepted", "deliveries": queued}
    service.says("POST /templates/welcome/test-send", sent, 202)
    service.says(f"GET /notifications/{ID}", standing(delivery("sms", "sent"), status="completed"))
    words = ("template", "test-send", "welcome", "-c", "sms", "--to-phone", "+1", "--version", "2")
    assert lines(run(*words)) == [f"{ID}  accepted", "channel  state   why", "sms      queued"]
    assert service.asked[0][1] == {"channel": "sms", "to": {"phone": "+1"}, "version": 2}
    assert lines(run(*words, "--wait"))[0] == f"{ID}  completed"
    run("template", "test-send", "welcome", "-c", "sms", "--user", "ada")
    assert service.asked[-1][1] == {"channel": "sms", "to": {"user_id": "ada"}}


REPORT = {
    "from": "2026-11-15",
    "to": "2026-11-21",
    "group_by": ["day", "channel", "template"],
    "rows": [
        {
            "day": "2026-11-21",
            "channel": "sms",
            "template": None,
            "deliveries": 12,
            "states": {"sent": 4, "delivered": 3, "failed": 1, "suppressed": 2, "open": 2},
            "success_rate": 0.875,
            "seconds_to_sent": {"p50": 0.3, "p95": 1.5, "p99": 2.25},
        },
    ],
    "totals": {"deliveries": 12, "states": {}, "success_rate": None, "seconds_to_sent": None},
}


def test_i2_analytics_tell_what_became_of_each_day_channel_and_template(run, service) -> None:
    service.says("GET /analytics/deliveries", REPORT)
    result = run("analytics", "--since", "2026-11-15", "--until", "2026-11-21", COLUMNS="100")
    first, second, total = lines(result)
    assert first.split() == [
        *("day", "channel", "template", "all", "sent", "missed", "withheld", "open", "success"),
        *("p50", "s", "p99", "s"),
    ]
    assert second.split() == [
        *("2026-11-21", "sms", "-", "12", "7", "1", "2", "2", "87.5", "%", "0.3", "2.25"),
    ]
    assert total.split()[:2] == ["total", "12"]
    query = list(service.requests[0].url.params.multi_items())
    assert ("from", "2026-11-15") in query
    assert [value for name, value in query if name == "group_by"] == ["day", "channel", "template"]


def test_analytics_are_told_apart_as_one_likes(run, service) -> None:
    service.says("GET /analytics/deliveries", REPORT | {"rows": [], "group_by": ["category"]})
    result = run("analytics", "--by", "category")
    assert lines(result) == ["None was accepted."]
    assert service.requests[0].url.params["group_by"] == "category"


OBJECTIVE = {
    "target": 0.995,
    "events": 400,
    "bad": 3,
    "measured": 0.9925,
    "met": False,
    "burn_rate": 1.5,
    "budget_left": -0.5,
}
WINDOW = {
    "window": "1h",
    "since": AT,
    "deliveries": OBJECTIVE,
    "answers": OBJECTIVE
    | {"target": 0.99, "target_ms": 100, "p50_ms": 7.0, "p99_ms": 60.0, "met": True},
    "throughput": {
        "target": 1000,
        "accepted_per_minute": 3.0,
        "ended_per_minute": 3.0,
        "busiest_accepted_per_minute": 20.0,
        "busiest_ended_per_minute": 19.5,
        "met": None,
    },
}


def test_g19_slo_shows_what_is_met_and_what_is_not(run, service) -> None:
    service.says("GET /ops/slo", {"at": AT, "windows": [WINDOW]})
    shown = lines(run("slo", COLUMNS="100"))
    assert [" ".join(line.split()) for line in shown] == [
        "last objective target measured of burn budget left met",
        "1h deliveries that arrive 99.5 % 99.25 % 400 1.5 -50 % no",
        "answers within 100 ms 99 % 99.25 % 400 1.5 -50 % yes",
        "notifications a minute 1000 19.5 20 -",
    ]


def test_g19_slo_of_nothing_makes_no_figures_up(run, service) -> None:
    never = dict.fromkeys(("measured", "met", "burn_rate", "budget_left"))
    none = OBJECTIVE | never | {"events": 0, "bad": 0}
    answers = none | {"target_ms": 100, "p50_ms": None, "p99_ms": None}
    window = WINDOW | {"deliveries": none, "answers": answers}
    service.says("GET /ops/slo", {"at": AT, "windows": [window]})
    shown = lines(run("slo", COLUMNS="100"))
    assert " ".join(shown[1].split()) == "1h deliveries that arrive 99.5 % - 0 - - -"


CALL = {
    "at": AT,
    "actor": "admin",
    "scope": "ops",
    "method": "PUT",
    "route": "/api/v1/ops/switches/{scope}",
    "subject": {"scope": "channel:sms"},
    "source": "192.0.2.10",
    "correlation_id": "cor-1",
    "status": 200,
    "code": None,
}


def test_j7_audit_shows_who_did_what(run, service) -> None:
    refused = CALL | {"actor": "shop", "status": 403, "code": "forbidden"}
    service.says("GET /ops/audit", [CALL, refused, CALL | {"status": None}])
    shown = lines(run("audit", "--actor", "admin", "--limit", "3", COLUMNS="120"))
    assert [" ".join(line.split()) for line in shown] == [
        "at (UTC) by from did to outcome",
        f"{CREATED} admin 192.0.2.10 PUT /ops/switches/{{scope}} channel:sms 200",
        f"{CREATED} shop 192.0.2.10 PUT /ops/switches/{{scope}} channel:sms 403 forbidden",
        f"{CREATED} admin 192.0.2.10 PUT /ops/switches/{{scope}} channel:sms never seen",
    ]
    assert dict(service.requests[0].url.params) == {"actor": "admin", "limit": "3"}


def test_audit_of_nothing_says_so(run, service) -> None:
    service.says("GET /ops/audit", [])
    assert lines(run("audit", "--subject", "+14155552671")) == ["None was found."]
