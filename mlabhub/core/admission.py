"""Admission: may this launch start now, where, and if not, why not and what would.

Guarantees: `decide` is a pure function, total and deterministic; it never admits what exceeds a limit or a node, never
hands out a GPU that is held or not usable, and refuses only what truly does not fit; taking holdings away never turns
an admission into a refusal. One decision costs a look at the nodes, not at the holdings; only a refusal looks at the
holdings of the group or user that it names.

Reasons' codes: ``group_limit`` and ``user_limit`` (not now), ``group_never`` and ``user_never`` (more than the limit
itself), ``no_room`` (not now), ``never_fits`` (no machine could ever hold it), ``no_such_gpu``, ``gpu_held``,
``gpu_sick``, ``gpu_busy`` and ``gpu_unsure`` (a GPU asked for by id).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mlabhub.core.capacity import Capacity, Gpu, Node, Placement
from mlabhub.core.holdings import ACTIVE_STATES, Holding, Holdings
from mlabhub.core.limits import limit_reasons
from mlabhub.core.placement import find_place
from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.quotas import Quotas
from mlabhub.core.reasons import NEVER, Reason
from mlabhub.core.shortage import why_no_place
from mlabhub.core.units import GPU_PREFIX, amounts

__all__ = [
    "ACTIVE_STATES",
    "NEVER",
    "Capacity",
    "Decision",
    "Gpu",
    "Holding",
    "Holdings",
    "Node",
    "Placement",
    "Reason",
    "Verdict",
    "decide",
]

Verdict = Literal["admit", "queue", "refuse"]


@dataclass(frozen=True)
class Decision:
    """The answer: ``placement`` when admitted, else at least one reason."""

    verdict: Verdict
    placement: Placement | None = None
    reasons: tuple[Reason, ...] = ()

    @property
    def never(self) -> bool:
        """Whether it could not start even if nobody held anything."""
        return any(reason.code in NEVER for reason in self.reasons)


def decide(
    request: LaunchRequest,
    quotas: Quotas,
    holdings: Holdings,
    queue: Sequence[object],
    capacity: Capacity,
    now: float,
) -> Decision:
    """Admit a request at a placement, or refuse it with reasons.

    ``queue`` and ``now`` are what later rules decide by (who waits longer, when a quota ends); today's need neither.
    """
    vector = amounts(request.cpu, request.memory_gib, None, request.gpus)
    reasons = limit_reasons(request, vector, quotas, holdings)
    gpu_types, typed_reasons = _open_types(request, quotas, holdings, capacity)
    reasons += typed_reasons
    overcommit = quotas.cpu_overcommit
    placement = find_place(request, gpu_types, overcommit, holdings, capacity)
    if placement is None:
        reasons += why_no_place(request, gpu_types, overcommit, holdings, capacity, within_limits=not reasons)
    if reasons or placement is None:
        return Decision("refuse", reasons=reasons)
    return Decision("admit", placement)


def _open_types(
    request: LaunchRequest, quotas: Quotas, holdings: Holdings, capacity: Capacity
) -> tuple[tuple[str, ...], tuple[Reason, ...]]:
    """Return the GPU types that may serve the request; with reasons if every one of them is at a limit."""
    if not request.gpus:
        return (), ()
    wanted = capacity.gpu_types if request.gpu_type is None else (request.gpu_type,)
    reasons = {
        gpu_type: limit_reasons(request, {GPU_PREFIX + gpu_type: request.gpus}, quotas, holdings) for gpu_type in wanted
    }
    within = tuple(gpu_type for gpu_type in wanted if not reasons[gpu_type])
    if within:
        return within, ()
    return wanted, tuple(reason for gpu_type in wanted for reason in reasons[gpu_type])
