"""A real JupyterHub in a process of its own, with one of our spawners."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from mlabhub.settings import SETTINGS_VARIABLE, Settings
from tests.installation import free_port

TOKEN = "a-token-of-this-test"
CHECKOUT = Path(__file__).resolve().parents[2]
CONFIG = """
from tests.spawners.nullproxy import NullProxy
c.JupyterHub.proxy_class = NullProxy
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.bind_url = "http://127.0.0.1:{port}/"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.JupyterHub.db_url = "sqlite:///{state}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{state}/cookie"
c.JupyterHub.cleanup_servers = False
c.JupyterHub.allow_named_servers = True
c.JupyterHub.services = [{{"name": "test", "api_token": "{token}"}}]
c.JupyterHub.load_roles = [{{"name": "test", "services": ["test"], "scopes": [
    "admin:users", "admin:groups", "admin:servers", "admin:server_state", "list:users", "servers"]}}]
c.JupyterHub.load_groups = {{"vision": {{"users": ["alice", "bob"]}}}}
c.JupyterHub.spawner_class = "{spawner}"
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 60}}
c.Spawner.consecutive_failure_limit = 3
c.Spawner.poll_interval = 1
c.Spawner.start_timeout = 60
c.Spawner.http_timeout = 30
"""


@dataclass
class Hub:
    """One hub."""

    settings: Settings
    spawner: str
    more: str = ""
    process: subprocess.Popen[bytes] | None = None
    marked: int = 0
    http: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        base = f"http://127.0.0.1:{self.settings.hub_port}/hub/api/"
        self.http = httpx.AsyncClient(base_url=base, headers={"Authorization": f"token {TOKEN}"}, timeout=90)

    @property
    def log(self) -> str:
        """What the hub logged since `mark`."""
        return (self.settings.state_dir / "hub.log").read_text()[self.marked :]

    def mark(self) -> None:
        """Forget what was logged so far."""
        self.marked = len((self.settings.state_dir / "hub.log").read_text())

    async def start(self) -> None:
        """Start it and wait until it answers and the users are there."""
        config = self.settings.state_dir / "hub_config.py"
        values = {"state": self.settings.state_dir, "port": self.settings.port, "hub_port": self.settings.hub_port}
        config.write_text(CONFIG.format(**values, token=TOKEN, spawner=self.spawner) + self.more)
        self.process = self._run(config)
        await wait_for(self._answers, 60, "the hub")

    def _run(self, config: Path) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-m", "jupyterhub", "--config", str(config)]
        path = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH", ""))))
        environment = {**os.environ, SETTINGS_VARIABLE: str(self.settings.settings_file), "PYTHONPATH": path}
        with open(self.settings.state_dir / "hub.log", "ab") as log:
            return subprocess.Popen(
                argv, env=environment, cwd=self.settings.state_dir, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    async def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log[-3000:]
        try:
            return (await self.http.get("users/alice")).is_success
        except httpx.HTTPError:
            return False

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it without a chance to clean up, and wait until it is gone."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(30)

    async def renew(self) -> None:
        """Have it run as at first, whatever a test did to it."""
        self.settings.save()
        if self.process is None or self.process.poll() is not None:
            await self.start()
        self.mark()

    async def stop_all(self) -> None:
        """Stop every server, and the hub as well where that is what it takes."""
        try:
            for user in ("alice", "bob"):
                for server in (await self.http.get(f"users/{user}")).json()["servers"]:
                    await self.stop(user=user, server=server)
                await wait_for(lambda user=user: self._has_none(user), 30, "no server")
        except (httpx.HTTPError, AssertionError):
            if self.process is not None and self.process.poll() is None:
                self.kill()

    async def _has_none(self, user: str) -> bool:
        return not (await self.http.get(f"users/{user}")).json()["servers"]

    async def close(self) -> None:
        """Stop it."""
        await self.http.aclose()
        if self.process is not None and self.process.poll() is None:
            self.kill(signal.SIGTERM)

    async def spawn(self, options: Any = None, *, user: str = "alice", server: str = "") -> httpx.Response:
        """Ask for a server."""
        path = f"users/{user}/servers/{server}" if server else f"users/{user}/server"
        return await self.http.post(path, json=None if options is None else {"user_options": options})

    async def stop(self, *, user: str = "alice", server: str = "") -> httpx.Response:
        """Ask for a server's end."""
        return await self.http.delete(f"users/{user}/servers/{server}" if server else f"users/{user}/server")

    async def server(self, user: str = "alice", server: str = "") -> dict[str, Any] | None:
        """Return the hub's view of an active server."""
        model = (await self.http.get(f"users/{user}")).json()
        servers: dict[str, dict[str, Any]] = model["servers"]
        return servers.get(server)

    async def stored_options(self, user: str = "alice", server: str = "") -> Any:
        """Return what the hub keeps as a server's options."""
        model = (await self.http.get(f"users/{user}", params={"include_stopped_servers": "1"})).json()
        return model["servers"][server]["user_options"]


def make_hub_settings(settings: Settings, state: Path, backend: str) -> Settings:
    """Return settings with free ports and a state folder of their own, saved where hub and service find them."""
    ports = {name: free_port() for name in ("port", "hub_port", "proxy_api_port", "service_port")}
    made = settings.model_copy(
        update={**ports, "state_dir": state, "backend": backend, "public_url": f"http://localhost:{ports['port']}/"}
    )
    made.secrets_dir.mkdir(parents=True, exist_ok=True)
    made.spawner_secret_file.write_text("shared")
    made.save()
    return made


async def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Return the first true answer of a condition, which may be awaitable."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.1)
