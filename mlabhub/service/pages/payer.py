"""Who holds how much of what, and who pays for a launch from what: the guarantee, or what others leave idle.

Guarantees: pure; only sums are told, never who holds them; what nothing limits is said to be so, not shown as zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.reasons import unit_of
from mlabhub.core.units import CPU, GPU, GPU_PREFIX, MEMORY, SERVERS, amounts
from mlabhub.i18n import N_, Translator
from mlabhub.messages import Message
from mlabhub.service.pages.words import list_text
from mlabhub.service.views import CatalogView, UsageView

MOST_TYPES = 4


def head_sentences(view: CatalogView, group: str | None, t: Translator, other: str | None) -> list[str]:
    """Return what the person holds of what they may, and how the group that would pay stands."""
    present = view.gpu_types
    person = view.user_usage_by_group.get(group or "", view.user_usage)
    own = list_text(t, (own_text(person, resource, t) for resource in told_resources(person, present)))
    sentences = [t(N_("{user} holds {what}."), user=other, what=own) if other else t(N_("You hold {what}."), what=own)]
    usage = usage_of(view, group)
    if usage is not None:
        told = told_resources(usage, present, always_servers=False)
        sentences += [group_sentence(usage, resource, t) for resource in told[:MOST_TYPES]]
    return sentences


def usage_of(view: CatalogView, group: str | None) -> UsageView | None:
    """Return how a group of the person's stands."""
    return next((usage for usage in view.group_usage if usage.name == group), None)


def told_resources(usage: UsageView, present: Iterable[str], *, always_servers: bool = True) -> list[str]:
    """Return the resources worth telling: GPUs where there are any, and whatever is limited or guaranteed."""
    bounded = {*usage.limit, *usage.guaranteed}
    typed = [f"{GPU_PREFIX}{gpu_type}" for gpu_type in present]
    order = [GPU, *typed, CPU, MEMORY, SERVERS] if typed else [CPU, MEMORY, SERVERS]
    told = [resource for resource in order if resource in bounded or (resource == GPU and typed)]
    return told or ([SERVERS] if always_servers else [])


def own_text(usage: UsageView, resource: str, t: Translator) -> str:
    """Say what a person holds of a resource: ``2 of 8 GPU``."""
    used, limit = usage.used.get(resource, 0), usage.limit.get(resource)
    unit = t.say(unit_of(resource))
    if limit is None:
        return t(N_("{used} {unit}"), used=used, unit=unit)
    text = t(N_("{used} of {limit} {unit}"), used=used, limit=limit, unit=unit)
    return t(N_("{text} (more while nobody waits)"), text=text) if resource in usage.soft else text


def group_sentence(usage: UsageView, resource: str, t: Translator) -> str:
    """Say how a group stands with a resource: what it holds, of its guarantee and beyond."""
    used, limit, guaranteed = (each.get(resource) for each in (usage.used, usage.limit, usage.guaranteed))
    used, unit = used or 0, t.say(unit_of(resource))
    if not guaranteed:
        if limit is None:
            return t(N_("{group} holds {used} {unit}, without a limit."), group=usage.name, used=used, unit=unit)
        return t(N_("{group} holds {used} of {limit} {unit}."), group=usage.name, used=used, limit=limit, unit=unit)
    own = t(
        N_("{group} holds {used} of {guaranteed} guaranteed {unit}"),
        group=usage.name,
        used=min(used, guaranteed),
        guaranteed=guaranteed,
        unit=unit,
    )
    borrowed = max(0, used - guaranteed)
    if limit is None:
        if borrowed:
            return t(N_("{own}, and borrows {more} more."), own=own, more=borrowed)
        return t(N_("{own}, and may borrow what others leave idle."), own=own)
    if limit == guaranteed:
        return t(N_("{own}."), own=own)
    if borrowed:
        return t(N_("{own}, and borrows {more} of {most}."), own=own, more=borrowed, most=limit - guaranteed)
    return t(N_("{own}, and may borrow up to {most}."), own=own, most=limit - guaranteed)


def payer_sentence(request: LaunchRequest, view: CatalogView) -> Message:
    """Say who pays for a launch from what."""
    usage = usage_of(view, request.group)
    if usage is None or request.group is None:
        return Message(N_("No group pays; only your own limit counts."))
    vector = amounts(request.cpu, request.memory_gib, request.gpu_type, request.gpus)
    keys = [key for key in vector if key.startswith(GPU)] if request.gpus else list(vector)
    left = _covered(usage, {key: vector[key] for key in keys if key in usage.guaranteed})
    group = request.group
    if left is None:
        return Message.of(N_("{group} pays."), group=group)
    if left >= 1:
        return Message.of(N_("{group} pays, from its guarantee."), group=group)
    if left <= 0 or not request.gpus:
        return Message.of(N_("{group} pays, and borrows: its guarantee is in use already."), group=group)
    own = int(left * request.gpus)
    return Message.of(
        N_("{group} pays: {own} GPU from its guarantee, {more} borrowed beyond it."),
        group=group,
        own=own,
        more=request.gpus - own,
    )


def _covered(usage: UsageView, asked: Mapping[str, float]) -> float | None:
    """Return which part of what is asked for the guarantee still covers, 1 for all; None if nothing is guaranteed."""
    parts = []
    for resource, amount in asked.items():
        if amount and usage.guaranteed[resource]:
            left = usage.guaranteed[resource] - usage.used.get(resource, 0)
            parts.append(max(0.0, left) / amount)
    return min(parts) if parts else None
