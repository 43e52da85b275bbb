"""A real Podman service for tests, a tiny image from this machine's own programs, and no trace of either afterwards."""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
import tarfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mlabhub.engine import ContainerSpec, Engine, EngineApi, cdi, firewall, labels, make_api
from mlabhub.engine.podman_service import podman_service_command
from mlabhub.engine.runtime import ENTRY
from mlabhub.settings import Settings

PROGRAMS = ("sh", "cat", "chmod", "chown", "dd", "env", "id", "ls", "mkdir", "rm", "sleep", "stat", "touch", "setpriv")
PYTHON = "/usr/bin/python3"
FOLDERS = {
    "etc": 0o755,
    "tmp": 0o1777,
    "root": 0o700,
    "mnt": 0o755,
    "opt": 0o755,
    "opt/venv": 0o777,
    "opt/mlabhub": 0o755,
}
JUPYTER = """
import http.server, os, sys, time

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", "6.1.1")
        self.end_headers()

mode = os.environ.get("TEST_MODE")
if mode == "die":
    sys.exit("No module named <jupyterlab>")
if mode == "install":
    open("/opt/venv/package", "w").write("installed")
if mode == "slow":
    time.sleep(20)
http.server.HTTPServer(("", 8888), Answer).serve_forever()
"""
"""Stands for Jupyter in the tiny image: answers, dies, installs something, or takes its time."""


