"""What there is too little of for a launch that was admitted, where the cluster finds no node for it after all.

Guarantees: pure; nothing is said where by our own count there is a place: the cluster then has another reason.
"""

from __future__ import annotations

from mlabhub.core.admission import Capacity, Holdings, Viewer
from mlabhub.core.placement import find_place
from mlabhub.core.plan import LaunchPlan
from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.reasons import sentences
from mlabhub.core.shortage import why_no_place
from mlabhub.ledger import Reservation
from mlabhub.messages import Message
from mlabhub.service.projection import Projection, make_holding


def why_short(known: Reservation, projection: Projection, capacity: Capacity, overcommit: float) -> Message | None:
    """Return the sentence; the launch's own reservation counts as free."""
    if known.plan is None:
        return None
    plan = LaunchPlan.from_dict(known.plan)
    holdings = Holdings(make_holding(one) for one in projection if one.launch_id != known.launch_id)
    request = _request(plan)
    gpu_types = (plan.gpu_type,) if plan.gpu_type and plan.gpus else ()
    if find_place(request, gpu_types, overcommit, holdings, capacity) is not None:
        return None
    viewer = Viewer(known.user, frozenset([known.group] if known.group else ()))
    reasons = why_no_place(request, gpu_types, overcommit, holdings, capacity, viewer)
    return sentences([reason.message for reason in reasons])


def _request(plan: LaunchPlan) -> LaunchRequest:
    """Return what was asked for, as far as it needs room."""
    return LaunchRequest(
        user=plan.user,
        server_name=plan.server_name,
        profile=plan.profile,
        image=plan.image,
        image_reference=plan.image_reference,
        group=plan.group,
        gpu_type=plan.gpu_type if plan.gpus else None,
        gpus=len(plan.gpus),
        gpu_ids=None,
        cpu=plan.cpu,
        memory_gib=plan.memory_gib,
        shm_gib=plan.shm_gib,
        pids=plan.pids,
        sudo=plan.sudo,
    )
