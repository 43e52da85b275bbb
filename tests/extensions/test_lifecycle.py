"""What is left of a server's tools however the server ends, and tools that behave badly. Real processes throughout."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import httpx
import psutil
import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.extensions.server import NAVIGATION, TOKEN, JupyterServer, Start

pytestmark = pytest.mark.long


def connect(server: JupyterServer, path: str) -> asyncio.Future[WebSocketClientConnection]:
    """Begin to open a websocket, signed in."""
    url = server.url.replace("http:", "ws:") + path
    return websocket_connect(HTTPRequest(url, headers={"Authorization": f"token {TOKEN}"}, request_timeout=20))


async def hang_up(connection: WebSocketClientConnection) -> None:
    """Close a websocket and wait until it is."""
    connection.close()
    while await connection.read_message() is not None:
        pass


# However the server ends ------------------------------------------------------------------------------------------

DAEMON_SLEEPS = "86399"


def end_by_signal(server: JupyterServer) -> None:
    """End it as JupyterHub does."""
    server.process.send_signal(signal.SIGTERM)


def end_by_interrupt(server: JupyterServer) -> None:
    """End it as JupyterHub does first with a plain process; without a terminal it does not ask back."""
    server.process.send_signal(signal.SIGINT)


def end_by_api(server: JupyterServer) -> None:
    """End it as JupyterLab's menu does."""
    with server.client() as client:
        client.post("api/shutdown").raise_for_status()


def end_by_kill(server: JupyterServer) -> None:
    """End it as the kernel does when memory is short."""
    server.process.kill()


@pytest.mark.parametrize("end", [end_by_signal, end_by_interrupt, end_by_api, end_by_kill])
def test_nothing_is_left(start: Start, end: Callable[[JupyterServer], None]) -> None:
    server = start(
        offer={"echo": ["say=hello", "daemon", "serve"], "slow": ["wait=60"]}, environ={"DAEMON_SLEEPS": DAEMON_SLEEPS}
    )
    with server.client(headers=NAVIGATION) as browser, server.client() as program:
        assert program.get("echo/").status_code == 200
        assert browser.get("slow/").status_code == 202
    # A keeper and a program each, and the daemon.
    server.wait_for_processes(5)
    assert any(DAEMON_SLEEPS in process.cmdline() for process in server.tool_processes())
    assert list((server.runtime / "mlabhub").iterdir())
    end(server)
    server.process.wait(20)
    server.wait_until_alone(seconds=10)
    deadline = time.monotonic() + 5
    while left := list((server.runtime / "mlabhub").iterdir()):
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.05)


def test_two_servers_of_one_person_do_not_meet(start: Start) -> None:
    one = start(offer={"echo": ["serve"]})
    two = start(offer={"echo": ["serve"]}, environ={"XDG_RUNTIME_DIR": str(one.runtime)})
    with one.client() as first, two.client() as second:
        first.get("echo/").raise_for_status()
        second.get("echo/").raise_for_status()
        sockets = list(one.runtime.glob("mlabhub/*/echo/socket"))
        assert len(sockets) == 2
        assert {(socket.parents[1].stat().st_mode & 0o777) for socket in sockets} == {0o700}
        one.process.kill()
        one.process.wait()
        assert second.get("echo/").status_code == 200


# A killed keeper, and a tool that is killed ------------------------------------------------------------------------


def keeper_of(server: JupyterServer, slug: str) -> psutil.Process:
    """Return the keeper of a tool."""
    return next(
        process
        for process in server.tool_processes()
        if any(part.endswith("keeper.py") for part in process.cmdline())
        and any(part.endswith(f"/{slug}") for part in process.cmdline())
    )


def test_a_killed_keeper_takes_its_tool_along(start: Start) -> None:
    server = start(offer={"echo": ["serve"]})
    with server.client() as program:
        program.get("echo/").raise_for_status()
        keeper_of(server, "echo").kill()
        assert server.wait_for("echo", "failed")["sentence"] == "Echo was ended by signal SIGKILL."
        server.wait_until_alone()
        assert program.post("mlabhub/api/tools/echo", json={"action": "start"}).json()["state"] == "starting"
        assert program.get("echo/").status_code == 200


