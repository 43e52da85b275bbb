"""A model of Kueue: borrowing in a cohort, with reclaim.

Guarantees: read from Kueue's documentation and source (concepts "ClusterQueue" and "Preemption", the classic algorithm;
``pkg/scheduler``: one cycle after the other over the head of each queue, who does not borrow first;
``pkg/scheduler/preemption``: order of candidates, greedy removal, fill-back). Its code is not here.

What is modelled: a ClusterQueue a group, all in one cohort, BestEffortFIFO; nominal quota is the guarantee,
borrowingLimit is limit minus guarantee; ``reclaimWithinCohort: Any``, ``withinClusterQueue: Never``, no
``borrowWithinCohort``. What nobody is guaranteed is lent as if it were the nominal quota of an idle queue. A
workload that stays within its nominal quota and finds the cohort's quota lent out preempts at once, without notice:
candidates are the workloads of queues that borrow what it needs, lowest priority first, then those admitted last; as
few as quota demands. Quota is counted, nodes are not: the pods of an admitted workload go to the first node that fits,
and until one does its quota is held, as without topology-aware scheduling.

In Kueue's favour, because it has no such thing: a total over types (``gpu``) is one more resource beside each type's,
people's caps are kept by letting nobody beyond them join, and no flavor is chosen of which no node could ever do. CPU
and memory count where some group is guaranteed them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlabhub.core.quotas import Quotas
from mlabhub.core.sharing.model import Ask, Round, Scene, Start, Waiter
from mlabhub.core.units import GPU, GPU_PREFIX, to_micro
from mlabhub.replay.baselines.ground import Amounts, Ground, Micro, add, fits, is_gpu
from mlabhub.replay.engine import Rules
from mlabhub.replay.model import Workload

UNBOUNDED = 1 << 62


@dataclass(frozen=True)
class _Admitted:
    """A workload that holds quota; ``serial`` counts admissions."""

    id: str
    user: str
    group: str | None
    ask: Ask
    gpu_type: str | None
    vector: Micro
    priority: int
    serial: int


def kueue(workload: Workload, quotas: Quotas) -> Rules:
    """Return Kueue's decisions, as far as they are modelled."""
    return Rules(_Kueue(workload, quotas).plan)


