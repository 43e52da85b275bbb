"""The agent in a real Jupyter server: what it sees of kernels, terminals, processes, what it sends and costs."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest

from mlabhub_agent.agent import make_way
from mlabhub_agent.looking import Looking
from mlabhub_agent.processes import Processes, cpu_between, parse, terminal_number
from mlabhub_agent.sending import AT_ONCE, KEPT, NOT_WANTED_S, Answer, Sender
from tests.extensions.server import OURS, JupyterServer, Start
from tests.extensions.test_person import connect

LAUNCH = "01AGENT"
BURN = "import time; end = time.process_time() + {0}\nwhile time.process_time() < end: pass"


class Receiver:
    """A service that takes everything, and keeps it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.status = 200
        self.answers: dict[str, tuple[int, Any]] = {}
        """What is answered instead, by the end of the path."""
        self.paths: list[tuple[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                path = self.path.removeprefix("/reports")
                if path:
                    receiver.paths.append((path, body))
                else:
                    receiver.calls.append((self.headers["Authorization"], body))
                self.answer(path)

            def do_GET(self) -> None:
                receiver.paths.append((self.path.removeprefix("/reports"), None))
                self.answer(self.path.removeprefix("/reports"))

            def answer(self, path: str) -> None:
                status, said = receiver.answers.get(path, (receiver.status, None))
                content = b"" if said is None else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/reports"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()

    def wait(self, fits: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
        """Return the first report from now on that fits."""
        began, deadline = len(self.calls), time.monotonic() + seconds
        while True:
            for _, body in self.calls[began:]:
                found: dict[str, Any]
                for found in body["reports"]:
                    if fits(found):
                        return found
            assert time.monotonic() < deadline, self.calls[-3:]
            time.sleep(0.05)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    yield one
    one.close()


def environ_of(receiver: Receiver) -> dict[str, str]:
    """Return what a server of the hub's is told."""
    return {
        "MLABHUB_REPORTS_URL": receiver.url,
        "MLABHUB_REPORT_TOKEN": "r1.token",
        "MLABHUB_LAUNCH_ID": LAUNCH,
        "JUPYTERHUB_USER": "alice",
        "JUPYTERHUB_SERVER_NAME": "train",
    }


def start_server(start: Start, receiver: Receiver, hurried: bool = True, **environ: str) -> JupyterServer:
    extensions = {**OURS, "jupyter_server_terminals": True, "mlabhub_agent": True}
    if hurried:
        extensions["tests.extensions.hurried_agent"] = True
    return start(environ={**environ_of(receiver), **environ}, extensions=extensions)


def test_a_server_says_what_goes_on_in_it(start: Start, receiver: Receiver) -> None:
    server = start_server(start, receiver)
    quiet = receiver.wait(lambda report: "cpu_cores" in report)
    assert (quiet["kernels_busy"], quiet["terminals_busy"]) == (0, 0)
    assert "kernels_busy_age" not in quiet
    token, body = receiver.calls[0]
    assert (token, body["server"]) == ("Bearer r1.token", "alice/train")
    with server.client() as client:
        name = client.post("api/terminals").json()["name"]
        opened = receiver.wait(lambda report: "terminal" in report.get("inputs", {}))
        assert opened["input_age"] <= 5
        receiver.wait(lambda report: report["terminals_busy"] == 0)
        type_in(server, name, "sleep 1000\r")
        receiver.wait(lambda report: report["terminals_busy"] == 1)
        type_in(server, name, "\x03")
        receiver.wait(lambda report: report["terminals_busy"] == 0)
        client.post("mlabhub/api/touched/lab")
        assert receiver.wait(lambda report: "lab" in report["inputs"])["inputs"]["lab"] <= 5
        before = client.get("api/status").json()["last_activity"]
        receiver.wait(lambda report: report["input_age"] > 2)
        assert client.get("api/status").json()["last_activity"] == before
        client.delete(f"api/terminals/{name}")


def test_a_busy_kernel_is_seen_though_it_says_nothing(start: Start, receiver: Receiver) -> None:
    server = start_server(start, receiver)
    with server.client() as client:
        kernel = client.post("api/kernels").json()["id"]
        run_in_kernel(server, kernel, BURN.format(4))
        busy = receiver.wait(lambda report: report["kernels_busy"] == 1 and report["kernels_busy_age"] > 1)
        assert busy["cpu_cores"] > 0.1
        receiver.wait(lambda report: report["kernels_busy"] == 0)
        client.delete(f"api/kernels/{kernel}")


def test_vscode_tells_by_a_file_that_somebody_is_at_work(tmp_path: Path) -> None:
    class Running:
        folder = tmp_path

    class Surroundings:
        running = {"vscode": Running}  # noqa: RUF012

    settings: dict[str, Any] = {"mlabhub_proxies": Surroundings}
    looking, nothing = Looking(settings), Processes("", all_are_ours=False, server=2**22).look()
    looking.take(nothing)
    assert "inputs" not in looking.report()
    file = tmp_path / "active"
    file.touch()
    looking.take(nothing)
    assert looking.report()["inputs"].keys() == {"vscode"}
    noted = settings["mlabhub_person"]["vscode"]
    looking.take(nothing)
    assert settings["mlabhub_person"]["vscode"] == noted, "the same touch counts once"
    os.utime(file, (1.0, 1.0))  # a clock that was set back
    looking.take(nothing)
    assert settings["mlabhub_person"]["vscode"] > noted


def test_only_the_servers_own_processes_count_where_others_are_seen() -> None:
    launch = f"{LAUNCH}{os.getpid()}"
    marked = {**os.environ, "MLABHUB_LAUNCH_ID": launch}
    left = f"{sys.executable} -c 'import time; time.sleep(60)' >/dev/null & echo $!"
    orphan = int(subprocess.run(["sh", "-c", left], env=marked, stdout=subprocess.PIPE, check=True).stdout)
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    child = subprocess.Popen(["sleep", "60"], env={})
    try:
        mine = {pid for pid, _ in Processes(launch, all_are_ours=False, server=child.pid).look().processes}
        assert mine == {orphan, child.pid}
        everything = {pid for pid, _ in Processes(launch, all_are_ours=True).look().processes}
        assert {orphan, child.pid, stranger.pid, 1} <= everything
    finally:
        os.kill(orphan, signal.SIGKILL)
        for one in (stranger, child):
            one.kill()
            one.wait()


def test_cpu_of_children_that_ended_between_two_looks_is_counted() -> None:
    spawn = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN.format(0.6)!r}]); sys.stdin.read()"
    processes = Processes("", all_are_ours=False)
    with subprocess.Popen([sys.executable, "-c", spawn], stdin=subprocess.PIPE) as parent:
        mine = Processes("", all_are_ours=False, server=parent.pid)
        before = mine.look()
        deadline = time.monotonic() + 30
        while cpu_between(before.processes, mine.look().processes) < 0.6:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        while len(mine.look().processes) > 1:
            time.sleep(0.05)
        spent = cpu_between(before.processes, mine.look().processes)
        parent.communicate(b"")
    assert 0.6 <= spent < 3
    assert cpu_between(processes.look().processes, {}) == 0, "never less than nothing"


