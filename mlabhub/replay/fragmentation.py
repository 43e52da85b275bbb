"""How much of what is free the workload's mix cannot use.

Guarantees: as in "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent" (Weng
et al., USENIX ATC '23), section 3, for whole GPUs: of a node, the expectation over the mix of the free GPUs that a
request drawn from it could not use, because the node cannot hold the request. Requests without GPUs are left out of the
mix: no GPU is lost to them. The mix is that of the whole workload, its most frequent kinds.
"""

from __future__ import annotations

from collections import Counter

from mlabhub.core.units import to_micro
from mlabhub.replay.timeline import Timeline

MOST_KINDS = 64


class Fragmentation:
    """Integrates, over time, free GPUs and those of them that the mix cannot use."""

    def __init__(self, timeline: Timeline) -> None:
        kinds: Counter[tuple[str | None, int, int, int]] = Counter()
        for request in timeline.workload.requests:
            if request.gpus:
                kinds[request.gpu_type, request.gpus, to_micro(request.cpu), to_micro(request.memory_gib)] += 1
        found = kinds.most_common(MOST_KINDS)
        total = sum(count for _, count in found)
        self._mix = [(*kind, count / total) for kind, count in found]
        self._known: dict[tuple[str | None, int, int, int, int], float] = {}
        self._of: dict[str, float] = {name: self._unusable(timeline, name) for name in timeline.free}
        self._free: dict[str, int] = {name: room[0] for name, room in timeline.free.items()}
        self._sums = [sum(self._of.values()), float(sum(self._free.values()))]
        self.unusable_gpu_s = 0.0
        self.free_gpu_s = 0.0

    def step(self, timeline: Timeline, lasts: float) -> None:
        """Count one moment."""
        for name in timeline.changed:
            unusable, free = self._unusable(timeline, name), timeline.free[name][0]
            self._sums[0] += unusable - self._of[name]
            self._sums[1] += free - self._free[name]
            self._of[name], self._free[name] = unusable, free
        self.unusable_gpu_s += self._sums[0] * lasts
        self.free_gpu_s += self._sums[1] * lasts

    def _unusable(self, timeline: Timeline, name: str) -> float:
        node, (gpus, cpu, memory) = timeline.nodes[name], timeline.free[name]
        if not gpus:
            return 0.0
        key = (node.gpu_type, gpus, cpu, memory, to_micro(node.cpu))
        if key not in self._known:
            held = sum(
                share
                for gpu_type, count, of_cpu, of_memory, share in self._mix
                if gpu_type in (None, node.gpu_type)
                and count <= gpus
                and of_cpu <= min(cpu, key[4])
                and of_memory <= memory
            )
            self._known[key] = gpus * (1.0 - held)
        return self._known[key]