class _Kueue:
    def __init__(self, workload: Workload, quotas: Quotas) -> None:
        self.nodes = workload.nodes
        self.known: dict[Ask, list[tuple[str | None, dict[str, int]]]] = {}
        self.amounts = Amounts(quotas)
        guaranteed = self.amounts.guaranteed
        self.covered = {key for own in guaranteed.values() for key in own if not is_gpu(key)}
        self.cohort = self._cohort(workload, quotas)
        self.flavors = [key.removeprefix(GPU_PREFIX) for key in self.cohort if key.startswith(GPU_PREFIX)]
        self.priorities = {request.id: request.priority for request in workload.requests}
        self.admitted: dict[str, _Admitted] = {}
        self.serial = 0
        self.used: dict[str | None, dict[str, int]] = {}
        self.total: dict[str, int] = {}
        self.by_user: dict[str, dict[str, int]] = {}

    def _cohort(self, workload: Workload, quotas: Quotas) -> dict[str, int]:
        """Return the cohort's quota: what there is, or what is guaranteed if that is more."""
        sums: dict[str, int] = {}
        for node in workload.nodes:
            if node.gpus and node.gpu_type:
                gpus = to_micro(node.gpus)
                add(sums, {GPU: gpus, GPU_PREFIX + node.gpu_type: gpus})
            there = {"cpu": to_micro(node.cpu * quotas.cpu_overcommit), "memory_gib": to_micro(node.memory_gib)}
            add(sums, {key: amount for key, amount in there.items() if key in self.covered})
        nominal: dict[str, int] = {}
        for own in self.amounts.guaranteed.values():
            add(nominal, own)
        return {key: max(amount, nominal.get(key, 0)) for key, amount in sums.items()}

    def plan(self, scene: Scene) -> Round:
        """Admit and preempt, cycle by cycle, then place the pods."""
        there = {run.id for run in scene.runs} | {waiter.id for waiter in scene.waiters}
        for gone in [one for one in self.admitted if one not in there]:
            self._leave(gone)
        running = {run.id for run in scene.runs}
        pending = [one for one in scene.waiters if one.id not in self.admitted]
        reclaims: list[str] = []
        pending.sort(key=lambda one: (-one.priority, one.since, one.id))
        self._admit(pending, running, reclaims)
        for victim in reclaims:
            running.discard(victim)
        starts = [] if reclaims else self._place(scene)
        return Round(starts=tuple(starts), reclaims=tuple(reclaims))

    # Admission by quota

    def _admit(self, pending: list[Waiter], running: set[str], reclaims: list[str]) -> None:
        """Run cycles until nothing more can be admitted: the first of each queue that can be, within quota first."""
        stuck: set[tuple[str | None, Ask, str]] = set()
        queues: dict[str | None, list[Waiter]] = {}
        for waiter in pending:
            queues.setdefault(waiter.group, []).append(waiter)
        while True:
            heads = []
            for group, queue in queues.items():
                while queue and self._why(queue[0], stuck) is None:
                    queue.pop(0)
                if queue:
                    heads.append((self._borrows(queue[0]), -queue[0].priority, queue[0].since, queue[0].id, group))
            if not heads:
                return
            for *_, group in sorted(heads, key=lambda head: head[:4]):
                waiter = queues[group].pop(0)
                if not self._try(waiter, running, reclaims):
                    stuck.add((waiter.group, waiter.ask, self._capped(waiter)))

    def _why(self, waiter: Waiter, stuck: set[tuple[str | None, Ask, str]]) -> Waiter | None:
        """Return the waiter, unless one like it was found to be inadmissible in this round."""
        return None if (waiter.group, waiter.ask, self._capped(waiter)) in stuck else waiter

    def _capped(self, waiter: Waiter) -> str:
        return waiter.user if self.amounts.cap(waiter.user, waiter.group) else ""

    def _vectors(self, waiter: Waiter) -> list[tuple[str | None, dict[str, int]]]:
        """Return the flavors that would do, in order, with what each takes of covered resources."""
        ask = waiter.ask
        if ask not in self.known:
            types = [None] if not ask.gpus else [one for one in self.flavors if self._possible(ask, one)]
            self.known[ask] = [(one, ask.vector(one)) for one in types]
        return self.known[ask]

    def _possible(self, ask: Ask, flavor: str) -> bool:
        """Whether an empty node of a flavor could hold it."""
        return ask.gpu_type in (None, flavor) and any(
            node.gpu_type == flavor
            and node.gpus >= ask.gpus
            and to_micro(node.cpu) >= ask.cpu
            and to_micro(node.memory_gib) >= ask.memory
            for node in self.nodes
        )

    def _covered(self, vector: Micro) -> dict[str, int]:
        return {key: amount for key, amount in vector.items() if is_gpu(key) or key in self.covered}

    def _borrows(self, waiter: Waiter) -> bool:
        return not any(self._within(waiter.group, vector) for _, vector in self._vectors(waiter))

    def _within(self, group: str | None, vector: Micro) -> bool:
        """Whether a queue stays within its nominal quota."""
        covered = self._covered(vector)
        return fits(covered, self.used.get(group, {}), {key: self._nominal(group, key) for key in covered})

    def _nominal(self, group: str | None, key: str) -> int:
        """Return a queue's nominal quota of a resource; what its guarantee leaves open is not in the way of the rest.

        Of a type without a guarantee of its own the one of all types counts; of all types, those of each type.
        """
        own = self.amounts.of(group)
        if key in own:
            return own[key]
        if key.startswith(GPU_PREFIX):
            return own.get(GPU, 0)
        typed = any(one.startswith(GPU_PREFIX) for one in own)
        return UNBOUNDED if (typed if key == GPU else own) else 0

    def _try(self, waiter: Waiter, running: set[str], reclaims: list[str]) -> bool:
        """Admit one, with preemption if it may; first what fits as it is, in any flavor."""
        open_to = [
            (flavor, vector)
            for flavor, vector in self._vectors(waiter)
            if fits(vector, self.used.get(waiter.group, {}), self.amounts.limit(waiter.group))
            and fits(vector, self.by_user.get(waiter.user, {}), self.amounts.cap(waiter.user, waiter.group))
        ]
        for flavor, vector in open_to:
            if fits(self._covered(vector), self.total, self.cohort):
                self._join(waiter, flavor, vector)
                return True
        for flavor, vector in open_to:
            targets = self._targets(waiter.group, vector) if self._within(waiter.group, vector) else []
            if targets:
                for target in targets:
                    self._leave(target.id)
                    if target.id in running:
                        reclaims.append(target.id)
                self._join(waiter, flavor, vector)
                return True
        return False

    def _targets(self, group: str | None, vector: Micro) -> list[_Admitted]:
        """Return whom to preempt: greedily until it fits, then back with those who were not needed."""
        covered = self._covered(vector)
        short = [key for key, amount in covered.items() if self.total.get(key, 0) + amount > self.cohort.get(key, 0)]
        used = {name: dict(sums) for name, sums in self.used.items()}
        total = dict(self.total)
        candidates = [
            one
            for one in self.admitted.values()
            if one.group != group and any(one.vector.get(key) for key in short) and self._lent(one.group, used, short)
        ]
        candidates.sort(key=lambda one: (one.priority, -one.serial))
        targets: list[_Admitted] = []
        for one in candidates:
            if not self._lent(one.group, used, short):
                continue
            add(used[one.group], one.vector, -1)
            add(total, one.vector, -1)
            targets.append(one)
            if fits(covered, total, self.cohort):
                break
        else:
            return []
        for one in targets[-2::-1]:
            add(total, one.vector)
            if fits(covered, total, self.cohort):
                targets.remove(one)
            else:
                add(total, one.vector, -1)
        return targets

    def _lent(self, group: str | None, used: Mapping[str | None, Micro], short: list[str]) -> bool:
        """Whether a queue uses more than its nominal quota of what is short."""
        sums = used.get(group, {})
        return any(sums.get(key, 0) > self._nominal(group, key) for key in short)

    def _join(self, waiter: Waiter, flavor: str | None, vector: Micro) -> None:
        self.serial += 1
        self.admitted[waiter.id] = _Admitted(
            waiter.id, waiter.user, waiter.group, waiter.ask, flavor, vector, self.priorities[waiter.id], self.serial
        )
        self._count(waiter.group, waiter.user, vector, 1)

    def _leave(self, who: str) -> None:
        one = self.admitted.pop(who)
        self._count(one.group, one.user, one.vector, -1)

    def _count(self, group: str | None, user: str, vector: Micro, sign: int) -> None:
        add(self.used.setdefault(group, {}), vector, sign)
        add(self.total, vector, sign)
        add(self.by_user.setdefault(user, {}), vector, sign)

    # Placing, by the scheduler of Kubernetes

    def _place(self, scene: Scene) -> list[Start]:
        ground = Ground(scene, self.amounts)
        waiting = [one for one in scene.waiters if one.id in self.admitted]
        waiting.sort(key=lambda one: (-one.priority, self.admitted[one.id].serial))
        starts = []
        failed: set[tuple[Ask, str | None]] = set()
        for waiter in waiting:
            flavor = self.admitted[waiter.id].gpu_type
            if (waiter.ask, flavor) in failed:
                continue
            start = ground.place(waiter, flavor)
            if start is None:
                failed.add((waiter.ask, flavor))
            else:
                starts.append(start)
        return starts
