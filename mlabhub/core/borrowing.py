"""What a group may count on, applied to one launch: whether it borrows, and who is told so.

Guarantees: the same rules as `sharing.shares` has for rounds. Who borrows is told so before the click, and only where
there is somebody for whom it could be taken back.
"""

from __future__ import annotations

from collections.abc import Mapping

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


def is_beyond(group: str | None, gpu_type: str, more: int, quotas: Quotas, holdings: Holdings) -> bool:
    """Whether a group with so many ``more`` GPUs of a type uses more than it is guaranteed, and others are owed some.

    What it has of them may be taken back then. Where it is guaranteed none of the type, all types together count.
    """
    keys = (GPU, GPU_PREFIX + gpu_type)
    if not any(quota.guaranteed.get(key) for name, quota in quotas.groups.items() if name != group for key in keys):
        return False
    if group is None:
        return True
    used, guaranteed = holdings.group(group), _guaranteed(group, quotas)
    return all(
        used.get(key) + to_micro(more) > to_micro(guaranteed.get(key, 0))
        for key in keys
        if key == GPU or key in guaranteed
    )


def borrowed_note(request: LaunchRequest, gpu_type: str | None, quotas: Quotas, holdings: Holdings) -> Reason | None:
    """Return what to know of a launch that borrows GPUs of a type; None for one that is not taken back."""
    if not request.gpus or gpu_type is None or not request.reclaimable:
        return None
    if not is_beyond(request.group, gpu_type, request.gpus, quotas, holdings):
        return None
    seconds = quotas.notice_seconds if request.notice_seconds is None else request.notice_seconds
    notice = Message.of(N_("{minutes} min"), minutes=format_number(seconds / 60))
    guaranteed = _guaranteed(request.group, quotas)
    beyond = next((key for key in (GPU_PREFIX + gpu_type, GPU) if guaranteed.get(key)), None)
    if beyond is None or request.group is None:
        return Reason("borrowed", Message.of(BORROWED, notice=notice), GPU)
    amount = amount_of(beyond, guaranteed[beyond])
    return Reason("borrowed", Message.of(BEYOND, group=plain(request.group), amount=amount, notice=notice), beyond)


def _guaranteed(group: str | None, quotas: Quotas) -> Mapping[str, float]:
    quota = quotas.groups.get(group) if group is not None else None
    return quota.guaranteed if quota is not None else {}
