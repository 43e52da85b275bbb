"""Starting when something is wrong: one sentence, the right exit status, and nothing half-done."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.installation import CHECKOUT, MLABHUB, free_port


def _up(state: Path, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    argv = [MLABHUB, "up", "--state", str(state), "--port", str(free_port()), *arguments]
    return subprocess.run(
        argv, env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=60, check=False
    )


def _one_sentence(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    assert done.returncode == status, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert "Traceback" not in done.stderr
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_wrong_configuration(tmp_path: Path) -> None:
    config = tmp_path / "config"
    shutil.copytree(CHECKOUT / "spawner_profiles", config)
    file = config / "profiles.yaml"
    file.write_text(file.read_text() + "\nsurprise: 1\n")
    line = len(file.read_text().splitlines())
    done = _up(tmp_path / "state", "--config", str(config))
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"profiles.yaml:{line}: surprise" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "state" / "run" / "settings.json").exists()


def test_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        done = _up(tmp_path / "state", "--port", str(port))
    _one_sentence(done, 1, f"Port {port}", "--port")


def test_state_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    _one_sentence(_up(tmp_path / "file" / "state"), 2, "file/state", "--state")


def test_disk_full(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=True)
    try:
        _fill(small / "fill")
        _one_sentence(_up(small / "state"), 2, "No space left on device")
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)


def test_no_engine(tmp_path: Path) -> None:
    """Root gets no fallback to plain processes: everybody would be root."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("node", "env", "sh"):
        (programs / name).symlink_to(shutil.which(name) or "/bin/sh")
    done = _up(tmp_path / "state", environment={"PATH": str(programs), "DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    _one_sentence(done, 3, "Podman", "apt-get install podman")


def test_half_a_certificate(tmp_path: Path) -> None:
    _one_sentence(_up(tmp_path / "state", "--tls-cert", "/etc/hostname"), 2, "--tls-cert and --tls-key")


def test_damaged_first_run_file(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "first-run.json").write_text("{")
    _one_sentence(_up(state), 2, "first-run.json is damaged")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--simulate-gpus", "many"], ["many", "4xA100"]),
        (["--simulate-gpus", "-1xA100"], ["-1xA100"]),
        (["--backend", "magic"], ["magic", "container"]),
        (["--port", "0"], ["0"]),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    done = _up(tmp_path / "state", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
