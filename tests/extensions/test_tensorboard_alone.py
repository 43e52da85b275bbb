"""The server that is TensorBoard alone: what it cannot do, and how it ends when nobody uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from mlabhub.spawners import endings
from mlabhub_proxies.tensorboard.server import UNUSED_STATUS
from tests.extensions.events import write_curves
from tests.extensions.server import NAVIGATION
from tests.extensions.small_hub import PREFIX, TOKEN, Hub
from tests.installation import free_port

pytestmark = pytest.mark.long

Start = Callable[..., "Alone"]


class Alone:
    """One such server."""

    def __init__(self, hub: Hub, home: Path, **environ: str) -> None:
        """Start it as a hub does, and wait until it answers."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}{PREFIX}"
        self.home = home
        self.log = home.with_suffix(".log")
        # A socket's path must be short, and pytest's folders are not.
        self._temporary = tempfile.TemporaryDirectory(prefix="jt-")
        self.temporary = Path(self._temporary.name)
        around = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home.parent / "r"),
            "TMPDIR": str(self.temporary),
        }
        command = [sys.executable, "-m", "mlabhub_proxies.tensorboard.server"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, env={**around, **hub.environ(port), **environ}, cwd=home, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 30
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                httpx.get(self.url + "api")
                return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def client(self, **headers: str) -> httpx.Client:
        """Return alice's client."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"token {TOKEN}", **headers}, timeout=30)

    def close(self) -> None:
        """End it as a hub does, and see that nothing of it is left."""
        family = [self.process.pid, *(child.pid for child in children(self.process.pid))]
        self.process.terminate()
        self.process.wait(20)
        deadline = time.monotonic() + 10
        while left := [pid for pid in family if psutil.pid_exists(pid)]:
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
        left_behind = list(self.temporary.iterdir())
        self._temporary.cleanup()
        assert left_behind == []


def children(pid: int) -> list[psutil.Process]:
    """Return all that grew from a process."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return servers of this test alone, for folders below their home."""
    hub, servers = Hub(), list[Alone]()

    def start(*folders: str, **environ: str) -> Alone:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        (home / "random.py").write_text("raise SystemExit('taken for one of Python's own')")
        given = {
            "PYTHONSAFEPATH": "1",
            "MLABHUB_KIND": "tensorboard",
            "MLABHUB_LOG_FOLDERS": json.dumps(folders),
            **environ,
        }
        servers.append(Alone(hub, home, **given))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
    hub.close()


NOTHING_THERE: list[tuple[str, str, Any]] = [
    ("POST", "api/kernels", {"name": "python3"}),
    ("GET", "api/kernels", None),
    ("POST", "api/sessions", {"path": "x.ipynb", "type": "notebook", "kernel": {"name": "python3"}}),
    ("POST", "api/terminals", {}),
    ("GET", "api/contents", None),
    ("PUT", "api/contents/x.txt", {"type": "file", "format": "text", "content": "x"}),
    ("GET", "files/x.txt", None),
    ("GET", "view/x.txt", None),
    ("GET", "nbconvert/html/x.ipynb", None),
    ("PUT", "api/config/x", {}),
    ("POST", "api/shutdown", {}),
    ("GET", "lab", None),
    ("GET", "tree", None),
    ("GET", "proxy/80", None),
    ("GET", "proxy/absolute/80/x", None),
    ("GET", "proxy/169.254.169.254:80/", None),
    ("GET", "vscode/", None),
    ("GET", "desktop/", None),
    ("GET", "desktop-vnc/", None),
]


def test_it_is_tensorboard_and_nothing_else(start: Start, tmp_path: Path) -> None:
    configuration = tmp_path / "home/.jupyter/jupyter_server_config.py"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(
        "c.ServerApp.jpserver_extensions = {'jupyter_server_terminals': True, 'jupyterlab': True}\n"
    )
    server = start("~/runs")
    (server.home / "x.txt").write_text("secret")
    write_curves(server.home / "runs/first", {"loss": [1]})
    with server.client() as client, server.client(**NAVIGATION) as browser:
        assert browser.get("").headers["location"].startswith(f"{PREFIX}tensorboard/")
        assert browser.get("tensorboard/").status_code == 202
        deadline = time.monotonic() + 10
        while client.get("tensorboard/data/runs").json() != ["runs/first"]:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        for method, path, body in NOTHING_THERE:
            answer = client.request(method, path, json=body, follow_redirects=True)
            assert answer.status_code in (404, 405), (method, path, answer.status_code)
            assert "secret" not in answer.text
        for path in ("mlabhub/log-folders", "mlabhub/api/log-folders", "mlabhub/api/tools"):
            assert client.get(path).status_code == 200
        assert 'href="/services/mlabhub/"' in browser.get("mlabhub/log-folders").text, "no way Home"
        # Somebody else's token, and none.
        for headers in ({"Authorization": "token bob"}, {}):
            for path in ("tensorboard/data/runs", "mlabhub/api/log-folders", "mlabhub/log-folders"):
                assert httpx.get(server.url + path, headers=headers).status_code in (302, 403)


def test_it_ends_when_nobody_uses_it(start: Start) -> None:
    server = start("~/runs", MLABHUB_UNUSED_SECONDS="5")
    write_curves(server.home / "runs/first", {"loss": [1]})
    begun = time.monotonic()
    with server.client() as client, server.client(**NAVIGATION) as browser:
        # A person, now and then, keeps it ...
        assert browser.get("tensorboard/").status_code == 202
        while time.monotonic() < begun + 8:
            client.post("mlabhub/api/log-folders/use").raise_for_status()
            time.sleep(1)
        family = children(server.process.pid)
        assert len(family) >= 2
        # ... TensorBoard's own requests in a forgotten tab, and our script's, do not.
        warned = False
        left = time.monotonic()
        while server.process.poll() is None and time.monotonic() < left + 20:
            try:
                client.get("tensorboard/data/runs")
                warned |= client.get("mlabhub/api/log-folders/use").json()["warning"] is not None
            except httpx.TransportError:
                break
            time.sleep(0.2)
        server.process.wait(10)
    assert 4 < time.monotonic() - left < 15
    assert warned
    assert server.process.returncode == UNUSED_STATUS == endings.UNUSED_STATUS
    assert server.log.read_text().splitlines()[-1] == "Nobody used this TensorBoard for 5 s, so it has ended."
    deadline = time.monotonic() + 10
    while any(process.is_running() for process in family):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_stop_is_no_end_for_want_of_use(start: Start) -> None:
    server = start(MLABHUB_UNUSED_SECONDS="60")
    server.process.terminate()
    assert server.process.wait(20) != UNUSED_STATUS


def test_it_is_small(start: Start) -> None:
    server = start("~/runs")
    write_curves(server.home / "runs/first", {"loss": [1]})
    with server.client() as client:
        client.get("tensorboard/data/runs").raise_for_status()
        client.get("tensorboard/").raise_for_status()
    processes = [psutil.Process(server.process.pid), *children(server.process.pid)]
    unshared = sum(process.memory_full_info().pss for process in processes)
    assert unshared < 230 * 1024**2, unshared
