"""How much of what is idle is lent.

Guarantees: no more is kept than owners may still count on, and than the policy permits.
"""

from __future__ import annotations

from collections.abc import Mapping

from mlabhub.core.sharing.past import Past
from mlabhub.core.sharing.places import Rooms
from mlabhub.core.sharing.policy import Policy
from mlabhub.core.sharing.shares import Shares


def kept_of(
    shares: Shares, past: Past, rooms: Rooms, totals: Mapping[str, int], now: float, policy: Policy
) -> dict[str, int]:
    """Return how many GPUs of each type are not lent: what owners are likely to ask for soon, of what is theirs."""
    kept = {}
    whole = max(1, sum(totals.values()))
    for gpu_type in rooms.gpu_types:
        likely = 0.0
        for group in shares.guaranteed_groups:
            left = shares.unused(group, gpu_type)
            if left:
                of_any = past.asked_per_s(group, None, now) * totals.get(gpu_type, 0) / whole
                rate = past.asked_per_s(group, gpu_type, now) + of_any
                likely += min(float(left), rate * policy.reserve_s)
        most = int(policy.most_reserve * totals.get(gpu_type, 0))
        count = min(most, round(likely))
        if count:
            kept[gpu_type] = count
    return kept
