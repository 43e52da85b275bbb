"""What Prometheus reads. No label carries a person's name."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mlabhub.core.capacity import Capacity, Node
from mlabhub.ledger import QueueEntry, Reservation
from mlabhub.service.tallies import ENTRY_EVENTS, IDLE_EVENTS, NOTICE_EVENTS, Tally
from mlabhub.service.usage.measures import GpuSeconds

GPU_STATES = ("held", "free", "others", "unhealthy", "closed")
"""Of people's servers; to be had; of somebody else; broken; free, but their node takes no servers."""
_START_S = (1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)
_WAIT_S = (1, 5, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800)
_COMMIT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """The service's own measures, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.decisions = self._counter(
            "decisions", "Decisions on launches, by verdict", "verdict", ("admit", "refuse", "queue")
        )
        self.findings = self._counter(
            "reconciler_findings", "Disagreements of hub, backend and ledger, by kind", "kind"
        )
        self.rounds = self._counter("reconciler_rounds", "Rounds of the reconciler, by result", "result")
        results = ("sent", "retried", "dropped")
        text = "Messages to people and channels, by what became of them"
        self.notifications = self._counter("notifications", text, "result", results)
        text = f"What became of launches that waited: {', '.join(ENTRY_EVENTS)}"
        self.queue_events = self._counter("queue_events", text, "event", ENTRY_EVENTS)
        text = f"Notices to give back what is borrowed: {', '.join(NOTICE_EVENTS)} (taken back)"
        self.notices = self._counter("notices", text, "event", NOTICE_EVENTS)
        text = "Reports of the agents in servers, by what became of them"
        self.reports = self._counter("reports", text, "result", ("taken", "dropped", "refused"))
        text = "Samples of servers' use, one each minute, by what became of them"
        self.samples = self._counter("samples", text, "result", ("kept", "lost"))
        text = "Servers of which it was not known in the last minute whether they are used"
        self.servers_unknown = self._gauge("servers_use_unknown", text)
        self.samples_age = self._gauge("samples_age_seconds", "Since the last minute ended that samples are of")
        text = f"Idle servers: {', '.join(IDLE_EVENTS)} (a dry run's stop that would have been regretted)"
        self.idle_events = self._counter("idle_events", text, "event", IDLE_EVENTS)
        text = "Servers that run, by the last verdict on them"
        self.idle_verdicts = self._gauge("idle_verdicts", text, "verdict")
        text = "Servers with GPUs of which nobody has known for half an hour whether they are used"
        self.idle_unknown = self._gauge("idle_unknown_long", text)
        self.idle_undelivered = self._gauge("idle_undelivered", "Warnings that were due and reached nobody")
        self.gpu_seconds = GpuSeconds(self.registry)
        self.commit_seconds = self._histogram("commit", "Time to make a batch durable", _COMMIT_S)
        self.start_seconds = self._histogram(
            "start", "From a reservation to its server running and answering", _START_S
        )
        text = "From a launch that waits to its turn, those that started from the queue"
        self.queue_wait_seconds = self._histogram("queue_wait", text, _WAIT_S)
        self._servers = self._gauge("servers", "Active reservations, by state", "state")
        self._gpus = self._gauge("gpus_held", "GPUs that are held, by type", "type")
        self._all_gpus = self._gauge("gpus", f"GPUs by type and state: {', '.join(GPU_STATES)}", "type", "state")
        self._nodes = self._gauge("nodes", "Nodes, by whether they take new servers", "state")
        self._known = self._gauge("inventory_known", "1 while it is known what there is, else 0")
        text = "Since the cluster was last heard of, by what is watched"
        self._watch_age = self._gauge("watch_age_seconds", text, "what")
        self._queue = self._gauge("queue", "Launches that wait, by GPU type (any, none)", "type")

    def count(self, tally: Tally) -> None:
        """Count what happened in the queue."""
        if tally.what == "notice":
            self.notices.labels(tally.event).inc()
            return
        if tally.what == "idle":
            self.idle_events.labels(tally.event).inc()
            return
        self.queue_events.labels(tally.event).inc()
        if tally.seconds is not None:
            self.queue_wait_seconds.observe(tally.seconds)

    def watch_samples(self, unknown: Callable[[], int], age: Callable[[], float]) -> None:
        """Show what these return at the time when the measures are read."""
        self.servers_unknown.set_function(unknown)
        self.samples_age.set_function(age)

    def _counter(self, name: str, text: str, label: str, values: Iterable[str] = ()) -> Counter:
        """Return a counter that shows these values of its label from the start."""
        counter = Counter(f"mlabhub_{name}_total", text, [label], registry=self.registry)
        for value in values:
            counter.labels(value)
        return counter

    def _histogram(self, name: str, text: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(f"mlabhub_{name}_seconds", text, registry=self.registry, buckets=buckets)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"mlabhub_{name}", text, labels, registry=self.registry)

    def render(
        self,
        reservations: Collection[Reservation],
        capacity: Capacity | None = None,
        ages: Mapping[str, float] | None = None,
        queue: Iterable[QueueEntry] = (),
    ) -> bytes:
        """Return all measures in Prometheus' text format.

        ``capacity`` is None where it is not known; ``ages`` are those of the backend's watches, in seconds.
        """
        for gauge in (self._servers, self._gpus, self._all_gpus, self._nodes, self._watch_age, self._queue):
            gauge.clear()
        self._queue.labels("any")
        self._queue.labels("none")
        for entry in queue:
            if entry.state == "waiting":
                self._queue.labels((entry.gpu_type or "any") if entry.gpus else "none").inc()
        for one in reservations:
            self._servers.labels(one.state).inc()
            if one.gpus:
                self._gpus.labels(one.gpu_type or "unknown").inc(len(one.gpus))
        self._known.set(capacity is not None)
        for node in () if capacity is None else capacity.nodes:
            self._nodes.labels("open" if node.schedulable else "closed").inc()
        for (gpu_type, state), count in gpu_states(capacity, reservations).items():
            self._all_gpus.labels(gpu_type, state).set(count)
        for what, age in (ages or {}).items():
            self._watch_age.labels(what).set(age)
        return generate_latest(self.registry)


def gpu_states(capacity: Capacity | None, reservations: Collection[Reservation]) -> Mapping[tuple[str, str], int]:
    """Count GPUs by type and state. Every type that there is has each state, so that a graph has no holes."""
    found: Count[tuple[str, str]] = Count()
    held = {uuid for one in reservations for uuid in one.gpus}
    for node in () if capacity is None else capacity.nodes:
        for gpu_type in {gpu.type for gpu in node.gpus}:
            found.update({(gpu_type, state): count for state, count in _of_node(node, gpu_type, held).items()})
    return found


def _of_node(node: Node, gpu_type: str, held: Collection[str]) -> dict[str, int]:
    gpus = [gpu for gpu in node.gpus if gpu.type == gpu_type and not gpu.divided]
    of_people = sum(gpu.uuid in held for gpu in gpus)
    rest = [gpu for gpu in gpus if gpu.uuid not in held]
    unhealthy = sum(not gpu.healthy for gpu in rest)
    usable = sum(gpu.usable for gpu in rest)
    # On a cluster nobody tells which of a node's GPUs those of other pods are: only their number counts.
    taken = min(usable, node.gpus_taken.get(gpu_type, 0))
    return {
        "held": of_people,
        "unhealthy": unhealthy,
        "others": len(rest) - unhealthy - usable + taken,
        "free": usable - taken if node.schedulable else 0,
        "closed": 0 if node.schedulable else usable - taken,
    }
