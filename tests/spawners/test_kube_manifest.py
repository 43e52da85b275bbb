"""A plan becomes exactly this pod."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from mlabhub.cluster.site_files import get_site_manifest, make_pod_site
from mlabhub.cluster.volumes import PodVolumes
from mlabhub.core.identity import GroupId, Identity
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.core.names import folder_name
from mlabhub.core.plan import LaunchPlan
from mlabhub.core.safe_mode import safe_arguments, safe_environment
from mlabhub.errors import LaunchRefused
from mlabhub.spawners.kube.manifest import Surroundings, get_pod_manifest, literal
from mlabhub.spawners.plan_to_container import ROOT_CAPABILITIES

PLAN = LaunchPlan(
    launch_id="01ARZ3NDEKTSV4RRFFQ69G5FAV",
    user="alice",
    server_name="train",
    display_name="Train_1",
    profile="cpu",
    image="base",
    image_reference="localhost/mlabhub/base:latest",
    group="vision",
    cpu=1.5,
    memory_gib=16,
    shm_gib=0.5,
    pids=4096,
    gpu_type=None,
    gpus=(),
    environment={"MLABHUB_HOME": "/mnt/user/alice", "MLABHUB_UID": "200001"},
    mounts=(),
    identity=Identity("alice", 200001, 200001, (GroupId("vision", 200102), GroupId("nlp", 200101))),
    sudo=False,
    node="node1",
    cpu_guarantee=0.25,
)
AROUND = Surroundings(
    instance="0123abcd",
    namespace="lab",
    spec=KubernetesSpec(),
    image="harbor.lab/mlabhub/base:latest",
    command=("jupyterhub-singleuser",),
    hub_environment={"JUPYTERHUB_API_TOKEN": "secret", "MLABHUB_UID": "0", "NVIDIA_VISIBLE_DEVICES": "all"},
)
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "mlabhub-0123abcd-alice--train",
        "namespace": "lab",
        "labels": {
            "mlabhub/instance": "0123abcd",
            "mlabhub/launch": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "mlabhub/part": "server",
            "mlabhub/egress": "lab",
        },
        "annotations": {
            "mlabhub/launch-id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "mlabhub/user": "alice",
            "mlabhub/server": "train",
            "mlabhub/display-name": "Train_1",
            "mlabhub/profile": "cpu",
            "mlabhub/kind": "workbench",
            "mlabhub/gpus": "",
        },
    },
    "spec": {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 10,
        "shareProcessNamespace": True,
        "hostname": "alice--train",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 200001,
            "runAsGroup": 200001,
            "supplementalGroups": [65020, 200101, 200102],
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "notebook",
                "image": "harbor.lab/mlabhub/base:latest",
                "imagePullPolicy": "IfNotPresent",
                "args": [
                    "jupyterhub-singleuser",
                    "--ServerApp.root_dir=/mnt",
                    "--ServerApp.preferred_dir=/mnt/user/alice",
                ],
                "ports": [{"name": "notebook-port", "containerPort": 8888}],
                "env": [
                    {"name": "JUPYTERHUB_API_TOKEN", "value": "secret"},
                    {"name": "MLABHUB_HOME", "value": "/mnt/user/alice"},
                    {"name": "MLABHUB_OWN_NETWORK", "value": "1"},
                    {"name": "MLABHUB_UID", "value": "200001"},
                    {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"},
                ],
                "resources": {
                    "requests": {"cpu": "250m", "memory": "16384Mi"},
                    "limits": {"cpu": "1500m", "memory": "16384Mi"},
                },
                "volumeMounts": [
                    {"name": "shm", "mountPath": "/dev/shm"},
                    {"name": "accounts", "mountPath": "/var/lib/extrausers"},
                ],
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "privileged": False,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
        "volumes": [
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "512Mi"}},
            {"name": "accounts", "emptyDir": {"sizeLimit": "1Mi"}},
        ],
        "tolerations": [
            {
                "key": "node.kubernetes.io/not-ready",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 30,
            },
            {
                "key": "node.kubernetes.io/unreachable",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 30,
            },
        ],
        "affinity": {
            "nodeAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 100,
                        "preference": {
                            "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node1"]}]
                        },
                    }
                ]
            }
        },
    },
}


def pod() -> dict[str, Any]:
    """Return the workbench's pod, to be changed."""
    return deepcopy(POD)


