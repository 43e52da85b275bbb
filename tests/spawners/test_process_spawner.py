"""The process spawner in a real hub: the same gate, a folder of one's own, and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from mlabhub.core.mounts import MountChoice
from mlabhub.engine import processes
from mlabhub.inventory import make_backend
from mlabhub.inventory.process import ProcessBackend
from mlabhub.site import read_site_file
from mlabhub.site.inside import save_site
from mlabhub.spawners.process import make_environment
from tests.engine.podman import make_settings
from tests.spawners.hub import Hub, make_hub_settings, wait_for
from tests.spawners.service import Book, serve

in_one_loop = pytest.mark.asyncio(loop_scope="module")
SPAWNER = "mlabhub.spawners.process.MLabProcessSpawner"
JUPYTER = """
import http.server, os, signal, subprocess, sys, urllib.parse
if os.environ["TEST_MODE"] == "die":
    sys.exit("No module named <jupyterlab>")
kernel = subprocess.Popen(["sleep", "300"], start_new_session=True)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", "6.1.1")
        self.end_headers()
port = urllib.parse.urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).port
http.server.HTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""
"""Stands for Jupyter with one kernel."""


@dataclass
class Site:
    """Hub and service."""

    hub: Hub
    book: Book
    backend: ProcessBackend

    async def only_server(self) -> psutil.Process:
        """Return the one server's process."""
        [server] = await self.backend.servers()
        return psutil.Process(int(server.handle))

    async def nothing_is_left(self) -> bool:
        """Return whether no process and no reservation is left."""
        left = processes._tagged(self.book.settings.instance)
        return not left and set(self.book.held) <= set(self.book.released)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("hub")
    settings = make_hub_settings(make_settings(folder, os.urandom(4).hex()), folder, "process")
    script = folder / "jupyter.py"
    script.write_text(JUPYTER)
    command = f'c.MLabProcessSpawner.cmd = ["{sys.executable}", "{script}"]\nc.MLabProcessSpawner.args = []\n'
    book = Book(settings, "")
    service = serve(book)
    backend = make_backend(settings)
    assert isinstance(backend, ProcessBackend)
    made = Site(Hub(settings, SPAWNER, command), book, backend)
    yield made
    await made.hub.close()
    service.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def site(running: Site) -> AsyncIterator[Site]:
    """The site as if it were new."""
    running.book.renew()
    await running.hub.renew()
    yield running
    await running.hub.stop_all()
    for server in await running.backend.servers():
        await running.backend.remove(server)


@in_one_loop
async def test_start_and_stop_with_all_that_it_started(site: Site) -> None:
    site.book.gpus = ("GPU-sim-a100-1",)
    run_dir = site.book.settings.run_dir
    said = run_dir.with_name("site.conf")
    said.write_text(
        "HTTP_PROXY=http://proxy.test:1\nPIP_INDEX_URL=https://pypi.test/simple\nNPM_REGISTRY=http://n.test\n"
        "TIME_ZONE=Asia/Shanghai\nLANGUAGE=zh_CN.UTF-8\n"
    )
    save_site(read_site_file(said), run_dir, "")
    assert (await site.hub.spawn({"profile": "small"})).status_code == 201, site.hub.log[-3000:]
    process = await site.only_server()
    [kernel] = process.children()
    environment = process.environ()
    home = str(site.book.settings.nas_dir / "user" / "alice")
    assert (environment["HOME"], environment["MLABHUB_HOME"], process.cwd()) == (home, home, home)
    assert environment["CUDA_VISIBLE_DEVICES"] == "GPU-sim-a100-1"
    assert environment["MLABHUB_LAUNCH_ID"] == site.book.held[0]
    assert environment["http_proxy"] == "http://proxy.test:1"
    assert (environment["TZ"], environment["LANG"]) == ("Asia/Shanghai", "zh_CN.UTF-8")
    assert "pypi.test" in (run_dir / "site" / "pip" / "pip.conf").read_text()
    assert environment["XDG_CONFIG_DIRS"].split(":")[-1] == str(run_dir / "site")
    assert environment["NPM_CONFIG_GLOBALCONFIG"] == str(run_dir / "site" / "npmrc")
    [server] = await site.backend.servers()
    assert (server.user, server.server_name, server.gpus) == ("alice", "", ("GPU-sim-a100-1",))
    assert (await site.hub.stop()).status_code == 204
    await wait_for(site.nothing_is_left, 15, "nothing left")
    assert not kernel.is_running()
    assert site.book.served == site.book.released, "it was no start that came to nothing"


