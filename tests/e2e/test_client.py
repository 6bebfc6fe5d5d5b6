"""The client and the command line against a whole stack."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from carillon_client import AsyncCarillon, Carillon, Conflict, Invalid, NotFound, Unauthorized
from offline import stack as offline

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parent.parent.parent
Run = Callable[..., subprocess.CompletedProcess[str]]
PARTS = {"sms": {"text": "Hi {{ name }}"}, "inapp": {"title": "Hi", "body": "Hi {{ name }}"}}


@pytest.fixture(scope="module")
def token(stack: offline.Stack) -> str:
    """The token of an application of its own."""
    with Carillon(stack.api, stack.admin_token) as admin:
        return admin.register_client(f"client-{uuid.uuid4().hex[:8]}").api_token


@pytest.fixture(scope="module")
def client(stack: offline.Stack, token: str) -> Iterator[Carillon]:
    with Carillon(stack.api, token) as client:
        client.put_user("lin", email="lin@example.com", phone="+14155552673", full_name="Lin")
        client.create_template("greeting", parts=PARTS)
        yield client


@pytest.fixture(scope="module")
def run(stack: offline.Stack, token: str) -> Run:
    """Return what runs a command as a shell would."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "client"),
        "CARILLON_URL": stack.api,
        "CARILLON_TOKEN": token,
        "NO_PROXY": "127.0.0.1",
        "COLUMNS": "120",
    }

    def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "carillon_client.cli", *words],
            env=environment | env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def data(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_i3_a_notification_is_sent_followed_and_found_in_the_inbox(client: Carillon) -> None:
    key = uuid.uuid4().hex
    told: dict[str, Any] = {
        "user_id": "lin",
        "channels": ["sms", "inapp"],
        "template_code": "greeting",
        "variables": {"name": "Lin"},
        "idempotency_key": key,
    }
    sent = client.send(**told)
    assert not sent.replayed
    assert client.send(**told).replayed
    status = client.wait(sent.notification_id)
    assert (status.status, status.undelivered) == ("completed", [])
    assert {each.channel: each.status for each in status.deliveries} == {
        "sms": "sent",
        "inapp": "sent",
    }
    (entry,) = client.inbox("lin")
    assert (entry.notification_id, entry.body) == (sent.notification_id, "Hi Lin")
    happened = [event.after for event in client.events(sent.notification_id, limit=1)]
    assert happened.count("sent") == 2
    assert sent.notification_id in {each.notification_id for each in client.search(user_id="lin")}


def test_i3_a_refusal_is_the_error_of_its_kind(stack: offline.Stack, client: Carillon) -> None:
    with pytest.raises(Invalid) as caught:
        client.send(user_id="lin", channels=["fax"], message="Hi")
    assert caught.value.errors[0].pointer == "#/channels/0"
    with pytest.raises(NotFound):
        client.with_options(correlation_id="find-me").get("ntf_nothing")
    with pytest.raises(Conflict):
        client.create_template("greeting", parts=PARTS)
    with Carillon(stack.api, "nk_wrong") as stranger, pytest.raises(Unauthorized):
        stranger.get_user("lin")


async def _everything(client: AsyncCarillon) -> str:
    async with client:
        await client.put_user("ada", phone="+14155552671")
        sent = await client.send(user_id="ada", channels=["sms"], message="Hello")
        status = await client.wait(sent.notification_id)
        found = [each.notification_id async for each in client.search(user_id="ada", limit=1)]
        assert sent.notification_id in found
        return status.status


def test_i3_the_async_client_does_the_same(stack: offline.Stack, token: str) -> None:
    import asyncio  # noqa: PLC0415

    assert asyncio.run(_everything(AsyncCarillon(stack.api, token))) == "completed"


def test_i2_a_notification_is_sent_and_waited_for_by_command(run: Run, client: Carillon) -> None:
    words = ("send", "--user", "lin", "-c", "sms", "-t", "greeting", "--var", "name=Lin")
    told = data(run(*words, "--wait", "--json"))
    assert [each["status"] for each in told["deliveries"]] == ["sent"]
    shown = run("status", told["notification_id"])
    assert shown.stdout.splitlines()[0] == f"{told['notification_id']}  completed"


def test_i2_what_was_not_delivered_is_an_exit_code(run: Run) -> None:
    done = run("send", "--to-email", "rejected@sandbox.test", "-m", "Hi", "--wait")
    assert done.returncode == 1
    assert "MessageRejected" in done.stdout


def test_i2_watching_ends_when_every_delivery_ended(run: Run) -> None:
    # The number's first try fails in a way that passes: the watcher sees more than one state.
    sent = data(run("send", "--to-phone", "+15005550070", "-m", "Hi", "--json"))
    done = run("status", sent["notification_id"], "--watch", "--json")
    assert done.returncode == 0
    seen = [json.loads(line)["deliveries"][0]["status"] for line in done.stdout.splitlines()]
    assert seen[-1] == "sent"
    assert "sent" not in seen[:-1]


def test_i4_templates_go_round_by_files(run: Run, client: Carillon, tmp_path: Path) -> None:
    files = tmp_path / "templates"
    client.create_template("bye", parts={"sms": {"text": "Bye\n"}})
    pulled = data(run("template", "pull", str(files), "bye", "greeting", "--json"))
    assert [each["code"] for each in pulled] == ["bye", "greeting"]
    pushed = data(run("template", "push", str(files), "--json"))
    assert [each["outcome"] for each in pushed] == ["unchanged", "unchanged"]
    (files / "bye/en/sms.txt").write_text("Goodbye\n")
    (files / "bye/de").mkdir()
    (files / "bye/de/sms.txt").write_text("Servus\n")
    dry = data(run("template", "push", str(files), "--dry-run", "--json"))
    assert [each["outcome"] for each in dry] == ["would change", "unchanged"]
    assert client.get_template("bye").version == 1
    pushed = data(run("template", "push", str(files), "--json"))
    assert pushed[0]["outcome"] == "version 1 -> 3"
    assert client.get_template("bye").locales == {
        "en": {"sms": {"text": "Goodbye"}},
        "de": {"sms": {"text": "Servus"}},
    }
    again = tmp_path / "again"
    data(run("template", "pull", str(again), "bye", "--json"))
    kept = {path.name: path.read_bytes() for path in (files / "bye/de").iterdir()}
    assert kept == {path.name: path.read_bytes() for path in (again / "bye/de").iterdir()}


def test_i4_a_version_made_meanwhile_is_not_overwritten(client: Carillon) -> None:
    from carillon_client.cli import sync  # noqa: PLC0415
    from carillon_client.cli.files import Source  # noqa: PLC0415
    from carillon_client.errors import PreconditionFailed  # noqa: PLC0415

    client.create_template("raced", parts={"sms": {"text": "1"}})
    mine = sync.plan(client, Source("raced", "en", {"en": {"sms": {"text": "mine"}}}))
    other = client.get_template("raced").etag or ""
    client.update_template("raced", if_match=other, parts={"sms": {"text": "theirs"}})
    with pytest.raises(PreconditionFailed):
        sync.push(client, mine)
    assert client.get_template("raced").locales["en"]["sms"]["text"] == "theirs"


def test_i2_it_installs_and_runs_in_an_environment_of_its_own(
    stack: offline.Stack, tmp_path: Path
) -> None:
    uv, home = ROOT / ".venv/uv/bin/uv", tmp_path / "venv"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, home], check=True, timeout=60)
    install = [uv, "pip", "install", "-q", "--python", home / "bin/python", f"{ROOT}/client[cli]"]
    subprocess.run(install, check=True, timeout=120)
    health = "import carillon_client as c, sys; print(c.Carillon(sys.argv[1]).health()['status'])"
    done = subprocess.run(
        [home / "bin/python", "-c", health, stack.api], capture_output=True, text=True, check=True
    )
    assert done.stdout == "ok\n"
    command = [home / "bin/carillon", "--help"]
    assert "template" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
