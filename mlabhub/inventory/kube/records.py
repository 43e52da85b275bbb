"""Nodes and pods reduced to what is decided by: of a pod's tens of kilobytes, some hundred bytes stay.

Guarantees: values; an object that cannot be read is a `ValueError`, never a node or pod without needs. What a pod asks
for is counted as the scheduler counts it: the most that it needs at once, init containers and sidecars included.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from typing import Any

from mlabhub.cluster import labels
from mlabhub.inventory.kube.quantities import GIB, ceil_micro, floor_micro, parse_quantity

OVER = ("Succeeded", "Failed")
"""Phases in which a pod holds nothing any more."""

Json = Mapping[str, Any]
Counts = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Taint:
    """What keeps pods off a node unless they tolerate it."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One node. CPU and memory (of GiB) are in millionths; ``extended`` are its extended resources.

    ``sick`` are how many of these there are besides that cannot be had, as their devices are not healthy.

    ``ready`` is ``True``, ``False`` or ``Unknown`` as the cluster says it, with its reason and since when.
    """

    name: str
    labels: tuple[tuple[str, str], ...]
    cpu: int
    memory: int
    pods: int
    extended: Counts
    sick: Counts
    taints: tuple[Taint, ...]
    cordoned: bool
    ready: str
    reason: str
    since: float | None


@dataclass(frozen=True, slots=True)
class Own:
    """What stands on a pod that says it is of our installation; whether it is one of our servers is to be seen."""

    instance: str
    part: str
    launch_id: str | None
    user: str
    server: str
    gpus: tuple[str, ...]
    created: float | None


@dataclass(frozen=True, slots=True)
class Needs:
    """What a pod holds of its node. CPU and memory (of GiB) are in millionths."""

    cpu: int = 0
    memory: int = 0
    extended: Counts = ()


@dataclass(frozen=True, slots=True)
class PodRecord:
    """One pod. ``node`` is empty until it has one; ``daemon``: it belongs to its node and runs on all such nodes."""

    uid: str
    namespace: str
    name: str
    node: str
    phase: str
    deleting: bool
    daemon: bool
    needs: Needs
    own: Own | None = None

    @property
    def holds(self) -> bool:
        """Whether it holds something of a node."""
        return bool(self.node) and self.phase not in OVER


def read_node(raw: Json) -> NodeRecord:
    """Return a node's record. Raises `ValueError`."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    allocatable: Mapping[str, str] = status.get("allocatable") or {}
    capacity: Mapping[str, str] = status.get("capacity") or {}
    extended = {key: int(parse_quantity(amount)) for key, amount in allocatable.items() if _is_extended(key)}
    whole = {key: int(parse_quantity(amount)) for key, amount in capacity.items() if _is_extended(key)}
    ready: Json = next((one for one in status.get("conditions") or () if one.get("type") == "Ready"), {})
    return NodeRecord(
        name=sys.intern(metadata["name"]),
        labels=tuple(sorted((metadata.get("labels") or {}).items())),
        cpu=floor_micro(parse_quantity(allocatable.get("cpu", "0"))),
        memory=floor_micro(parse_quantity(allocatable.get("memory", "0")) / GIB),
        pods=int(parse_quantity(allocatable.get("pods", "0"))),
        extended=tuple(sorted(extended.items())),
        sick=tuple((key, count - extended.get(key, 0)) for key, count in sorted(whole.items())),
        taints=tuple(
            Taint(one["key"], one.get("value") or "", one.get("effect") or "") for one in spec.get("taints") or ()
        ),
        cordoned=bool(spec.get("unschedulable")),
        ready=ready.get("status", "Unknown"),
        reason=ready.get("reason") or "",
        since=read_time(ready.get("lastTransitionTime")),
    )


