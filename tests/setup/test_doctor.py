"""What doctor says of machines that lack something, and of this one."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mlabhub.cli.doctor import describe
from mlabhub.cli.doctor_checks import (
    Machine,
    check_controllers,
    check_disk,
    check_engine,
    check_port,
    is_locked,
    read_controllers,
)
from mlabhub.cli.findings import Check

MLABHUB = str(Path(sys.executable).parent / "mlabhub")


def machine(state_dir: Path, *, port: int = 8000, is_root: bool = True) -> Machine:
    """Return a machine without an engine."""
    return Machine(state_dir, port, None, None, "Podman was not found.", is_root=is_root)


def test_without_an_engine_root_lacks_something_and_others_could_have_it_better(tmp_path: Path):
    assert check_engine(machine(tmp_path)).status == "missing"
    mine = check_engine(machine(tmp_path, is_root=False))
    assert (mine.status, mine.fix) == ("better", "Podman was not found.")
    assert check_controllers(machine(tmp_path)) is None


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({"sys/fs/cgroup/cgroup.controllers": "cpu memory pids"}, {"cpu", "memory", "pids"}, id="v2"),
        pytest.param({"proc/cgroups": "#subsys_name ...\ncpu 1 1 1\nmemory 2 1 0\n"}, {"cpu"}, id="v1"),
        pytest.param({}, set(), id="none"),
    ],
)
def test_controllers_are_read_in_every_layout(tmp_path: Path, files: dict[str, str], expected: set[str]):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert read_controllers(tmp_path) == expected


def test_the_disk_of_a_folder_that_is_not_there_yet(tmp_path: Path):
    check = check_disk("disk", tmp_path / "not" / "yet")
    assert "GiB free" in check.found


def test_a_taken_port_is_a_fault_unless_it_is_ours(tmp_path: Path):
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        check = check_port(machine(tmp_path, port=port))
        assert check.status == "missing"
        assert str(port) in check.found
    assert check_port(machine(tmp_path, port=port)).status == "ok"


def test_a_running_hub_is_known_by_its_lock(tmp_path: Path):
    assert not is_locked(tmp_path)
    (tmp_path / "run").mkdir()
    with open(tmp_path / "run" / "up.lock", "w") as lock:
        assert not is_locked(tmp_path)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert is_locked(tmp_path)


def test_what_is_wrong_comes_last_with_its_fix():
    lines = describe([Check("engine", "missing", "none", "install it"), Check("Python", "ok", "3.11")])
    assert [line.plain.split()[-1] for line in lines] == ["3.11", "none", "it"]


@pytest.mark.engine
def test_this_machine_has_what_it_needs(tmp_path: Path):
    answer = subprocess.run(
        [MLABHUB, "doctor", "--json", "--state", str(tmp_path)],
        capture_output=True, text=True, check=False, env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
    )  # fmt: skip
    checks = {check["name"]: check for check in json.loads(answer.stdout)}
    assert answer.stderr == ""
    assert {name for name, check in checks.items() if check["status"] == "missing"} <= {"port"}
    assert checks["subdomains"]["status"] == "better"
    assert all(check["fix"] for check in checks.values() if check["status"] in ("missing", "better"))
