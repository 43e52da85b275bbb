"""The launch plan: everything that a backend needs to start one server, decided, without one word of any backend.

Guarantees: a plan is a value that survives JSON unchanged; its environment has only our own variables and those that
the profile's options set, ours winning; no value in it was chosen freely by a user.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mlabhub.core.capacity import Placement
from mlabhub.core.identity import Identity
from mlabhub.core.images import ImageKind
from mlabhub.core.network import DEFAULT_EGRESS, Egress
from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.safe_mode import safe_environment
from mlabhub.core.storage import HOME, WORKSPACE, Mount, Storage, mounts_for
from mlabhub.core.tools import TENSORBOARD, WORKBENCH, Kind
from mlabhub.errors import MLabError
from mlabhub.messages import N_


@dataclass(frozen=True)
class LaunchPlan:
    """One server, ready to be started."""

    launch_id: str
    user: str
    server_name: str
    display_name: str
    profile: str
    image: str
    image_reference: str
    group: str | None
    cpu: float
    memory_gib: float
    shm_gib: float
    pids: int
    gpu_type: str | None
    gpus: tuple[str, ...]
    environment: dict[str, str]
    mounts: tuple[Mount, ...]
    identity: Identity
    sudo: bool
    node: str
    image_kind: ImageKind = "catalog"
    workspace: str = WORKSPACE
    kind: Kind = WORKBENCH
    tools: tuple[str, ...] = ()
    log_folders: tuple[str, ...] = ()
    cpu_guarantee: float = 0.0
    """The part of ``cpu`` that is nobody else's: where CPUs are promised several times over, it is less."""
    gpu_products: tuple[str, ...] = ()
    """What GPUs of ``gpu_type`` are called where they are, as the inventory tells it; empty if it does not matter."""
    egress: Egress = DEFAULT_EGRESS
    safe: bool = False
    """Whether no start-up file of its person's is read; what it takes beyond ``environment`` is the backend's."""

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON types."""
        plain: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return plain

    @classmethod
    def from_dict(cls, plain: object) -> LaunchPlan:
        """Return the plan that `to_dict` was called on.

        Raises
        ------
        MLabError
            It is not a plan.
        """
        try:
            return _ADAPTER.validate_python(plain)
        except ValidationError as error:
            raise MLabError(
                N_("The service's launch plan cannot be read; are hub and service of one version?"), log_text=str(error)
            ) from None


_ADAPTER = TypeAdapter(LaunchPlan)


def make_plan(
    request: LaunchRequest,
    *,
    launch_id: str,
    identity: Identity,
    placement: Placement,
    storage: Storage,
    display_name: str = "",
    cpu_overcommit: float = 1.0,
    gpu_products: Sequence[str] = (),
) -> LaunchPlan:
    """Return the plan for a request that was admitted at ``placement``; ``storage`` must be located."""
    mounts = _mounts(request, mounts_for(storage, identity, chosen=request.mounts))
    return LaunchPlan(
        launch_id=launch_id,
        user=request.user,
        server_name=request.server_name,
        display_name=display_name,
        profile=request.profile,
        image=request.image,
        image_reference=request.image_reference,
        image_kind=request.image_kind,
        group=request.group,
        cpu=request.cpu,
        memory_gib=request.memory_gib,
        shm_gib=request.shm_gib,
        pids=request.pids,
        gpu_type=placement.gpu_type or request.gpu_type,
        gpus=placement.gpus,
        environment=_environment(request, launch_id, identity, storage, mounts),
        mounts=mounts,
        identity=identity,
        sudo=request.sudo,
        node=placement.node,
        workspace=storage.workspace,
        kind=request.kind,
        tools=request.tools,
        log_folders=request.log_folders,
        cpu_guarantee=request.cpu / cpu_overcommit,
        gpu_products=tuple(gpu_products),
        egress=request.egress,
        safe=request.safe,
    )


def _mounts(request: LaunchRequest, mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """Return the mounts; a TensorBoard alone may write to the home, where it keeps its list, and only read the rest."""
    if request.kind != TENSORBOARD:
        return mounts
    return tuple(mount if mount.share == HOME else replace(mount, read_only=True) for mount in mounts)


def _environment(
    request: LaunchRequest, launch_id: str, identity: Identity, storage: Storage, mounts: Sequence[Mount]
) -> dict[str, str]:
    environment: Mapping[str, object] = {
        "MLABHUB_LAUNCH_ID": launch_id,
        "MLABHUB_USER": identity.account,
        "MLABHUB_UID": identity.uid,
        "MLABHUB_GID": identity.gid,
        "MLABHUB_GROUPS": ",".join(f"{group.account}:{group.gid}" for group in identity.groups),
        "MLABHUB_HOME": storage.home(identity.name, [group.name for group in identity.groups]),
        "MLABHUB_SUDO": int(request.sudo),
        "MLABHUB_KIND": request.kind,
        "MLABHUB_PLACES": json.dumps([mount.target for mount in mounts]),
        **dict(_of_tools(request)),
    }
    safe = safe_environment(launch_id) if request.safe else {}
    return {**request.environment, **{name: str(value) for name, value in environment.items()}, **safe}


def _of_tools(request: LaunchRequest) -> Iterator[tuple[str, object]]:
    """Yield the variables that not every server has."""
    allowed = request.tools if request.kind == TENSORBOARD else request.allowed_tools
    if allowed is not None:
        yield "MLABHUB_TOOLS", ",".join(allowed)
    if request.kind == TENSORBOARD:
        yield "MLABHUB_LOG_FOLDERS", json.dumps(request.log_folders)
        yield "MLABHUB_UNUSED_SECONDS", request.unused_seconds
        # What lies in the home, such as a random.py, is no module of this server's.
        yield "PYTHONSAFEPATH", 1
