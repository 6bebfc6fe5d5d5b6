"""What the offline run can be asked without starting a cloud."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDict
from rich.console import Console
from yarl import URL

from offline import __main__ as command
from offline import build, demo, deploy, gateway, guard, lock, parent, secrets, workspace
from offline.children import Children
from offline.environment import cloud_environment, offline_path, tool_environment
from offline.problems import OfflineError
from offline.progress import Steps
from offline.stack import Ports, Stack, announce, free_ports

API = "http://127.0.0.1:8000"


# --- one run at a time -------------------------------------------------------------------------


@contextmanager
def other_run(state: Path) -> Iterator[int]:
    code = (
        "import sys, pathlib; from offline.lock import only_run\n"
        f"with only_run(pathlib.Path(sys.argv[1]), {API!r}): print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=offline_path(),
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        yield process.pid
        process.communicate(b"\n")


def test_a_second_run_says_which_process_is_running_and_where(tmp_path: Path) -> None:
    with other_run(tmp_path) as pid:
        holding = lock.only_run(tmp_path, "http://127.0.0.1:9000")
        with pytest.raises(OfflineError) as refused, holding:
            pass
    assert str(refused.value) == f"Carillon is already running here: process {pid}, {API}"


def test_the_lock_is_free_again_after_a_run(tmp_path: Path) -> None:
    with other_run(tmp_path):
        pass
    with lock.only_run(tmp_path, API):
        assert json.loads((tmp_path / "run.lock").read_text()) == {"pid": os.getpid(), "api": API}


def test_a_killed_run_is_waited_for_and_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with other_run(tmp_path) as pid:
        content = json.dumps({"pid": dead_process(), "api": API})
        (tmp_path / "run.lock").write_text(content)
        monkeypatch.setattr(lock, "TIDY_SECONDS", 0.2)
        with pytest.raises(OfflineError), lock.only_run(tmp_path, API):
            pass
        assert (tmp_path / "run.lock").read_text() == content
        assert pid


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@contextmanager
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_is_named_with_the_variable_that_changes_it() -> None:
    with listener() as port, pytest.raises(OfflineError) as refused:
        lock.check_ports({"SANDBOX_PORT": port})
    assert str(refused.value) == (
        f"port {port} is taken; choose another: make run SANDBOX_PORT={port + 1}"
    )


def test_a_port_behind_a_wildcard_listener_is_taken() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104 - the case itself
        assert lock.why_taken(server.getsockname()[1]) == "is taken"


def test_free_ports_are_free_and_different() -> None:
    ports = free_ports()
    lock.check_ports({"PORT": ports.api, "SANDBOX_PORT": ports.sandbox, "CLOUD_PORT": ports.cloud})


def test_two_parts_cannot_share_a_port() -> None:
    with pytest.raises(OfflineError, match="PORT and CLOUD_PORT are both 8000"):
        lock.check_ports({"PORT": 8000, "CLOUD_PORT": 8000})


@pytest.mark.parametrize("given", ["abc", "0", "65536", "-1", "80 80"])
def test_what_is_not_a_port_is_said(given: str) -> None:
    with pytest.raises(OfflineError, match=f"PORT={given} is not a port"):
        command.port({"PORT": given}, "PORT", 8000)


def test_an_empty_variable_is_the_default_port() -> None:
    assert command.port({"PORT": ""}, "PORT", 8000) == 8000


@pytest.mark.parametrize("given", ["localhost:8025", "ftp://localhost", "http://"])
def test_what_is_not_an_address_is_said(given: str) -> None:
    with pytest.raises(OfflineError, match="is not an http address"):
        command.sandbox_url({"SANDBOX_URL": given})


# --- processes ---------------------------------------------------------------------------------

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True)"


def await_line(log: Path) -> None:
    while not log.exists() or b"\n" not in log.read_bytes():
        pass


def test_a_child_and_its_children_end_with_the_block(tmp_path: Path) -> None:
    sleep = "print(1, flush=True); import time; time.sleep(60)"
    spawn = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {sleep!r}])"
    log = tmp_path / "log"
    with Children() as children:
        child = children.start("one", [sys.executable, "-c", spawn], offline_path(), log)
        await_line(log)
    assert not guard.runs(child.process.pid)


def test_a_child_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Children() as children:
        child = children.start(
            "one", [sys.executable, "-c", f"{STUBBORN}; time.sleep(60)"], offline_path(), log
        )
        await_line(log)
        guard.end([child.process.pid], grace=0.1)
        assert child.process.wait() == -signal.SIGKILL


def test_a_killed_runner_leaves_no_process_and_no_files(tmp_path: Path) -> None:
    leftover = tmp_path / "run.json"
    leftover.write_text("{}")
    log = tmp_path / "log"
    runner = (
        "import os, pathlib, sys\n"
        "from offline.children import Children\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "with Children([folder / 'run.json']) as children:\n"
        "    code = 'print(1, flush=True); import time; time.sleep(60)'\n"
        "    command = [sys.executable, '-c', code]\n"
        "    child = children.start('x', command, os.environ, folder / 'log')\n"
        "    print(child.process.pid, flush=True)\n"
        "    child.ended.wait()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", runner, str(tmp_path)], stdout=subprocess.PIPE, env=offline_path()
    ) as process:
        assert process.stdout
        group = int(process.stdout.readline())
        await_line(log)
        process.kill()
    while guard.runs(group) or leftover.exists():
        pass


def test_the_first_child_to_end_is_named_and_one_that_was_meant_to_is_not(tmp_path: Path) -> None:
    env = offline_path()
    with Children() as children:
        built = children.start(
            "the build", [sys.executable, "-c", ""], env, tmp_path / "a", serves=False
        )
        children.finish(built)
        children.start(
            "the cloud", [sys.executable, "-c", "print('why'); exit(3)"], env, tmp_path / "b"
        )
        lost = children.first_exit()
    error = lost.failed("the cloud ended by itself")
    assert str(error).startswith("the cloud ended by itself (exit 3)")
    assert error.tail() == "why"


def test_a_failed_step_shows_the_end_of_its_log(tmp_path: Path) -> None:
    code = "print('\\n'.join(map(str, range(100)))); exit(1)"
    with Children() as children, pytest.raises(OfflineError) as failed:
        children.finish(
            children.start(
                "sam build", [sys.executable, "-c", code], offline_path(), tmp_path / "l"
            )
        )
    assert failed.value.tail().splitlines()[-1] == "99"
    assert len(failed.value.tail().splitlines()) < 50


def test_a_program_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with Children() as children, pytest.raises(OfflineError, match="the cloud cannot be started"):
        children.start("the cloud", [tmp_path / "nothing"], {}, tmp_path / "log")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc on this system")
def test_a_process_that_stops_catching_sigint_is_seen_to() -> None:
    caught = signal.getsignal(signal.SIGINT)
    try:
        # A shell starts what runs in its background without it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        assert parent.catches(os.getpid())
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        assert not parent.catches(os.getpid())
    finally:
        signal.signal(signal.SIGINT, caught)


# --- environments ------------------------------------------------------------------------------


def test_no_process_learns_of_a_real_account(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "real")
    for env in (offline_path(), tool_environment("http://cloud"), cloud_environment(1, tmp_path)):
        assert "AWS_PROFILE" not in env
        assert "AWS_SESSION_TOKEN" not in env
    assert tool_environment("http://cloud")["AWS_ENDPOINT_URL"] == "http://cloud"


def test_the_functions_inherit_nothing_of_the_reader(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SOMEBODYS_SECRET", "x")
    env = cloud_environment(4566, tmp_path)
    assert "SOMEBODYS_SECRET" not in env
    assert env["BIND_HOST"] == "127.0.0.1"


def test_a_proxy_is_not_used_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "example.com")
    assert tool_environment()["no_proxy"] == "127.0.0.1,localhost,example.com"


def test_functions_are_unpacked_in_memory_where_there_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr(workspace, "MEMORY", memory)
    monkeypatch.setattr(workspace, "ENOUGH_BYTES", 1)
    folder = workspace.folder(tmp_path)
    (folder / "left by a killed run").touch()
    assert folder.parent == memory
    assert workspace.folder(tmp_path) == folder
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("place", "enough"), [("memory", 2**62), ("nothing", 1)])
def test_functions_are_unpacked_beside_the_logs_where_there_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, enough: int
) -> None:
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(workspace, "MEMORY", tmp_path / place)
    monkeypatch.setattr(workspace, "ENOUGH_BYTES", enough)
    assert workspace.folder(tmp_path) == tmp_path / "tmp"


# --- build and deploy --------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(build, "_TOOLS", ())
    (tmp_path / "functions" / "__pycache__").mkdir(parents=True)
    (tmp_path / "functions" / "handler.py").write_text("1")
    (tmp_path / "template.yaml").write_text("a")
    return tmp_path


def test_an_unchanged_tree_is_not_built_again(tree: Path) -> None:
    before = build.fingerprint(tree)
    (tree / "functions" / "__pycache__" / "handler.pyc").write_text("x")
    assert build.fingerprint(tree) == before


@pytest.mark.parametrize("path", ["functions/handler.py", "functions/new.py", "template.yaml"])
def test_any_change_is_built(tree: Path, path: str) -> None:
    before = build.fingerprint(tree)
    (tree / path).write_text("other")
    assert build.fingerprint(tree) != before


def test_a_missing_environment_is_one_clear_line(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_TOOLS", (tree / "tools" / ".ready",))
    with pytest.raises(OfflineError, match=r"no \.venv/tools: make run installs it"):
        build.fingerprint(tree)


def test_tables_of_nested_stacks_are_found_too() -> None:
    assert list(deploy.tables(Formation(), "outer")) == ["one", "two"]


class Formation:
    STACKS: ClassVar = {
        "outer": [("AWS::DynamoDB::Table", "one"), ("AWS::CloudFormation::Stack", "inner")],
        "inner": [("AWS::SQS::Queue", "queue"), ("AWS::DynamoDB::Table", "two")],
    }

    def get_paginator(self, _: str) -> "Formation":
        return self

    def paginate(self, *, StackName: str) -> list[dict[str, list[dict[str, str]]]]:  # noqa: N803
        return [
            {"StackResourceSummaries": [{"ResourceType": kind, "PhysicalResourceId": name}]}
            for kind, name in self.STACKS[StackName]
        ]


def test_the_firebase_account_asks_the_sandbox_for_its_tokens() -> None:
    account = secrets.firebase_account("http://127.0.0.1:8025")
    assert account["token_uri"] == "http://127.0.0.1:8025/token"
    assert account["private_key"].startswith("-----BEGIN PRIVATE KEY-----")


def test_the_twilio_account_has_the_shape_of_a_real_one() -> None:
    account = secrets.twilio_account()
    assert {name: len(value) for name, value in account.items()} == {
        "account_sid": 34,
        "auth_token": 32,
        "messaging_service_sid": 34,
    }


# --- run.json ----------------------------------------------------------------------------------


def stack(**changes: object) -> Stack:
    values = {
        "api": API,
        "sandbox": "http://127.0.0.1:8025",
        "cloud": "http://127.0.0.1:4566",
        "admin_token": "nk_admin_x",
        "own_sandbox": True,
        "children": Children(),
    }
    return Stack(**(values | changes))  # type: ignore[arg-type]


def test_run_json_holds_what_another_program_needs(tmp_path: Path) -> None:
    file = announce(stack(), tmp_path)
    assert json.loads(file.read_text()) == {
        "api": API,
        "sandbox": "http://127.0.0.1:8025",
        "cloud": "http://127.0.0.1:4566",
        "admin_token": "nk_admin_x",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_run_json_is_for_its_owner_only(tmp_path: Path) -> None:
    assert announce(stack(), tmp_path).stat().st_mode & 0o077 == 0


# --- what reached whom -------------------------------------------------------------------------

POSTED = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
SEEN = {"subject": "Hello", "received_at": "2026-11-21T12:00:00.250Z"}


def delivery(**changes: object) -> dict[str, object]:
    told = {"channel": "email", "status": "sent", "provider": "ses", "to": "ada@example.com"}
    return told | {"updated_at": "2026-11-21T12:00:00.300Z"} | changes


def test_a_delivery_seen_at_its_other_end_has_arrived() -> None:
    arrival = demo.arrival(delivery(), SEEN, POSTED)
    assert arrival.arrived
    assert (arrival.to, arrival.what, arrival.milliseconds) == ("ada@example.com", "Hello", 250)


def test_sent_but_not_seen_has_not_arrived() -> None:
    arrival = demo.arrival(delivery(), None, POSTED)
    assert not arrival.arrived
    assert arrival.error == "sent, but nothing came to the other end"


def test_sent_to_somebody_elses_provider_is_believed() -> None:
    arrival = demo.arrival(delivery(), None, POSTED, can_look=False)
    assert arrival.arrived
    assert (arrival.to, arrival.milliseconds) == ("ada@example.com", 300)


@pytest.mark.parametrize("state", ["failed", "suppressed", "queued", "unknown"])
def test_any_other_end_has_not_arrived(state: str) -> None:
    assert not demo.arrival(delivery(status=state), SEEN, POSTED).arrived


def test_a_failure_names_the_channel_and_its_error() -> None:
    failed = demo.arrival(delivery(status="failed", error={"code": "21211"}), None, POSTED)
    others = [demo.Arrival(channel, "sent") for channel in ("sms", "push")]
    with pytest.raises(OfflineError) as reported:
        demo.check([failed, *others])
    assert str(reported.value) == (
        'did not arrive: email ({"code": "21211"}), inapp (not asked for)'
    )


def test_the_table_shows_text_as_it_is() -> None:
    console = Console(width=120)
    with console.capture() as shown:
        console.print(demo.table([demo.Arrival("email", "sent", what="[bold]not markup[/]")]))
    assert "[bold]not markup[/]" in shown.get()


# --- progress ----------------------------------------------------------------------------------


def test_each_step_is_one_plain_line_where_there_is_no_terminal() -> None:
    console = Console(force_terminal=False, width=80)
    with console.capture() as shown, Steps(console) as steps, steps.step("sam build"):
        pass
    assert shown.get() == "sam build: 0.0 s\n"


def test_a_step_that_fails_is_not_shown_as_done() -> None:
    console = Console(force_terminal=False, width=80)
    steps = Steps(console)
    with console.capture() as shown, pytest.raises(OfflineError), steps, steps.step("sam deploy"):
        raise OfflineError("no")
    assert shown.get() == ""


# --- the gateway -------------------------------------------------------------------------------

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Use = Callable[[ClientSession, URL], Awaitable[None]]


def through_gateway(upstream: Handler, use: Use) -> None:
    """Run `use` against a gateway in front of `upstream`."""

    async def scenario() -> None:
        app = web.Application(client_max_size=gateway.BODY_BYTES + 1024)
        app.router.add_route("*", "/{path:.*}", upstream)
        async with TestServer(app) as cloud:
            target = f"{cloud.make_url('/_aws/execute-api/abc/local')}"
            async with TestServer(gateway.application(target)) as front, ClientSession() as client:
                await use(client, front.make_url("/"))

    asyncio.run(scenario())


async def echo(request: web.Request) -> web.Response:
    return web.json_response(
        {
            "method": request.method,
            "target": request.raw_path,
            "headers": [[name.lower(), value] for name, value in request.headers.items()],
            "body": (await request.read()).decode(),
        }
    )


def test_path_query_and_body_go_through_untouched() -> None:
    async def use(client: ClientSession, front: URL) -> None:
        url = URL(f"{front}api/v1/a%2Fb/%C3%BC?x=1&x=%20&y", encoded=True)
        async with client.put(url, data=b'{"a": 1}') as answer:
            seen = await answer.json()
        assert seen["method"] == "PUT"
        assert seen["target"] == "/_aws/execute-api/abc/local/api/v1/a%2Fb/%C3%BC?x=1&x=%20&y"
        assert seen["body"] == '{"a": 1}'

    through_gateway(echo, use)


def test_only_end_to_end_headers_are_handed_on() -> None:
    async def use(client: ClientSession, front: URL) -> None:
        sent = {
            "Connection": "keep-alive, X-Private",
            "X-Private": "1",
            "TE": "trailers",
            "Idempotency-Key": "k",
            "X-Forwarded-For": "203.0.113.9",
        }
        async with client.get(front / "health", headers=sent) as answer:
            seen = (await answer.json())["headers"]
        names = [name for name, _ in seen]
        assert "x-private" not in names
        assert "te" not in names
        assert ["idempotency-key", "k"] in seen
        assert ["x-forwarded-for", "203.0.113.9, 127.0.0.1"] in seen
        assert ["x-forwarded-proto", "http"] in seen
        assert ["x-forwarded-host", f"{front.host}:{front.port}"] in seen
        assert ["x-forwarded-port", str(front.port)] in seen

    through_gateway(echo, use)


def test_nothing_is_added_that_the_client_did_not_send() -> None:
    async def use(client: ClientSession, front: URL) -> None:
        auto = ("Accept", "Accept-Encoding", "User-Agent")
        async with client.get(front / "health", skip_auto_headers=auto) as answer:
            names = {name for name, _ in (await answer.json())["headers"]}
        assert names == {"host"} | {
            f"x-forwarded-{end}" for end in ("for", "host", "port", "proto")
        }

    through_gateway(echo, use)


def test_a_location_is_seen_from_outside_the_stage() -> None:
    async def accepted(_: web.Request) -> web.Response:
        return web.Response(status=202, headers={"Location": "/local/api/v1/notifications/n"})

    async def use(client: ClientSession, front: URL) -> None:
        async with client.post(front / "api/v1/notifications") as answer:
            assert answer.status == 202
            assert answer.headers["Location"] == "/api/v1/notifications/n"

    through_gateway(accepted, use)


@pytest.mark.parametrize(
    "location", ["/api/v1/x", "/localhost/x", "https://example.com/local/x", "/local"]
)
def test_any_other_location_stays_as_it_is(location: str) -> None:
    kept = gateway.returned([("Location", location)], stage="local")
    assert kept == CIMultiDict({"Location": location})


def test_a_link_to_the_next_page_leads_through_the_gateway() -> None:
    link = '</local/api/v1/users/ada/notifications?cursor=x>; rel="next"'
    kept = gateway.returned([("Link", link)], stage="local")
    assert kept["Link"] == '</api/v1/users/ada/notifications?cursor=x>; rel="next"'


def test_repeated_answer_headers_are_all_kept() -> None:
    kept = gateway.returned([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], stage="local")
    assert kept.getall("set-cookie") == ["a=1", "b=2"]


def test_a_compressed_answer_stays_compressed() -> None:
    async def compressed(_: web.Request) -> web.Response:
        answer = web.Response(text="x" * 1000)
        answer.enable_compression(web.ContentCoding.gzip)
        return answer

    async def use(client: ClientSession, front: URL) -> None:
        async with client.get(front / "docs") as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert await answer.text() == "x" * 1000

    through_gateway(compressed, use)


@pytest.mark.parametrize(
    ("size", "status"), [(gateway.BODY_BYTES, 200), (gateway.BODY_BYTES + 1, 413)]
)
def test_a_body_may_have_ten_mebibytes_and_not_one_byte_more(size: int, status: int) -> None:
    async def count(request: web.Request) -> web.Response:
        return web.json_response({"size": len(await request.read())})

    async def use(client: ClientSession, front: URL) -> None:
        async with client.post(front / "x", data=BytesIO(b"x" * size)) as answer:
            assert answer.status == status
            if status == 413:
                assert answer.content_type == "application/problem+json"
                assert (await answer.json())["status"] == 413

    through_gateway(count, use)


def test_a_cloud_that_is_away_is_a_problem_with_status_502() -> None:
    async def scenario() -> None:
        target = f"http://127.0.0.1:{free_ports().cloud}/_aws/execute-api/abc/local"
        async with (
            TestServer(gateway.application(target)) as front,
            ClientSession() as client,
            client.get(front.make_url("/health")) as answer,
        ):
            assert answer.status == 502
            assert answer.content_type == "application/problem+json"
            assert (await answer.json())["title"] == "Bad Gateway"

    asyncio.run(scenario())


def test_an_answer_that_breaks_off_is_a_problem_with_status_502() -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "100"})
        await answer.prepare(request)
        await answer.write(b"x")
        assert request.transport
        request.transport.abort()
        return answer

    async def use(client: ClientSession, front: URL) -> None:
        async with client.get(front / "health") as answer:
            assert answer.status == 502

    through_gateway(broken, use)


def test_the_ports_are_the_documented_ones() -> None:
    assert Ports() == Ports(api=8000, sandbox=8025, cloud=4566)
