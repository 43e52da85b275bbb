"""Which of a person's groups a form proposes to pay for a launch.

Guarantees: pure; one of the person's groups, and with the same quotas and holdings always the same one.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlabhub.core.holdings import Holdings
from mlabhub.core.quotas import Quotas, default_payer
from mlabhub.core.units import GPU, GPU_PREFIX, to_micro


def freest_payer(quotas: Quotas, groups: Sequence[str], holdings: Holdings) -> str | None:
    """Return the group with the most guaranteed GPUs unused; of several, the one with the most room below its limit.

    Groups with a quota go before those without one; where all are alike, it is who pays when nothing is said.
    """
    with_quota = [group for group in groups if group in quotas.groups]
    if len(with_quota) < 2:
        return default_payer(quotas, groups)
    return max(with_quota, key=lambda group: _free_share(quotas, group, holdings))  # of several alike, the first


def _free_share(quotas: Quotas, group: str, holdings: Holdings) -> tuple[float, float]:
    quota, used = quotas.groups[group], holdings.group(group).get(GPU)
    typed = sum(to_micro(amount) for one, amount in quota.guaranteed.items() if one.startswith(GPU_PREFIX))
    guaranteed = max(to_micro(quota.guaranteed.get(GPU, 0.0)), typed)
    room = to_micro(quota.limit[GPU]) - used if GPU in quota.limit else float("inf")
    return max(0, guaranteed - used), room