def test_a_killed_tool_is_failed_and_stays_so(start: Start) -> None:
    server = start(offer={"echo": ["say=Last words", "serve"]})
    with server.client() as program:
        program.get("echo/").raise_for_status()
        keeper_of(server, "echo").children()[0].kill()
        failed = server.wait_for("echo", "failed")
        assert failed["sentence"] == "Echo was ended by signal SIGKILL."
        assert failed["log"].splitlines()[-1] == "Last words"
        assert failed["fix"] == "Look into the log, then try again."
        assert program.get("echo/").status_code == 503
    server.wait_until_alone()


@pytest.mark.parametrize(("status", "state"), [(0, "stopped"), (7, "failed")])
def test_a_tool_that_ends_by_itself(start: Start, status: int, state: str) -> None:
    server = start(offer={"echo": ["serve"]})
    with server.client(headers=NAVIGATION) as browser, server.client() as program:
        program.get("echo/").raise_for_status()
        program.get(f"echo/end?status={status}")
        server.wait_for("echo", state)
        # A desktop that was logged out of is there again when it is opened; a fault is shown first.
        assert browser.get("echo/").status_code == (202 if state == "stopped" else 502)


# Tools that behave badly -------------------------------------------------------------------------------------------


async def test_twenty_requests_at_once_start_one_process(start: Start) -> None:
    server = start(offer={"echo": ["wait=0.5", "serve"]})
    async with httpx.AsyncClient(
        base_url=server.url, headers={"Authorization": f"token {TOKEN}"}, timeout=30
    ) as client:
        answers = await asyncio.gather(*(client.get(f"echo/{number}") for number in range(20)))
        opened = await asyncio.gather(*(connect(server, "echo/echo") for _ in range(5)))
    assert [answer.json()["uri"] for answer in answers] == [f"/{number}" for number in range(20)]
    assert len(server.tool_processes()) == 2
    for connection in opened:
        await hang_up(connection)


def test_one_that_never_listens(start: Start) -> None:
    server = start(offer={"mute": {"does": ["say=Still thinking", "wait=600"], "more": {"longest_seconds": 3}}})
    with server.client(headers=NAVIGATION) as browser, server.client() as program:
        begun = time.monotonic()
        assert browser.get("mute/").status_code == 202
        # Asking while it starts is quick, and starts nothing.
        assert browser.get("mute/").status_code == 202
        assert time.monotonic() - begun < 3
        answer = program.get("mute/")
        assert answer.status_code == 503
        assert answer.json()["error"]["message"] == "Mute did not answer within 3 s."
        assert server.state("mute")["log"].splitlines()[-1] == "Still thinking"
    server.wait_until_alone()


def test_one_that_floods_its_log(start: Start) -> None:
    server = start(offer={"loud": ["flood=<script>alert(1)</script>", "serve"]})
    with server.client(headers=NAVIGATION) as browser, server.client() as program:
        program.get("loud/").raise_for_status()
        keeper = keeper_of(server, "loud")
        before = sum(keeper.cpu_times()[:2])
        time.sleep(2)
        assert sum(keeper.cpu_times()[:2]) - before < 0.5
        written = sum(file.stat().st_size for file in server.runtime.glob("mlabhub/*/loud/log*"))
        assert 128 * 1024 < written <= 256 * 1024
        begun = time.monotonic()
        assert browser.get("loud/").status_code == 200
        assert server.state("loud")["log"] == ""
        next(child for child in keeper.children() if "serve" in child.cmdline()).kill()
        failed = server.wait_for("loud", "failed")
        page = browser.get("loud/")
        assert time.monotonic() - begun < 10
    assert len(failed["log"]) <= 8 * 1024
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    server.wait_until_alone()


async def test_a_restart_while_a_websocket_is_open(start: Start) -> None:
    server = start(offer={"echo": ["serve"]})
    first = await connect(server, "echo/echo")
    await first.write_message("before")
    assert await first.read_message() == "before"
    with server.client() as program:
        restart = asyncio.to_thread(program.post, "mlabhub/api/tools/echo", json={"action": "restart"})
        answer, closed = await asyncio.gather(restart, asyncio.wait_for(first.read_message(), 10))
        assert answer.json()["state"] == "starting"
        assert closed is None
        first.close()
        # The page's next try waits for the new one.
        second = await connect(server, "echo/echo")
        await second.write_message(b"after", binary=True)
        assert await second.read_message() == b"after"
        await hang_up(second)