def test_a_process_may_have_any_name() -> None:
    line = b"7 (a) 1 (b c) R 1 7 7 34817 9 0 0 0 0 0 150 50 100 0 20 0 1 0 4242 0 0"
    one = parse(line)
    assert (one.pid, one.name, one.parent, one.session, one.terminal, one.foreground) == (
        7,
        "a) 1 (b c",
        1,
        7,
        34817,
        9,
    )
    assert (one.own_s, one.ended_s, one.started) == (2.0, 1.0, 4242)
    assert terminal_number(os.makedev(136, 3)) == 3
    assert terminal_number(os.makedev(137, 3)) == 259
    assert terminal_number(os.makedev(4, 1)) is None


def test_typing_in_any_terminal_is_seen_and_output_is_not() -> None:
    pid, master = pty.fork()
    if pid == 0:
        os.execvp("sh", ["sh", "-c", "read line; echo out; sleep 60"])
    try:
        mine = Processes("", all_are_ours=False, server=pid)
        deadline = time.monotonic() + 10
        while not mine.look().touched:  # the child opens its terminal by itself
            assert time.monotonic() < deadline
            time.sleep(0.05)
        [(terminal, opened)] = mine.look().touched.items()
        os.set_blocking(master, False)
        os.utime(f"/dev/pts/{terminal_number(terminal)}", (opened - 100, opened))
        [(_, before)] = mine.look().touched.items()
        assert before == opened - 100
        os.write(master, b"x\n")
        deadline = time.monotonic() + 10
        while mine.look().touched[terminal] == before:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(master)


class Line:
    """A service of the test, its clocks as well."""

    def __init__(self) -> None:
        self.now, self.elapsed = 1000.0, 50.0
        self.answers: list[tuple[int, str] | OSError] = []
        self.bodies: list[dict[str, Any]] = []
        self.sender = Sender("alice/", self.post, clock=lambda: self.now, monotonic=lambda: self.elapsed)

    async def post(self, body: bytes) -> Answer:
        """Answer what the test wants, else that it is taken."""
        answer = self.answers.pop(0) if self.answers else (200, "")
        if isinstance(answer, OSError):
            raise answer
        if answer[0] == 200:
            self.bodies.append(json.loads(body))
        return Answer(*answer)

    async def minute(self, count: int = 1) -> None:
        """Let minutes pass, with a report in each."""
        for _ in range(count):
            self.now, self.elapsed = self.now + 60, self.elapsed + 60
            self.sender.add({"kernels_busy": 0})
            await self.sender.send()

    def taken(self) -> list[int]:
        """Return the numbers of what was taken."""
        return [report["number"] for body in self.bodies for report in body["reports"]]


