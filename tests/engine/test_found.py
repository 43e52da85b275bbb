"""Which engine is used, and what is said where there is none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer

import pytest

from mlabhub.engine import find_engine
from mlabhub.engine.found import PODMAN_PARTS
from mlabhub.engine.podman_service import Machine, make_containers_conf, podman_service_command
from mlabhub.errors import EngineUnavailable
from tests.engine.podman import make_settings


def install(folder: Path, *names: str, script: str = "exit 0") -> None:
    """Put programs into a folder."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)


def says_version(version: str) -> str:
    """Return a script that answers as `podman version` does."""
    return f'echo \'{{"Client": {{"Version": "{version}"}}}}\''


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the whole PATH; no Docker; nothing elsewhere on this machine counts."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("mlabhub.engine.found._PLACES", ())
    monkeypatch.setattr("mlabhub.engine.found._SYSTEM_PLACES", ())
    return folder


def answer_as_docker(socket_file: Path, component: str) -> UnixStreamServer:
    """Return a server that answers as a Docker daemon does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            bodies = {
                "/version": f'{{"Version": "28.1", "Components": [{{"Name": "{component}"}}]}}',
                "/info": '{"SecurityOptions": ["name=seccomp"]}',
            }
            self.send_response(200)
            self.end_headers()
            self.wfile.write(bodies[self.path].encode())

        def address_string(self) -> str:
            return "test"

        def log_message(self, *_: object) -> None:
            return

    return UnixStreamServer(str(socket_file), Handler)


@pytest.fixture
def docker(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[None]:
    server = answer_as_docker(tmp_path / "docker.sock", request.param)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield
    server.shutdown()
    server.server_close()
    thread.join()


def test_nothing_installed(programs: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="apt-get install podman"):
        find_engine(tmp_path)


def test_without_root_there_is_no_engine(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(EngineUnavailable, match="sudo make up"):
        find_engine(tmp_path)


def test_podman_is_found(programs: Path, tmp_path: Path) -> None:
    install(programs, "podman", script=says_version("4.3.1"))
    install(programs, *PODMAN_PARTS, "crun")
    engine = find_engine(tmp_path)
    assert (engine.kind, engine.url, engine.version) == ("podman", f"unix://{tmp_path}/podman.sock", "4.3.1")


@pytest.mark.parametrize(
    ("script", "parts", "sentence"),
    [
        (says_version("3.4.4"), (*PODMAN_PARTS, "runc"), "Podman 3.4.4 is too old"),
        (says_version("4.3.1"), ("conmon", "catatonit", "runc"), "apt-get install netavark aardvark-dns"),
        (says_version("4.3.1"), PODMAN_PARTS, "apt-get install runc"),
        ("echo 'cannot read its storage' >&2; exit 125", (*PODMAN_PARTS, "runc"), "cannot read its storage"),
        ("echo rubbish", (*PODMAN_PARTS, "runc"), "does not run"),
    ],
    ids=["too old", "parts missing", "no runtime", "broken", "no answer"],
)
def test_what_is_wrong_is_said(
    programs: Path, tmp_path: Path, script: str, parts: tuple[str, ...], sentence: str
) -> None:
    install(programs, "podman", script=script)
    install(programs, *parts)
    with pytest.raises(EngineUnavailable, match=sentence):
        find_engine(tmp_path)


@pytest.mark.parametrize("docker", ["Engine"], indirect=True)
def test_docker_is_used_where_it_answers(programs: Path, tmp_path: Path, docker: None) -> None:
    install(programs, "podman", script=says_version("4.3.1"))
    engine = find_engine(tmp_path)
    assert (engine.kind, engine.url, engine.version) == ("docker", f"unix://{tmp_path}/docker.sock", "28.1")


@pytest.mark.parametrize("docker", ["Podman Engine"], indirect=True)
def test_podman_behind_dockers_socket_is_not_docker(programs: Path, tmp_path: Path, docker: None) -> None:
    with pytest.raises(EngineUnavailable, match="No Docker daemon"):
        find_engine(tmp_path, kind="docker")


def test_a_socket_that_nobody_serves_is_no_docker(programs: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "docker.sock"))
        with pytest.raises(EngineUnavailable, match="Neither Docker nor Podman"):
            find_engine(tmp_path)


USUAL = Machine(
    has_systemd=True, unified_cgroups=True, has_runc=True, may_raise_limits=True, open_files=1048576, processes=9999
)


@pytest.mark.parametrize(
    ("machine", "lines"),
    [
        (USUAL, []),
        (
            Machine(False, True, True, True, 1, 1),
            ["[engine]", 'cgroup_manager = "cgroupfs"', 'events_logger = "file"'],
        ),
        (Machine(True, False, True, True, 1, 1), ["[engine]", 'runtime = "runc"']),
        (Machine(True, False, False, True, 1, 1), []),
        (
            Machine(True, True, True, False, 16384, 4096),
            ["[containers]", 'default_ulimits = ["nofile=16384:16384", "nproc=4096:4096"]'],
        ),
    ],
    ids=["usual", "no systemd", "hybrid cgroups", "hybrid without runc", "limits cannot be raised"],
)
def test_containers_conf_says_only_what_the_machine_needs(machine: Machine, lines: list[str]) -> None:
    text = [line for line in make_containers_conf(machine).splitlines() if line and not line.startswith("#")]
    assert text == ["[network]", 'network_backend = "netavark"', *lines]


def test_the_service_has_a_socket_and_a_configuration_of_its_own(tmp_path: Path) -> None:
    argv, environment = podman_service_command(make_settings(tmp_path, "0123abcd"))
    assert argv[1:] == ("system", "service", "--time=0", f"unix://{tmp_path}/run/podman.sock")
    assert environment == {"CONTAINERS_CONF": f"{tmp_path}/run/containers.conf"}
    assert "netavark" in (tmp_path / "run" / "containers.conf").read_text()