def test_a_start_and_a_stop_at_once(start: Start) -> None:
    server = start(offer={"slow": ["wait=30"]})
    with server.client() as program:
        assert program.post("mlabhub/api/tools/slow", json={"action": "start"}).json()["state"] == "starting"
        assert program.post("mlabhub/api/tools/slow", json={"action": "stop"}).json()["state"] == "stopped"
        server.wait_until_alone()
        assert program.post("mlabhub/api/tools/slow", json={"action": "restart"}).json()["state"] == "starting"


async def test_stops_and_restarts_at_once_leave_one_process_or_none(start: Start) -> None:
    server = start(offer={"slow": ["wait=30"]})

    async def ask(action: str, after: float) -> None:
        await asyncio.sleep(after)
        with server.client() as program:
            answer = await asyncio.to_thread(program.post, "mlabhub/api/tools/slow", json={"action": action})
        assert answer.status_code == 200

    await ask("start", 0)
    for actions in (["restart", "restart", "restart"], ["restart", "stop"], ["restart", "stop", "restart", "stop"]):
        await asyncio.gather(*(ask(action, 0.02 * place) for place, action in enumerate(actions)))
        await asyncio.to_thread(server.wait_for_processes, 2 if actions[-1] == "restart" else 0, 5)
        assert server.state("slow")["state"] == ("starting" if actions[-1] == "restart" else "stopped")
        await ask("restart", 0)


# Disks -------------------------------------------------------------------------------------------------------------


def test_a_home_that_is_read_only(start: Start) -> None:
    server = start(offer={"echo": ["serve"]}, environ={"HOME": "/proc"})
    with server.client() as program:
        assert program.get("echo/").status_code == 200


def test_a_runtime_folder_that_cannot_be_used(start: Start) -> None:
    server = start(offer={"echo": ["serve"]}, environ={"XDG_RUNTIME_DIR": "/proc/nowhere"})
    with server.client() as program:
        assert program.get("echo/").status_code == 200


@pytest.mark.engine
def test_a_full_runtime_folder(start: Start) -> None:
    server = start(offer={"echo": ["serve"]})
    around = server.runtime / "mlabhub"
    around.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(around)], check=True)
    try:
        filler = around / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        with server.client() as program:
            answer = program.get("echo/")
            assert answer.json()["error"] == {
                "code": "tool_failed",
                "message": "Echo could not be started: No space left on device.",
            }
            filler.unlink()
            program.post("mlabhub/api/tools/echo", json={"action": "start"}).raise_for_status()
            assert program.get("echo/").status_code == 200
    finally:
        subprocess.run(["umount", "--lazy", str(around)], check=True)


# Beside what people configure ---------------------------------------------------------------------------------------


def test_servers_that_a_person_configured_stay_and_win(start: Start) -> None:
    theirs = {"command": [sys.executable, "-m", "http.server", "{port}"], "timeout": 20}
    servers = f"--ServerProxy.servers={ {'mine': theirs, 'echo': theirs} }"
    server = start(offer={"echo": ["serve"], "other": ["serve"]}, arguments=[servers])
    with server.client() as program:
        for name in ("mine", "echo"):
            assert "Directory listing" in program.get(f"{name}/").text
        assert program.get("other/x").json()["uri"] == "/x"


# What it costs -----------------------------------------------------------------------------------------------------


def test_a_keeper_costs_little(start: Start) -> None:
    server = start(offer={"echo": ["serve"]})
    with server.client() as program:
        program.get("echo/").raise_for_status()
    keeper = keeper_of(server, "echo")
    before = keeper.cpu_times(), keeper.num_ctx_switches()
    time.sleep(3)
    assert (keeper.cpu_times(), keeper.num_ctx_switches()) == before
    unshared = keeper.memory_full_info().uss
    assert unshared < 8 * 1024 * 1024, unshared
