"""``carillon dlq``: what it asks for, what it prints, how it ends."""

import pytest
from commandline import AT, ID, Json, Run, Service, lines

LETTER = {
    "letter_id": "059f36b4",
    "channel": "email",
    "code": "not-json",
    "reason": "Invalid [bold]JSON",
    "template_code": None,
    "notification_id": None,
    "targets": [],
    "attempts": 0,
    "receives": 1,
    "fingerprint": "7b2f0c61d9a4e853",
    "parked_at": AT,
}


def job(status: str = "pending", **more: int | str | None) -> Json:
    return {
        "job_id": "job-1",
        "kind": "redrive",
        "status": status,
        "total": 3,
        "done": 0,
        "failed": 0,
        "rate_per_second": 10,
        "requested_at": AT,
        "ended_at": None,
    } | more


def test_i2_dead_letters_are_listed(run: Run, service: Service) -> None:
    service.says("GET /ops/dlq", [LETTER])
    words = ("--channel", "email", "--code", "not-json", "-f", LETTER["fingerprint"], "--id", ID)
    assert lines(run("dlq", "list", *words, COLUMNS="120")) == [
        "at (UTC)          id        via    template  tries  why",
        "2026-11-21 05:43  059f36b4  email            0      not-json Invalid [bold]JSON",
    ]
    assert dict(service.requests[0].url.params) == {
        "channel": "email",
        "code": "not-json",
        "fingerprint": LETTER["fingerprint"],
        "notification_id": ID,
        "limit": "25",
    }


def test_i2_dead_letters_are_grouped(run: Run, service: Service) -> None:
    group = {name: LETTER[name] for name in ("fingerprint", "channel", "code", "template_code")} | {
        "count": 12,
        "oldest": AT,
        "newest": AT,
        "sample": LETTER,
    }
    service.says("GET /ops/dlq/groups", {"letters": 12, "complete": False, "groups": [group]})
    assert lines(run("dlq", "groups", COLUMNS="100")) == [
        "fingerprint       letters  via    template  code      newest (UTC)",
        "7b2f0c61d9a4e853  12       email            not-json  2026-11-21 05:43",
        "And more than was counted.",
    ]


def test_nothing_that_stands_is_said_in_words(run: Run, service: Service) -> None:
    service.says("GET /ops/dlq", [])
    service.says("GET /ops/dlq/groups", {"letters": 0, "complete": True, "groups": []})
    assert lines(run("dlq", "list")) == lines(run("dlq", "groups")) == ["None stands."]


def test_i2_a_redrive_counts_asks_and_is_followed_to_its_end(run: Run, service: Service) -> None:
    service.says("POST /ops/dlq/redrive", job(job_id=None))
    service.says("POST /ops/dlq/redrive", job(), 202)
    service.says("GET /ops/dlq/jobs/job-1", job("running", done=1))
    service.says("GET /ops/dlq/jobs/job-1", job("done", done=3))
    result = run("dlq", "redrive", "-c", "email", "--rate", "20", input="y\n")
    assert (result.exit_code, lines(result)[-1]) == (0, "job-1  redrive done  3 of 3")
    assert "Send again 3 letters?" in result.stderr
    told = {"filter": {"channel": "email"}, "rate_per_second": 20}
    assert service.asked[:2] == [
        ("POST /ops/dlq/redrive", told | {"dry_run": True}),
        ("POST /ops/dlq/redrive", told),
    ]
    assert len(service.asked) == 4


def test_i2_a_redrive_that_is_not_meant_does_nothing(run: Run, service: Service) -> None:
    service.says("POST /ops/dlq/redrive", job(job_id=None))
    assert run("dlq", "redrive", input="n\n").exit_code == 1
    assert [body for _, body in service.asked if body and not body.get("dry_run")] == []


def test_i2_where_no_letter_fits_nobody_is_asked(run: Run, service: Service) -> None:
    service.says("POST /ops/dlq/discard", job(job_id=None, total=0))
    result = run("dlq", "discard", "--reason", "old")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No letter fits." in result.stderr


