"""A real Jupyter server with the extension, in a process of its own, for all tests of the extension."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx
import psutil

from tests.installation import free_port

TOKEN = "test-token"
BASE_URL = "/user/alice/"
CHECKOUT = Path(__file__).parents[2]
OURS = {"jupyter_server_proxy": True, "mlabhub_proxies": True}
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html,*/*;q=0.8"}
"""The headers of a browser that opens a page."""


class JupyterServer:
    """One server. Everything it and its tools write is below ``folder``."""

    def __init__(
        self,
        folder: Path,
        *,
        offer: Mapping[str, Iterable[str] | dict[str, Any]] | None = None,
        environ: Mapping[str, str] | None = None,
        extensions: Mapping[str, bool] = OURS,
        arguments: Iterable[str] = (),
        base_url: str = BASE_URL,
    ) -> None:
        """Start a server and wait until it answers.

        ``offer`` are tools of the test, by slug what their program does (see `program.py`); without it, the server has
        the tools that the product has. ``environ`` is added to its environment, ``extensions`` are all it loads.
        """
        self.home = folder / "home"
        # A socket's path must be short, and pytest's folders are not.
        self._runtime = tempfile.TemporaryDirectory(prefix="jp-")
        self.runtime = Path(self._runtime.name)
        # Jupyter leaves an empty folder there.
        self._temporary = tempfile.TemporaryDirectory(prefix="jt-")
        for place in (self.home, folder / "config"):
            place.mkdir(parents=True, exist_ok=True)
        extensions = dict(extensions)
        self.environ = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "JUPYTER_RUNTIME_DIR": str(folder / "jupyter"),
            "JUPYTER_NO_CONFIG": "1",
            "TMPDIR": self._temporary.name,
            "PYTHONPATH": str(CHECKOUT),
        }
        if offer is not None:
            del extensions["mlabhub_proxies"]
            extensions["tests.extensions.offer"] = True
            offered = {slug: what if isinstance(what, dict) else {"does": list(what)} for slug, what in offer.items()}
            self.environ["OFFER"] = json.dumps(offered)
        self.environ.update(environ or {})
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{base_url}"
        self.log = folder / "server.log"
        command = [
            *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
            *(f"--port={self.port}", "--ServerApp.port_retries=0", f"--ServerApp.base_url={base_url}"),
            *(f"--ServerApp.root_dir={self.home}", f"--IdentityProvider.token={TOKEN}"),
            *(f"--ServerApp.jpserver_extensions={name}={on}" for name, on in extensions.items()),
            *arguments,
        ]
        # What a shell starts in the background ignores SIGINT, and a server of the hub's does not.
        command = ["env", "--default-signal=INT", *command]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=self.home, env=self.environ, stdout=log, stderr=log, start_new_session=True
            )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                httpx.get(self.url + "api", timeout=5)
                return
            except httpx.TransportError:
                time.sleep(0.05)
        said = self.log.read_text(errors="replace")
        self.close()
        raise AssertionError(f"the Jupyter server did not start:\n{said[-4000:]}")

    def client(self, **more: Any) -> httpx.Client:
        """Return a client that is signed in."""
        headers = {"Authorization": f"token {TOKEN}", **more.pop("headers", {})}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, verify=False, **more)

    def stranger(self, **more: Any) -> httpx.Client:
        """Return a client that is not signed in."""
        return httpx.Client(base_url=self.url, timeout=30, verify=False, **more)

    def state(self, slug: str) -> dict[str, Any]:
        """Return what the API says about a tool."""
        with self.client() as client:
            answer = client.get(f"mlabhub/api/tools/{slug}")
        answer.raise_for_status()
        state: dict[str, Any] = answer.json()
        return state

    def wait_for(self, slug: str, state: str, seconds: float = 30) -> dict[str, Any]:
        """Wait until a tool is in a state, and return what the API says then."""
        deadline = time.monotonic() + seconds
        while (now := self.state(slug))["state"] != state:
            assert time.monotonic() < deadline, f"{slug} is {now}, not {state}"
            time.sleep(0.05)
        return now

    def tool_processes(self) -> list[psutil.Process]:
        """Return every process that carries the environment of this server, apart from the server itself."""
        return [process for process in processes_of(self.runtime) if process.pid != self.process.pid]

    def wait_for_processes(self, count: int, seconds: float = 15) -> None:
        """Wait until the tools have so many processes, their keepers among them."""
        deadline = time.monotonic() + seconds
        while len(found := self.tool_processes()) != count:
            assert time.monotonic() < deadline, f"not {count}: {found}"
            time.sleep(0.05)

    def wait_until_alone(self, seconds: float = 15) -> None:
        """Wait until no process of any tool is left."""
        self.wait_for_processes(0, seconds)

    def close(self) -> None:
        """End the server as JupyterHub does, and see that nothing is left of it or its tools."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.wait_until_alone()
        self._runtime.cleanup()
        self._temporary.cleanup()


class Start(Protocol):
    """What starts a server with the arguments of `JupyterServer`, in a folder of its own."""

    def __call__(self, **more: Any) -> JupyterServer:
        """Return it when it answers."""


def processes_of(runtime: Path) -> list[psutil.Process]:
    """Return every process with this runtime folder in its environment: a server, and all that grew from it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("XDG_RUNTIME_DIR") == str(runtime):
                found.append(process)
        except psutil.Error:
            continue
    return found