def read_pod(raw: Json) -> PodRecord:
    """Return a pod's record. Raises `ValueError`."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    return PodRecord(
        uid=metadata["uid"],
        namespace=sys.intern(metadata["namespace"]),
        name=metadata["name"],
        node=sys.intern(spec.get("nodeName") or ""),
        phase=sys.intern(status.get("phase") or "Pending"),
        deleting=metadata.get("deletionTimestamp") is not None,
        daemon=_is_daemon(metadata),
        needs=_read_needs(spec, status),
        own=_read_own(metadata),
    )


def read_time(text: str | None) -> float | None:
    """Return a time of the API in seconds since the epoch; None if there is none. Raises `ValueError`."""
    return None if not text else datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _is_extended(resource: str) -> bool:
    return "/" in resource and not resource.startswith("kubernetes.io/")


def _is_daemon(metadata: Json) -> bool:
    """Whether a pod is there because its node is: a DaemonSet's, or a static one."""
    return any(owner.get("kind") in ("DaemonSet", "Node") for owner in metadata.get("ownerReferences") or ())


def _read_own(metadata: Json) -> Own | None:
    marks: Mapping[str, str] = metadata.get("labels") or {}
    instance = marks.get(labels.INSTANCE)
    if instance is None:
        return None
    notes: Mapping[str, str] = metadata.get("annotations") or {}
    return Own(
        instance=instance,
        part=marks.get(labels.PART, ""),
        launch_id=notes.get(labels.LAUNCH_ID),
        user=notes.get(labels.USER, ""),
        server=notes.get(labels.SERVER, ""),
        gpus=tuple(filter(None, notes.get(labels.GPUS, "").split(","))),
        created=read_time(metadata.get("creationTimestamp")),
    )


def _read_needs(spec: Json, status: Json) -> Needs:
    """Return the most that a pod needs at once: all containers with sidecars, or one init container with its own."""
    grown = {
        one.get("name"): one.get("allocatedResources") or {}
        for one in (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ()))
    }

    def asked(container: Json) -> dict[str, Fraction]:
        requests = _amounts((container.get("resources") or {}).get("requests"))
        return _most(requests, _amounts(grown.get(container.get("name"))))

    sidecars: dict[str, Fraction] = {}
    starting: dict[str, Fraction] = {}
    for container in spec.get("initContainers") or ():
        needs = asked(container)
        if container.get("restartPolicy") == "Always":
            sidecars = _sum((sidecars, needs))
            starting = _most(starting, sidecars)
        else:
            starting = _most(starting, _sum((sidecars, needs)))
    running = _sum((sidecars, *map(asked, spec.get("containers") or ())))
    total = _most(running, starting)
    total.update(_amounts((spec.get("resources") or {}).get("requests")))
    return _make_needs(tuple(sorted(_sum((total, _amounts(spec.get("overhead")))).items())))


@lru_cache(4096)
def _make_needs(amounts: tuple[tuple[str, Fraction], ...]) -> Needs:
    """Return needs; pods that ask for the same share them."""
    by_name = dict(amounts)
    return Needs(
        cpu=ceil_micro(by_name.get("cpu", Fraction())),
        memory=ceil_micro(by_name.get("memory", Fraction()) / GIB),
        extended=tuple((key, int(amount)) for key, amount in amounts if _is_extended(key) and amount),
    )


def _amounts(requests: Mapping[str, str] | None) -> dict[str, Fraction]:
    return {key: parse_quantity(amount) for key, amount in (requests or {}).items()}


def _sum(parts: Iterable[Mapping[str, Fraction]]) -> dict[str, Fraction]:
    total: dict[str, Fraction] = {}
    for part in parts:
        for key, amount in part.items():
            total[key] = total[key] + amount if key in total else amount
    return total


def _most(*parts: Mapping[str, Fraction]) -> dict[str, Fraction]:
    most: dict[str, Fraction] = {}
    for part in parts:
        for key, amount in part.items():
            most[key] = max(most.get(key, amount), amount)
    return most
