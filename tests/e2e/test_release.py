"""A server gives its GPUs back and goes on: what it leaves for its person, who has them next, and how they return."""

from __future__ import annotations

import csv
import json
import signal
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.test_storage import home_of
from tests.installation import Installation, run_in_terminal, wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
UID = 201_302
API = "services/mlabhub/api/v1"
BOTH: dict[str, Any] = {"profile": "gpu", "gpu_type": "t4", "gpus": 2, "memory_gib": 2}
ONE: dict[str, Any] = {"profile": "gpu", "gpu_type": "t4", "gpus": 1, "memory_gib": 1}
SAVE_S = 90
FILES = {"README.txt", "processes.txt", "gpu.csv", "packages.txt", "open-documents.txt"}
NOTEBOOK = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
INSTALL = """
import os, site, sysconfig
for folder, name in ((sysconfig.get_path('purelib'), 'extra-2.0'), (site.getusersitepackages(), 'mine-1.0')):
    os.makedirs(f'{folder}/{name}.dist-info')
print('installed')"""


@pytest.fixture(scope="module")
def ivy(hub: Installation) -> Iterator[str]:
    """Somebody whose server has both T4, which are said to be somewhat busy."""
    (hub.state / "simulated-use.json").write_text(json.dumps({"*": {"percent": 37, "memory_used": 5 * 2**20}}))
    hub.add_user("ivy", "vision")
    hub.add_user("jon", "nlp")
    home_of(hub, "ivy", UID)
    yield "ivy"
    (hub.state / "simulated-use.json").unlink()
    for name in ("ivy", "jon"):
        if hub.server(name):
            hub.stop_server(name)


def view(hub: Installation, name: str) -> dict[str, Any]:
    with hub.api(name) as client:
        servers = client.get(f"{API}/servers").json()["servers"]
    return next((one for one in servers if one["server_name"] == ""), {})


def ask(hub: Installation, name: str, path: str, **body: Any) -> dict[str, Any]:
    with hub.api(name) as client:
        answer = client.post(f"{API}/servers/{name}/_/{path}", json=body)
    assert answer.is_success, answer.text
    told: dict[str, Any] = answer.json()
    return told


def start(hub: Installation, name: str, **options: Any) -> str:
    """Start a server with GPUs; return its launch."""
    answer = hub.launch(name, **options)
    assert answer.status_code == 201, answer.text
    hub.wait_ready(name)
    return str(view(hub, name)["launch_id"])


def measured(hub: Installation) -> float:
    """Return when the last sample was taken that is kept."""
    with closing(sqlite3.connect(f"file:{hub.state / 'ledger.sqlite'}?mode=ro", uri=True)) as ledger:
        [(at,)] = ledger.execute("select max(t) from sample_ticks").fetchall()
    return float(at or 0)


def work(hub: Installation, name: str) -> None:
    """Open a notebook whose kernel is busy, leave a program in a terminal, and install something."""
    assert "installed" in hub.run_code(name, INSTALL)
    with hub.api(name) as client:
        path = f"user/{name}/api/contents/user/{name}/work.ipynb"
        content = {"type": "notebook", "format": "json", "content": NOTEBOOK}
        assert client.put(path, json=content).status_code == 201
        session = {"path": f"user/{name}/work.ipynb", "name": "", "type": "notebook", "kernel": {"name": "python3"}}
        assert client.post(f"user/{name}/api/sessions", json=session).status_code == 201
        assert client.post(f"user/{name}/api/terminals").status_code == 200
    run_in_terminal(hub, name, "nohup sleep 98765 >/dev/null 2>&1 &")


def wait_without(hub: Installation, name: str, seconds: float) -> dict[str, Any]:
    """Wait until a server goes on without GPUs; return how it is shown."""

    def goes_on() -> bool:
        seen = view(hub, name)
        return bool(seen.get("shelved") and seen["shelved"]["state"] == "released" and seen["state"] == "running")

    wait_for(goes_on, seconds, f"{name} goes on without GPUs: {view(hub, name)}")
    return view(hub, name)


