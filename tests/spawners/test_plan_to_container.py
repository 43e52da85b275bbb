"""A plan becomes exactly this container."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlabhub.core.identity import GroupId, Identity
from mlabhub.core.plan import LaunchPlan
from mlabhub.core.safe_mode import safe_arguments
from mlabhub.core.storage import Mount
from mlabhub.engine.spec import get_docker_container, get_libpod_container
from mlabhub.spawners.plan_to_container import (
    ENTRY_CAPABILITIES,
    ROOT_CAPABILITIES,
    Surroundings,
    extra_hosts,
    hub_url,
    make_container,
)

PLAN = LaunchPlan(
    launch_id="01ARZ3NDEKTSV4RRFFQ69G5FAV",
    user="alice",
    server_name="train",
    display_name="Train",
    profile="a100",
    image="base",
    image_reference="localhost/mlabhub/base:latest",
    group="vision",
    cpu=1.5,
    memory_gib=16,
    shm_gib=8,
    pids=4096,
    gpu_type="a100",
    gpus=("GPU-1", "GPU-sim-a100-0"),
    environment={"MLABHUB_HOME": "/mnt/user/alice", "MLABHUB_UID": "1000"},
    mounts=(Mount("/nas/user/alice", "/mnt/user/alice"), Mount("/nas/data", "/mnt/share/data", read_only=True)),
    identity=Identity("alice", 1000, 1000, (GroupId("vision", 200001),)),
    sudo=False,
    node="n1",
)
AROUND = Surroundings(
    instance="0123abcd",
    image="localhost/mlabhub-saved/0123abcd/alice--train:base",
    parent="feed",
    layers=3,
    root_once=False,
    network="mlabhub-0123abcd-alice",
    gateway="10.90.0.1",
    port=8000,
    tls_name="",
    ca_file="",
    open_files=1000,
    processes=2000,
    sources={},
    user_namespace=True,
)
ENVIRONMENT = {"JUPYTERHUB_API_TOKEN": "secret", "MLABHUB_UID": "0", "NVIDIA_VISIBLE_DEVICES": "all"}
LIBPOD = {
    "name": "mlabhub-0123abcd-alice--train",
    "image": "localhost/mlabhub-saved/0123abcd/alice--train:base",
    "command": ["singleuser", "--ServerApp.root_dir=/mnt", "--ServerApp.preferred_dir=/mnt/user/alice"],
    "env": {
        "JUPYTERHUB_API_TOKEN": "secret",
        "MLABHUB_OWN_NETWORK": "1",
        "NVIDIA_VISIBLE_DEVICES": "void",
        "MLABHUB_GPUS": "GPU-1,GPU-sim-a100-0",
        "MLABHUB_HOME": "/mnt/user/alice",
        "MLABHUB_UID": "1000",
    },
    "labels": {
        "mlabhub.instance": "0123abcd",
        "mlabhub.launch-id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "mlabhub.user": "alice",
        "mlabhub.server": "train",
        "mlabhub.gpus": "GPU-1,GPU-sim-a100-0",
        "mlabhub.kind": "workbench",
        "mlabhub.image": "base",
        "mlabhub.reference": "localhost/mlabhub/base:latest",
        "mlabhub.parent": "feed",
        "mlabhub.layers": "3",
        "mlabhub.outside": "",
        "mlabhub.root": "0",
    },
    "hostname": "alice--train",
    "hostadd": [],
    "netns": {"nsmode": "bridge"},
    "Networks": {"mlabhub-0123abcd-alice": {}},
    "mounts": [
        {
            "Type": "bind",
            "Source": "/nas/user/alice",
            "Destination": "/mnt/user/alice",
            "Options": ["rw", "nosuid", "nodev", "rprivate"],
        },
        {
            "Type": "bind",
            "Source": "/nas/data",
            "Destination": "/mnt/share/data",
            "Options": ["ro", "nosuid", "nodev", "rprivate"],
        },
        {"Type": "tmpfs", "Destination": "/run", "Options": ["rw", "nosuid", "nodev", "mode=0755", "size=67108864"]},
    ],
    "volumes": [{"Name": "", "Dest": "/tmp", "Options": ["nosuid", "nodev"]}],
    "image_volume_mode": "ignore",
    "devices": [{"path": "nvidia.com/gpu=GPU-1"}, {"path": "mlabhub-0123abcd.sim/gpu=GPU-sim-a100-0"}],
    "resource_limits": {
        "cpu": {"quota": 150_000, "period": 100_000},
        "memory": {"limit": 17_179_869_184, "swap": 17_179_869_184},
        "pids": {"limit": 4096},
    },
    "shm_size": 8_589_934_592,
    "r_limits": [
        {"type": "nofile", "soft": 1000, "hard": 1000},
        {"type": "nproc", "soft": 2000, "hard": 2000},
    ],
    "cap_drop": ["ALL"],
    "cap_add": ["CAP_CHOWN", "CAP_KILL", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID"],
    "no_new_privileges": True,
    "init": True,
    "systemd": "false",
    "stop_timeout": 10,
    "restart_policy": "no",
    "log_configuration": {"driver": "k8s-file", "size": 10_485_760},
}
DOCKER = {
    "Image": LIBPOD["image"],
    "Cmd": LIBPOD["command"],
    "Env": [
        "JUPYTERHUB_API_TOKEN=secret",
        "MLABHUB_UID=1000",
        "NVIDIA_VISIBLE_DEVICES=void",
        "MLABHUB_OWN_NETWORK=1",
        "MLABHUB_GPUS=GPU-1,GPU-sim-a100-0",
        "MLABHUB_HOME=/mnt/user/alice",
    ],
    "Labels": LIBPOD["labels"],
    "Hostname": "alice--train",
    "StopTimeout": 10,
    "HostConfig": {
        "NetworkMode": "mlabhub-0123abcd-alice",
        "ExtraHosts": [],
        "Mounts": [
            {
                "Type": "bind",
                "Source": "/nas/user/alice",
                "Target": "/mnt/user/alice",
                "ReadOnly": False,
                "BindOptions": {"Propagation": "rprivate"},
            },
            {
                "Type": "bind",
                "Source": "/nas/data",
                "Target": "/mnt/share/data",
                "ReadOnly": True,
                "BindOptions": {"Propagation": "rprivate"},
            },
            {"Type": "volume", "Target": "/tmp"},
        ],
        "Tmpfs": {"/run": "rw,nosuid,nodev,mode=0755,size=67108864"},
        "CpuPeriod": 100_000,
        "CpuQuota": 150_000,
        "Memory": 17_179_869_184,
        "MemorySwap": 17_179_869_184,
        "PidsLimit": 4096,
        "ShmSize": 8_589_934_592,
        "Ulimits": [
            {"Name": "nofile", "Soft": 1000, "Hard": 1000},
            {"Name": "nproc", "Soft": 2000, "Hard": 2000},
        ],
        "CapDrop": ["ALL"],
        "CapAdd": ["CHOWN", "KILL", "SETGID", "SETPCAP", "SETUID"],
        "SecurityOpt": ["no-new-privileges"],
        "DeviceRequests": [
            {"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=GPU-1", "mlabhub-0123abcd.sim/gpu=GPU-sim-a100-0"]}
        ],
        "Init": True,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "10485760", "max-file": "1"}},
    },
}


def test_for_podman() -> None:
    spec = make_container(PLAN, AROUND, command=("singleuser",), hub_environment=ENVIRONMENT)
    assert get_libpod_container(spec) == LIBPOD


def test_for_docker() -> None:
    spec = make_container(PLAN, AROUND, command=("singleuser",), hub_environment=ENVIRONMENT)
    assert get_docker_container(spec) == DOCKER


def test_a_tensorboard_alone_is_another_command_and_nothing_else() -> None:
    plan = replace(PLAN, kind="tensorboard", gpus=(), sudo=False)
    spec = make_container(plan, AROUND, command=("singleuser",), hub_environment=ENVIRONMENT)
    usual = make_container(replace(PLAN, gpus=()), AROUND, command=("singleuser",), hub_environment=ENVIRONMENT)
    assert spec == replace(
        usual,
        command=("python", "-m", "mlabhub_proxies.tensorboard.server"),
        labels={**usual.labels, "mlabhub.kind": "tensorboard"},
    )


@pytest.mark.parametrize(
    ("sudo", "root_once", "supported", "apart", "label"),
    [
        (False, False, True, False, "0"),
        (True, False, True, True, "1"),
        (False, True, True, True, "1"),
        (True, False, False, False, "1"),
    ],
    ids=["nobody is root", "sudo", "somebody was root", "Docker"],
)
def test_ids_of_its_own_wherever_somebody_can_be_root(
    sudo: bool, root_once: bool, supported: bool, apart: bool, label: str
) -> None:
    around = replace(AROUND, root_once=root_once, user_namespace=supported)
    spec = make_container(replace(PLAN, sudo=sudo), around, command=(), hub_environment={})
    assert (spec.user_namespace, spec.labels["mlabhub.root"]) == (apart, label)
    assert spec.no_new_privileges == (not sudo)
    assert spec.capabilities == (ROOT_CAPABILITIES if sudo else ENTRY_CAPABILITIES)


def test_no_container_can_make_devices_or_forge_packets() -> None:
    assert not {"MKNOD", "NET_RAW", "NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE"} & {*ROOT_CAPABILITIES, *ENTRY_CAPABILITIES}


def test_folders_behind_a_map_replace_the_plans() -> None:
    around = replace(AROUND, sources={"/mnt/user/alice": "/run/mounts/1/0"})
    spec = make_container(PLAN, around, command=(), hub_environment={})
    assert [bind.source for bind in spec.binds] == ["/run/mounts/1/0", "/nas/data"]


@pytest.mark.parametrize(
    ("tls_name", "url", "hosts"),
    [
        ("", "http://10.90.0.1:8000", ()),
        ("hub.example.org", "https://hub.example.org:8000", (("hub.example.org", "10.90.0.1"),)),
    ],
    ids=["plain", "TLS"],
)
def test_the_hub_is_reached_through_the_users_own_gateway(
    tls_name: str, url: str, hosts: tuple[tuple[str, str], ...]
) -> None:
    around = replace(AROUND, tls_name=tls_name)
    assert (hub_url(around), extra_hosts(around)) == (url, hosts)


def test_in_safe_mode_terminals_run_no_file_of_the_persons() -> None:
    safe = make_container(replace(PLAN, safe=True), AROUND, command=("serve",), hub_environment={})
    usual = make_container(PLAN, AROUND, command=("serve",), hub_environment={})
    assert safe.command == (*usual.command, *safe_arguments())
    # In an image from elsewhere terminals are our own program's.
    outside = replace(AROUND, runtime="/opt/runtime/abc")
    assert make_container(replace(PLAN, safe=True), outside, command=("serve",), hub_environment={}).command == (
        usual.command
    )
