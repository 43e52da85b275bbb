"""What Prometheus reads. No label carries a person's name."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mlabhub.ledger import Reservation

_COMMIT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """The service's own measures, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.decisions = Counter(
            "mlabhub_decisions_total", "Decisions on launches, by verdict", ["verdict"], registry=self.registry
        )
        self.commit_seconds = Histogram(
            "mlabhub_commit_seconds", "Time to make a batch durable", registry=self.registry, buckets=_COMMIT_S
        )
        self.findings = Counter(
            "mlabhub_reconciler_findings_total",
            "Disagreements of hub, backend and ledger, by kind",
            ["kind"],
            registry=self.registry,
        )
        self.rounds = Counter(
            "mlabhub_reconciler_rounds_total", "Rounds of the reconciler, by result", ["result"], registry=self.registry
        )
        self._servers = Gauge("mlabhub_servers", "Active reservations, by state", ["state"], registry=self.registry)
        self._gpus = Gauge("mlabhub_gpus_held", "GPUs that are held, by type", ["type"], registry=self.registry)
        for verdict in ("admit", "refuse"):
            self.decisions.labels(verdict)

    def render(self, reservations: Iterable[Reservation]) -> bytes:
        """Return all measures in Prometheus' text format."""
        self._servers.clear()
        self._gpus.clear()
        for one in reservations:
            self._servers.labels(one.state).inc()
            if one.gpus:
                self._gpus.labels(one.gpu_type or "unknown").inc(len(one.gpus))
        return generate_latest(self.registry)