def box(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a pod's container."""
    container: dict[str, Any] = manifest["spec"]["containers"][0]
    return container


def without_gpu_word(manifest: dict[str, Any]) -> dict[str, Any]:
    """Take out the variable that only servers without GPUs have."""
    box(manifest)["env"] = [entry for entry in box(manifest)["env"] if entry["name"] != "NVIDIA_VISIBLE_DEVICES"]
    return manifest


def test_a_workbench() -> None:
    assert get_pod_manifest(PLAN, AROUND) == POD


@pytest.mark.parametrize(
    ("resource", "product"),
    [
        ("nvidia.com/gpu", "NVIDIA-A100-SXM4-80GB"),
        ("nvidia.com/mig-1g.10gb", "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb"),
        ("amd.com/gpu", "AMD-Instinct-MI300X"),
    ],
)
def test_gpus_by_resource_and_product(resource: str, product: str) -> None:
    plan = replace(
        PLAN,
        gpu_type="a100",
        gpus=(f"node1/{resource}/0", f"node1/{resource}/3"),
        gpu_products=(product, "another"),
    )
    expected = without_gpu_word(pod())
    expected["metadata"]["annotations"]["mlabhub/gpus"] = f"node1/{resource}/0,node1/{resource}/3"
    for part in box(expected)["resources"].values():
        part[resource] = "2"
    expected["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = {
        "nodeSelectorTerms": [
            {"matchExpressions": [{"key": "nvidia.com/gpu.product", "operator": "In", "values": [product, "another"]}]},
            {
                "matchExpressions": [
                    {"key": "amd.com/gpu.product-name", "operator": "In", "values": [product, "another"]}
                ]
            },
        ]
    }
    assert get_pod_manifest(plan, AROUND) == expected


def test_gpus_whose_nodes_do_not_say_what_they_are_are_not_those_of_nodes_that_do() -> None:
    """Else who has a quota for the one type would be given the other."""
    affinity = get_pod_manifest(replace(PLAN, gpu_type="gpu", gpus=("node1/nvidia.com/gpu/0",)), AROUND)["spec"][
        "affinity"
    ]
    labels = ("nvidia.com/gpu.product", "amd.com/gpu.product-name")
    assert affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"] == [
        {"matchExpressions": [{"key": label, "operator": "DoesNotExist"} for label in labels]}
    ]


def test_a_tensorboard() -> None:
    expected = pod()
    expected["metadata"]["annotations"]["mlabhub/kind"] = "tensorboard"
    box(expected)["args"] = ["python", "-m", "mlabhub_proxies.tensorboard.server"]
    assert get_pod_manifest(replace(PLAN, kind="tensorboard"), AROUND) == expected


def test_safe_mode_is_in_the_arguments_and_the_environment_alone() -> None:
    plan = replace(PLAN, safe=True, environment={**PLAN.environment, **safe_environment(PLAN.launch_id)})
    usual, made = box(get_pod_manifest(PLAN, AROUND)), box(get_pod_manifest(plan, AROUND))
    assert made["args"] == [*usual["args"], *safe_arguments()]
    added = {one["name"]: one["value"] for one in made["env"] if one not in usual["env"]}
    assert added == safe_environment(PLAN.launch_id)
    assert {key: made[key] for key in made if key not in ("args", "env")} == {
        key: usual[key] for key in usual if key not in ("args", "env")
    }


