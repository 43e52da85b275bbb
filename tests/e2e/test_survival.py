"""Processes are killed without warning, one after the other: people's servers run on and are found again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.installation import MLABHUB, Installation, wait_for

pytestmark = pytest.mark.timeout(400)


def _children(hub: Installation) -> dict[str, int]:
    """Return the process ids of the supervised processes by name."""
    assert hub.process is not None
    marks = {
        "proxy": "configurable-http-proxy",
        "hub": "supervisor.hub",
        "service": "mlabhub.service",
        "podman": "system",
    }
    found = {}
    for child in psutil.Process(hub.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # also a zombie, which is not reaped yet
            line = " ".join(child.cmdline())
            found.update({name: child.pid for name, mark in marks.items() if mark in line})
    return found


def _is_well(hub: Installation) -> bool:
    try:
        login = httpx.get(f"{hub.url}hub/login", timeout=3).status_code
        health = httpx.get(f"{hub.url}services/mlabhub/health", timeout=3).status_code
    except httpx.HTTPError:
        return False
    return login == health == 200


@pytest.fixture
def running(hub: Installation, people: dict[str, str]) -> str:
    """Return the id of alice's container, started if it was not."""
    if not hub.server("alice"):
        assert hub.launch("alice", profile="gpu", gpus=1).status_code == 201
    hub.wait_ready("alice")
    (container,) = hub.containers().values()
    return str(container["Id"])


@pytest.mark.parametrize("name", ["proxy", "hub", "service", "podman"])
def test_kill_9_of_each(hub: Installation, running: str, name: str) -> None:
    before = _children(hub)
    started = time.monotonic()
    os.kill(before[name], signal.SIGKILL)
    wait_for(lambda: _children(hub).get(name, before[name]) != before[name], 2, f"{name} started again")
    assert time.monotonic() - started < 2
    wait_for(lambda: _is_well(hub), 30, f"all well after kill -9 of {name}")
    _still_serves(hub, running)
    assert {other: pid for other, pid in _children(hub).items() if other != name} == {
        other: pid for other, pid in before.items() if other != name
    }


def test_restart_of_everything(hub: Installation, running: str) -> None:
    hub.stop()
    assert [row["Id"] for row in hub.containers().values()] == [running]
    assert _has_firewall(hub), "people's servers stay shut off from this machine without the hub, too"
    hub.start()
    _still_serves(hub, running)
    _allotted_once(hub)


def test_kill_9_of_the_supervisor(hub: Installation, running: str) -> None:
    before = _children(hub)
    assert hub.process is not None
    hub.process.kill()
    hub.process.wait()
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in before.values()), 20, "its processes end with it")
    hub.start()
    _still_serves(hub, running)


def test_second_one_on_the_same_folder_is_refused(hub: Installation, running: str) -> None:
    assert hub.process is not None
    second = subprocess.run([MLABHUB, "up", "--state", str(hub.state)], capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert f"A hub already runs on the state folder {hub.state} (process {hub.process.pid})" in second.stderr
    _still_serves(hub, running)


def test_everything_agrees_after_stop(hub: Installation, running: str) -> None:
    hub.stop_server("alice")
    wait_for(lambda: not hub.reservations(), 30, "nothing held")
    assert hub.containers(running=False) == {}
    hub.stop()
    assert not _has_firewall(hub)
    hub.start()


def test_hub_killed_between_a_containers_start_and_its_answer(hub: Installation, people: dict[str, str]) -> None:
    """The hub forgets such a server; within 30 s nobody holds a GPU for it, and the person can start again."""
    assert hub.launch("alice", profile="gpu", gpus=4).status_code == 201
    wait_for(hub.containers, 30, "the container")
    os.kill(_children(hub)["hub"], signal.SIGKILL)
    killed = time.monotonic()
    wait_for(lambda: _is_well(hub), 30, "the hub")

    def all_agree() -> bool:
        server = hub.server("alice")
        rows, containers = hub.reservations(), hub.containers(running=False)
        return len(rows) == len(containers) == (1 if server and server["ready"] else 0)

    wait_for(all_agree, 30, f"hub, engine and ledger agree: {hub.server('alice')}, {hub.reservations()}")
    assert time.monotonic() - killed < 60
    if not hub.server("alice"):
        assert hub.launch("alice", profile="gpu", gpus=4).status_code == 201
        hub.wait_ready("alice")
    hub.stop_server("alice")
    wait_for(lambda: not hub.reservations(), 30, "nothing held")


def _still_serves(hub: Installation, container: str) -> None:
    """The very container of before answers through the proxy to its owner."""

    def serves() -> bool:
        with hub.api("alice") as client:
            return client.get("user/alice/api/status").status_code == 200

    wait_for(serves, 30, "alice's server behind the proxy")
    assert container in [row["Id"] for row in hub.containers().values()]


def _has_firewall(hub: Installation) -> bool:
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    return hub.instance in tables


def _allotted_once(hub: Installation) -> None:

    def rows() -> list[tuple[str, str]]:
        return [(row["user"], row["state"]) for row in hub.reservations()]

    wait_for(lambda: rows() == [("alice", "running")], 30, f"one reservation: {rows()}")
    assert Path(hub.state / "ledger.sqlite").exists()
