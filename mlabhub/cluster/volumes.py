"""What a server's mounts are on a cluster: volumes of its pod, and the claims that they need.

A container's engine is handed folders that the hub opened itself. A kubelet is handed names, and follows links between
them and their volume's edge. So only names that nobody but an administrator can replace are given to it: a folder
directly in a root, or a source of ``storage.yaml``; a person's subfolder only where the whole volume is that person's.

Guarantees: pure; whatever names people and groups have, no two folders share a claim, and no name leads to a claim that
is not ours; a volume of which nothing is written to is mounted read-only as a whole; ``fs_group`` is given only where
every volume is the person's own, as a kubelet hands *all* that is on a pod's volumes over to that group.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlabhub.cluster import labels
from mlabhub.core.kubernetes import ClaimPerFolder, KubernetesSpec, Volume
from mlabhub.core.names import claim_slug
from mlabhub.core.plan import LaunchPlan
from mlabhub.core.quote import quote
from mlabhub.core.storage import HOME, Mount
from mlabhub.errors import LaunchRefused
from mlabhub.messages import N_, Message

Manifest = Mapping[str, Any]
READ_ONLY = {"readOnly": True, "recursiveReadOnly": "IfPossible"}
"""Else what a node or a NAS has mounted below a folder can be written to: ``readOnly`` alone is about the uppermost."""


class UnmountableShare(LaunchRefused):
    """A share cannot be mounted on this cluster."""

    code = "unmountable"


@dataclass(frozen=True)
class Claim:
    """A claim that we make: it keeps one folder and outlives every server."""

    name: str
    manifest: Manifest
    folder: str


@dataclass(frozen=True)
class Part:
    """One volume of a pod, and the plan's mounts that show something on it."""

    name: str
    source: Manifest
    folder: str
    """The folder of storage.yaml that it is; mounts are at or below it."""
    mounts: tuple[Mount, ...]
    given_claim: str = ""
    """The claim's name where an administrator made it."""
    own_claim: Claim | None = None
    bound: str = ""
    """What its claim is bound to, where that is known: events name it."""

    @property
    def claim_name(self) -> str:
        """The name of its claim; empty without one."""
        return self.own_claim.name if self.own_claim else self.given_claim

    @property
    def is_optional(self) -> bool:
        """Whether a server can do without all that is on it."""
        return all(mount.optional for mount in self.mounts)

    def path_of(self, mount: Mount) -> str:
        """Return what a mount shows, from the volume's root on; empty: all of it."""
        below = "" if mount.source == self.folder else posixpath.relpath(mount.source, self.folder)
        return "/".join(filter(None, (below, mount.subfolder)))

    @property
    def targets(self) -> tuple[str, ...]:
        """Where servers see it."""
        return tuple(mount.target for mount in self.mounts)


@dataclass(frozen=True)
class PodVolumes:
    """The volumes of a server's pod and the mounts of its container, as Kubernetes writes them."""

    volumes: tuple[Manifest, ...]
    mounts: tuple[Manifest, ...]
    claims: tuple[Claim, ...] = ()
    fs_group: int | None = None
    """The pod's fsGroup. Without it there must be none at all: a kubelet would hand other people's files over."""
    notes: tuple[Message, ...] = ()
    """What the server has to do without."""
    parts: tuple[Part, ...] = field(default=())
    """What is behind the volumes, by name as in events of the pod."""

    def part_in(self, said: str) -> Part | None:
        """Return the part that an event's text is about: it names the pod's volume, what is bound, or the claim."""
        return part_in(self.parts, said)


def get_pod_volumes(plan: LaunchPlan, spec: KubernetesSpec, instance: str) -> PodVolumes:
    """Return the volumes for a plan; ``spec`` must be located.

    Raises `UnmountableShare` where the home, or a folder that the person asked for, has no place on the cluster.
    """
    notes: list[Message] = []
    kept: dict[tuple[str, str], list[Mount]] = {}
    behind: dict[tuple[str, str], Volume] = {}
    for mount in plan.mounts:
        volume = spec.volume_of(mount.source)
        fault = _fault_of(mount, volume, sudo=plan.sudo)
        if fault is not None:
            if mount.share == HOME or mount.chosen:
                raise UnmountableShare(fault)
            notes.append(without(mount, fault))
            continue
        assert volume is not None
        at = (volume.folder, mount.source if volume.claim_per_folder else "")
        kept.setdefault(at, []).append(mount)
        behind[at] = volume
    parts = tuple(
        _make_part(f"share-{number}", behind[at], tuple(mounts), instance)
        for number, (at, mounts) in enumerate(kept.items())
    )
    return PodVolumes(
        volumes=tuple({"name": part.name, **part.source} for part in parts),
        mounts=tuple(_make_mount(part, mount) for part in parts for mount in part.mounts),
        claims=tuple(part.own_claim for part in parts if part.own_claim),
        fs_group=plan.identity.gid if _is_all_private(parts) else None,
        notes=tuple(notes),
        parts=parts,
    )


