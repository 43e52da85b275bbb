"""Requests that could never start, said by the very function that answers a launch.

Guarantees: what is refused here is refused live with the same sentence, on the same cluster with nobody on it.
"""

from __future__ import annotations

from mlabhub.core.admission import Capacity, Gpu, Holdings, Viewer, decide
from mlabhub.core.admission import Node as CapacityNode
from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.quotas import Quotas
from mlabhub.core.reasons import sentences
from mlabhub.replay.model import Node, Request

_ADMIN = Viewer("", admin=True)


class Impossible:
    """Tells which requests no node, limit or cap could ever hold."""

    def __init__(self, nodes: tuple[Node, ...], quotas: Quotas) -> None:
        self._quotas = quotas
        self._capacity = capacity_of(nodes)
        self._known: dict[object, str] = {}

    def reason(self, request: Request) -> str:
        """Return why it could never start, in a sentence or two; empty if it could."""
        ask = request.ask
        key = (request.user if request.user in self._quotas.users else "", request.group, ask)
        if key not in self._known:
            decision = decide(
                _as_launch(request), self._quotas, Holdings(), (), self._capacity, request.t, viewer=_ADMIN
            )
            never = decision.placement is None
            self._known[key] = str(sentences([one.message for one in decision.reasons])) if never else ""
        return self._known[key]


def capacity_of(nodes: tuple[Node, ...]) -> Capacity:
    """Return a workload's cluster as admission knows one."""
    return Capacity(tuple(map(_as_capacity, nodes)))


def _as_capacity(node: Node) -> CapacityNode:
    gpus = tuple(
        Gpu(uuid=f"{node.name}/{index}", type=node.gpu_type or "", node=node.name, name="")
        for index in range(node.gpus)
    )
    return CapacityNode(name=node.name, cpu=node.cpu, memory_gib=node.memory_gib, gpus=gpus)


def _as_launch(request: Request) -> LaunchRequest:
    return LaunchRequest(
        user=request.user,
        server_name=request.id,
        profile=request.profile,
        image="",
        image_reference="",
        group=request.group,
        gpu_type=request.ask.gpu_type,
        gpus=request.gpus,
        gpu_ids=None,
        cpu=request.cpu,
        memory_gib=request.memory_gib,
        shm_gib=0.0,
        pids=0,
        sudo=False,
    )
