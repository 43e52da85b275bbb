"""From nodes and pods to what there is, and what of it others than our servers hold.

Guarantees: pure; of no node more is free than its allocatable amounts minus what all pods on it ask for. Our servers'
pods are not counted here: what they hold stands in the ledger. Nodes whose labels are not those that people's servers
need are left out, unless one of our servers is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from mlabhub.core.capacity import Capacity, Gpu, Node, Taker
from mlabhub.core.gpu_types import slice_type
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.core.slots import Slot
from mlabhub.core.units import from_micro
from mlabhub.inventory.gpus import gpu_type_of
from mlabhub.inventory.kube.openings import Opening, opening_of
from mlabhub.inventory.kube.records import Counts, NodeRecord, PodRecord
from mlabhub.inventory.kube.servers import Ours
from mlabhub.messages import N_, Message

FULL = N_("It runs as many pods as it may ({most}).")
UNHEALTHY = N_("Its device plugin says that this many GPUs are not healthy; which ones, the node's own tools tell.")
_MIG_RESOURCE = re.compile(r"mig-(.+)")
_MIG_PRODUCT = re.compile(r"[-_ ]MIG[-_ ](\S+)$", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    """What the pods on a node hold, but for our servers'. CPU and memory are in millionths.

    ``gpus`` are the numbers of extended resources by namespace; ``pods`` counts all pods, ``ours`` our servers'.
    """

    cpu: int = 0
    memory: int = 0
    daemon_cpu: int = 0
    daemon_memory: int = 0
    gpus: tuple[tuple[str, Counts], ...] = ()
    pods: int = 0
    ours: int = 0


@dataclass
class _Sum:
    cpu: int = 0
    memory: int = 0
    daemon_cpu: int = 0
    daemon_memory: int = 0
    gpus: dict[str, dict[str, int]] = field(default_factory=dict)
    pods: int = 0
    ours: int = 0

    def add(self, pod: PodRecord, ours: Ours) -> None:
        self.pods += 1
        if pod.own is not None and ours.has(pod):
            self.ours += 1
            return
        if pod.daemon:
            self.daemon_cpu += pod.needs.cpu
            self.daemon_memory += pod.needs.memory
        else:
            self.cpu += pod.needs.cpu
            self.memory += pod.needs.memory
        for resource, count in pod.needs.extended:
            of_namespace = self.gpus.setdefault(pod.namespace, {})
            of_namespace[resource] = of_namespace.get(resource, 0) + count

    def done(self) -> Load:
        gpus = tuple((namespace, tuple(sorted(counts.items()))) for namespace, counts in sorted(self.gpus.items()))
        return Load(self.cpu, self.memory, self.daemon_cpu, self.daemon_memory, gpus, self.pods, self.ours)


def loads_of(pods: Iterable[PodRecord], ours: Ours) -> dict[str, Load]:
    """Return what is held on each node."""
    sums: dict[str, _Sum] = {}
    for pod in pods:
        if pod.holds:
            sums.setdefault(pod.node, _Sum()).add(pod, ours)
    return {node: one.done() for node, one in sums.items()}


class CapacityMaker:
    """Makes the capacity of nodes and pods; for what has not changed since last time, it returns the same values."""

    def __init__(self) -> None:
        self._spec: KubernetesSpec | None = None
        self._known: dict[str, tuple[NodeRecord, Load, Node | None]] = {}
        self._last = Capacity()

    def make(
        self, nodes: Iterable[NodeRecord], pods: Iterable[PodRecord], spec: KubernetesSpec, ours: Ours
    ) -> Capacity:
        """Return the capacity."""
        loads, nothing = loads_of(pods, ours), Load()
        if spec != self._spec:
            self._known, self._spec = {}, spec
        known: dict[str, tuple[NodeRecord, Load, Node | None]] = {}
        for record in nodes:
            load = loads.get(record.name, nothing)
            before = self._known.get(record.name)
            if before is not None and before[0] is record and before[1] == load:
                known[record.name] = before
            else:
                known[record.name] = (record, load, make_node(record, load, spec))
        self._known = known
        made = tuple(node for name in sorted(known) if (node := known[name][2]) is not None)
        if len(made) != len(self._last.nodes) or any(a is not b for a, b in zip(made, self._last.nodes, strict=True)):
            self._last = Capacity(made)
        return self._last


def make_node(record: NodeRecord, load: Load, spec: KubernetesSpec) -> Node | None:
    """Return a node as admission sees it; None if it is none of ours."""
    opening = opening_of(record, spec)
    if not opening.ours and not load.ours:
        return None
    if record.pods and load.pods >= record.pods:
        notes = (*opening.notes, Message.of(FULL, most=record.pods))
        opening = replace(opening, schedulable=False, notes=notes)
    return _make_node(record, load, opening, _resources(record, spec))


def _make_node(record: NodeRecord, load: Load, opening: Opening, resources: Mapping[str, tuple[Gpu, ...]]) -> Node:
    types = {resource: gpus[0].type for resource, gpus in resources.items()}
    takers = tuple(
        Taker(namespace, of_types)
        for namespace, counts in load.gpus
        if (of_types := _by_type([(types[resource], count) for resource, count in counts if resource in types]))
    )
    return Node(
        name=record.name,
        cpu=from_micro(max(0, record.cpu - load.daemon_cpu)),
        memory_gib=from_micro(max(0, record.memory - load.daemon_memory)),
        gpus=tuple(gpu for gpus in resources.values() for gpu in gpus),
        schedulable=opening.schedulable,
        counted=True,
        for_all=opening.for_all,
        exceptions=opening.exceptions,
        notes=opening.notes,
        cpu_taken=from_micro(load.cpu),
        memory_gib_taken=from_micro(load.memory),
        gpus_taken=_by_type([item for taker in takers for item in taker.gpus.items()]),
        takers=takers,
    )


def _by_type(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    by_type: dict[str, int] = {}
    for gpu_type, count in counts:
        by_type[gpu_type] = by_type.get(gpu_type, 0) + count
    return by_type


def _resources(record: NodeRecord, spec: KubernetesSpec) -> dict[str, tuple[Gpu, ...]]:
    """Return a node's GPUs by extended resource, those that are not healthy last."""
    sick = dict(record.sick)
    found = {}
    for resource, count in record.extended:
        if count + sick.get(resource, 0) > 0 and any(fnmatchcase(resource, one) for one in spec.gpu_resources):
            found[resource] = tuple(_gpus(record, resource, count, max(0, sick.get(resource, 0)), spec))
    return found