def part_in(parts: Iterable[Part], said: str) -> Part | None:
    """Return the part that an event's text names, if any."""
    words = frozenset(re.split(r"[^A-Za-z0-9.-]+", said))
    return next((one for one in parts if words & {one.name, one.claim_name or one.name, one.bound or one.name}), None)


def without(mount: Mount, reason: Message) -> Message:
    """Return the note for a server that starts without a folder."""
    return Message.of(N_("Without {target}: {reason}"), target=mount.target, reason=reason)


def is_private(mount: Mount) -> bool:
    """Whether a folder is its person's and nobody else's."""
    return mount.share == HOME or mount.share.startswith(f"{HOME}:")


def _fault_of(mount: Mount, volume: Volume | None, *, sudo: bool) -> Message | None:
    if volume is None:
        template = N_("kubernetes.yaml names no volume for {folder}. Ask an administrator.")
        return Message.of(template, folder=mount.source)
    if sudo and not is_private(mount) and not mount.read_only:
        # No map of ids stands between: whoever is root in a pod is root, or any of its owners, on what it mounts.
        return Message(N_("people are root in this server, and on a cluster that would be so for others' files, too."))
    own = volume.claim_per_folder is not None
    if own and mount.create is None:
        template = N_("{folder} needs a claim that exists, and kubernetes.yaml names none. Ask an administrator.")
        return Message.of(template, folder=mount.source)
    if mount.subfolder and not (own and is_private(mount)):
        template = N_(
            "The subfolder {subfolder} of {share} cannot be mounted by itself: on a cluster, a link in it could lead "
            "to folders that are closed to you. Mount the whole share."
        )
        return Message.of(template, subfolder=quote(mount.subfolder), share=quote(mount.share))
    return None


def _make_part(name: str, volume: Volume, mounts: tuple[Mount, ...], instance: str) -> Part:
    read_only = all(mount.read_only for mount in mounts)
    if volume.host_path is not None:
        source: Manifest = {"hostPath": {"path": volume.host_path, "type": "Directory"}}
        return Part(name, source, volume.folder, mounts)
    if volume.claim is not None:
        return Part(name, _claimed(volume.claim, read_only), volume.folder, mounts, given_claim=volume.claim)
    assert volume.claim_per_folder is not None
    folder = mounts[0].source
    claim = _make_claim(volume, volume.claim_per_folder, folder, instance)
    return Part(name, _claimed(claim.name, read_only), folder, mounts, own_claim=claim)


def _claimed(name: str, read_only: bool) -> Manifest:
    return {"persistentVolumeClaim": {"claimName": name, **({"readOnly": True} if read_only else {})}}


def _make_claim(volume: Volume, wanted: ClaimPerFolder, folder: str, instance: str) -> Claim:
    below = "" if folder == volume.folder else posixpath.relpath(folder, volume.folder)
    name = labels.object_name(instance, claim_slug(volume.known_as, below))
    known_as = f"{volume.known_as}/{below}"
    return Claim(name, get_claim_manifest(name, wanted, instance=instance, folder=known_as), known_as)


def get_claim_manifest(name: str, wanted: ClaimPerFolder, *, instance: str, folder: str) -> Manifest:
    """Return the PersistentVolumeClaim for a folder. Nothing owns it: it stays when the server is gone."""
    spec: dict[str, Any] = {
        "accessModes": [wanted.access_mode],
        "resources": {"requests": {"storage": f"{round(wanted.size_gib * 1024)}Mi"}},
    }
    if wanted.storage_class is not None:
        spec["storageClassName"] = wanted.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": name,
            "labels": {labels.INSTANCE: instance, labels.PART: labels.PART_STORAGE},
            "annotations": {labels.FOLDER: folder},
        },
        "spec": spec,
    }


def _make_mount(part: Part, mount: Mount) -> Manifest:
    made: dict[str, Any] = {"name": part.name, "mountPath": mount.target}
    path = part.path_of(mount)
    if path:
        made["subPath"] = path
    if mount.read_only:
        made |= READ_ONLY
    return made


def _is_all_private(parts: Iterable[Part]) -> bool:
    """Whether all is the person's own, or is not theirs to write; nothing at all needs no group."""
    listed = tuple(parts)
    return any(part.own_claim for part in listed) and all(
        (part.own_claim and all(map(is_private, part.mounts))) or "hostPath" in part.source or _is_read_only(part)
        for part in listed
    )


def _is_read_only(part: Part) -> bool:
    return all(mount.read_only for mount in part.mounts)
