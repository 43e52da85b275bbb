"""Servers that are plain processes of this machine, found by what stands in their environment.

Guarantees: a process counts as a server only if it carries this installation's id and a launch id; a process id that
something else has got meanwhile is never taken for a server, and never signalled.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

INSTANCE = "MLABHUB_INSTANCE"
LAUNCH_ID = "MLABHUB_LAUNCH_ID"
GPUS = "MLABHUB_GPUS"
USER = "JUPYTERHUB_USER"
SERVER = "JUPYTERHUB_SERVER_NAME"
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class ServerProcess:
    """A server's first process."""

    pid: int
    launch_id: str
    user: str
    server_name: str
    gpus: tuple[str, ...]
    started: float


def log_file(log_dir: Path, slug: str) -> Path:
    """Return the file into which a server writes; each launch begins it anew."""
    return log_dir / "servers" / f"{slug}.log"


def find_servers(instance: str) -> tuple[ServerProcess, ...]:
    """Return the servers of an installation; kernels and terminals inherit the environment and do not count."""
    tagged = {process.pid: (process, tags) for process, tags in _tagged(instance)}
    servers = []
    for process, tags in tagged.values():
        parent = tagged.get(_parent(process))
        if parent is None or parent[1][LAUNCH_ID] != tags[LAUNCH_ID]:
            servers.append((process.create_time(), process.pid, tags))
    first: dict[str, ServerProcess] = {}
    for started, pid, tags in sorted(servers, key=lambda server: server[:2]):
        gpus = tuple(filter(None, tags.get(GPUS, "").split(",")))
        found = ServerProcess(pid, tags[LAUNCH_ID], tags.get(USER, ""), tags.get(SERVER, ""), gpus, started)
        first.setdefault(tags[LAUNCH_ID], found)
    return tuple(first.values())


def is_server(pid: int, launch_id: str) -> bool:
    """Return whether a process is (still) of this launch."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(LAUNCH_ID) == launch_id
    except psutil.Error:
        return False


def end_server(instance: str, launch_id: str, seconds: float = STOP_SECONDS) -> None:
    """End every process of a launch, after ``seconds`` by force. Blocks; idempotent."""
    ours = [process for process, tags in _tagged(instance) if tags[LAUNCH_ID] == launch_id]
    _signal(ours, force=False)
    _, left = psutil.wait_procs(ours, timeout=seconds)
    ours = [process for process, tags in _tagged(instance) if tags[LAUNCH_ID] == launch_id]
    _signal({*left, *ours}, force=True)
    psutil.wait_procs(ours, timeout=seconds)


def _signal(processes: Iterable[psutil.Process], *, force: bool) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill() if force else process.terminate()


def _tagged(instance: str) -> list[tuple[psutil.Process, dict[str, str]]]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environment = process.environ()
            if environment.get(INSTANCE) == instance and environment.get(LAUNCH_ID):
                found.append((process, environment))
    return found


def _parent(process: psutil.Process) -> int:
    try:
        return int(process.ppid())
    except psutil.Error:
        return 0