def test_i2_yes_asks_and_counts_nothing(run: Run, service: Service) -> None:
    service.says("POST /ops/dlq/discard", job(kind="discard"), 202)
    service.says("GET /ops/dlq/jobs/job-1", job("done", kind="discard", done=3))
    words = ("--reason", "old", "--since", "2026-11-21T05:00:00", "-y")
    assert lines(run("dlq", "discard", *words, TZ="UTC")) == ["job-1  discard done  3 of 3"]
    assert service.asked[0][1] == {
        "filter": {"since": "2026-11-21T05:00:00+00:00"},
        "reason": "old",
    }


def test_what_failed_is_told_and_is_the_exit_code(run: Run, service: Service) -> None:
    service.says("POST /ops/dlq/redrive", job(), 202)
    service.says("GET /ops/dlq/jobs/job-1", job("done", done=2, failed=1))
    result = run("dlq", "redrive", "-y")
    assert (result.exit_code, lines(result)) == (1, ["job-1  redrive done  2 of 3, 1 failed"])


@pytest.mark.parametrize(
    ("timeout", "code", "printed"), [("0", 0, "job-1  redrive pending  0 of 3"), ("0.01", 4, "")]
)
def test_a_job_may_be_begun_and_left(run: Run, service: Service, timeout, code, printed) -> None:
    service.says("POST /ops/dlq/redrive", job(), 202)
    service.says("GET /ops/dlq/jobs/job-1", job("running"))
    result = run("dlq", "redrive", "-y", "--timeout", timeout)
    assert (result.exit_code, result.stdout.strip()) == (code, printed)


def test_a_terminal_sees_how_far_it_is(run: Run, service: Service) -> None:
    service.says("POST /ops/dlq/redrive", job(), 202)
    service.says("GET /ops/dlq/jobs/job-1", job("running", done=1))
    service.says("GET /ops/dlq/jobs/job-1", job("done", done=3))
    result = run("dlq", "redrive", "-y", FORCE_COLOR="1", TERM="xterm")
    assert result.exit_code == 0
    assert "3/3" in result.stdout
    assert result.stdout.strip().endswith("job-1  redrive done  3 of 3")


SWITCH = {
    "scope": "channel:sms",
    "on": True,
    "reason": "it [b]lies",
    "actor": "admin",
    "set_at": AT,
}


def test_i2_a_switch_is_set_listed_and_lifted(run: Run, service: Service) -> None:
    service.says("PUT /ops/switches/channel:sms", SWITCH)
    service.says("GET /ops/switches", [SWITCH])
    service.says("DELETE /ops/switches/channel:sms", None, 204)
    shown = [
        "stopped      since                 by     why",
        "channel:sms  2026-11-21 05:43:57Z  admin  it [b]lies",
    ]
    assert lines(run("switch", "on", "channel:sms", "--reason", "it [b]lies")) == shown
    assert service.asked[0][1] == {"reason": "it [b]lies"}
    assert lines(run("switch", "list")) == shown
    assert lines(run("switch", "off", "channel:sms")) == ["channel:sms  goes on"]


def test_nothing_stopped_is_said_in_words(run: Run, service: Service) -> None:
    service.says("GET /ops/switches", [])
    assert lines(run("switch", "list")) == ["Nothing is stopped."]


def test_i2_a_notification_is_sent_again(run: Run, service: Service) -> None:
    told = {
        "notification_id": "ntf_new",
        "request_id": "k",
        "status": "accepted",
        "deliveries": [{"channel": "sms", "status": "queued", "reason": None}],
        "replay_of": ID,
    }
    service.says(f"POST /notifications/{ID}/replay", told, 202)
    result = run("replay", ID, "--current", "-c", "sms", "--force", "--key", "k-1")
    assert lines(result)[0] == "ntf_new  accepted"
    assert service.asked[0][1] == {"mode": "current_template", "channels": ["sms"], "force": True}
    assert service.requests[0].headers["Idempotency-Key"] == "k-1"
    run("replay", ID)
    assert service.asked[1][1] == {"mode": "exact"}