def test_sudo_only_where_the_site_allows_it() -> None:
    plan = replace(PLAN, sudo=True)
    with pytest.raises(LaunchRefused, match="does not allow"):
        get_pod_manifest(plan, AROUND)
    expected = pod()
    expected["spec"]["securityContext"] = {
        "runAsNonRoot": False,
        "runAsUser": 0,
        "runAsGroup": 0,
        "supplementalGroups": [65020, 200101, 200102],
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    box(expected)["securityContext"] = {
        "allowPrivilegeEscalation": True,
        "privileged": False,
        "capabilities": {"drop": ["ALL"], "add": list(ROOT_CAPABILITIES)},
    }
    box(expected)["volumeMounts"].pop()  # root enters the person where the image's own accounts are
    expected["spec"]["volumes"].pop()
    spec = KubernetesSpec(allow=("sudo",))
    assert get_pod_manifest(plan, replace(AROUND, spec=spec)) == expected


def test_what_the_site_says_of_its_nodes() -> None:
    spec = KubernetesSpec.model_validate(
        {
            "pull_policy": "Always",
            "pull_secrets": ["harbor"],
            "node_selector": {"pool": "people", "zone": "a"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "priority_class": "people",
            "lost_node_seconds": 60,
            "profiles": {
                "cpu": {
                    "node_selector": {"zone": "b"},
                    "tolerations": [{"key": "spot", "value": "yes", "effect": "NoSchedule"}],
                    "priority_class": "low",
                }
            },
        }
    )
    expected = pod()
    box(expected)["imagePullPolicy"] = "Always"
    expected["spec"]["imagePullSecrets"] = [{"name": "harbor"}]
    expected["spec"]["nodeSelector"] = {"pool": "people", "zone": "b"}
    expected["spec"]["priorityClassName"] = "low"
    for toleration in expected["spec"]["tolerations"]:
        toleration["tolerationSeconds"] = 60
    expected["spec"]["tolerations"] += [
        {"key": "gpu", "operator": "Exists"},
        {"key": "spot", "operator": "Equal", "value": "yes", "effect": "NoSchedule"},
    ]
    assert get_pod_manifest(PLAN, replace(AROUND, spec=spec)) == expected


def test_what_a_chart_says_of_all_pods() -> None:
    around = replace(
        AROUND,
        labels={"release": "lab", "mlabhub/part": "airlock"},
        annotations={"note": "ours", "mlabhub/user": "somebody"},
        tolerations=({"key": "hub.jupyter.org/dedicated", "operator": "Exists"},),
        pull_secrets=("chart",),
        priority_class="chart",
        scheduler="user-scheduler",
        hosts=(("hub.lab", "10.0.0.1"),),
    )
    expected = pod()
    expected["metadata"]["labels"]["release"] = "lab"
    expected["metadata"]["annotations"]["note"] = "ours"
    expected["spec"]["tolerations"].append({"key": "hub.jupyter.org/dedicated", "operator": "Exists"})
    expected["spec"]["imagePullSecrets"] = [{"name": "chart"}]
    expected["spec"]["priorityClassName"] = "chart"
    expected["spec"]["schedulerName"] = "user-scheduler"
    expected["spec"]["hostAliases"] = [{"ip": "10.0.0.1", "hostnames": ["hub.lab"]}]
    assert get_pod_manifest(PLAN, around) == expected


def test_folders() -> None:
    volume = {"name": "nas", "persistentVolumeClaim": {"claimName": "nas"}}
    mount = {"name": "nas", "mountPath": "/mnt/user/alice", "subPath": "user/alice"}
    expected = pod()
    expected["spec"]["volumes"].append(volume)
    box(expected)["volumeMounts"].append(mount)
    assert get_pod_manifest(PLAN, replace(AROUND, volumes=PodVolumes((volume,), (mount,)))) == expected
    expected["spec"]["securityContext"] |= {"fsGroup": 200001, "fsGroupChangePolicy": "OnRootMismatch"}
    assert get_pod_manifest(PLAN, replace(AROUND, volumes=PodVolumes((volume,), (mount,), fs_group=200001))) == expected


def test_what_the_site_says_to_everybody() -> None:
    files = {"npmrc": b"registry=https://mirror", "pip/pip.conf": b"[global]", "ca.pem": b"---"}
    environment = {"SSL_CERT_FILE": "/var/lib/mlabhub/ca.pem", "MLABHUB_UID": "7"}
    expected = pod()
    names = [("ca.pem", "ca.pem"), ("npmrc", "npmrc"), ("pip__pip.conf", "pip/pip.conf")]
    items = [{"key": key, "path": path} for key, path in names]
    expected["spec"]["volumes"].append({"name": "site", "configMap": {"name": "mlabhub-0123abcd-site", "items": items}})
    box(expected)["volumeMounts"] += [
        {"name": "site", "mountPath": "/run/mlabhub/site", "readOnly": True},
        {"name": "site", "mountPath": "/etc/xdg/pip/pip.conf", "readOnly": True, "subPath": "pip/pip.conf"},
        {"name": "site", "mountPath": "/var/lib/mlabhub/ca.pem", "readOnly": True, "subPath": "ca.pem"},
    ]
    box(expected)["env"].append({"name": "SSL_CERT_FILE", "value": "/var/lib/mlabhub/ca.pem"})
    site = make_pod_site("0123abcd", files, environment)
    assert get_pod_manifest(PLAN, replace(AROUND, site=site)) == expected
    assert get_site_manifest("0123abcd", "lab", files) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "mlabhub-0123abcd-site",
            "namespace": "lab",
            "labels": {"mlabhub/instance": "0123abcd", "mlabhub/part": "site"},
        },
        "binaryData": {
            "ca.pem": "LS0t",
            "npmrc": "cmVnaXN0cnk9aHR0cHM6Ly9taXJyb3I=",
            "pip__pip.conf": "W2dsb2JhbF0=",
        },
    }


