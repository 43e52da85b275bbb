"""The pod that makes or looks for folders: its manifest, whole, and what is said of what it finds."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest

from mlabhub.cluster.volumes import Part, get_pod_volumes
from mlabhub.core.plan import LaunchPlan
from mlabhub.errors import MLabError
from mlabhub.spawners.kube import folder_runs, folder_script
from mlabhub.spawners.kube.folder_pod import FolderWork, get_folders_pod_manifest
from tests.volumes.examples import example_of

NAS = {"user_root": "/srv/nas/user", "share_root": "/srv/nas/share"}
SPEC = {
    "volumes": [{"folder": "/srv/nas", "claim": "nas"}],
    "registry": "harbor.lab/mlabhub",
    "pull_secrets": ["harbor"],
    "node_selector": {"pool": "users"},
    "tolerations": [{"key": "users", "operator": "Exists"}],
    "profiles": {"gpu": {"tolerations": [{"key": "gpu", "operator": "Exists"}], "node_selector": {"gpu": "yes"}}},
}


def work_of(make: bool, storage: dict[str, Any], kubernetes: dict[str, Any]) -> tuple[FolderWork, dict[str, Any]]:
    plan, spec = example_of(storage, kubernetes)
    parts = get_pod_volumes(plan, spec, "i1").parts
    work = FolderWork(tuple((part, mount) for part in parts for mount in part.mounts), make=make)
    image = "localhost/mlabhub/base:latest"
    return work, get_folders_pod_manifest(work, plan, spec, name="folders-1", instance="i1", image=image)


def folder(path: str, uid: int, gid: int, mode: int, make: bool) -> dict[str, Any]:
    made = {"volume": "/volumes/share-0", "path": path, "make": make, "make_roots": True, "writable": False}
    return {**made, "uid": uid, "gid": gid, "mode": mode}


def manifest_of(make: bool) -> dict[str, Any]:
    folders = [
        folder("user/alice", 200000, 200000, 0o700, make),
        folder("share/vision", 0, 200001, 0o2770, make),
    ]
    script = inspect.getsource(folder_script).replace("$", "$$")
    task = json.dumps({"answer": "/dev/termination-log", "folders": folders}, sort_keys=True)
    root = {"runAsUser": 0, "runAsGroup": 0, "supplementalGroups": [200000, 200001]}
    person = {"runAsNonRoot": True, "runAsUser": 200000, "runAsGroup": 200000, "supplementalGroups": [200001]}
    read_only = {} if make else {"readOnly": True}
    node = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    preferred = [{"weight": 100, "preference": node}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "folders-1",
            "labels": {"mlabhub/instance": "i1", "mlabhub/part": "folders"},
            "annotations": {"mlabhub/user": "alice"},
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": 120,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {**(root if make else person), "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "folders",
                    "image": "harbor.lab/mlabhub/base:latest",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["/usr/bin/python3", "-I", "-c", script, task],
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "32Mi"},
                        "limits": {"cpu": "1", "memory": "128Mi"},
                    },
                    "volumeMounts": [{"name": "share-0", "mountPath": "/volumes/share-0", **read_only}],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "privileged": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"], **({"add": ["CHOWN", "DAC_OVERRIDE"]} if make else {})},
                    },
                }
            ],
            "volumes": [{"name": "share-0", "persistentVolumeClaim": {"claimName": "nas", **read_only}}],
            "tolerations": [{"key": "users", "operator": "Exists"}, {"key": "gpu", "operator": "Exists"}],
            "nodeSelector": {"pool": "users", "gpu": "yes"},
            "imagePullSecrets": [{"name": "harbor"}],
            "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}},
        },
    }


@pytest.mark.parametrize("make", [True, False])
def test_the_whole_manifest(make: bool) -> None:
    _, manifest = work_of(make, NAS, SPEC)
    assert manifest == manifest_of(make)


def test_data_that_is_only_looked_for_is_mounted_read_only() -> None:
    """Even where the pod is root, for what else it does."""
    share = {"display_name": "D", "source": "/srv/data/x", "target": "/mnt/data"}
    volumes = [*SPEC["volumes"], {"folder": "/srv/data", "claim": "data"}]  # type: ignore[misc]
    _, manifest = work_of(True, {**NAS, "shares": {"d": share}}, {**SPEC, "volumes": volumes})
    [nas, data] = manifest["spec"]["containers"][0]["volumeMounts"]
    assert (nas.get("readOnly"), data.get("readOnly")) == (None, True)


def event(said: str, reason: str = "FailedMount") -> dict[str, str]:
    return {"type": "Warning", "reason": reason, "message": said}


EVENTS = {
    "hopeless": (
        [event('MountVolume.SetUp failed for volume "share-0" : hostPath type check failed: /x')],
        False,
        True,
    ),
    "may still come": ([event('MountVolume.SetUp failed for volume "share-0" : connection refused')], False, False),
    "did not come": ([event('MountVolume.SetUp failed for volume "share-0" : connection refused')], True, True),
    "of something else": ([event('MountVolume.SetUp failed for volume "kube-api" : not found')], False, False),
    "nothing is said": ([], True, True),
    "nothing yet": ([], False, False),
    "no node": ([event("0/2 nodes are available", "FailedScheduling")], True, True),
}


@pytest.mark.parametrize(("events", "late", "faulty"), EVENTS.values(), ids=EVENTS.keys())
def test_what_keeps_it_from_running(events: list[dict[str, str]], late: bool, faulty: bool) -> None:
    work, _ = work_of(True, NAS, SPEC)
    fault = folder_runs.fault_in(events, work, late=late)
    assert (fault is not None) == faulty
    if fault is not None:
        assert "/mnt/user/alice, /mnt/share/vision" in str(fault)
        named = any("share-0" in one["message"] for one in events)
        assert (fault.part == work.parts[0]) if named else (fault.part is None)


ENDED = {
    "runs": ({"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}, None),
    "not there yet": ({}, None),
    "evicted": ({"phase": "Failed", "message": "The node was low on memory"}, "The node was low on memory"),
    "no image": (
        {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImageNeverPull", "message": "no such image"}}}]},
        "no such image",
    ),
    "killed": ({"containerStatuses": [{"state": {"terminated": {"reason": "OOMKilled"}}}]}, "OOMKilled"),
    "another answer": (
        {"containerStatuses": [{"state": {"terminated": {"message": "Traceback"}}}]},
        "without an answer",
    ),
}


@pytest.mark.parametrize(("status", "words"), ENDED.values(), ids=ENDED.keys())
def test_a_pod_that_came_to_nothing(status: dict[str, Any], words: str | None) -> None:
    if words is None:
        assert folder_runs.answer_in({"status": status}) is None
        return
    with pytest.raises(MLabError, match=words):
        folder_runs.answer_in({"status": status})


def test_remembering_is_for_each_person_but_for_groups() -> None:
    plan, spec = example_of(NAS, SPEC)
    [part] = get_pod_volumes(plan, spec, "i1").parts
    home, group = part.mounts
    folders = folder_runs.Folders("n", "i1", "image")
    folders.known = {folder_runs.key_of(part, mount, plan) for mount in part.mounts}
    bob = LaunchPlan.from_dict({**plan.to_dict(), "user": "bob"})
    assert [folders.is_known(part, mount, plan) for mount in (home, group)] == [True, True]
    assert [folders.is_known(part, mount, bob) for mount in (home, group)] == [False, True]
    folders.forget([Part("other", part.source, part.folder, (home,))], plan)
    assert [folders.is_known(part, mount, plan) for mount in (home, group)] == [False, True]
