"""Podman's API as a child of ours, with a configuration of its own where the machine needs one.

Why one is needed: without systemd Podman must manage cgroups itself, crun refuses hybrid cgroups, and where raising
limits is forbidden every container with the default ones fails to start. On a usual machine only the network's back end
is fixed: netavark is the one that can keep networks apart.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mlabhub.settings import Settings, replace_file
from mlabhub.site import Site
from mlabhub.site.clients import make_proxy_environment, make_registries_conf
from mlabhub.site.inside import saved_site

MOST_OPEN_FILES = 1_048_576
MOST_PROCESSES = 1_048_576


@dataclass(frozen=True)
class Machine:
    """What decides how containers are run here."""

    has_systemd: bool
    unified_cgroups: bool
    has_runc: bool
    may_raise_limits: bool
    open_files: int
    processes: int


def look_at_machine() -> Machine:
    """Return the facts of this machine."""
    return Machine(
        has_systemd=Path("/run/systemd/system").is_dir(),
        unified_cgroups=Path("/sys/fs/cgroup/cgroup.controllers").exists(),
        has_runc=shutil.which("runc", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None,
        may_raise_limits=_may_raise_limits(),
        open_files=_hard_limit(resource.RLIMIT_NOFILE, MOST_OPEN_FILES),
        processes=processes_limit(),
    )


def make_containers_conf(machine: Machine) -> str:
    """Return the text of ``containers.conf`` for this machine."""
    lines = [
        "# Written by mlabhub; changes are lost at its next start.",
        "[network]",
        'network_backend = "netavark"',
        "",
    ]
    if not machine.may_raise_limits:
        limits = f'"nofile={machine.open_files}:{machine.open_files}", "nproc={machine.processes}:{machine.processes}"'
        lines += ["[containers]", f"default_ulimits = [{limits}]", ""]
    engine = []
    if not machine.has_systemd:
        engine += ['cgroup_manager = "cgroupfs"', 'events_logger = "file"']
    if not machine.unified_cgroups and machine.has_runc:
        engine += ['runtime = "runc"']
    if engine:
        lines += ["[engine]", *engine, ""]
    return "\n".join(lines)


def write_containers_conf(run_dir: Path) -> Path:
    """Write this machine's configuration and return its file, which ``CONTAINERS_CONF`` is to name."""
    run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = run_dir / "containers.conf"
    replace_file(file, make_containers_conf(look_at_machine()))
    return file


def podman_service_command(settings: Settings) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return arguments and additional environment of Podman's API service on the installation's own socket."""
    conf = write_containers_conf(settings.run_dir)
    socket = settings.run_dir / "podman.sock"
    argv = (shutil.which("podman") or "podman", "system", "service", "--time=0", f"unix://{socket}")
    site = saved_site(settings)
    ca = str(settings.ca_file) if settings.ca_file.exists() else ""
    return argv, {"CONTAINERS_CONF": str(conf), **site_environment(site, settings.run_dir, ca)}


def site_environment(site: Site, folder: Path, ca: str) -> dict[str, str]:
    """Return what makes the engine's program fetch images as the site says. ``folder`` takes the list of mirrors."""
    environment = make_proxy_environment(site)
    environment.update({"SSL_CERT_FILE": ca} if ca else {})
    registries = make_registries_conf(site)
    if registries:
        replace_file(folder / "registries.conf", registries)
        environment["CONTAINERS_REGISTRIES_CONF"] = str(folder / "registries.conf")
    return environment


def open_files_limit() -> int:
    """Return how many files a container's processes may open here."""
    return _hard_limit(resource.RLIMIT_NOFILE, MOST_OPEN_FILES)


def processes_limit() -> int:
    """Return how many processes one user id may have here; a container's own limit is its cgroup's."""
    return _hard_limit(resource.RLIMIT_NPROC, min(MOST_PROCESSES, _most_pids()))


def _most_pids() -> int:
    """Return the kernel's own limit: Podman's service lowers its hard limit to it, and cannot give more than it has."""
    try:
        return int(Path("/proc/sys/kernel/pid_max").read_text())
    except (OSError, ValueError):
        return MOST_PROCESSES


def _hard_limit(which: int, most: int) -> int:
    hard = resource.getrlimit(which)[1]
    return most if hard == resource.RLIM_INFINITY else min(hard, most)


def _may_raise_limits() -> bool:
    wanted = _hard_limit(resource.RLIMIT_NOFILE, MOST_OPEN_FILES) + 1
    program = shutil.which("prlimit")
    if program is None:
        return False
    tried = subprocess.run([program, f"--nofile={wanted}:{wanted}", "true"], capture_output=True, check=False)
    return tried.returncode == 0