def _gpus(record: NodeRecord, resource: str, count: int, sick: int, spec: KubernetesSpec) -> Iterator[Gpu]:
    marks = dict(record.labels)
    product = product_of(marks, resource, spec)
    gpu_type, mig = type_of(product, resource)
    healthy = Gpu(
        uuid="",
        type=gpu_type,
        node=record.name,
        name=product,
        memory_gib=_memory_gib(marks, resource),
        mig=mig,
    )
    for number in range(count + sick):
        uuid = Slot(record.name, resource, number).uuid
        if number < count:
            yield replace(healthy, uuid=uuid, index=number)
        else:
            yield replace(healthy, uuid=uuid, index=number, healthy=False, health=(Message(UNHEALTHY),))


def product_of(marks: Mapping[str, str], resource: str, spec: KubernetesSpec) -> str:
    """Return what a node's labels call the GPUs of a resource; its vendor's own label wins. Empty if none does."""
    vendor = resource.split("/")[0]
    present = [label for label in spec.product_labels if marks.get(label)]
    own = [label for label in present if label.split("/")[0] == vendor]
    return marks[(own or present)[0]] if present else ""


def type_of(product: str, resource: str) -> tuple[str, str]:
    """Return the type of a resource's GPUs, and their profile if they are slices: ``a100-1g.10gb``, ``1g.10gb``."""
    sliced = _MIG_PRODUCT.search(product)
    by_resource = _MIG_RESOURCE.fullmatch(resource.split("/")[1])
    profile = by_resource[1] if by_resource else sliced[1] if sliced else ""
    whole = gpu_type_of(product[: sliced.start()] if sliced else product) if product else "gpu"
    return (slice_type(whole, profile), profile) if profile else (whole, "")


def _memory_gib(marks: Mapping[str, str], resource: str) -> float | None:
    """Return the memory of one GPU, in GiB; the vendors' labels have it in MiB."""
    text = marks.get(f"{resource}.memory", "")
    return round(int(text) / 1024, 1) if text.isascii() and text.isdecimal() else None
