"""What a container is to be, in no engine's words, and its pure translation into libpod's and Docker's.

Guarantees: no capability, device or mount is in a container unless it is named here; memory has no swap; the log is
bounded; processes are reaped (``--init``); nothing is published on the machine's own addresses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CPU_PERIOD_US = 100_000
LOG_BYTES = 10 * 2**20
RUN_BYTES = 64 * 2**20

FIRST_INNER_ID = 2**31
"""What id 0 of a container with a user namespace is on this machine: the upper half of all ids is nobody's."""
INNER_IDS = 2**31 - 2


@dataclass(frozen=True)
class Bind:
    """A folder of this machine inside the container: never setuid, never device nodes."""

    source: str
    target: str
    read_only: bool = False

    @property
    def options(self) -> list[str]:
        """Return the mount's options."""
        return ["ro" if self.read_only else "rw", "nosuid", "nodev", "rprivate"]


@dataclass(frozen=True)
class ContainerSpec:
    """One container. Amounts: cores, bytes, processes. ``devices`` are CDI names."""

    name: str
    image: str
    command: tuple[str, ...]
    environment: dict[str, str]
    labels: dict[str, str]
    binds: tuple[Bind, ...]
    network: str
    cpu: float
    memory_bytes: int
    shm_bytes: int
    pids: int
    open_files: int
    processes: int
    capabilities: tuple[str, ...]
    no_new_privileges: bool
    user_namespace: bool = False
    """Whether the container's ids are others on this machine: its id 0 is `FIRST_INNER_ID` here, and so on."""
    devices: tuple[str, ...] = ()
    hosts: tuple[tuple[str, str], ...] = ()
    hostname: str = ""
    stop_seconds: int = 10
    entrypoint: tuple[str, ...] = ()
    """What runs first in place of the image's own, as root and in the root folder, whatever the image says."""


@dataclass(frozen=True)
class NetworkSpec:
    """A bridge of its own, cut off from the other bridges."""

    name: str
    interface: str
    subnet: str
    gateway: str
    labels: dict[str, str] = field(default_factory=dict)


def get_libpod_container(spec: ContainerSpec) -> dict[str, Any]:
    """Return the body of libpod's ``POST containers/create``."""
    body: dict[str, Any] = {
        "name": spec.name,
        "image": spec.image,
        "command": list(spec.command),
        "env": spec.environment,
        "labels": spec.labels,
        "hostname": spec.hostname,
        "hostadd": [f"{name}:{address}" for name, address in spec.hosts],
        "netns": {"nsmode": "bridge"},
        "Networks": {spec.network: {}},
        "mounts": [
            {"Type": "bind", "Source": bind.source, "Destination": bind.target, "Options": bind.options}
            for bind in spec.binds
        ]
        + [{"Type": "tmpfs", "Destination": "/run", "Options": [*_RUN_OPTIONS, f"size={RUN_BYTES}"]}],
        "volumes": [{"Name": "", "Dest": "/tmp", "Options": ["nosuid", "nodev"]}],
        "image_volume_mode": "ignore",
        "devices": [{"path": name} for name in spec.devices],
        "resource_limits": {
            "cpu": {"quota": _quota(spec.cpu), "period": CPU_PERIOD_US},
            "memory": {"limit": spec.memory_bytes, "swap": spec.memory_bytes},
            "pids": {"limit": spec.pids},
        },
        "shm_size": spec.shm_bytes,
        "r_limits": [
            {"type": "nofile", "soft": spec.open_files, "hard": spec.open_files},
            {"type": "nproc", "soft": spec.processes, "hard": spec.processes},
        ],
        "cap_drop": ["ALL"],
        "cap_add": [f"CAP_{name}" for name in spec.capabilities],
        "no_new_privileges": spec.no_new_privileges,
        "init": True,
        "systemd": "false",
        "stop_timeout": spec.stop_seconds,
        "restart_policy": "no",
        "log_configuration": {"driver": "k8s-file", "size": LOG_BYTES},
    }
    if spec.entrypoint:
        body |= {"entrypoint": list(spec.entrypoint), "user": "0:0", "work_dir": "/", "stop_signal": 15}
        body |= {"healthconfig": {"Test": ["NONE"]}}
    if spec.user_namespace:
        everyone = [{"container_id": 0, "host_id": FIRST_INNER_ID, "size": INNER_IDS}]
        body |= {"userns": {"nsmode": "private"}, "idmappings": {"UIDMap": everyone, "GIDMap": everyone}}
    return body


