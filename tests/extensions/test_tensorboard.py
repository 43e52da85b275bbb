"""TensorBoard in a real server: on a private socket, for folders that come and go while it runs."""

from __future__ import annotations

import json
import os
import shutil
import struct
import time
from pathlib import Path

import httpx
import psutil
import pytest
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from tests.extensions.events import write_curves
from tests.extensions.server import NAVIGATION, JupyterServer, Start

LIST = "mlabhub/api/log-folders"


def wait_for_runs(client: httpx.Client, runs: set[str], seconds: float = 10) -> None:
    """Wait until TensorBoard shows these runs, no longer than a person would."""
    deadline = time.monotonic() + seconds
    while (seen := set(client.get("tensorboard/data/runs").json())) != runs:
        assert time.monotonic() < deadline, f"{seen}, not {runs}"
        time.sleep(0.2)


def board_processes(server: JupyterServer) -> list[psutil.Process]:
    """Return TensorBoard's own processes: the program, and the loader if it has one."""
    return [process for process in server.tool_processes() if process.cmdline()[1:2] == ["-m"] or is_loader(process)]


def is_loader(process: psutil.Process) -> bool:
    """Return whether a process is TensorBoard's fast loader."""
    return "tensorboard_data_server" in process.exe()


def listening(server: JupyterServer) -> list[int]:
    """Return the TCP ports that the tools of a server listen on."""
    return [
        connection.laddr.port
        for process in server.tool_processes()
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]


@pytest.mark.long
@pytest.mark.parametrize("own_network", [False, True])
def test_folders_come_and_go_while_it_runs(start: Start, own_network: bool) -> None:
    site = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    server = start(environ={"MLABHUB_OWN_NETWORK": "1", **site} if own_network else {})
    (server.home / "random.py").write_text("raise SystemExit('taken for one of Python's own')")
    write_curves(server.home / "runs/first", {"loss": [3, 2, 1]})
    write_curves(server.home / "more/exp/second", {"loss": [1]})
    (server.home / "runs/first/tfevents.loop").symlink_to("tfevents.loop")
    with server.client() as client, server.client(headers=NAVIGATION) as browser:
        empty = browser.get("tensorboard/")
        assert (empty.status_code, empty.headers["location"]) == (302, "/user/alice/mlabhub/log-folders")
        assert client.post(LIST, json={"path": "~/runs"}).status_code == 201
        assert browser.get("tensorboard/").status_code == 202
        wait_for_runs(client, {"runs/first"})
        assert b"<tb-webapp>" in browser.get("tensorboard/").content
        assert len(board_processes(server)) == (2 if own_network else 1)
        assert bool(listening(server)) is own_network
        program = board_processes(server)[0]

        client.post(LIST, json={"path": "~/more/exp"}).raise_for_status()
        wait_for_runs(client, {"runs/first", "more/exp/second"})
        # A run that begins only now, in a folder that did not exist when it was added.
        listed = client.post(LIST, json={"path": "~/later"}).json()
        assert listed["folders"][-1]["sentence"].startswith("Nothing there yet")
        write_curves(server.home / "later/third", {"loss": [1]})
        wait_for_runs(client, {"runs/first", "more/exp/second", "later/third"})
        for path in ("more/exp", "later"):
            client.delete(LIST, params={"path": str(server.home / path)}).raise_for_status()
        wait_for_runs(client, {"runs/first"})
        assert program.is_running()
        shutil.rmtree(server.home / "runs")
        wait_for_runs(client, set())


