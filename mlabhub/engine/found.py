"""Find the engine of this machine: Docker where a daemon already answers, else Podman.

Guarantees: nothing is started or changed by looking; what is missing is said in one sentence with the command that
mends it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from mlabhub.errors import EngineUnavailable
from mlabhub.messages import N_, Message
from mlabhub.settings import EngineKind

OLDEST_PODMAN = (4, 0)
"""The first with netavark, which can keep networks apart."""
PODMAN_PARTS = ("conmon", "netavark", "aardvark-dns", "catatonit")
_PLACES = ("/usr/lib/podman", "/usr/libexec/podman", "/usr/local/libexec/podman", "/usr/local/lib/podman")
_SYSTEM_PLACES = ("/usr/sbin", "/sbin")
_DOCKER_SOCKET = "unix:///var/run/docker.sock"

WITHOUT_ROOT = N_(
    "Without root a container engine can give servers neither their users' own ids nor networks that the hub reaches. "
    "Use `sudo make up`."
)


@dataclass(frozen=True)
class Engine:
    """An engine that can be used, and where its API is (or, for Podman, will be) served."""

    kind: EngineKind
    url: str
    rootless: bool
    version: str


def find_engine(run_dir: Path, *, kind: EngineKind | None = None) -> Engine:
    """Return the engine to use. ``run_dir`` is where Podman's socket will be; ``kind`` asks for one of the two.

    Raises `EngineUnavailable` with what is missing.
    """
    if os.geteuid() != 0:
        raise EngineUnavailable(WITHOUT_ROOT)
    docker = find_docker() if kind != "podman" else None
    if docker is not None:
        return docker
    if kind == "docker":
        raise EngineUnavailable(
            Message.of(
                N_("No Docker daemon answers at {url}. Start it with `systemctl start docker`."), url=_docker_url()
            )
        )
    return find_podman(run_dir)


def find_docker() -> Engine | None:
    """Return Docker if its daemon answers and is Docker; Podman behind Docker's socket does not count."""
    url = _docker_url()
    if not url.startswith("unix://") or not _listens(url.removeprefix("unix://")):
        return None
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=url.removeprefix("unix://")), timeout=3) as client:
            version: dict[str, Any] = client.get("http://docker/version").json()
            info: dict[str, Any] = client.get("http://docker/info").json()
    except (httpx.HTTPError, ValueError, OSError):
        return None
    if any("podman" in str(part.get("Name", "")).lower() for part in version.get("Components") or ()):
        return None
    rootless = any("rootless" in str(option) for option in info.get("SecurityOptions") or ())
    return Engine("docker", url, rootless, str(version.get("Version", "")))


def find_podman(run_dir: Path) -> Engine:
    """Return Podman if it and its parts are installed. Raises `EngineUnavailable` if not."""
    program = shutil.which("podman")
    if program is None:
        raise EngineUnavailable(
            N_("Neither Docker nor Podman was found. Install Podman: `apt-get install podman`, or run `make up`.")
        )
    version = _podman_version(program)
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST_PODMAN:
        template = N_("Podman {version} is too old, 4.0 is needed. Or use Docker: `apt-get install docker.io`.")
        raise EngineUnavailable(Message.of(template, version=version))
    missing = missing_parts()
    if missing:
        raise EngineUnavailable(
            Message.of(
                N_("Podman lacks {parts}. Install what is missing: `apt-get install {parts}`."), parts=" ".join(missing)
            )
        )
    return Engine("podman", f"unix://{run_dir / 'podman.sock'}", os.geteuid() != 0, version)


def missing_parts() -> list[str]:
    """Return the packages that Podman needs for what we ask of it and that are not there."""
    search = os.pathsep.join((os.environ.get("PATH", ""), *_SYSTEM_PLACES, *_PLACES))
    missing = [part for part in PODMAN_PARTS if shutil.which(part, path=search) is None]
    if not any(shutil.which(runtime, path=search) for runtime in ("runc", "crun")):
        missing.append("runc")
    return missing


def _podman_version(program: str) -> str:
    try:
        answer = subprocess.run(
            [program, "version", "--format", "json"], capture_output=True, text=True, timeout=20, check=True
        )
        return str(json.loads(answer.stdout)["Client"]["Version"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        detail = getattr(error, "stderr", None) or str(error)
        raise EngineUnavailable(
            Message.of(N_("Podman is installed but does not run: {detail}"), detail=str(detail).strip()[-300:])
        ) from error


def _listens(path: str) -> bool:
    """Tell whether somebody listens on a unix socket; httpx leaves its own one open where nobody does."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def _docker_url() -> str:
    return os.environ.get("DOCKER_HOST") or _DOCKER_SOCKET
