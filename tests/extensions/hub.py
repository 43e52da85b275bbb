"""A real JupyterHub with its proxy and its login, whose servers have the extension with the tools of a test."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from mlabhub.supervisor.commands import find_proxy
from tests.extensions.server import CHECKOUT, processes_of
from tests.installation import free_port

TOKEN = "token-of-the-tests"
CONFIG = """
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.bind_url = "http://127.0.0.1:{port}/lab/"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.command = {proxy}
c.JupyterHub.db_url = "sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie"
c.ConfigurableHTTPProxy.pid_file = "{folder}/proxy.pid"
c.JupyterHub.services = [{{"name": "test", "api_token": "{token}"}}]
c.JupyterHub.load_roles = [{{"name": "test", "services": ["test"], "scopes": ["admin:users", "admin:servers"]}}]
c.SimpleLocalProcessSpawner.home_dir_template = "{folder}/{{username}}"
c.Spawner.environment = {environ}
c.Spawner.cmd = ["{singleuser}"]
c.Spawner.args = ["--allow-root"]
c.Spawner.default_url = "/echo/"
"""


class Hub:
    """One hub at a path of its own, with plain processes as servers."""

    def __init__(self, folder: Path, offer: Mapping[str, Any]) -> None:
        """Start it and wait until it answers; ``offer`` is as in `JupyterServer`."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/lab/"
        self._runtime = tempfile.TemporaryDirectory(prefix="jh-")
        self.runtime = Path(self._runtime.name)
        self.log = folder / "hub.log"
        switches = {"tests.extensions.offer": True, "mlabhub_proxies": False}
        (folder / "jupyter_server_config.json").write_text(json.dumps({"ServerApp": {"jpserver_extensions": switches}}))
        environ = {
            "OFFER": json.dumps({slug: {"does": list(what)} for slug, what in offer.items()}),
            "PYTHONPATH": str(CHECKOUT),
            "JUPYTER_CONFIG_PATH": str(folder),
            "XDG_RUNTIME_DIR": str(self.runtime),
        }
        config = folder / "config.py"
        values = {"port": self.port, "hub_port": free_port(), "api_port": free_port(), "folder": folder, "token": TOKEN}
        singleuser = Path(sys.executable).with_name("jupyterhub-singleuser")
        config.write_text(CONFIG.format(**values, proxy=list(find_proxy()), environ=environ, singleuser=singleuser))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "--config", str(config)], cwd=folder, stdout=log, stderr=log
            )
        self.api = httpx.Client(base_url=f"{self.url}hub/api/", headers={"Authorization": f"token {TOKEN}"}, timeout=60)
        self._wait(lambda: self.api.get("users").status_code == 200)

    def start_server(self, name: str) -> None:
        """Make an account and start its server."""
        self.api.post(f"users/{name}").raise_for_status()
        self.api.post(f"users/{name}/server").raise_for_status()
        self._wait(lambda: self.api.get(f"users/{name}").json()["servers"].get("", {}).get("ready"))

    def stop_server(self, name: str) -> None:
        """Stop a server and wait until the hub says that it is gone."""
        self.api.delete(f"users/{name}/server").raise_for_status()
        self._wait(lambda: not self.api.get(f"users/{name}").json()["servers"])

    def wait_until_alone(self, seconds: float = 10) -> None:
        """Wait until no process of any server is left."""
        self._wait(lambda: not processes_of(self.runtime), seconds)

    def _wait(self, condition: Any, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if condition():
                    return
            except httpx.TransportError:
                pass
            in_time = self.process.poll() is None and time.monotonic() < deadline
            assert in_time, self.log.read_text(errors="replace")[-4000:]
            time.sleep(0.1)

    def close(self) -> None:
        """End it with its servers."""
        self.process.terminate()
        self.process.wait(30)
        self.api.close()
        deadline = time.monotonic() + 15
        while left := processes_of(self.runtime):
            assert time.monotonic() < deadline, f"left behind: {left}"
            time.sleep(0.1)
        self._runtime.cleanup()
