"""Four simple policies: a static partition, first in first out, first-fit back-fill, borrowing without reclaim."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlabhub.core.quotas import Quotas
from mlabhub.core.sharing.model import Round, Scene, Start, Waiter
from mlabhub.core.units import GPU
from mlabhub.replay.baselines.ground import Amounts, Ground, add, fits, in_micro, is_gpu
from mlabhub.replay.engine import Rules
from mlabhub.replay.model import Workload


def _by_age(waiters: Sequence[Waiter]) -> list[Waiter]:
    return sorted(waiters, key=lambda one: (-one.priority, one.since, one.id))


def _rules(serve: Callable[[Ground, list[Waiter]], list[Start]], amounts: Amounts) -> Rules:
    def plan(scene: Scene) -> Round:
        return Round(starts=tuple(serve(Ground(scene, amounts), _by_age(scene.waiters))))

    return Rules(plan)


def fifo(workload: Workload, quotas: Quotas) -> Rules:
    """First in, first out: who finds no room holds up all who came later; who is at a limit does not."""

    def serve(ground: Ground, waiters: list[Waiter]) -> list[Start]:
        starts = []
        for waiter in waiters:
            start = ground.first_fit(waiter)
            if start is not None:
                starts.append(start)
            elif any(ground.permitted(waiter, waiter.ask.vector(one)) for one in _types_of(workload, waiter)):
                break
        return starts

    return _rules(serve, Amounts(quotas))


def back_fill(workload: Workload, quotas: Quotas) -> Rules:
    """In the order in which they came, whoever fits somewhere starts; guarantees count for nothing."""

    def serve(ground: Ground, waiters: list[Waiter]) -> list[Start]:
        return [start for waiter in waiters if (start := ground.first_fit(waiter)) is not None]

    return _rules(serve, Amounts(quotas))


def borrow_without_reclaim(workload: Workload, quotas: Quotas) -> Rules:
    """Who is within a guarantee comes first; all others borrow what is left, and keep it until they end."""

    def serve(ground: Ground, waiters: list[Waiter]) -> list[Start]:
        starts = [start for one in waiters if (start := ground.first_fit(one, only_within=True)) is not None]
        started = {start.waiter for start in starts}
        rest = [one for one in waiters if one.id not in started]
        return starts + [start for one in rest if (start := ground.first_fit(one)) is not None]

    return _rules(serve, Amounts(quotas))


def static_partition(workload: Workload, quotas: Quotas) -> Rules:
    """Each group has its guarantee and nothing else; who has none shares the GPUs that nobody is guaranteed.

    What is larger than its group's part never starts.
    """
    amounts = Amounts(quotas)
    owners = {
        name for name, own in amounts.guaranteed.items() if any(is_gpu(key) and most for key, most in own.items())
    }
    rest = in_micro({GPU: float(workload.gpus)})
    for name in owners:
        add(rest, {GPU: amounts.guaranteed[name].get(GPU, 0)}, -1)
    rest[GPU] = max(0, rest[GPU])

    def serve(ground: Ground, waiters: list[Waiter]) -> list[Start]:
        shared: dict[str, int] = {}
        for group, used in ground.by_group.items():
            if group not in owners:
                add(shared, used)
        starts = []
        for waiter in waiters:
            start = None
            if not waiter.ask.gpus or waiter.group in owners:
                start = ground.first_fit(waiter, only_within=bool(waiter.ask.gpus))
            elif fits(waiter.ask.vector(), shared, rest):
                start = ground.first_fit(waiter)
                if start is not None:
                    add(shared, waiter.ask.vector())
            if start is not None:
                starts.append(start)
        return starts

    return _rules(serve, amounts)


def _types_of(workload: Workload, waiter: Waiter) -> list[str | None]:
    """Return the types of GPU that would do."""
    if not waiter.ask.gpus or waiter.ask.gpu_type is not None:
        return [waiter.ask.gpu_type]
    return [*{node.gpu_type: None for node in workload.nodes if node.gpus and node.gpu_type}]
