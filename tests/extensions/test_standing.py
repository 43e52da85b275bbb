"""How a server stands, told to its tools by a real Jupyter server; what they ask for; orders that are carried out."""

from __future__ import annotations

import asyncio
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlabhub_agent import agent
from mlabhub_agent.orders import LATELY_S, Orders, Pages
from mlabhub_agent.processes import Processes
from mlabhub_agent.sending import Answer, Sender, Way
from mlabhub_agent.standing import NOTHING, Standing
from mlabhub_proxies import person
from tests.extensions.server import OURS, TOKEN, JupyterServer, Start
from tests.extensions.test_agent import Receiver, start_server

NOW = 5_000_000.0
"""The service's clock, far from the machine's."""
WORDS = {"en": "It will be stopped.", "zh_CN": "将被停止。"}


def status(**more: Any) -> dict[str, Any]:
    """Return what the service says of a server that is warned."""
    return {
        **NOTHING,
        "now": NOW,
        "verdict": "warned",
        "text": WORDS,
        "since": NOW - 600,
        "due": NOW - 60,
        "deadline": NOW + 900,
        "warning": {"at": NOW - 30, "title": WORDS, "body": WORDS},
        **more,
    }


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    one.answers = {"": (200, {"taken": 1, "dropped": 0, "status": status()})}
    yield one
    one.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JupyterServer, Receiver]]:
    """A server of several tests, and the service that it tells; each finds the service as if it was new."""
    heard = Receiver()
    one = start_server(partial(JupyterServer, tmp_path_factory.mktemp("server")), heard)
    yield one, heard
    one.close()
    heard.close()


@pytest.fixture
def heard(running: tuple[JupyterServer, Receiver]) -> Receiver:
    """What the server of several tests tells."""
    one = running[1]
    one.answers = {"": (200, {"taken": 1, "dropped": 0, "status": status()})}
    one.calls.clear()
    one.paths.clear()
    return one


@pytest.fixture
def server(running: tuple[JupyterServer, Receiver], heard: Receiver) -> JupyterServer:
    """The server of several tests, which knows that it is warned."""
    standing_of(running[0], "warned")
    return running[0]