def test_a_saved_image_is_refused_in_words() -> None:
    with pytest.raises(LaunchRefused, match="Saved environments cannot be started on a cluster"):
        get_pod_manifest(replace(PLAN, image_kind="saved"), AROUND)


HOSTILE = [
    ("alice", ""),
    ("alice", "train"),
    ("alice--train", ""),
    ("Alice", ""),
    ("ALICE", ""),
    ("user-a", "b"),
    ("user", "a-b"),
    ("user-a-b", ""),
    ("x" * 255, ""),
    ("x" * 254 + "y", ""),
    ("x" * 255, "train"),
    ("x" * 40, "a" * 30),
    ("x" * 40, "a" * 29 + "b"),
    ("阿里", ""),
    ("阿黎", ""),
    ("аlice", ""),
    ("{username}", ""),
    ("{unescaped_username}", "a"),
    ("$(JUPYTERHUB_API_TOKEN)", ""),
    ("..", ""),
    ("../../etc", ""),
    ("a@b.org", ""),
    ("a@b-org", ""),
    ("-", ""),
    ("--", ""),
    ("---", ""),
    ("alice\n", ""),
    ("\u202ealice", ""),
    ("", ""),
]
NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")


@pytest.mark.parametrize(("user", "server"), HOSTILE)
def test_hostile_names_make_valid_pods_and_are_never_expanded(user: str, server: str) -> None:
    environment = {"MLABHUB_USER": folder_name(user), "JUPYTERHUB_USER": user}
    plan = replace(
        PLAN,
        user=user,
        server_name=server,
        display_name="{username} $(JUPYTERHUB_API_TOKEN)",
        launch_id=f"{user}/{server}",
        environment={**PLAN.environment, **environment},
    )
    made = get_pod_manifest(plan, AROUND)
    for name in (made["metadata"]["name"], made["spec"]["hostname"]):
        assert len(name) <= 63
        assert NAME.fullmatch(name)
    for value in made["metadata"]["labels"].values():
        assert len(value) <= 63
        assert LABEL.fullmatch(value)
    assert made["metadata"]["annotations"]["mlabhub/user"] == user
    assert {"name": "JUPYTERHUB_USER", "value": user.replace("$", "$$")} in box(made)["env"]


def test_no_two_servers_have_pods_of_one_name() -> None:
    names = {get_pod_manifest(replace(PLAN, user=user, server_name=server), AROUND)["metadata"]["name"]
             for user, server in HOSTILE}  # fmt: skip
    assert len(names) == len(HOSTILE)


def test_no_two_launches_share_a_label() -> None:
    ids = ["a", "A", "a" * 63, "a" * 64, "a" * 65, "a b", "a  b", "-a", "", "{x}"]
    labels = {get_pod_manifest(replace(PLAN, launch_id=one), AROUND)["metadata"]["labels"]["mlabhub/launch"]
              for one in ids}  # fmt: skip
    assert len(labels) == len(ids)


def test_text_stays_as_it_is_whatever_kubernetes_would_expand() -> None:
    assert literal("$(HOME) $$ $x $") == "$$(HOME) $$$$ $$x $$"
