"""Admission: may this launch start now, where, and if not, why not.

Guarantees: `decide` is a pure function, total and deterministic; it never admits what exceeds a limit or a node, never
hands out a GPU that is held or not usable, and refuses only what truly does not fit; taking holdings away, or people
who wait, never turns an admission into a refusal. A soft cap never lets anybody beyond a hard one or a group's limit.
One decision costs a look at the nodes, not at the holdings; only a refusal looks at the holdings of the group or user
that it names.

Reasons' codes: ``group_limit`` and ``user_limit`` (not now), ``group_never`` and ``user_never`` (more than the limit
itself), ``no_room`` and ``maintenance`` (not now), ``never_fits`` (no machine could ever hold it), ``no_such_gpu``,
``gpu_held``, ``gpu_sick``, ``gpu_busy`` and ``gpu_unsure`` (a GPU asked for by id), ``claimed`` (what is free is
promised to others) and ``reserve`` (it is not lent). What waiting does not cure comes first. An admission may carry the
notes ``beyond_soft_cap`` and ``borrowed``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mlabhub.core.borrowing import borrowed_note, is_owed
from mlabhub.core.capacity import Capacity, Gpu, Node, Placement
from mlabhub.core.holdings import ACTIVE_STATES, Holding, Holdings
from mlabhub.core.limits import keeps_limits, limit_reasons, soft_notes
from mlabhub.core.placement import find_place, free_gpus
from mlabhub.core.privacy import Viewer
from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.quotas import Quotas
from mlabhub.core.reasons import NEVER, Reason
from mlabhub.core.sharing.standing import NOTHING, Standing
from mlabhub.core.shortage import could_hold, why_no_place
from mlabhub.core.units import CPU, GPU, GPU_PREFIX, amounts
from mlabhub.core.waiting import Waiting
from mlabhub.messages import N_, Message

__all__ = [
    "ACTIVE_STATES",
    "NEVER",
    "NOTHING",
    "Capacity",
    "Decision",
    "Gpu",
    "Holding",
    "Holdings",
    "Node",
    "Placement",
    "Reason",
    "Standing",
    "Verdict",
    "Viewer",
    "Waiting",
    "admit_at",
    "decide",
    "would_start",
]

CLAIMED = N_("What is free is promised to those who wait already.")
RESERVED = N_("What is free is kept for those who may count on it and are likely to need it soon.")

Verdict = Literal["admit", "queue", "refuse"]


@dataclass(frozen=True)
class Decision:
    """The answer: ``placement`` when admitted, else at least one reason; ``notes`` are what to know of an admission.

    ``borrowed``: it goes beyond its group's guarantee, and may be taken back for others.
    """

    verdict: Verdict
    placement: Placement | None = None
    reasons: tuple[Reason, ...] = ()
    notes: tuple[Reason, ...] = ()
    borrowed: bool = False

    @property
    def never(self) -> bool:
        """Whether it could not start even if nobody held anything."""
        return any(reason.code in NEVER for reason in self.reasons)


def decide(
    request: LaunchRequest,
    quotas: Quotas,
    holdings: Holdings,
    queue: Sequence[Waiting],
    capacity: Capacity,
    now: float,
    viewer: Viewer | None = None,
    standing: Standing = NOTHING,
) -> Decision:
    """Admit a request at a placement, or refuse it with reasons.

    ``standing`` is what the last round left: room that is promised to others is not free, and who borrows leaves what
    is kept for owners.

    ``queue`` are the people who wait: soft caps count for all others. ``viewer`` is who reads the reasons; without one
    it is the user, of whose groups only the paying one is known. ``now`` is what later rules decide by.
    """
    wanted = _wanted_types(request, capacity)
    gpu_types = _open_types(request, wanted, quotas, holdings, queue)
    overcommit = quotas.cpu_overcommit
    vector = amounts(request.cpu, request.memory_gib, None, request.gpus)
    placement = find_place(request, gpu_types or wanted, overcommit, holdings, capacity)
    kept_back: tuple[Reason, ...] = ()
    if placement is not None and standing is not NOTHING:
        placement, kept_back = _beside(standing, request, gpu_types or wanted, quotas, holdings, capacity, placement)
    closed = () if gpu_types else wanted
    if placement is not None and not closed and keeps_limits(request, vector, quotas, holdings, queue):
        return admit_at(request, placement, quotas, holdings, viewer)
    viewer = viewer or _as_user(request, quotas)
    reasons = limit_reasons(request, vector, quotas, holdings, queue, viewer)
    for gpu_type in closed:
        typed = {GPU_PREFIX + gpu_type: request.gpus}
        reasons += limit_reasons(request, typed, quotas, holdings, queue, viewer)
    if placement is None and kept_back:
        reasons += kept_back
    elif placement is None:
        lacking = why_no_place(request, gpu_types or wanted, overcommit, holdings, capacity, viewer)
        if gpu_types and any(reason.code == "never_fits" for reason in lacking):
            shut = [gpu_type for gpu_type in wanted if gpu_type not in gpu_types]
            lacking = _what_may_open(request, shut, quotas, holdings, queue, capacity, viewer) or lacking
        reasons += lacking
    return Decision("refuse", reasons=tuple(sorted(reasons, key=lambda reason: reason.code not in NEVER)))


def admit_at(
    request: LaunchRequest, placement: Placement, quotas: Quotas, holdings: Holdings, viewer: Viewer | None
) -> Decision:
    """Return the admission of a request whose place is known, with what to know of it."""
    notes = soft_notes(request, placement, quotas, holdings, viewer)
    borrowed = borrowed_note(request, placement.gpu_type, quotas, holdings)
    if borrowed is not None:
        notes = (*notes, borrowed)
    return Decision("admit", placement, notes=notes, borrowed=borrowed is not None)


def _beside(
    standing: Standing,
    request: LaunchRequest,
    gpu_types: Sequence[str],
    quotas: Quotas,
    holdings: Holdings,
    capacity: Capacity,
    placement: Placement,
) -> tuple[Placement | None, tuple[Reason, ...]]:
    """Return a place beside what the last round left, or None and why; ``placement`` is the one without that."""
    found: Placement | None = placement
    claims = standing.by_node
    if placement.node in claims:  # what is claimed elsewhere is not in its way
        found = find_place(request, gpu_types, quotas.cpu_overcommit, holdings, capacity, claims)
        if found is None:
            return None, (Reason("claimed", Message(CLAIMED), GPU if request.gpus else CPU),)
    if not request.gpus or not any(standing.kept.get(one) for one in gpu_types):
        return found, ()
    lent = [one for one in gpu_types if _is_lent(standing, request, one, quotas, holdings, capacity)]
    if len(lent) < len(gpu_types):
        found = None
        if lent:
            found = find_place(request, lent, quotas.cpu_overcommit, holdings, capacity, standing.by_node)
    return found, () if found is not None else (Reason("reserve", Message(RESERVED), GPU),)


def _is_lent(
    standing: Standing,
    request: LaunchRequest,
    gpu_type: str,
    quotas: Quotas,
    holdings: Holdings,
    capacity: Capacity,
) -> bool:
    """Whether enough GPUs of a type are left for owners, or it is an owner who asks."""
    kept = standing.kept.get(gpu_type, 0)
    if not kept or is_owed(request, gpu_type, quotas, holdings):
        return True
    free = free_gpus(request.profile, gpu_type, quotas.cpu_overcommit, holdings, capacity, standing.by_node)
    return free - request.gpus >= kept


def _what_may_open(
    request: LaunchRequest,
    shut: Sequence[str],
    quotas: Quotas,
    holdings: Holdings,
    queue: Sequence[Waiting],
    capacity: Capacity,
    viewer: Viewer,
) -> tuple[Reason, ...]:
    """Return the limits that shut GPU types which could hold the request, of those types that may open again."""
    reasons: tuple[Reason, ...] = ()
    for gpu_type in shut:
        typed = limit_reasons(request, {GPU_PREFIX + gpu_type: request.gpus}, quotas, holdings, queue, viewer)
        if could_hold(request, (gpu_type,), capacity) and not any(reason.code in NEVER for reason in typed):
            reasons += typed
    return reasons


def _as_user(request: LaunchRequest, quotas: Quotas) -> Viewer:
    """Return the user as a viewer of whose groups only the paying one is known."""
    return Viewer(request.user, frozenset((request.group,) if request.group else ()), privacy=quotas.privacy)


def would_start(
    request: LaunchRequest,
    quotas: Quotas,
    holdings: Holdings,
    queue: Sequence[Waiting],
    capacity: Capacity,
    standing: Standing = NOTHING,
) -> bool:
    """Return whether `decide` admits a request, without the words."""
    vector = amounts(request.cpu, request.memory_gib, None, request.gpus)
    if not keeps_limits(request, vector, quotas, holdings, queue):
        return False
    wanted = _wanted_types(request, capacity)
    gpu_types = _open_types(request, wanted, quotas, holdings, queue)
    if request.gpus and not gpu_types:
        return False
    place = find_place(request, gpu_types, quotas.cpu_overcommit, holdings, capacity)
    if place is None or standing is NOTHING:
        return place is not None
    return _beside(standing, request, gpu_types, quotas, holdings, capacity, place)[0] is not None


def _wanted_types(request: LaunchRequest, capacity: Capacity) -> tuple[str, ...]:
    """Return the GPU types that may serve the request."""
    if not request.gpus:
        return ()
    return capacity.gpu_types if request.gpu_type is None else (request.gpu_type,)


def _open_types(
    request: LaunchRequest, wanted: Sequence[str], quotas: Quotas, holdings: Holdings, queue: Sequence[Waiting]
) -> tuple[str, ...]:
    """Return those of the GPU types that no limit closes."""
    return tuple(
        gpu_type
        for gpu_type in wanted
        if keeps_limits(request, {GPU_PREFIX + gpu_type: request.gpus}, quotas, holdings, queue)
    )
