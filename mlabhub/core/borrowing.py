"""What a group may count on, applied to one launch: whether it borrows, and who is told so.

Guarantees: the same rules as `sharing.shares` has for rounds. Who borrows is told so before the click, and only where
there is somebody for whom it could be taken back.
"""

from __future__ import annotations

from mlabhub.core.holdings import Holdings
from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.quotas import Quotas
from mlabhub.core.quote import plain
from mlabhub.core.reasons import Reason, amount_of
from mlabhub.core.units import GPU, GPU_PREFIX, amounts, format_number, to_micro
from mlabhub.messages import N_, Message

BEYOND = N_(
    "Beyond {group}'s guarantee of {amount}: it may be taken back, with {notice} of notice, when a group with a "
    "guarantee needs it."
)
BORROWED = N_("Borrowed: it may be taken back, with {notice} of notice, when a group with a guarantee needs it.")


def is_owed(request: LaunchRequest, gpu_type: str, quotas: Quotas, holdings: Holdings) -> bool:
    """Whether its group may count on GPUs of that type for it, and stays within all that it is guaranteed."""
    group = quotas.groups.get(request.group) if request.group is not None else None
    if group is None or request.group is None or not group.guaranteed:
        return False
    used, entitled = holdings.group(request.group), False
    for key, amount in amounts(request.cpu, request.memory_gib, gpu_type, request.gpus).items():
        if amount and key in group.guaranteed:
            if used.get(key) + to_micro(amount) > to_micro(group.guaranteed[key]):
                return False
            entitled = entitled or key == GPU or key.startswith(GPU_PREFIX)
    return entitled


def borrowed_note(request: LaunchRequest, gpu_type: str | None, quotas: Quotas, holdings: Holdings) -> Reason | None:
    """Return what to know of a launch that borrows GPUs of a type; None for one that does not."""
    if not request.gpus or gpu_type is None:
        return None
    keys = (GPU_PREFIX + gpu_type, GPU)
    others = [quota.guaranteed for name, quota in quotas.groups.items() if name != request.group]
    if not any(guaranteed.get(key) for guaranteed in others for key in keys):
        return None
    group = quotas.groups.get(request.group) if request.group is not None else None
    guaranteed = group.guaranteed if group is not None else {}
    beyond = ""
    for key in keys:
        if key != GPU and key not in guaranteed:
            continue
        used = holdings.group(request.group).get(key) if request.group is not None else 0
        if used + to_micro(request.gpus) <= to_micro(guaranteed.get(key, 0)):
            return None
        beyond = beyond or (key if guaranteed.get(key) else "")
    notice = Message.of(N_("{minutes} min"), minutes=format_number(quotas.notice_seconds / 60))
    if not beyond or request.group is None:
        return Reason("borrowed", Message.of(BORROWED, notice=notice), GPU)
    amount = amount_of(beyond, guaranteed[beyond])
    return Reason("borrowed", Message.of(BEYOND, group=plain(request.group), amount=amount, notice=notice), beyond)
