"""GPU time as Prometheus counts it: by group, never by person.

Guarantees: there are at most `MOST_GROUPS` groups in labels, however many an installation has; what is of further ones
is counted together.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from mlabhub.core.usage.sums import Sums

MOST_GROUPS = 200
NO_GROUP = "(no group)"
OTHERS = "(others)"
USES = ("used", "idle", "unknown")


class GpuSeconds:
    """Counts GPU seconds that were held, by what they were used for, and those that were waited for."""

    def __init__(self, registry: CollectorRegistry):
        text = "GPU seconds that groups held: used, idle, unknown (not measured)"
        self._held = Counter("mlabhub_gpu_held_seconds_total", text, ["group", "use"], registry=registry)
        text = "GPU seconds that groups waited for in the queue"
        self._waited = Counter("mlabhub_gpu_waited_seconds_total", text, ["group"], registry=registry)
        self._groups: set[str] = set()

    def count(self, group: str, sums: Sums) -> None:
        """Add what is of a group."""
        name = self._name(group)
        for use in USES:
            self._held.labels(name, use).inc(getattr(sums, use) / 1000)
        self._waited.labels(name).inc(sums.waited / 1000)

    def _name(self, group: str) -> str:
        if not group:
            return NO_GROUP
        if group not in self._groups and len(self._groups) >= MOST_GROUPS:
            return OTHERS
        self._groups.add(group)
        return group