def get_docker_container(spec: ContainerSpec) -> dict[str, Any]:
    """Return the body of Docker's ``POST containers/create``."""
    mounts: list[dict[str, Any]] = [
        {
            "Type": "bind",
            "Source": bind.source,
            "Target": bind.target,
            "ReadOnly": bind.read_only,
            "BindOptions": {"Propagation": "rprivate"},
        }
        for bind in spec.binds
    ]
    body: dict[str, Any] = {
        "Image": spec.image,
        "Cmd": list(spec.command),
        "Env": [f"{name}={value}" for name, value in spec.environment.items()],
        "Labels": spec.labels,
        "Hostname": spec.hostname,
        "StopTimeout": spec.stop_seconds,
        "HostConfig": {
            "NetworkMode": spec.network,
            "ExtraHosts": [f"{name}:{address}" for name, address in spec.hosts],
            "Mounts": [*mounts, {"Type": "volume", "Target": "/tmp"}],
            "Tmpfs": {"/run": ",".join([*_RUN_OPTIONS, f"size={RUN_BYTES}"])},
            "CpuPeriod": CPU_PERIOD_US,
            "CpuQuota": _quota(spec.cpu),
            "Memory": spec.memory_bytes,
            "MemorySwap": spec.memory_bytes,
            "PidsLimit": spec.pids,
            "ShmSize": spec.shm_bytes,
            "Ulimits": [
                {"Name": "nofile", "Soft": spec.open_files, "Hard": spec.open_files},
                {"Name": "nproc", "Soft": spec.processes, "Hard": spec.processes},
            ],
            "CapDrop": ["ALL"],
            "CapAdd": list(spec.capabilities),
            "SecurityOpt": ["no-new-privileges"] if spec.no_new_privileges else [],
            "DeviceRequests": _device_requests(spec.devices),
            "Init": True,
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": str(LOG_BYTES), "max-file": "1"}},
        },
    }
    if spec.entrypoint:
        body |= {"Entrypoint": list(spec.entrypoint), "User": "0:0", "WorkingDir": "/", "StopSignal": "SIGTERM"}
        body |= {"Healthcheck": {"Test": ["NONE"]}}
    return body


def get_libpod_network(spec: NetworkSpec) -> dict[str, Any]:
    """Return the body of libpod's ``POST networks/create``."""
    return {
        "name": spec.name,
        "driver": "bridge",
        "network_interface": spec.interface,
        "subnets": [{"subnet": spec.subnet, "gateway": spec.gateway}],
        "labels": spec.labels,
        "options": {"isolate": "true"},
        "dns_enabled": True,
    }


def get_docker_network(spec: NetworkSpec) -> dict[str, Any]:
    """Return the body of Docker's ``POST networks/create``; Docker cuts its bridges off from each other by itself."""
    return {
        "Name": spec.name,
        "Driver": "bridge",
        "IPAM": {"Config": [{"Subnet": spec.subnet, "Gateway": spec.gateway}]},
        "Labels": spec.labels,
        "Options": {"com.docker.network.bridge.name": spec.interface},
    }


_RUN_OPTIONS = ["rw", "nosuid", "nodev", "mode=0755"]


def _quota(cpu: float) -> int:
    return max(1000, round(cpu * CPU_PERIOD_US))


def _device_requests(devices: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{"Driver": "cdi", "DeviceIDs": list(devices)}] if devices else []