def check_bundle(home: Path, shown: str) -> None:
    """Look into each file of the bundle."""
    [folder] = (home / "mlabhub-rescue").iterdir()
    assert shown == f"/mnt/user/ivy/mlabhub-rescue/{folder.name}"
    for one in (folder.parent, folder):
        assert (stat.S_IMODE(one.stat().st_mode), one.stat().st_uid) == (0o700, UID)
    assert {one.name for one in folder.iterdir()} == FILES
    text = {one.name: one.read_text() for one in folder.iterdir()}
    assert "Reason: ivy gives its GPUs back: a long lunch" in text["README.txt"]
    assert "本服务器已归还 GPU" in text["README.txt"]
    assert "sleep 98765" in text["processes.txt"]
    assert "ipykernel_launcher" in text["processes.txt"]
    rows = list(csv.DictReader(text["gpu.csv"].splitlines()))
    assert rows, text["gpu.csv"]
    busy = [(row["gpu0_percent"], row["gpu0_memory_mib"], row["gpu1_percent"]) for row in rows]
    assert set(busy) == {("37.00", "5.00", "37.00")}
    assert all(float(row["cpu_cores"]) >= 0 for row in rows if row["cpu_cores"])
    beyond, own, distribution = text["packages.txt"].split("\n# ")
    assert beyond.splitlines()[1:] == ["extra==2.0"]
    assert own.splitlines()[1:] == ["mine==1.0"]
    assert distribution.splitlines()[1:] == ["none"]
    notebook, _, _, terminal = text["open-documents.txt"].splitlines()[1:]
    assert notebook.startswith('"user/ivy/work.ipynb" {"name": "python3", "execution_state": "')
    assert terminal.startswith('{"name": "1", "last_activity": "')


def test_gpus_go_to_the_next_one_and_the_work_stays(hub: Installation, ivy: str) -> None:
    launch_id = start(hub, ivy, **BOTH)
    work(hub, ivy)
    before = view(hub, ivy)
    began = time.time()
    wait_for(lambda: measured(hub) > began, 150, "a minute was measured")
    assert hub.launch("jon", **ONE).status_code == 409
    asked = time.monotonic()
    assert ask(hub, ivy, "release-gpu", reason="a long lunch")["state"] == "saving"
    seen = wait_without(hub, ivy, SAVE_S + 60)
    print(f"without GPUs after {time.monotonic() - asked:.0f} s")
    assert (seen["gpus"], seen["profile"], seen["image"]) == (0, "cpu", before["image"])
    assert seen["launch_id"] != launch_id
    check_bundle(home_of(hub, ivy, UID), seen["shelved"]["rescue"])
    with hub.api(ivy) as client:
        assert client.get(f"user/{ivy}/api/contents/user/{ivy}/work.ipynb").status_code == 200
    code = "import os; print(repr(os.environ['MLABHUB_GPUS']), os.path.exists(os.path.expanduser('~/work.ipynb')))"
    assert hub.run_code(ivy, code).split() == ["''", "True"]

    start(hub, "jon", **ONE)
    with hub.api(ivy) as client:
        refused = client.post(f"{API}/servers/{ivy}/_/bring-back", json={})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "would_wait")
    assert view(hub, ivy)["state"] == "running", "nothing ends for a refusal"
    hub.stop_server("jon")
    ask(hub, ivy, "bring-back")
    wait_for(lambda: (one := view(hub, ivy))["gpus"] == 2 and one["state"] == "running", 90, "its GPUs are there again")
    assert (view(hub, ivy)["gpu_type"], view(hub, ivy)["image"]) == ("t4", before["image"])
    hub.stop_server(ivy)


def test_nobody_inside_answers(hub: Installation, ivy: str) -> None:
    """Who would save is stopped still: the time is waited for, and then it goes on without the bundle."""
    start(hub, ivy, **ONE)
    before = {one.name for one in (home_of(hub, ivy, UID) / "mlabhub-rescue").glob("*")}
    [container] = [name for name in hub.containers() if "ivy" in name]
    first = psutil.Process(int(hub.podman("inspect", "--format", "{{.State.Pid}}", container)))
    for one in (first, *first.children(recursive=True)):
        one.send_signal(signal.SIGSTOP)
    asked = time.monotonic()
    ask(hub, ivy, "release-gpu")
    seen = wait_without(hub, ivy, SAVE_S + 90)
    assert time.monotonic() - asked >= SAVE_S
    assert (seen["gpus"], seen["shelved"]["rescue"]) == (0, "")
    assert {one.name for one in (home_of(hub, ivy, UID) / "mlabhub-rescue").glob("*")} == before
    hub.stop_server(ivy)