@dataclass(frozen=True)
class Playground:
    """An installation of its own on a real Podman."""

    settings: Settings
    engine: Engine
    image: str
    environment: dict[str, str]

    @property
    def instance(self) -> str:
        """The installation's id."""
        return self.settings.instance

    def podman(self, *arguments: str) -> str:
        """Run the command line of Podman."""
        done = subprocess.run(
            ["podman", *arguments], env=self.environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def run_in(self, container: str, script: str, user: str = "0") -> str:
        """Run a shell script in a container and return what it wrote, also to its error output."""
        done = subprocess.run(
            ["podman", "exec", "--user", user, container, "sh", "-c", script],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout + done.stderr

    def spec(self, name: str = "alice", script: str = "sleep 100", **more: object) -> ContainerSpec:
        """Return a small container on the default network that runs a shell script."""
        spec = ContainerSpec(
            name=labels.container_name(self.instance, name),
            image=self.image,
            command=("sh", "-c", script),
            environment={},
            labels={
                labels.INSTANCE: self.instance,
                labels.LAUNCH_ID: f"launch-{name}",
                labels.USER: name,
                labels.SERVER: "",
                labels.GPUS: "",
                labels.IMAGE: "tiny",
                labels.REFERENCE: self.image,
                labels.PARENT: "unknown",
                labels.LAYERS: "0",
                labels.ROOT: "0",
            },
            binds=(),
            network="podman",
            cpu=0.5,
            memory_bytes=128 * 2**20,
            shm_bytes=16 * 2**20,
            pids=64,
            open_files=1024,
            processes=4096,
            capabilities=("CHOWN", "KILL", "SETGID", "SETPCAP", "SETUID"),
            no_new_privileges=True,
            hostname=name,
            stop_seconds=1,
        )
        return replace(spec, **more)  # type: ignore[arg-type]


@contextmanager
def playground(state: Path) -> Iterator[Playground]:
    """Start a Podman service, make the tiny image, and remove everything afterwards."""
    instance = uuid.uuid4().hex[:8]
    settings = make_settings(state, instance)
    argv, more = podman_service_command(settings)
    environment = {**os.environ, **more}
    with open(state / "podman.log", "wb") as log:
        # In a folder of its own: conmon leaves a file where it runs when the kernel ends a process for its memory.
        service = subprocess.Popen(argv, cwd=state, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        wait_for_socket(settings.run_dir / "podman.sock")
        image = f"localhost/mlabhub-test-{instance}/tiny:latest"
        subprocess.run(
            ["podman", "import", "--change", f'ENTRYPOINT ["{ENTRY}"]', "-", image],
            input=make_rootfs(),
            env=environment,
            check=True,
            capture_output=True,
        )
        assert settings.engine_url is not None
        yield Playground(settings, Engine("podman", settings.engine_url, False, "test"), image, environment)
    finally:
        remove_everything(instance, environment)
        service.terminate()
        service.wait(20)


def make_settings(state: Path, instance: str) -> Settings:
    """Return settings of an installation that only has an engine."""
    return Settings(
        instance=instance,
        state_dir=state,
        config_dir=state / "config",
        backend="container",
        port=18000,
        public_url="http://localhost:18000/",
        hub_port=18001,
        proxy_api_port=18002,
        service_port=18003,
        engine_kind="podman",
        engine_url=f"unix://{state / 'run' / 'podman.sock'}",
        network_pool="10.91.0.0/16",
    )


def wait_for_socket(path: Path) -> None:
    """Return when the engine's service takes connections."""
    deadline = time.monotonic() + 20
    while True:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        assert time.monotonic() < deadline, "Podman's service did not come up"
        time.sleep(0.05)


def make_rootfs() -> bytes:
    """Return a root file system with this machine's shell, Python and a few programs, as a tar file."""
    files = {Path(path) for name in (*PROGRAMS, PYTHON) if (path := shutil.which(name))}
    for file in list(files):
        listed = subprocess.run(["ldd", file], capture_output=True, text=True, check=False).stdout
        files |= {Path(path) for path in re.findall(r"(/\S+) \(0x", listed)}
    stdlib = subprocess.run(
        [PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for file in sorted(files):
            tar.add(file.resolve(), arcname=str(file).lstrip("/"))
        tar.add(stdlib, arcname=stdlib.lstrip("/"), filter=_needed)
        for folder, mode in FOLDERS.items():
            member = tarfile.TarInfo(folder)
            member.type, member.mode = tarfile.DIRTYPE, mode
            tar.addfile(member)
        _add_text(tar, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        _add_text(tar, "etc/group", "root:x:0:\n")
        _add_text(tar, "opt/jupyter.py", JUPYTER)
        _add_text(tar, ENTRY.lstrip("/"), f'#!{shutil.which("sh")}\nexec "$@"\n', 0o755)
    return buffer.getvalue()


def _needed(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    skipped = {
        "test",
        "tests",
        "idlelib",
        "lib2to3",
        "ensurepip",
        "__pycache__",
        "dist-packages",
        "config-3.11-x86_64-linux-gnu",
    }
    return None if skipped & set(Path(member.name).parts) else member


def _add_text(tar: tarfile.TarFile, name: str, text: str, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(text), mode
    tar.addfile(member, io.BytesIO(text.encode()))


def remove_everything(instance: str, environment: dict[str, str]) -> None:
    """Remove containers, images, networks, firewall and GPUs of an installation."""

    def podman(*arguments: str) -> list[str]:
        done = subprocess.run(["podman", *arguments], env=environment, capture_output=True, text=True, check=False)
        return done.stdout.split()

    mine = f"label=mlabhub.instance={instance}"
    for container in podman("ps", "-aq", "--filter", mine):
        podman("rm", "-f", "-v", "-t", "0", container)
    for network in podman("network", "ls", "-q", "--filter", mine):
        podman("network", "rm", "-f", network)
    images = podman("images", "-q", "--filter", mine)
    for image in [*images, f"localhost/mlabhub-test-{instance}/tiny:latest"]:
        podman("rmi", "-f", image)
    firewall.remove_firewall(instance)
    cdi.remove_simulated_spec(instance)


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playground]:
    """A real Podman."""
    with playground(tmp_path_factory.mktemp("state")) as made:
        yield made


@pytest.fixture
async def api(ground: Playground) -> AsyncIterator[EngineApi]:
    """A client of the real Podman; what a test leaves running is removed."""
    client = make_api(ground.engine)
    yield client
    for container in await client.containers({labels.INSTANCE: ground.instance}):
        await client.remove(container.id)
    await client.close()