async def test_what_cannot_be_sent_is_sent_later_once_and_in_order() -> None:
    line = Line()
    line.answers = [OSError("refused"), (503, ""), (502, "junk")]
    await line.minute(4)
    assert line.taken() == [1001, 1002, 1003, 1004]
    assert [report["t"] for report in line.bodies[0]["reports"]] == [1060, 1120, 1180, 1240]
    await line.minute()
    assert line.taken() == [1001, 1002, 1003, 1004, 1005]


async def test_a_clock_that_is_set_meanwhile_changes_no_age() -> None:
    line = Line()
    line.answers = [OSError("refused")]
    await line.minute()
    line.now -= 3600
    await line.minute()
    [body] = line.bodies
    assert [body["sent"] - report["t"] for report in body["reports"]] == [60, 0]


async def test_a_long_outage_is_caught_up_with_and_costs_bounded_memory() -> None:
    line = Line()
    line.answers = [OSError("away")] * (KEPT + 30)
    await line.minute(KEPT + 30)
    assert line.bodies == []
    await line.minute()
    assert [len(body["reports"]) for body in line.bodies] == [AT_ONCE, AT_ONCE]
    assert line.taken() == list(range(1032, 1152))


@pytest.mark.parametrize("status", [401, 403, 410])
async def test_who_is_not_wanted_calls_seldom(status: int) -> None:
    line = Line()
    line.answers = [(status, ""), (status, "")]
    await line.minute(int(NOT_WANTED_S / 60))
    assert len(line.answers) == 1
    await line.minute(int(NOT_WANTED_S / 60) + 1)
    assert line.answers == []
    assert 1001 not in line.taken()


async def test_what_is_not_right_is_not_sent_again_and_who_is_asked_to_wait_waits() -> None:
    line = Line()
    line.answers = [(422, ""), (429, "90")]
    await line.minute(3)
    assert line.taken() == []
    await line.minute()
    assert line.taken() == [1002, 1003, 1004]


def test_without_an_address_or_a_token_nothing_is_sent() -> None:
    assert make_way({}) is None
    assert make_way({"MLABHUB_REPORTS_URL": "http://x"}) is None
    way = make_way({"MLABHUB_REPORTS_URL": "http://x", "MLABHUB_REPORT_TOKEN": "t", "JUPYTERHUB_USER": "a"})
    assert way is not None
    assert way.server == "a/"


@pytest.mark.long
def test_the_agent_costs_next_to_nothing(start: Start, receiver: Receiver) -> None:
    """Two servers side by side for two minutes, one with the agent: what it adds in CPU and memory."""
    with_agent = start_server(start, receiver, hurried=False)
    without = start(extensions={**OURS, "jupyter_server_terminals": True})
    both = [psutil.Process(one.process.pid) for one in (with_agent, without)]
    time.sleep(10)
    before = [sum(one.cpu_times()[:2]) for one in both]
    time.sleep(120)
    spent = [sum(one.cpu_times()[:2]) - cpu for one, cpu in zip(both, before, strict=True)]
    memory = [one.memory_full_info().uss for one in both]
    assert receiver.calls
    share, more = (spent[0] - spent[1]) / 120, memory[0] - memory[1]
    print(f"the agent: {100 * share:.3f} % of a core, {more / 2**20:.1f} MiB")
    assert share < 0.005
    assert more < 40 * 10**6


def type_in(server: JupyterServer, name: str, text: str) -> None:
    """Type into a shell, as JupyterLab does."""
    line = connect(server, f"terminals/websocket/{name}")
    line.send(json.dumps(["stdin", text]))
    time.sleep(0.3)
    line.close()


def run_in_kernel(server: JupyterServer, kernel: str, code: str) -> None:
    """Run a cell, and go away."""
    header = {"msg_id": "1", "msg_type": "execute_request", "username": "", "session": "s", "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    line = connect(server, f"api/kernels/{kernel}/channels")
    line.send(json.dumps(message))
    deadline = time.monotonic() + 60
    while True:
        said = line.recv()
        if isinstance(said, str) and '"execution_state": "busy"' in said and '"execute_request"' in said:
            break
        assert time.monotonic() < deadline
    line.close()
