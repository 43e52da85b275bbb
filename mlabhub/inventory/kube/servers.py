"""From pods to the servers of our installation.

Guarantees: pure; a pod counts as a server only if its label names our installation, it is in our namespace and its name
is the one that we would have given it: labels and annotations alone can be copied. A pod on a node that does not answer
counts as running, for nobody can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mlabhub.cluster import labels
from mlabhub.core.slots import Slot, split_slot
from mlabhub.core.units import from_micro
from mlabhub.inventory.backend import BackendServer
from mlabhub.inventory.kube.openings import state_of
from mlabhub.inventory.kube.records import OVER, NodeRecord, PodRecord
from mlabhub.messages import N_, Message

GONE = N_("It was taken out of the cluster.")
LOST = N_("Its node {node} has a problem, so nobody knows whether it still runs there. {state}")


@dataclass(frozen=True)
class Ours:
    """What tells our servers' pods from all others."""

    instance: str
    namespace: str

    def has(self, pod: PodRecord) -> bool:
        """Whether a pod is one of our servers."""
        own = pod.own
        return (
            own is not None
            and own.instance == self.instance
            and own.part == labels.PART_SERVER
            and own.launch_id is not None
            and pod.namespace == self.namespace
            and pod.name == self.name(own.user, own.server)
        )

    def name(self, user: str, server: str) -> str:
        """Return the name of a server's pod."""
        return labels.pod_name(self.instance, user, server)


def make_server(pod: PodRecord, nodes: Mapping[str, NodeRecord]) -> BackendServer:
    """Return one of our servers."""
    own = pod.own
    assert own is not None
    assert own.launch_id is not None
    lost = _lost(pod, nodes)
    return BackendServer(
        launch_id=own.launch_id,
        user=own.user,
        server_name=own.server,
        state=_state(pod, lost),
        started=own.created,
        gpus=_slots(pod, own.gpus),
        handle=pod.uid,
        node=pod.node,
        lost=lost,
        cpu=from_micro(pod.needs.cpu),
        memory_gib=from_micro(pod.needs.memory),
        pod=pod.name,
        namespace=pod.namespace,
    )


def _lost(pod: PodRecord, nodes: Mapping[str, NodeRecord]) -> Message | None:
    if not pod.node or pod.phase in OVER:
        return None
    state = state_of(nodes[pod.node]) if pod.node in nodes else Message(GONE)
    return None if state is None else Message.of(LOST, node=pod.node, state=state)


def _state(pod: PodRecord, lost: Message | None) -> Literal["running", "starting", "exited"]:
    if pod.phase in OVER:
        return "exited"
    if lost is not None:
        return "running"
    if pod.deleting:
        return "exited"
    return "starting" if pod.phase == "Pending" else "running"


def _slots(pod: PodRecord, noted: tuple[str, ...]) -> tuple[str, ...]:
    """Return as many slots as it asks for GPUs: those that were meant for it, or, on another node, as good ones."""
    if not noted or not pod.node:
        return noted
    slots = [slot for slot in map(split_slot, noted) if slot is not None]
    return tuple(Slot(pod.node, slot.resource, slot.number).uuid for slot in slots)
