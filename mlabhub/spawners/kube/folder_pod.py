"""The short-lived pod that makes people's folders on a volume, or looks whether they are there.

Guarantees: pure. It mounts volumes whole, which no server ever does; it runs our own image with a script of ours and
nothing else, reads no file of the volumes, has no account at the API and no way to the network where policies are
enforced; it is root with `MAKER_CAPABILITIES` alone where folders are to be made, else nobody but the person.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from typing import Any

from mlabhub.cluster import labels
from mlabhub.cluster.images import for_nodes
from mlabhub.cluster.volumes import Part
from mlabhub.core.identity import Identity
from mlabhub.core.kubernetes import KubernetesSpec, ProfileOnCluster
from mlabhub.core.plan import LaunchPlan
from mlabhub.core.storage import Mount
from mlabhub.spawners.kube import folder_script

Manifest = dict[str, Any]
CONTAINER = "folders"
ANSWER = "/dev/termination-log"
PYTHON = "/usr/bin/python3"
MOST_SECONDS = 120
MAKER_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE")
"""To give a folder away, and to make one in a root that is somebody else's, as on many a NAS."""


@dataclass(frozen=True)
class FolderWork:
    """Folders to be looked for on volumes, by one pod."""

    folders: tuple[tuple[Part, Mount], ...]
    make: bool = False
    """Whether what is missing is made; the pod is root then."""
    fs_group: int | None = None
    """A new volume's group: its folder is given to it by the kubelet, so nobody has to be root."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The volumes that it mounts."""
        return tuple({part.name: part for part, _ in self.folders}.values())


def get_folders_pod_manifest(
    work: FolderWork, plan: LaunchPlan, spec: KubernetesSpec, *, name: str, instance: str, image: str
) -> Manifest:
    """Return the pod that does it for a plan's person, where the plan's server may run."""
    profile = spec.profiles.get(plan.profile, ProfileOnCluster())
    pod: Manifest = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": MOST_SECONDS,
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _security(work, plan.identity),
        "containers": [_make_container(work, spec, image)],
        "volumes": [_make_volume(work, part) for part in work.parts],
        "tolerations": [one.model_dump(exclude_none=True) for one in (*spec.tolerations, *profile.tolerations)],
    }
    optional: Manifest = {
        "nodeSelector": {**spec.node_selector, **profile.node_selector},
        "imagePullSecrets": [{"name": name} for name in spec.pull_secrets],
        "affinity": _near(plan.node),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {labels.INSTANCE: instance, labels.PART: labels.PART_FOLDERS},
            "annotations": {labels.USER: plan.identity.name},
        },
        "spec": {**pod, **{key: value for key, value in optional.items() if value}},
    }


def _make_container(work: FolderWork, spec: KubernetesSpec, image: str) -> Manifest:
    script = inspect.getsource(folder_script)
    folders = [_wanted(work, part, mount) for part, mount in work.folders]
    task = json.dumps({"answer": ANSWER, "folders": folders}, sort_keys=True)
    return {
        "name": CONTAINER,
        "image": for_nodes(image, spec.registry),
        "imagePullPolicy": spec.pull_policy,
        "command": [PYTHON, "-I", "-c", _literal(script), _literal(task)],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}},
        "volumeMounts": [_make_mount(work, part) for part in work.parts],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], **({"add": list(MAKER_CAPABILITIES)} if work.make else {})},
        },
    }


def _security(work: FolderWork, identity: Identity) -> Manifest:
    seccomp = {"seccompProfile": {"type": "RuntimeDefault"}}
    if work.make:
        gids = sorted({mount.create.gid for _, mount in work.folders if mount.create})
        # A member of the group may set the bit that hands it down; else that would take one more right.
        return {"runAsUser": 0, "runAsGroup": 0, "supplementalGroups": gids, **seccomp}
    own: Manifest = {"runAsNonRoot": True, "runAsUser": identity.uid, "runAsGroup": identity.gid}
    groups = sorted({group.gid for group in identity.groups})
    more: Manifest = {"supplementalGroups": groups} if groups else {}
    if work.fs_group is not None:
        more |= {"fsGroup": work.fs_group, "fsGroupChangePolicy": "OnRootMismatch"}
    return {**own, **more, **seccomp}


def _wanted(work: FolderWork, part: Part, mount: Mount) -> Manifest:
    folder = mount.create
    own = part.own_claim is not None
    return {
        "volume": f"/volumes/{part.name}",
        "path": part.path_of(mount),
        "make": work.make and folder is not None,
        # A claim that is mounted is the right volume for certain; a folder of a node may be a NAS that is not mounted.
        "make_roots": bool(part.given_claim),
        "uid": None if own or folder is None else folder.uid,
        "gid": None if own or folder is None else folder.gid,
        "mode": None if own or folder is None else folder.mode,
        "writable": own and not mount.read_only and not mount.subfolder,
    }


def _make_mount(work: FolderWork, part: Part) -> Manifest:
    read_only = {} if _writes(work, part) else {"readOnly": True}
    return {"name": part.name, "mountPath": f"/volumes/{part.name}", **read_only}


def _make_volume(work: FolderWork, part: Part) -> Manifest:
    source = {key: dict(value) for key, value in part.source.items()}
    claim = source.get("persistentVolumeClaim")
    if claim is not None:
        claim.pop("readOnly", None)
        if not _writes(work, part):
            claim["readOnly"] = True
    return {"name": part.name, **source}


def _writes(work: FolderWork, part: Part) -> bool:
    """Whether anything is made on a volume, or its folder given to a group."""
    makes = work.make and any(mount.create for of, mount in work.folders if of == part)
    return makes or (work.fs_group is not None and part.own_claim is not None)


def _near(node: str) -> Manifest:
    """Return where a volume would best be bound: where its server is to run."""
    if not node:
        return {}
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": term}]}
    return {"nodeAffinity": preferred}


def _literal(text: str) -> str:
    """Return what Kubernetes makes this text of: it expands ``$(NAME)`` in arguments."""
    return text.replace("$", "$$")
