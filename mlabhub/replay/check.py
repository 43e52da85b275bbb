"""Every event of a replay held against what was promised, one by one.

Guarantees: written from the rules as they are told to people, with no code of theirs nor of the replay's bookkeeping;
whatever the events are, it answers with findings and never fails. Amounts are compared exactly, in millionths.

What is promised: time never runs backwards, and nothing happens before its request came; each request starts once at a
time, runs for its duration on one node and ends, or is refused at once, and only if no node, limit or cap could ever
hold it; no node is over its capacity, no group over its limit, nobody over a hard cap; what is taken back was told so
its full notice before, of a group that is beyond its guarantee then and there, for an owner who starts on that node in
the same moment, never more often than the quotas say; in the end nothing waits, runs, or is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mlabhub.core.quotas import Quotas
from mlabhub.core.quote import quote
from mlabhub.replay.model import Event, Node, Request, Terms, Workload

MILLION = 1_000_000
MOST_FINDINGS = 1000
SLACK_S = 1e-6

Vector = dict[str, int]


@dataclass
class _Fate:
    """Where a request stands: ``state`` is coming, waiting, running or over."""

    request: Request
    state: str = "coming"
    node: str = ""
    started: float = 0.0
    told: float | None = None
    reclaims: int = 0
    vector: Vector = field(default_factory=dict)


def check(
    workload: Workload,
    quotas: Quotas,
    events: Sequence[Event],
    terms: Mapping[str, Terms] | None = None,
    notices: bool = True,
) -> tuple[str, ...]:
    """Return what is wrong, a sentence each. Without ``notices``, reclaims may come as they please (the baselines')."""
    return tuple(_Checker(workload, quotas, terms or {}, notices).findings(events))


class _Checker:
    def __init__(self, workload: Workload, quotas: Quotas, terms: Mapping[str, Terms], notices: bool) -> None:
        self.workload, self.quotas, self.terms, self.notices = workload, quotas, terms, notices
        self.nodes = {node.name: node for node in workload.nodes}
        self.fates = {request.id: _Fate(request) for request in workload.requests}
        self.on_node: dict[str, Vector] = {name: {} for name in self.nodes}
        self.by_group: dict[str | None, Vector] = {}
        self.by_user: dict[str, Vector] = {}
        self.now = float("-inf")
        self.freed: dict[str, str] = {}

    def findings(self, events: Sequence[Event]) -> Iterator[str]:
        """Yield what is wrong, the first of it first."""
        count = 0
        for number, event in enumerate(events, 1):
            for what in self._event(event):
                yield f"event {number} ({event.event} of {quote(event.id)} at {event.t:g}): {what}"
                count += 1
            if count >= MOST_FINDINGS:
                yield f"and more: only the first {MOST_FINDINGS} findings are listed."
                return
        yield from self._useless()
        for fate in self.fates.values():
            if fate.state != "over":
                name = quote(fate.request.id)
                yield f"{name} never ended and was not refused: it was {fate.state} when the events stopped."

    def _event(self, event: Event) -> Iterator[str]:
        if not event.t >= self.now:
            yield f"it is earlier than the event before, at {self.now:g}."
        elif event.t > self.now:
            yield from self._useless()
            self.now = event.t
        fate = self.fates.get(event.id)
        if fate is None:
            yield "no request has this id."
            return
        if event.t < fate.request.t:
            yield f"its request only came at {fate.request.t:g}."
        steps = {
            "queued": self._queued,
            "started": self._started,
            "ended": self._ended,
            "notice": self._noticed,
            "reclaimed": self._reclaimed,
            "refused": self._refused,
        }
        step = steps.get(event.event)
        if step is None:
            yield "there is no such event."
        else:
            yield from step(event, fate)

    def _queued(self, event: Event, fate: _Fate) -> Iterator[str]:
        if fate.state not in ("coming", "waiting") or (fate.state == "waiting" and not fate.reclaims):
            yield f"it was {fate.state} already."
        fate.state = "waiting" if fate.state == "coming" else fate.state

    def _refused(self, event: Event, fate: _Fate) -> Iterator[str]:
        if fate.state != "coming":
            yield f"it was {fate.state} already."
        if event.t != fate.request.t:
            yield f"that is not at once: the request came at {fate.request.t:g}."
        if not event.reason:
            yield "no reason is given."
        node = next((node for node in self.workload.nodes if self._ever(fate.request, node)), None)
        if node is not None:
            yield f"it could have run on {quote(node.name)} with nobody else there."
        fate.state = "over"

    def _ever(self, request: Request, node: Node) -> bool:
        """Whether an empty node holds it, and an empty group and person may have it."""
        vector = _vector(request, node)
        if (
            not _holds(node, request)
            or vector["cpu"] > _micro(node.cpu)
            or vector["memory_gib"] > _micro(node.memory_gib)
        ):
            return False
        limits = (self.quotas.group_limit(request.group), self._hard_cap(request))
        return all(vector.get(key, 0) <= _micro(most) for limit in limits for key, most in limit.items())

    def _hard_cap(self, request: Request) -> dict[str, float]:
        soft = self.quotas.user_soft(request.user, request.group)
        caps = self.quotas.user_limit(request.user, request.group)
        return {key: most for key, most in caps.items() if key not in soft}

    def _started(self, event: Event, fate: _Fate) -> Iterator[str]:
        request, node = fate.request, self.nodes.get(event.node)
        if fate.state not in ("coming", "waiting"):
            yield f"it was {fate.state} already."
            return
        if node is None:
            yield f"there is no node {quote(event.node)}."
            return
        if not _holds(node, request):
            yield f"{quote(node.name)} does not have its GPUs."
        fate.state, fate.node, fate.started, fate.told = "running", node.name, event.t, None
        fate.vector = _vector(request, node)
        self._count(fate, 1)
        yield from self._over_node(node, fate)
        limits = (
            (f"group {quote(request.group)}", self.by_group[request.group], self.quotas.group_limit(request.group)),
            (f"user {quote(request.user)}", self.by_user[request.user], self._hard_cap(request)),
        )
        for name, used, limit in limits:
            for key, most in limit.items():
                if fate.vector.get(key) and used.get(key, 0) > _micro(most):
                    yield f"{name} now holds {used[key] / MILLION:g} of {key}, more than the {most:g} it may."
        if self._within(fate):
            self.freed.pop(node.name, None)

    def _over_node(self, node: Node, fate: _Fate) -> Iterator[str]:
        used = self.on_node[node.name]
        room = {
            "gpu": node.gpus * MILLION,
            "cpu": _micro(node.cpu * self.quotas.cpu_overcommit),
            "memory_gib": _micro(node.memory_gib),
        }
        for key, most in room.items():
            if used.get(key, 0) > most:
                yield f"{quote(node.name)} now holds {used[key] / MILLION:g} of {key}, and has {most / MILLION:g}."
        if fate.vector["cpu"] > _micro(node.cpu):
            yield f"it takes more CPUs than {quote(node.name)} has."

    def _ended(self, event: Event, fate: _Fate) -> Iterator[str]:
        if fate.state == "waiting" and fate.reclaims and self._terms(fate).ends_when_reclaimed:
            fate.state = "over"
            return
        if fate.state != "running":
            yield f"it was not running, but {fate.state}."
            return
        ran, right = event.t - fate.started, fate.request.duration_s
        if abs(ran - right) > SLACK_S * max(1.0, event.t):
            yield f"it ran for {ran:g} seconds, not for {right:g}."
        yield from self._where(event, fate)
        self._count(fate, -1)
        fate.state = "over"

    def _noticed(self, event: Event, fate: _Fate) -> Iterator[str]:
        if fate.state != "running":
            yield f"it was not running, but {fate.state}."
            return
        yield from self._where(event, fate)
        fate.told = event.t
        if not self._terms(fate).reclaimable:
            yield "its profile says that it is never taken back."

    def _reclaimed(self, event: Event, fate: _Fate) -> Iterator[str]:
        if fate.state != "running":
            yield f"it was not running, but {fate.state}."
            return
        yield from self._where(event, fate)
        if self.notices:
            yield from self._why_not(event, fate)
            self.freed[fate.node] = event.id
        self._count(fate, -1)
        fate.reclaims += 1
        fate.state = "waiting"
        if self.notices and fate.reclaims > self.quotas.max_reclaims:
            yield f"that is the reclaim number {fate.reclaims} of it; there are {self.quotas.max_reclaims} at most."

    def _why_not(self, event: Event, fate: _Fate) -> Iterator[str]:
        own = self._terms(fate).notice_s
        notice = self.quotas.notice_seconds if own is None else own
        if fate.told is None:
            yield "nobody was told before."
        elif event.t - fate.told < notice - SLACK_S * max(1.0, event.t):
            yield f"it was told {event.t - fate.told:g} seconds before, not {notice:g}."
        within = self._kept_key(fate)
        if within:
            yield f"its group is within its guarantee of {within}."

    def _kept_key(self, fate: _Fate) -> str:
        """Return what the group of a run is within its guarantee of, among what the run touches; empty if nothing."""
        group = self.quotas.groups.get(fate.request.group or "")
        guaranteed = group.guaranteed if group is not None else {}
        used = self.by_group.get(fate.request.group, {})
        for key, amount in fate.vector.items():
            counts = key.startswith("gpu") if fate.request.gpus else key in ("cpu", "memory_gib")
            if counts and amount and key in guaranteed and used.get(key, 0) <= _micro(guaranteed[key]):
                return key
        return ""

    def _within(self, fate: _Fate) -> bool:
        """Whether a run that has started is covered by its group's guarantee."""
        group = self.quotas.groups.get(fate.request.group or "")
        used = self.by_group.get(fate.request.group, {})
        guaranteed = group.guaranteed if group is not None else {}
        keys = [key for key in fate.vector if key in guaranteed]
        return bool(keys) and all(used.get(key, 0) <= _micro(guaranteed[key]) for key in keys)

    def _useless(self) -> Iterator[str]:
        """Say, when a moment is over, what was taken back without an owner who started there."""
        for node, victim in self.freed.items():
            yield f"{quote(victim)} was reclaimed at {self.now:g}, and no owner started on {quote(node)} then."
        self.freed.clear()

    def _where(self, event: Event, fate: _Fate) -> Iterator[str]:
        if event.node != fate.node:
            yield f"it runs on {quote(fate.node)}, not on {quote(event.node)}."

    def _terms(self, fate: _Fate) -> Terms:
        return self.terms.get(fate.request.profile, Terms())

    def _count(self, fate: _Fate, sign: int) -> None:
        request = fate.request
        places: Iterable[Vector] = (
            self.on_node[fate.node],
            self.by_group.setdefault(request.group, {}),
            self.by_user.setdefault(request.user, {}),
        )
        for sums in places:
            for key, amount in fate.vector.items():
                sums[key] = sums.get(key, 0) + sign * amount


def _micro(amount: float) -> int:
    return round(amount * MILLION)


def _vector(request: Request, node: Node) -> Vector:
    vector = {"cpu": _micro(request.cpu), "memory_gib": _micro(request.memory_gib), "servers": MILLION}
    if request.gpus:
        vector |= {"gpu": request.gpus * MILLION, f"gpu:{node.gpu_type}": request.gpus * MILLION}
    return vector


def _holds(node: Node, request: Request) -> bool:
    """Whether a node has the GPUs of a request at all."""
    if not request.gpus:
        return True
    return request.gpus <= node.gpus and request.gpu_type in (None, node.gpu_type)
