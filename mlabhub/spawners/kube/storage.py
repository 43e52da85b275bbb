"""See to it that what a server mounts is there before its pod is made: claims, and people's folders on them.

Guarantees: what was found right is not asked for again while this hub runs; an extra share that is not there is left
out, with a note; anything else that is wrong is a sentence, within the time that volumes may take.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlabhub.cluster.volumes import Part, PodVolumes, UnmountableShare, get_pod_volumes, without
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.core.plan import LaunchPlan
from mlabhub.core.storage import Mount
from mlabhub.messages import Message
from mlabhub.spawners.kube.claims import find_volume
from mlabhub.spawners.kube.folder_pod import FolderWork
from mlabhub.spawners.kube.folder_runs import Folders, ShareNotMounted
from mlabhub.spawners.nas import ensure_folders_soon


@dataclass(frozen=True)
class Prepared:
    """The volumes that can be mounted, and what is to be said about the others."""

    volumes: PodVolumes
    notes: tuple[Message, ...]


@dataclass
class StorageKeeper:
    """What the spawners of one hub share of it.

    ``image`` is ours, for the pod that makes folders, by the name that it was built under; ``own_root`` is where the
    hub's own state folder has people's.
    """

    namespace: str
    instance: str
    image: str
    own_root: Path
    bound: dict[str, str] = field(default_factory=dict)
    """What claims that were found right are bound to, by the claim's name."""

    def __post_init__(self) -> None:
        self.folders = Folders(self.namespace, self.instance, self.image)

    def forget(self, plan: LaunchPlan, volumes: PodVolumes) -> None:
        """Look at everything again with the next start, as this one came to nothing."""
        self.folders.forget(volumes.parts, plan)
        for part in volumes.parts:
            self.bound.pop(part.claim_name, None)


async def prepare_storage(
    api: Any, namespace: str, plan: LaunchPlan, spec: KubernetesSpec, around: StorageKeeper
) -> Prepared:
    """Make what is missing; return the volumes for the pod, and notes. Raises `MLabError` with a sentence."""
    preparation = _Preparation(api, namespace, plan, spec, around)
    await preparation.look_at_claims()
    await preparation.look_at_folders()
    await preparation.look_at_own_claims()
    return preparation.result


class _Preparation:
    """One start's way through it: ``volumes`` is what is left of them."""

    def __init__(self, api: Any, namespace: str, plan: LaunchPlan, spec: KubernetesSpec, around: StorageKeeper):
        self._api = api
        self._namespace = namespace
        self._plan = plan
        self._spec = spec
        self._around = around
        self._volumes = get_pod_volumes(plan, spec, around.instance)
        self._notes = list(self._volumes.notes)
        self._give_up = time.monotonic() + spec.mount_seconds

    @property
    def result(self) -> Prepared:
        """What has come of it."""
        parts = tuple(replace(one, bound=self._around.bound.get(one.claim_name, "")) for one in self._volumes.parts)
        return Prepared(replace(self._volumes, parts=parts), tuple(self._notes))

    async def look_at_claims(self) -> None:
        """Make claims of ours, and look whether the others are there."""
        parts = [one for one in self._volumes.parts if one.claim_name and one.claim_name not in self._around.bound]
        found = await asyncio.gather(
            *(find_volume(self._api, self._namespace, part) for part in parts), return_exceptions=True
        )
        for part, one in zip(parts, found, strict=True):
            if isinstance(one, UnmountableShare):
                self._leave_out(part.mounts, one)
            elif isinstance(one, BaseException):
                raise one
            else:
                self._around.bound[part.claim_name] = one

    async def look_at_folders(self) -> None:
        """Make or check people's folders on volumes that they share."""
        parts = [part for part in self._volumes.parts if part.own_claim is None]
        if self._spec.make_folders == "hub":
            mounts = [mount for part in parts for mount in part.mounts]
            ready = await ensure_folders_soon(mounts, self._around.own_root, self._plan.identity)
            self._notes += ready.notes
            self._keep(mount for mount in self._plan.mounts if mount not in mounts or mount in ready.mounts)
            return
        folders = [(part, mount) for part in parts for mount in part.mounts if part.path_of(mount)]
        make = self._spec.make_folders == "pod" and any(mount.create for _, mount in folders)
        await self._run(FolderWork(tuple(folders), make=make))

    async def look_at_own_claims(self) -> None:
        """Hand new claims over to whom they are for, where the server's own pod cannot; look for chosen subfolders."""
        by_group: dict[int, list[tuple[Part, Mount]]] = {}
        for part in self._volumes.parts:
            for mount in part.mounts if part.own_claim else ():
                handed_over = self._volumes.fs_group is not None or mount.read_only
                if mount.create and (mount.subfolder or not handed_over):
                    by_group.setdefault(mount.create.gid, []).append((part, mount))
        for gid, folders in by_group.items():
            await self._run(FolderWork(tuple(folders), fs_group=gid))

    async def _run(self, work: FolderWork) -> None:
        """Let a pod look at what is not known yet; without what keeps it from running, if that is optional."""
        known = self._around.folders.is_known
        folders = tuple((part, mount) for part, mount in work.folders if not known(part, mount, self._plan))
        if not folders:
            return
        try:
            work = replace(work, folders=folders)
            faults = await self._around.folders.run(self._api, work, self._plan, self._spec, self._give_up)
        except ShareNotMounted as error:
            if error.part is None or not error.part.is_optional:
                raise
            self._leave_out(error.part.mounts, error)
            await self._run(replace(work, folders=tuple(one for one in folders if one[0] != error.part)))
            return
        for mount, message in faults.items():
            self._leave_out((mount,), UnmountableShare(message, key="mounts" if mount.chosen else "storage"))

    def _leave_out(self, mounts: tuple[Mount, ...], error: UnmountableShare) -> None:
        """Go on without these, if that can be. Raises the error if not."""
        if not all(mount.optional for mount in mounts):
            raise error
        self._notes += [without(mount, error.message) for mount in mounts]
        self._keep(mount for mount in self._plan.mounts if mount not in mounts)

    def _keep(self, mounts: Iterable[Mount] | Iterator[Mount]) -> None:
        self._plan = replace(self._plan, mounts=tuple(mounts))
        self._volumes = get_pod_volumes(self._plan, self._spec, self._around.instance)