@in_one_loop
async def test_a_server_that_dies_at_once_tells_why(site: Site) -> None:
    site.book.mode = "die"
    for _ in range(4):  # One more than the hub's limit of failures.
        answer = await site.hub.spawn({"profile": "small"})
        assert answer.status_code == 409, answer.text
        assert "No module named <jupyterlab>" in answer.json()["message"]
    assert "Traceback" not in site.hub.log
    await wait_for(lambda: len(site.book.released) == 4, 15, "released")
    assert site.book.served == []


@in_one_loop
async def test_nothing_can_be_mounted_for_a_process(site: Site) -> None:
    site.book.chosen = (MountChoice("user", "/data/x"),)
    answer = await site.hub.spawn({"profile": "small"})
    assert answer.status_code == 409, answer.text
    assert "so nothing can be mounted" in answer.json()["message"]


@in_one_loop
async def test_a_killed_hub_finds_its_servers_again(site: Site) -> None:
    await site.hub.spawn({"profile": "small"})
    process = await site.only_server()
    site.hub.kill()
    assert process.is_running()
    await site.hub.start()
    await wait_for(site.hub.server, 20, "the server")
    assert (await site.hub.stop()).status_code == 204
    await wait_for(site.nothing_is_left, 15, "nothing left")


@in_one_loop
async def test_a_server_that_ends_by_itself_is_given_back(site: Site) -> None:
    await site.hub.spawn({"profile": "small"})
    (await site.only_server()).kill()
    await wait_for(site.nothing_is_left, 20, "nothing left")
    assert await site.hub.server() is None
    assert site.book.reasons == ["It was ended from outside of the hub (signal 9)."]


def test_a_tensorboard_alone_is_told_of_the_machines_own_folders(tmp_path: Path) -> None:
    book = Book(
        make_settings(tmp_path, "cafe0001"), "", kind="tensorboard", log_folders=("/mnt/user/alice/runs", "/mnt/share")
    )
    environment = make_environment(book.plan("alice", "", "x"), "cafe0001", "/home")
    nas = book.settings.nas_dir
    assert json.loads(environment["MLABHUB_PLACES"]) == [f"{nas}/user/alice", f"{nas}/share/vision"]
    assert json.loads(environment["MLABHUB_LOG_FOLDERS"]) == [f"{nas}/user/alice/runs", "/mnt/share"]


@in_one_loop
async def test_the_reconciler_can_end_what_a_killed_hub_left(site: Site) -> None:
    await site.hub.spawn({"profile": "small"})
    site.hub.kill()
    [server] = await site.backend.servers()
    await site.backend.remove(server)
    await site.backend.remove(server)
    assert await site.backend.servers() == ()
    assert processes._tagged(site.book.settings.instance) == []


def test_a_process_that_got_the_same_number_is_not_a_server() -> None:
    with subprocess.Popen(["sleep", "30"], env={"MLABHUB_LAUNCH_ID": "L1"}) as stranger:
        try:
            while not psutil.Process(stranger.pid).environ():  # it has none until the kernel has loaded its program
                time.sleep(0.01)
            assert processes.is_server(stranger.pid, "L1")
            assert not processes.is_server(stranger.pid, "L2")
            assert not processes.is_server(os.getpid(), "L1")
        finally:
            stranger.kill()
    assert not processes.is_server(stranger.pid, "L1")
