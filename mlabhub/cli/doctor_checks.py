"""What a machine needs to run people's servers: one small function a thing, each returning a value.

Guarantees: nothing is changed by looking; a check that cannot tell says so instead of failing; every fix is words that
a person can follow or a command that can be typed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import re
import shutil
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from mlabhub.catalog import load_catalog
from mlabhub.cli.doctor_gpus import look_at_gpus
from mlabhub.cli.doctor_ledger import look_at_ledger
from mlabhub.cli.doctor_messages import look_at_messages
from mlabhub.cli.doctor_quotas import look_at_quotas
from mlabhub.cli.doctor_site import assess_docker_mirrors, check_site
from mlabhub.cli.doctor_storage import look_at_storage
from mlabhub.cli.findings import Check, Status, ask, read_text
from mlabhub.engine.found import Engine, find_engine
from mlabhub.errors import MLabError
from mlabhub.images import list_images, load_recipes
from mlabhub.settings import Settings
from mlabhub.site import find_site_file, read_site_file
from mlabhub.supervisor.commands import find_proxy

LEAST_FREE_GIB = 5
ENOUGH_FREE_GIB = 30
CONTROLLERS = ("cpu", "memory", "pids")
OLDEST_NODE = 20


@dataclass(frozen=True)
class Machine:
    """What the checks need to know beforehand. ``settings`` is None before the first `mlabhub up`."""

    state_dir: Path
    port: int
    settings: Settings | None
    engine: Engine | None
    engine_fault: str
    is_root: bool

    @property
    def wants_containers(self) -> bool:
        """Whether an installation of this user would run containers: always as root, else where an engine works."""
        if self.settings is not None:
            return self.settings.backend == "container"
        return self.is_root or self.engine is not None


def look_at_machine(settings: Settings | None, state_dir: Path) -> Machine:
    """Return what is known of this machine before the checks begin."""
    engine, fault = None, ""
    if settings is None or settings.backend != "kube":
        try:
            engine = find_engine(state_dir / "run")
        except MLabError as error:
            fault = str(error)
    port = settings.port if settings else 8000
    return Machine(state_dir, port, settings, engine, fault, is_root=os.geteuid() == 0)


def run_checks(machine: Machine) -> list[Check]:
    """Return all findings in a fixed order; the slow ones run side by side."""
    of_cluster = machine.settings is not None and machine.settings.backend == "kube"
    checks: Sequence[Looking] = (
        check_python,
        check_proxy,
        *((check_cluster,) if of_cluster else CHECKS_OF_SERVERS_HERE),
        check_state_disk,
        check_ledger,
        check_quotas,
        check_messages,
        check_port,
        check_subdomains,
        check_clock,
        check_site_settings,
    )
    with ThreadPoolExecutor(len(checks)) as pool:
        answers = pool.map(lambda check: check(machine), checks)
        return [found for answer in answers for found in ([answer] if isinstance(answer, Check) else answer or ())]


def check_cluster(machine: Machine) -> Sequence[Check]:
    """The cluster, where servers are its pods."""
    from mlabhub.cli.doctor_cluster import look_at_cluster  # a third of a second, which others need not wait for

    return look_at_cluster(machine.settings) if machine.settings else ()


def check_python(_: Machine) -> Check:
    """The Python that runs the hub."""
    return Check("Python", "ok", platform.python_version())


def check_proxy(_: Machine) -> Check:
    """configurable-http-proxy and its Node."""
    try:
        command = find_proxy()
    except MLabError as error:
        return Check("proxy", "missing", "not installed", str(error))
    version = ask(command[0], "--version") if len(command) > 1 else None
    if version and int(re.sub(r"\D", "", version.split(".")[0]) or 0) < OLDEST_NODE:
        return Check(
            "proxy", "missing", f"Node {version}", f"Node {OLDEST_NODE} or newer is needed; `make up` installs it."
        )
    return Check("proxy", "ok", f"configurable-http-proxy, Node {version}" if version else command[0])


def check_engine(machine: Machine) -> Check:
    """Podman or Docker."""
    if machine.engine is None:
        status: Status = "missing" if machine.wants_containers else "better"
        return Check("container engine", status, "none that works: servers are not isolated", machine.engine_fault)
    return Check("container engine", "ok", f"{machine.engine.kind.capitalize()} {machine.engine.version}")


def check_controllers(machine: Machine) -> Check | None:
    """The cgroup controllers that limit CPU, memory and processes."""
    if machine.engine is None:
        return None
    found = read_controllers(Path("/"))
    lacking = [name for name in CONTROLLERS if name not in found]
    if not lacking:
        return Check("limits (cgroups)", "ok", ", ".join(CONTROLLERS))
    fix = "Enable them at boot: kernel parameters `cgroup_enable=memory cgroup_enable=cpuset`, then restart."
    return Check("limits (cgroups)", "missing", f"no {', '.join(lacking)}: servers would have no such limit", fix)


def read_controllers(root: Path) -> set[str]:
    """Return the controllers that may be used, in the unified hierarchy or the older one."""
    unified = root / "sys/fs/cgroup/cgroup.controllers"
    if unified.exists():
        return set(read_text(unified).split())
    rows = (line.split() for line in read_text(root / "proc/cgroups").splitlines() if not line.startswith("#"))
    return {row[0] for row in rows if len(row) == 4 and row[3] == "1"}


def check_firewall(machine: Machine) -> Check | None:
    """nftables, which keeps users' networks from the hub's inner ports and from each other."""
    if machine.engine is None:
        return None
    nft = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if nft is None:
        return Check("firewall (nft)", "missing", "not installed", "`apt-get install nftables`")
    if ask(nft, "list", "tables") is None:
        fix = (
            "Load the kernel's module: `modprobe nf_tables`; in a virtual machine or container its host must allow it."
        )
        return Check("firewall (nft)", "missing", "does not work on this kernel", fix)
    return Check("firewall (nft)", "ok", nft)


def check_storage_driver(machine: Machine) -> Check | None:
    """How the engine keeps images: without overlay every server copies its whole image."""
    driver, folder = _engine_store(machine)
    if driver is None:
        return None
    if driver == "vfs":
        fix = (
            "`apt-get install fuse-overlayfs`, or a kernel from 5.13 on; then `podman system reset` (drops all images)"
        )
        return Check("image store", "better", f"vfs in {folder}: every start copies a whole image", fix)
    return Check("image store", "ok", f"{driver} in {folder}")


def check_engine_disk(machine: Machine) -> Check | None:
    """Room for images and for what people install."""
    _, folder = _engine_store(machine)
    return check_disk("disk of the image store", Path(folder)) if folder else None


def check_ledger(machine: Machine) -> Check:
    """Where reservations and audit are kept."""
    return look_at_ledger(machine.settings, machine.state_dir)


def check_quotas(machine: Machine) -> Sequence[Check]:
    """Guarantees beyond what there is, groups that are not there."""
    return look_at_quotas(machine.settings)


def check_messages(machine: Machine) -> Sequence[Check]:
    """The addresses of messages."""
    return look_at_messages(machine.settings)


def check_state_disk(machine: Machine) -> Check:
    """Room for the ledger, logs and, unless storage.yaml says otherwise, people's files."""
    return check_disk("disk of the state folder", machine.state_dir)


