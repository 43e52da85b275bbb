"""A hub whose service hurries, one person with many servers on it, and what its ledger says of warnings and stops."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from mlabhub.catalog import default_directory
from tests.installation import Installation, free_port, hang_up, wait_for

PERSON = "ida"
PROGRAM = Path(__file__).with_name("program.py")
GRACE_S = 20.0
"""Five minutes, as the service here counts them."""
SHORT = {
    "like": "default",
    "learns": False,
    "with_gpu": {"window_minutes": 10, "held_minutes": 10},
    "without_gpu": {"window_minutes": 10, "held_minutes": 10},
    "grace_minutes": 5,
}
AGENT = """\
from mlabhub_agent.agent import Agent
Agent.run.__defaults__ = (0.3, 1.0)  # it looks, and reports, so often: seconds
"""


@dataclass
class Warned:
    """A warning, as the ledger has it."""

    at: float
    told: float | None
    way: str
    state: str


class HurriedHub(Installation):
    """The hub; its person is `PERSON`."""

    password: str = ""

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Read the ledger, whoever lives."""
        with closing(sqlite3.connect(f"file:{self.state / 'ledger.sqlite'}?mode=ro", uri=True)) as ledger:
            return ledger.execute(query, values).fetchall()

    def launch_of(self, server: str) -> str:
        """Return the first launch of a server."""
        query = "select launch_id from reservations where user = ? and server = ? order by created limit 1"
        [(launch_id,)] = self.rows(query, PERSON, server)
        return str(launch_id)

    def warned(self, server: str) -> Warned | None:
        """Return the warning of a server's first launch that was delivered, if it was."""
        query = "select at, told, way, state from idle_warnings where launch_id = ? and told is not null"
        found = self.rows(query, self.launch_of(server))
        return Warned(*found[0]) if found else None

    def acts(self, server: str, *names: str) -> list[float]:
        """Return when acts of these names were done to a server's first launch, by the audit."""
        rows = self.rows("select at, act from audit where launch_id = ? order by number", self.launch_of(server))
        return [at for at, act in rows if act in names]

    def is_over(self, server: str) -> bool:
        """Whether a server's first launch is over, as the ledger has it: also while the hub is away."""
        [(state,)] = self.rows("select state from reservations where launch_id = ?", self.launch_of(server))
        return bool(state == "released")

    def use(self, **percent: float) -> None:
        """Make out how busy the simulated GPUs of servers are; all others are idle."""
        told = {"*": 0.0, **{f"{PERSON}/{server}": value for server, value in percent.items()}}
        (self.state / "simulated-use.json.new").write_text(json.dumps(told))
        os.replace(self.state / "simulated-use.json.new", self.state / "simulated-use.json")

    def set_rules(self, **policies: str) -> None:
        """Let these policies hold for these profiles; for all others the short one does."""
        rules = [{"profiles": [profile], "policy": policy} for profile, policy in policies.items()]
        patient = {**SHORT, "with_gpu": {"window_minutes": 1000}, "without_gpu": {"window_minutes": 1000}}
        idle = {"policy": "short", "rules": rules, "policies": {"short": SHORT, "patient": patient}}
        file = self.state.parent / "config" / "idle.yaml"
        file.with_suffix(".new").write_text(json.dumps(idle))
        os.replace(file.with_suffix(".new"), file)

    def begin(self, server: str, code: str) -> None:
        """Run code in a kernel of a server, and go away, as a closed tab does."""
        asyncio.run(asyncio.wait_for(self._begin(server, code), 60))

    async def _begin(self, server: str, code: str) -> None:
        base, headers = f"user/{PERSON}/{server}/", {"Authorization": f"token {self.token(PERSON)}"}
        with self.api(PERSON) as client:
            kernel = client.post(base + "api/kernels", json={"name": "python3"}).raise_for_status().json()["id"]
        address = f"ws://127.0.0.1:{self.port}/{self.prefix}{base}api/kernels/{kernel}/channels"
        line = await websocket_connect(HTTPRequest(address, headers=headers))
        number = uuid.uuid4().hex
        header = {"msg_id": number, "msg_type": "execute_request", "username": "", "session": number, "version": "5.3"}
        content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
        request = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        await line.write_message(json.dumps(request))
        while json.loads(await line.read_message()).get("msg_type") != "execute_input":  # type: ignore[arg-type]
            pass
        await hang_up(line)

    def kill(self, mark: str) -> None:
        """Kill one of the supervised processes without warning, and wait until there is another one."""
        before = self._child(mark)
        assert before
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: self._child(mark) not in (0, before), 20, f"{mark} again")

    def _child(self, mark: str) -> int:
        assert self.process is not None
        for child in psutil.Process(self.process.pid).children():
            try:
                if mark in " ".join(child.cmdline()):
                    return child.pid
            except psutil.Error:
                continue
        return 0


@contextmanager
def run_hurried(
    folder: Path,
    servers: dict[str, dict[str, Any]],
    *,
    backend: str = "process",
    images: tuple[str, ...] = ("base",),
    memory_gib: int = 1,
) -> Iterator[HurriedHub]:
    """Run a hub of plain processes or of containers, and these servers of one person, by name with their options."""
    shutil.copytree(default_directory(), folder / "config")
    (folder / "config" / "quotas.yaml").write_text(json.dumps({"cpu_overcommit": 100}))
    profile = {"images": list(images), "cpu": 1, "memory_gib": memory_gib}
    with_gpu = {**profile, "gpus": 1, "gpu_types": ["any"]}
    profiles = {"cpu": profile, "gpu": with_gpu, "first": with_gpu, "second": with_gpu}
    named = {slug: {"display_name": slug, **one} for slug, one in profiles.items()}
    (folder / "config" / "profiles.yaml").write_text(json.dumps({"profiles": named}))
    arguments = ("--backend", backend, "--simulate-gpus", "12xT4", "--config", str(folder / "config"))
    hub = HurriedHub(folder / "state", free_port(), arguments, program=(sys.executable, str(PROGRAM)))
    hub.set_rules(first="patient", second="patient")
    try:
        hub.start()
        hub.use(train=95.0)
        hub.password = hub.add_user(PERSON)
        make_agents_hurry(hub)
        launched = [hub.launch(PERSON, name, **options) for name, options in servers.items()]
        assert [answer.status_code for answer in launched] == [201] * len(servers), launched[-1].text
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: hub.wait_ready(PERSON, name), servers))
        yield hub
    finally:
        hub.close()


def make_agents_hurry(hub: HurriedHub) -> None:
    """Have the person's own Jupyter configuration hurry the agents in their servers; the first server makes a home."""
    assert hub.launch(PERSON, profile="cpu").status_code == 201
    hub.wait_ready(PERSON)
    hub.stop_server(PERSON)
    folder = hub.state / "nas" / "user" / PERSON / ".jupyter"
    folder.mkdir(exist_ok=True)
    home = folder.parent.stat()
    os.chown(folder, home.st_uid, home.st_gid)
    (folder / "jupyter_server_config.py").write_text(AGENT)
