"""An event list played over its workload: who waits, who runs and what is free, from one moment to the next.

Guarantees: the same for every policy, from the events alone. Amounts are millionths; `steps` yields once for each
moment at which something happened, after all of it, with the length of time until the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mlabhub.core.sharing.model import Ask
from mlabhub.core.units import to_micro
from mlabhub.replay.model import Event, Node, Request, Workload


@dataclass(slots=True)
class Held:
    """A run: where it is, and since when."""

    request: Request
    node: Node
    started: float
    vector: Mapping[str, int]


@dataclass(slots=True)
class Life:
    """What became of one request; ``waited`` sums all the time that it waited, also after reclaims."""

    request: Request
    waited: float = 0.0
    waits_since: float | None = None
    first_start: float | None = None
    last_start: float | None = None
    ended: float | None = None
    refused: bool = False
    reclaims: int = 0
    lost_gpu_s: float = 0.0
    kept: list[tuple[float, float]] = field(default_factory=list)
    lost: list[tuple[float, float]] = field(default_factory=list)


@dataclass
class Timeline:
    """The state at a moment, and each request's life so far."""

    workload: Workload
    events: Sequence[Event]
    cpu_overcommit: float = 1.0
    running: dict[str, Held] = field(default_factory=dict)
    waiting: dict[str, Request] = field(default_factory=dict)
    waiting_by: dict[str | None, dict[Ask, dict[str, Request]]] = field(default_factory=dict)
    used: dict[str | None, dict[str, int]] = field(default_factory=dict)
    used_by: dict[str, dict[str, int]] = field(default_factory=dict)
    lives: dict[str, Life] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.nodes = {node.name: node for node in self.workload.nodes}
        self.free = {
            node.name: [node.gpus, to_micro(node.cpu * self.cpu_overcommit), to_micro(node.memory_gib)]
            for node in self.workload.nodes
        }
        self.asks: dict[str, Ask] = {}
        self._vectors: dict[tuple[Ask, str | None], dict[str, int]] = {}
        self.lives = {request.id: Life(request) for request in self.workload.requests}

    def steps(self) -> Iterator[tuple[float, float]]:
        """Yield each moment and how long it lasts; the last one lasts 0."""
        requests, events = self.workload.requests, self.events
        came = gone = 0
        now = requests[0].t if requests else 0.0
        while came < len(requests) or gone < len(events):
            self.changed.clear()
            while came < len(requests) and requests[came].t <= now:
                self._come(requests[came], now)
                came += 1
            while gone < len(events) and events[gone].t <= now:
                self._play(events[gone])
                gone += 1
            following = [requests[came].t] if came < len(requests) else []
            following += [events[gone].t] if gone < len(events) else []
            until = min(following, default=now)
            yield now, until - now
            now = until

    def _come(self, request: Request, now: float) -> None:
        self.asks[request.id] = request.ask
        self._await(request)
        self.lives[request.id].waits_since = now

    def vector(self, ask: Ask, gpu_type: str | None = None) -> Mapping[str, int]:
        """Return what an ask takes, on GPUs of a type."""
        key = (ask, gpu_type)
        if key not in self._vectors:
            self._vectors[key] = ask.vector(gpu_type)
        return self._vectors[key]

    def _await(self, request: Request) -> None:
        self.waiting[request.id] = request
        asks = self.waiting_by.setdefault(request.group, {})
        asks.setdefault(self.asks[request.id], {})[request.id] = request

    def _await_no_more(self, who: str) -> Request:
        request = self.waiting.pop(who)
        asks, ask = self.waiting_by[request.group], self.asks[who]
        del asks[ask][who]
        if not asks[ask]:
            del asks[ask]
        return request

    def _play(self, event: Event) -> None:
        life = self.lives[event.id]
        if event.event == "refused":
            self._await_no_more(event.id)
            life.refused, life.waits_since = True, None
        elif event.event == "started":
            self._start(event, life)
        elif event.event in ("ended", "reclaimed") and event.id in self.running:
            self._stop(event, life)
        elif event.event == "ended":
            self._await_no_more(event.id)
            life.waits_since = None

    def _start(self, event: Event, life: Life) -> None:
        request, node = self._await_no_more(event.id), self.nodes[event.node]
        if life.waits_since is not None:
            life.waited += event.t - life.waits_since
        life.waits_since, life.last_start = None, event.t
        life.first_start = event.t if life.first_start is None else life.first_start
        held = Held(request, node, event.t, self.vector(self.asks[event.id], node.gpu_type))
        self.running[event.id] = held
        self._count(held, 1)

    def _stop(self, event: Event, life: Life) -> None:
        held = self.running.pop(event.id)
        self._count(held, -1)
        span = (held.started, event.t)
        if event.event == "ended":
            life.ended = event.t
            life.kept.append(span)
            return
        life.reclaims += 1
        life.lost_gpu_s += held.request.gpus * (event.t - held.started)
        life.lost.append(span)
        life.waits_since = event.t
        self._await(held.request)

    def _count(self, held: Held, sign: int) -> None:
        request, ask = held.request, self.asks[held.request.id]
        room = self.free[held.node.name]
        room[0] -= sign * ask.gpus
        room[1] -= sign * ask.cpu
        room[2] -= sign * ask.memory
        self.changed.add(held.node.name)
        for sums in (self.used.setdefault(request.group, {}), self.used_by.setdefault(request.user, {})):
            for resource, amount in held.vector.items():
                sums[resource] = sums.get(resource, 0) + sign * amount