def check_storage(machine: Machine) -> Sequence[Check]:
    """The folders that storage.yaml names."""
    return look_at_storage(machine.settings)


def check_disk(name: str, folder: Path) -> Check:
    """Return whether a folder's disk has room."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free / 2**30
    found = f"{free:.0f} GiB free at {folder}"
    if free < ENOUGH_FREE_GIB:
        status: Status = "missing" if free < LEAST_FREE_GIB else "better"
        return Check(name, status, found, f"Make room: {ENOUGH_FREE_GIB} GiB or more is comfortable; `df -h {place}`")
    return Check(name, "ok", found)


def check_base_image(machine: Machine) -> Check | None:
    """The image that servers start from."""
    if machine.engine is None:
        return None
    try:
        base = next(image for image in list_images() if image.name == "base")
    except MLabError as error:
        return Check("image base", "missing", "cannot be looked up", str(error))
    if base.id is None:
        return Check("image base", "missing", "not built", "`mlabhub image build base` (`make up` does it)")
    if not base.up_to_date:
        return Check("image base", "better", "its files have changed since", "`mlabhub image build base`")
    return Check("image base", "ok", base.reference)


def check_port(machine: Machine) -> Check:
    """The public port: free, or ours."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", machine.port))
        except PermissionError:
            fix = "Take a port above 1023: `mlabhub up --port 8000`."
            return Check("port", "missing", f"{machine.port} is for root alone", fix)
        except OSError:
            if machine.settings is not None and is_locked(machine.state_dir):
                return Check("port", "ok", f"{machine.port}, in use by the running hub")
            fix = f"`ss -ltnp 'sport = :{machine.port}'` shows whose it is; or `mlabhub up --port` with another."
            return Check("port", "missing", f"{machine.port} is taken by another program", fix)
    return Check("port", "ok", f"{machine.port} is free")


