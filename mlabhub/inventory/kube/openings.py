"""For whom a node is open: which profiles' servers may run there, and why not those of others.

Guarantees: pure; a node is open to a profile exactly if the scheduler would let its pods run there, as far as labels,
taints, cordons and readiness go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlabhub.core.kubernetes import KubernetesSpec, Toleration
from mlabhub.core.quote import plain
from mlabhub.inventory.kube.records import NodeRecord, Taint
from mlabhub.messages import N_, Message

KEEPS_OFF = ("NoSchedule", "NoExecute")
_OF_STATE = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable", "node.kubernetes.io/unschedulable")
"""Taints that say what `NodeRecord.ready` and `NodeRecord.cordoned` say as well."""

CORDONED = N_("It is cordoned: it takes no new servers until somebody uncordons it.")
NOT_READY = N_("It is not ready ({reason}).")
SILENT = N_("It does not answer any more ({reason}).")
TAINTED = N_("It is tainted with {taint}.")
ONLY_FOR = N_("It is only for servers of {profiles}.")
NOT_FOR = N_("It is not for servers of {profiles}.")


@dataclass(frozen=True)
class Opening:
    """As in `mlabhub.core.capacity.Node`; ``ours`` is false where it takes nobody's servers by its labels alone."""

    schedulable: bool
    for_all: bool
    exceptions: frozenset[str]
    notes: tuple[Message, ...]
    ours: bool


def opening_of(node: NodeRecord, spec: KubernetesSpec) -> Opening:
    """Return for whom a node is open."""
    marks = dict(node.labels)
    taints = [one for one in node.taints if one.effect in KEEPS_OFF and one.key not in _OF_STATE]
    wanted = {slug: {**spec.node_selector, **more.node_selector} for slug, more in spec.profiles.items()}
    selected = {slug: _has(marks, selector) for slug, selector in wanted.items()}
    selected_for_all = _has(marks, spec.node_selector)
    for_all = selected_for_all and not _untolerated(taints, spec.tolerations)
    open_to = {
        slug: selected[slug] and not _untolerated(taints, (*spec.tolerations, *more.tolerations))
        for slug, more in spec.profiles.items()
    }
    exceptions = frozenset(slug for slug, is_open in open_to.items() if is_open != for_all)
    schedulable = not node.cordoned and node.ready == "True" and (for_all or bool(exceptions))
    return Opening(
        schedulable=schedulable,
        for_all=for_all,
        exceptions=exceptions,
        notes=tuple(_notes(node, _untolerated(taints, spec.tolerations), for_all, exceptions)),
        ours=selected_for_all or any(selected.values()),
    )


def state_of(node: NodeRecord) -> Message | None:
    """Return why a node's pods may not run any more, None if they do."""
    if node.ready == "True":
        return None
    return Message.of(SILENT if node.ready == "Unknown" else NOT_READY, reason=plain(node.reason or node.ready))


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether pods with a toleration run beside a taint."""
    if toleration.effect is not None and toleration.effect != taint.effect:
        return False
    if toleration.key is not None and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return toleration.key is not None and (toleration.value or "") == taint.value


def _untolerated(taints: Sequence[Taint], tolerations: Sequence[Toleration]) -> list[Taint]:
    return [taint for taint in taints if not any(tolerates(one, taint) for one in tolerations)]


def _has(marks: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    return all(marks.get(key) == value for key, value in selector.items())


def _notes(
    node: NodeRecord, untolerated: Iterable[Taint], for_all: bool, exceptions: frozenset[str]
) -> Iterable[Message]:
    state = state_of(node)
    if state is not None:
        yield state
    if node.cordoned:
        yield Message(CORDONED)
    for taint in untolerated:
        value = f"={taint.value}" if taint.value else ""
        yield Message.of(TAINTED, taint=plain(f"{taint.key}{value}:{taint.effect}"))
    if exceptions:
        yield Message.of(NOT_FOR if for_all else ONLY_FOR, profiles=plain(", ".join(sorted(exceptions))))