def test_the_list_for_programs_and_people(server: JupyterServer) -> None:
    write_curves(server.home / "project/runs/one", {"loss": [1]})
    runs = str(server.home / "project/runs")
    with server.client() as client, server.client(headers=NAVIGATION) as browser, server.stranger() as stranger:
        assert client.get(LIST).json()["offers"] == [runs]
        page = browser.get("mlabhub/log-folders")
        assert f'value="{runs}"' in page.text
        assert 'value="/a&#34;b"' in browser.get("mlabhub/log-folders", params={"add": '/a"b'}).text
        assert client.get(LIST, params={"beginning": "~/pro"}).json() == {"completions": ["~/project"]}
        assert browser.post("mlabhub/log-folders", data={"path": runs}).status_code == 303
        refused = browser.post("mlabhub/log-folders", data={"path": '/etc"><script>'})
        assert refused.status_code == 422
        assert "is not in one of your folders" in refused.text
        assert '"><script>' not in refused.text
        seen = client.get(LIST).json()
        (folder,) = seen["folders"]
        assert (folder["path"], folder["name"], folder["sentence"]) == (
            runs,
            "project/runs",
            "Runs: 1 · event files: 1",
        )
        assert seen["offers"] == []
        assert browser.post("mlabhub/log-folders", data={"path": runs, "action": "remove"}).status_code == 303
        for body in (None, [], {}, {"path": 7}):
            assert client.post(LIST, json=body).json()["error"]["code"] in ("bad_request", "empty")
        assert client.delete(LIST, params={"path": runs}).status_code == 404
        for method, path in (("GET", LIST), ("POST", LIST), ("DELETE", LIST), ("GET", f"{LIST}/use")):
            assert stranger.request(method, path).status_code == 403
        with server.client(headers={"Accept-Language": "de"}) as other:
            assert other.get(f"{LIST}/use").json()["link"]["title"] == "Log folders"
    assert server.state("tensorboard")["state"] == "stopped", "none of that starts TensorBoard"


@pytest.mark.long
def test_two_servers_of_one_person(start: Start, tmp_path: Path) -> None:
    shared = {"HOME": str(tmp_path), "MLABHUB_HOME": str(tmp_path)}
    one, two = (start(environ={**shared, "JUPYTERHUB_SERVER_NAME": name}) for name in ("", "other"))
    write_curves(tmp_path / "a/run", {"loss": [1]})
    write_curves(tmp_path / "b/run", {"loss": [1]})
    with one.client() as first, two.client() as second:
        first.post(LIST, json={"path": "~/a"}).raise_for_status()
        second.post(LIST, json={"path": "~/b"}).raise_for_status()
        wait_for_runs(first, {"a/run"})
        wait_for_runs(second, {"b/run"})
    kept = tmp_path / ".config/mlabhub/log-folders"
    assert sorted(os.listdir(kept)) == ["_default.json", "other.json"]


@pytest.mark.long
def test_where_python_can_read_it_only_its_person_can(start: Start) -> None:
    server = start(environ={"MLABHUB_LOG_FOLDERS": json.dumps(["~/runs"])})
    write_curves(server.home / "runs/first", {"loss": [1]})
    with server.client() as client:
        wait_for_runs(client, {"runs/first"})
    (place,) = server.runtime.glob("mlabhub/*/tensorboard/socket")
    assert (place.stat().st_mode & 0o777) == 0o600
    (program,) = board_processes(server)
    assert Path(f"/proc/{program.pid}/oom_score_adj").read_text() == "1000\n"
    assert program.rlimit(psutil.RLIMIT_DATA)[1] > 0


def write_lie(file: Path, gib: int) -> None:
    """Write an event file, sparse, whose only record says that it is so long."""
    file.parent.mkdir(parents=True)
    length = struct.pack("<Q", gib * 1024**3)
    with file.open("wb") as stream:
        stream.write(length + struct.pack("<I", masked_crc32c(length)))
        stream.truncate((gib + 1) * 1024**3)


@pytest.mark.long
@pytest.mark.parametrize("own_network", ["0", "1"])
def test_a_huge_event_file_ends_tensorboard_alone(start: Start, own_network: str) -> None:
    server = start(environ={"MLABHUB_LOG_FOLDERS": json.dumps(["~/runs"]), "MLABHUB_OWN_NETWORK": own_network})
    write_lie(server.home / "runs/huge/events.out.tfevents.1", 20)
    most = 0
    with server.client() as client:
        client.post("mlabhub/api/tools/tensorboard", json={"action": "start"}).raise_for_status()
        deadline = time.monotonic() + 40
        while (state := server.state("tensorboard"))["state"] != "failed":
            assert time.monotonic() < deadline
            for process in board_processes(server):
                try:
                    most = max(most, process.memory_info().rss)
                except psutil.Error:
                    continue
            time.sleep(0.02)
        assert client.get("api").status_code == 200
        page = client.get("tensorboard/", headers=NAVIGATION)
        # The way out is on the page.
        assert page.status_code == 502
        assert 'href="/user/alice/mlabhub/log-folders"' in page.text
    assert state["log"].splitlines()[-1].startswith("Reading the logs")
    assert "log folders" in state["fix"]
    assert most < 4096 * 1024**2
