"""Whether quotas, as they are and as they are going to change, could ever hold what somebody asks for.

Guarantees: pure; what machines have, and what is in use, plays no part: others may stop, and machines may come.
"""

from __future__ import annotations

from collections.abc import Iterable

from mlabhub.core.holdings import Holdings
from mlabhub.core.limits import limit_reasons
from mlabhub.core.privacy import Viewer
from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.quotas import Quotas
from mlabhub.core.reasons import sentences
from mlabhub.core.units import amounts, to_micro
from mlabhub.messages import Message

QUOTA_NEVER = frozenset({"group_never", "user_never"})


def fits_quotas(request: LaunchRequest, quotas: Quotas) -> bool:
    """Return whether a request is within its group's limit, and its person's hard caps, where nobody holds anything."""
    vector = amounts(request.cpu, request.memory_gib, request.gpu_type, request.gpus)
    soft = quotas.user_soft(request.user, request.group)
    caps = {one: most for one, most in quotas.user_limit(request.user, request.group).items() if one not in soft}
    limits = (quotas.group_limit(request.group), caps)
    return all(
        to_micro(amount) <= to_micro(limit[one]) for limit in limits for one, amount in vector.items() if one in limit
    )


def hopeless(request: LaunchRequest, ahead: Iterable[Quotas]) -> Message | None:
    """Say why a request can never start by the quotas now and ``ahead``, the present ones first; None if it can."""
    first: Quotas | None = None
    for quotas in ahead:
        if fits_quotas(request, quotas):
            return None
        first = first or quotas
    if first is None:
        return None
    vector = amounts(request.cpu, request.memory_gib, request.gpu_type, request.gpus)
    viewer = Viewer(request.user, frozenset((request.group,) if request.group else ()), privacy=first.privacy)
    reasons = limit_reasons(request, vector, first, Holdings(), (), viewer)
    return sentences([reason.message for reason in reasons if reason.code in QUOTA_NEVER])
