"""The pod of an image from elsewhere: what is added to it, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.spawners.kube.manifest import get_pod_manifest
from tests.spawners.test_kube_manifest import AROUND, PLAN


def test_an_outside_image_gets_what_it_lacks_and_a_name_for_its_person() -> None:
    plan = replace(
        PLAN,
        gpus=("node1/nvidia.com/gpu/0",),
        environment={**PLAN.environment, "MLABHUB_USER": "alice", "PYTHONSAFEPATH": "1"},
    )
    around = replace(AROUND, image="ghcr.io/lab/tool:1", runtime="harbor.lab/mlabhub/runtime:latest")
    pod = get_pod_manifest(plan, around)["spec"]
    before = get_pod_manifest(plan, replace(around, runtime=""))["spec"]
    security = before["containers"][0]["securityContext"]
    like = {
        "imagePullPolicy": "IfNotPresent",
        "resources": {
            "requests": {"cpu": "250m", "memory": "16384Mi"},
            "limits": {"cpu": "1500m", "memory": "16384Mi"},
        },
        "securityContext": security,
    }
    added = [
        {"name": "runtime", "mountPath": "/opt/mlabhub", "readOnly": True},
        {"name": "runtime", "mountPath": "/etc/ld.so.preload", "subPath": "etc/empty", "readOnly": True},
    ]
    quiet = [{"name": "LD_AUDIT", "value": ""}, {"name": "LD_PRELOAD", "value": ""}]
    person = [
        {"name": "MLABHUB_HOME", "value": "/mnt/user/alice"},
        {"name": "MLABHUB_UID", "value": "200001"},
        {"name": "MLABHUB_USER", "value": "alice"},
    ]
    assert pod["initContainers"] == [
        {
            "name": "runtime",
            "image": "harbor.lab/mlabhub/runtime:latest",
            "command": [
                "sh",
                "-c",
                "exec cp --recursive --preserve=mode,timestamps,links /opt/runtime/* /mnt/runtime",
            ],
            "volumeMounts": [{"name": "runtime", "mountPath": "/mnt/runtime"}],
            **like,
        },
        {
            "name": "accounts",
            "image": "ghcr.io/lab/tool:1",
            "command": ["/opt/mlabhub/bin/python3", "-I", "-m", "mlabhub_outside.accounts", "/mnt/accounts"],
            "workingDir": "/",
            "env": [*person, *quiet, {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}],
            "volumeMounts": [{"name": "accounts", "mountPath": "/mnt/accounts"}, *added],
            **like,
        },
    ]
    [container] = pod["containers"]
    assert container == {
        **before["containers"][0],
        "command": ["/opt/mlabhub/bin/python3", "-I", "-m", "mlabhub_outside.start"],
        "workingDir": "/",
        "env": [*before["containers"][0]["env"], *quiet, {"name": "MLABHUB_GIVEN", "value": "PYTHONSAFEPATH"}],
        "volumeMounts": [
            {"name": "shm", "mountPath": "/dev/shm"},
            *added,
            {"name": "accounts", "mountPath": "/etc/passwd", "subPath": "passwd", "readOnly": True},
            {"name": "accounts", "mountPath": "/etc/group", "subPath": "group", "readOnly": True},
        ],
    }
    assert pod["volumes"] == [*before["volumes"], {"name": "runtime", "emptyDir": {}}]
    kept = {*before} - {"initContainers", "containers", "volumes"}
    assert {key: pod[key] for key in kept} == {key: before[key] for key in kept}


def test_in_an_outside_image_with_sudo_root_enters_the_person() -> None:
    around = replace(AROUND, spec=KubernetesSpec(allow=("sudo",)), runtime="localhost/mlabhub/runtime:latest")
    pod = get_pod_manifest(replace(PLAN, sudo=True), around)["spec"]
    assert [one["name"] for one in pod["initContainers"]] == ["runtime"]
    assert {volume["name"] for volume in pod["volumes"]} == {"shm", "runtime"}
    assert not [mount for mount in pod["containers"][0]["volumeMounts"] if mount["mountPath"].startswith("/etc/p")]