def wait_for(fits: Callable[[], Any], seconds: float = 30) -> Any:
    """Wait until something is so; return it."""
    deadline = time.monotonic() + seconds
    while not (found := fits()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def standing_of(server: JupyterServer, verdict: str) -> dict[str, Any]:
    """Wait until a server knows a verdict; return what its tools are shown."""
    with server.client() as client:
        shown: dict[str, Any] = wait_for(
            lambda: (one := client.get("mlabhub/api/idle").json())["verdict"] == verdict and one
        )
    return shown


def test_tools_are_shown_what_the_service_says_in_ages(server: JupyterServer, heard: Receiver) -> None:
    shown = standing_of(server, "warned")
    assert shown["text"] == WORDS
    assert 0 <= shown["age"] < 10
    assert shown["since_age"] == pytest.approx(600 + shown["age"], abs=0.2)
    assert shown["deadline_in"] == pytest.approx(900 - shown["age"], abs=0.2)
    assert shown["due_in"] == 0
    with server.stranger() as stranger:
        assert stranger.get("mlabhub/api/idle").status_code == 403
        assert stranger.post("mlabhub/api/idle/release", json={}).status_code == 403
    heard.answers[""] = (200, {"taken": 1, "dropped": 0, "status": None})
    assert standing_of(server, "unknown")["age"] is None


def test_a_page_needs_the_token_against_forged_requests(server: JupyterServer, heard: Receiver) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as page:
        assert page.get("lab/workspaces", params={"token": TOKEN}).status_code < 500
        assert page.get("mlabhub/api/idle").status_code == 200, "the cookie signs in"
        assert page.post("mlabhub/api/idle/keep", json={"seconds": 60}).status_code == 403
    assert heard.paths == []


def test_keeping_and_releasing_reach_the_service_at_once(server: JupyterServer, heard: Receiver) -> None:
    heard.answers["/keep"] = (200, {"status": status(verdict="active", warning=None)})
    refused = {"error": {"code": "refused", "message": "只剩一小时。"}}
    heard.answers["/release"] = (409, refused)
    with server.client() as client:
        kept = client.post("mlabhub/api/idle/keep", json={"seconds": 7200, "reason": "a long sum"})
        assert (kept.status_code, kept.json()["verdict"]) == (200, "active")
        answer = client.post("mlabhub/api/idle/release", json={}, headers={"Accept-Language": "zh-CN"})
        assert (answer.status_code, answer.json()) == (409, refused)
        for wrong in ({}, {"seconds": -1}, {"seconds": True}, {"seconds": "x"}, {"seconds": 1, "reason": 2}):
            assert client.post("mlabhub/api/idle/keep", json=wrong).status_code == 400, wrong
        heard.answers["/keep"] = (401, refused)
        assert client.post("mlabhub/api/idle/keep", json={"seconds": 1}).status_code == 409, "not: sign in again"
        heard.answers["/keep"] = (502, None)
        away = client.post("mlabhub/api/idle/keep", json={"seconds": 1})
        assert (away.status_code, away.json()["error"]["code"]) == (503, "unavailable")
    assert heard.paths[:2] == [
        ("/keep", {"server": "alice/train", "seconds": 7200, "reason": "a long sum"}),
        ("/release", {"server": "alice/train"}),
    ]


def test_a_warning_that_was_shown_is_told_once_and_at_once(server: JupyterServer, heard: Receiver) -> None:
    at = standing_of(server, "warned")["warning"]["at"]

    def told() -> list[float]:
        return [body["seen"] for _, body in heard.calls if "seen" in body]

    with server.client() as client:
        for other in (at - 1, None, "x", True):
            assert client.post("mlabhub/api/idle/seen", json={"warning": other}).status_code == 200
        assert client.post("mlabhub/api/idle/seen", json={"warning": at}).status_code == 200
        wait_for(told)
        client.post("mlabhub/api/idle/seen", json={"warning": at})
        began = len(heard.calls)
        wait_for(lambda: len(heard.calls) > began + 2)
    assert told() == [at]


async def test_a_warning_makes_reports_come_at_every_look(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "SHARE", 0)
    monkeypatch.setattr("random.random", lambda: 0.0)
    settings: dict[str, Any] = {}
    way = Way(receiver.url, "r1.t", "alice/")
    one = agent.Agent(settings, Processes("", all_are_ours=False), way)
    task = asyncio.create_task(one.run(look_s=0.2, report_s=600))
    began = time.monotonic()
    while len(receiver.calls) < 3:
        assert time.monotonic() - began < 60
        await asyncio.sleep(0.1)
    assert "cpu_cores" in receiver.calls[-1][1]["reports"][-1]
    receiver.answers[""] = (200, {"taken": 1, "dropped": 0, "status": status(warning=None)})
    await until(lambda: one.standing.warning is None)
    await asyncio.sleep(0.5)  # what was on its way comes in
    calls = len(receiver.calls)
    await asyncio.sleep(1)
    assert len(receiver.calls) == calls, "it is in no hurry any more"
    task.cancel()


async def until(fits: Callable[[], Any], seconds: float = 30) -> None:
    """Let the loop go on until something is so."""
    deadline = time.monotonic() + seconds
    while not fits():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_what_a_person_does_while_warned_is_told_at_once(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.0)
    monkeypatch.setattr(agent, "SHARE", 0)
    monkeypatch.setattr(agent, "INPUT_S", 0.5)
    settings: dict[str, Any] = {}
    one = agent.Agent(settings, Processes("", all_are_ours=False), Way(receiver.url, "r1.t", "alice/"))
    task = asyncio.create_task(one.run(look_s=600, report_s=600))
    await until(lambda: one.standing.warning)
    calls = len(receiver.calls)
    person.note(settings, "desktop")
    began = time.monotonic()
    await until(lambda: len(receiver.calls) > calls)
    assert time.monotonic() - began < 1
    assert receiver.calls[-1][1]["reports"][-1]["inputs"]["desktop"] < 1
    while time.monotonic() < began + 1.5:
        person.note(settings, "desktop")
        await asyncio.sleep(0.01)
    assert calls + 2 <= len(receiver.calls) <= calls + 4, "a pointer that is moved all the time is told now and then"
    await asyncio.sleep(0.8)
    calls = len(receiver.calls)
    await asyncio.sleep(0.8)
    assert len(receiver.calls) == calls, "nobody does anything any more"
    receiver.answers[""] = (200, {"taken": 1, "dropped": 0, "status": status(warning=None)})
    person.note(settings, "desktop")
    await until(lambda: one.standing.warning is None)
    calls = len(receiver.calls)
    person.note(settings, "desktop")
    await asyncio.sleep(0.8)
    assert len(receiver.calls) == calls, "without a warning it can wait"
    task.cancel()


async def test_near_the_deadline_it_is_looked_for_who_does_something(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal and VS Code tell nobody: a look sees that somebody was there."""
    monkeypatch.setattr("random.random", lambda: 0.0)
    monkeypatch.setattr(agent, "SHARE", 0)
    monkeypatch.setattr(agent, "NEAR_LOOK_S", 0.2)
    receiver.answers[""] = (200, {"taken": 1, "dropped": 0, "status": status(deadline=NOW + 30)})
    touched = 0.0
    processes = Processes("", all_are_ours=False)
    look = processes.look
    monkeypatch.setattr(processes, "look", lambda: replace(look(), touched={34816: touched} if touched else {}))
    one = agent.Agent({}, processes, Way(receiver.url, "r1.t", "alice/"))
    task = asyncio.create_task(one.run(look_s=600, report_s=600))
    await until(lambda: one.standing.is_near)
    touched = 12345.0
    began = time.monotonic()
    await until(lambda: any("terminal" in call[1]["reports"][-1].get("inputs", {}) for call in receiver.calls))
    assert time.monotonic() - began < 1.5
    task.cancel()


def test_without_a_service_everything_is_unknown_and_nothing_to_be_had(start: Start) -> None:
    server = start(extensions={**OURS, "mlabhub_agent": True})
    with server.client() as client:
        shown = client.get("mlabhub/api/idle").json()
        assert (shown["verdict"], shown["age"], shown["warning"], shown["gpu"]) == ("unknown", None, None, None)
        assert client.post("mlabhub/api/idle/release", json={}).json()["error"]["code"] == "no_service"


def socket_of(server: JupyterServer) -> Path:
    """Return the socket for programs."""
    found: Path = wait_for(lambda: next(iter(server.runtime.glob("mlabhub/*/agent/socket")), None))
    return found


def test_programs_of_the_account_need_no_token_and_nobody_else_gets_in(start: Start, receiver: Receiver) -> None:
    server = start_server(start, receiver)
    standing_of(server, "warned")
    socket = socket_of(server)
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    receiver.answers["/keep"] = (409, {"error": {"code": "refused", "message": "No more."}})
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://agent") as program:
        shown = program.get("/idle").json()
        assert (shown["verdict"], shown["text"]) == ("warned", WORDS)
        refused = program.post("/idle/keep", json={"seconds": 60})
        assert (refused.status_code, refused.json()["error"]["message"]) == (409, "No more.")
        assert program.post("/idle/keep", content=b"{").status_code == 400
        assert program.post("/idle/seen", json={"warning": shown["warning"]["at"]}).status_code == 200
        assert program.get("/other").status_code == 404
    wait_for(lambda: any("seen" in body for _, body in receiver.calls))
    with server.client() as client:
        name = client.post("api/terminals").json()["name"]
    found = [one.environ().get("MLABHUB_AGENT_SOCKET") for one in server.tool_processes()]
    assert str(socket) in found, f"terminal {name} does not know it"
    server.close()
    assert not socket.exists()


def test_an_order_is_carried_out_and_told_once(start: Start, receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers["/trace"] = (200, {"samples": [{"t": NOW, "gpu_util": [12.0], "gpu_mem_used": [2**20]}]})
    server = start_server(start, receiver, MLABHUB_HOME=str(tmp_path))
    standing_of(server, "warned")
    with server.client() as client:
        client.get("mlabhub/api/idle", params={"page": "one"})
        client.get("mlabhub/api/idle", params={"page": "two"})
        receiver.answers["/saved"] = (200, {"status": None})
        order = {"until": NOW + 300, "reason": WORDS}
        receiver.answers[""] = (200, {"taken": 1, "dropped": 0, "status": status(order=order)})
        wait_for(lambda: client.get("mlabhub/api/idle", params={"page": "one"}).json()["order"] == order)
        for page in ("", "one"):
            client.post("mlabhub/api/idle/saved-documents", json={"page": page})
        time.sleep(0.5)
        assert receiver.paths == [], "one page is still saving"
        client.post("mlabhub/api/idle/saved-documents", json={"page": "two"})
        wait_for(lambda: len(receiver.paths) > 1)
        time.sleep(0.5)
    [(first, _), (last, told)] = receiver.paths
    assert (first, last, told["server"]) == ("/trace", "/saved", "alice/train")
    rescue = Path(told["rescue"])
    assert rescue.parent.parent == tmp_path
    assert "12" in (rescue / "gpu.csv").read_text()
    assert WORDS["zh_CN"] in (rescue / "README.txt").read_text()


class Told:
    """A service of the test that hears what becomes of orders."""

    def __init__(self, *answers: Answer | OSError) -> None:
        self.answers = list(answers)
        self.rescues: list[str] = []

    async def tell(self, rescue: str) -> Answer:
        """Answer what the test wants, else that it is taken."""
        self.rescues.append(rescue)
        answer = self.answers.pop(0) if self.answers else Answer(200)
        if isinstance(answer, OSError):
            raise answer
        return answer


async def carry_out(told: Told, until: float, write: Callable[[Mapping[str, Any]], Any], pages: Pages) -> Standing:
    """Carry one order out to the end."""
    standing = Standing()
    standing.take(status(order={"until": until}))
    orders = Orders(standing, pages, write, told.tell)
    orders.look()
    orders.look()
    task = orders._task
    assert task is not None
    await asyncio.wait_for(task, 30)
    orders.look()
    assert orders._task is task, "the same order is not carried out again"
    standing.take(status())
    orders.look()
    assert orders._task is None
    return standing


async def test_a_bundle_that_fails_or_takes_too_long_is_told_all_the_same() -> None:
    async def fail(order: Mapping[str, Any]) -> str:
        raise OSError("no room")

    async def hang(order: Mapping[str, Any]) -> str:
        await asyncio.sleep(3600)
        return "never"

    for write in (fail, hang):
        told = Told()
        await carry_out(told, NOW + 1.5, write, Pages())
        assert told.rescues == [""]


async def test_pages_are_waited_for_no_longer_than_there_is_time() -> None:
    async def write(order: Mapping[str, Any]) -> str:
        return "~/here"

    told, pages, began = Told(), Pages(), time.monotonic()
    pages.asks("")
    await carry_out(told, NOW + 17, write, pages)
    assert told.rescues == ["~/here"]
    assert 1 < time.monotonic() - began < 10


async def test_a_page_that_is_long_gone_is_not_waited_for() -> None:
    now = [0.0]
    pages = Pages(lambda: now[0])
    pages.asks("")
    now[0] += LATELY_S + 1
    await asyncio.wait_for(pages.wait(30), 5)


async def test_a_service_that_is_away_for_a_moment_hears_it_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlabhub_agent.orders.AGAIN_S", 0.1)

    async def write(order: Mapping[str, Any]) -> str:
        return "x"

    told = Told(OSError("away"), Answer(503), Answer(200))
    await carry_out(told, NOW + 60, write, Pages())
    assert told.rescues == ["x", "x", "x"]


@pytest.mark.parametrize(
    "said", [{}, {"status": None}, {"status": 5}, {"status": {"warning": 5, "order": [], "now": "x"}}]
)
def test_whatever_the_service_says_tools_are_shown_something(said: dict[str, Any]) -> None:
    standing = Standing()
    standing.take(said.get("status"))
    view = standing.view()
    assert NOTHING.keys() <= view.keys()
    assert (standing.order, standing.warning, standing.is_urgent) == (None, None, False)
    assert (view["due_in"], view["deadline_in"], view["since_age"]) == (None, None, None)


def test_what_was_said_long_ago_makes_nobody_hurry() -> None:
    now = [100.0]
    standing = Standing(lambda: now[0])
    standing.take(status())
    assert standing.is_urgent
    now[0] += 600
    assert not standing.is_urgent
    assert standing.view()["deadline_in"] == 300


async def test_what_was_shown_is_told_again_until_it_is_taken() -> None:
    answers, bodies = [Answer(503), Answer(200, said={"status": status()})], []
    heard: list[Any] = []

    async def post(body: bytes) -> Answer:
        bodies.append(body)
        return answers.pop(0) if answers else Answer(200)

    sender = Sender("alice/", post, heard.append)
    sender.show(NOW)
    for _ in range(3):
        sender.add({})
        await sender.send()
    assert [b'"seen"' in body for body in bodies] == [True, True, False]
    assert [one["verdict"] for one in heard] == ["warned"]