def check_gpus(machine: Machine) -> Sequence[Check]:
    """NVIDIA's cards, driver and CDI specification, and the CUDA of the images."""
    simulated = machine.settings.simulate_gpus if machine.settings else ""
    return look_at_gpus(simulated, machine.engine.kind if machine.engine else None, sorted(_references(machine)))


def _references(machine: Machine) -> set[str]:
    """Return the images that servers may start from, as far as they can be read."""
    references: set[str] = set()
    if machine.engine is not None:
        with contextlib.suppress(MLabError):
            references |= {image.reference for image in list_images() if image.id}
    if machine.engine is not None and machine.settings is not None:
        with contextlib.suppress(MLabError):
            references |= {image.reference for image in load_catalog(machine.settings.config_dir).images}
    return references


def check_subdomains(_: Machine) -> Check:
    """Whether users' pages have addresses of their own."""
    return Check(
        "subdomains",
        "better",
        "off: users' pages share the hub's address, so a page of one user can act as another who opens it",
        "Nobody should open another person's server; `mlabhub up` has no switch for addresses of their own",
    )


def check_clock(_: Machine) -> Check | None:
    """Whether the clock is kept right; times of warnings and reports depend on it."""
    answer = ask("timedatectl", "show", "--property=NTPSynchronized", "--value")
    if answer is None:
        return None
    if answer == "yes":
        return Check("clock", "ok", "synchronised")
    return Check("clock", "better", "not synchronised", "`apt-get install systemd-timesyncd`, or chrony")


def check_registry(machine: Machine) -> Check | None:
    """Whether images of others can be fetched; ours need no registry."""
    if machine.engine is None:
        return None
    parent = load_recipes()["base"].parent
    answers = ask(machine.engine.kind, "manifest", "inspect", parent, seconds=8) is not None
    found = "answers" if answers else "none answers: images are made from the distribution's packages"
    return Check("image registry", "info", found)


def check_site_settings(machine: Machine) -> Sequence[Check]:
    """Mirrors, proxy and company CA of site.conf."""
    found = read_site_file(find_site_file())
    checks = check_site(found, datetime.now(timezone.utc))
    if machine.engine is not None and machine.engine.kind == "docker" and found.site.registry_mirrors:
        used = ask("docker", "info", "--format", "{{.RegistryConfig.Mirrors}}")
        checks.append(assess_docker_mirrors(found.site, used))
    return checks


Looking = Callable[[Machine], Check | Sequence[Check] | None]
CHECKS_OF_SERVERS_HERE: tuple[Looking, ...] = (
    check_engine,
    check_controllers,
    check_firewall,
    check_storage_driver,
    check_engine_disk,
    check_base_image,
    check_storage,
    check_gpus,
    check_registry,
)


def is_locked(state_dir: Path) -> bool:
    """Tell whether a hub runs from this state folder: `mlabhub up` keeps a lock there."""
    try:
        with open(state_dir / "run" / "up.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _engine_store(machine: Machine) -> tuple[str | None, str]:
    if machine.engine is None:
        return None, ""
    question = "{{.Driver}} {{.DockerRootDir}}"
    if machine.engine.kind == "podman":
        question = "{{.Store.GraphDriverName}} {{.Store.GraphRoot}}"
    driver, _, folder = (ask(machine.engine.kind, "info", "--format", question) or "").partition(" ")
    return driver or None, folder
